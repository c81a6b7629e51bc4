"""Process ids on disk: only the very process that was written down is ever stopped."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.pids import Recorded, beginning, read_pids, write_pids


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    child = subprocess.Popen(["sleep", "60"])
    yield child
    child.kill()
    child.wait()


def test_what_is_written_is_read(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    write_pids(tmp_path / "pids", {"me": os.getpid(), "sleeper": sleeper.pid})
    found = read_pids(tmp_path / "pids")
    assert [(one.name, one.pid, one.alive) for one in found] == [
        ("me", os.getpid(), True),
        ("sleeper", sleeper.pid, True),
    ]


def test_the_recorded_process_is_stopped(sleeper: "subprocess.Popen[bytes]") -> None:
    assert Recorded("sleeper", sleeper.pid, beginning(sleeper.pid)).stop(5)
    assert sleeper.wait(5) == -signal.SIGTERM


def test_another_process_with_the_same_id_is_left_alone(sleeper: "subprocess.Popen[bytes]") -> None:
    assert not Recorded("old", sleeper.pid, beginning(os.getpid())).stop(5)
    assert sleeper.poll() is None


def test_a_process_that_ended_is_not_alive_though_nobody_has_reaped_it(sleeper: "subprocess.Popen[bytes]") -> None:
    recorded = Recorded("sleeper", sleeper.pid, beginning(sleeper.pid))
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not recorded.alive
    assert not recorded.stop(5)


def test_no_such_process_has_no_beginning() -> None:
    assert beginning(2**22 + 1) == ""
    assert not Recorded("none", 2**22 + 1, "").alive


def test_a_name_with_brackets_and_blanks_does_not_confuse(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    (proc / "7").mkdir(parents=True)
    (proc / "sys/kernel/random").mkdir(parents=True)
    (proc / "sys/kernel/random/boot_id").write_text("boot\n")
    rest = " ".join(["S", *map(str, range(4, 22)), "4242", "23"])
    (proc / "7" / "stat").write_text(f"7 (a) b (c) {rest}\n")
    assert beginning(7, proc) == "boot/4242"


def test_a_missing_or_damaged_file_holds_nothing(tmp_path: Path) -> None:
    assert read_pids(tmp_path / "none") == []
    (tmp_path / "pids").write_text("a\nb c\nd 12 \ne x y\n")
    assert read_pids(tmp_path / "pids") == []
