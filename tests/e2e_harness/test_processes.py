"""Children: started, watched, told about when they die, and stopped with all that they started."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import processes
from e2e.cluster.processes import (
    Process,
    ProcessError,
    Processes,
    free_ports,
    run_to_end,
    signals_as_interrupts,
    undisturbed,
)


def shell(folder: Path, script: str, name: str = "child") -> Process:
    return Process(name, ["/bin/sh", "-c", script], folder / f"{name}.log")


@pytest.fixture
def children() -> Iterator[Processes]:
    running = Processes()
    yield running
    running.stop()


def wait_for(path: Path) -> str:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.01)
    raise AssertionError(f"nothing was written to {path}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_a_child_says_goes_to_its_log(children: Processes, tmp_path: Path) -> None:
    children.add(shell(tmp_path, "echo said; echo warned >&2; sleep 60"))
    wait_for(tmp_path / "child.log")
    children.wait_until("both", lambda: "warned" in (tmp_path / "child.log").read_text(), 10)
    assert (tmp_path / "child.log").read_text() == "said\nwarned\n"


def test_a_child_that_dies_is_told_with_its_last_words(children: Processes, tmp_path: Path) -> None:
    children.add(shell(tmp_path, "echo no such flag; exit 3"))
    with pytest.raises(ProcessError, match=r"child ended with exit code 3;.*\nno such flag"):
        children.wait_until("never", lambda: False, 30)


def test_a_child_that_is_killed_from_outside_is_told_with_the_signal(children: Processes, tmp_path: Path) -> None:
    child = children.add(shell(tmp_path, "exec sleep 60"))
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ProcessError, match="SIGKILL"):
        children.wait_until("never", lambda: False, 30)


def test_waiting_ends_with_what_was_waited_for(children: Processes, tmp_path: Path) -> None:
    children.add(shell(tmp_path, "echo still working; exec sleep 60"))
    wait_for(tmp_path / "child.log")
    with pytest.raises(ProcessError, match=r"the moon is blue: not so after 0 s\n.*\nstill working"):
        children.wait_until("the moon is blue", lambda: False, 0.01)


def test_a_probe_that_cannot_connect_is_a_no(children: Processes) -> None:
    answers = iter([ConnectionRefusedError(), None])

    def probe() -> bool:
        if error := next(answers):
            raise error
        return True

    children.wait_until("an answer", probe, 10)


def test_a_stopped_child_is_no_failure_and_can_be_started_again(children: Processes, tmp_path: Path) -> None:
    child = children.add(shell(tmp_path, "exec sleep 60"))
    first = child.pid
    assert child.stop() == -signal.SIGTERM
    assert child.pid == 0
    children.check()
    child.start()
    assert child.pid not in (0, first)


def test_a_child_that_does_not_listen_is_killed_with_all_it_started(tmp_path: Path) -> None:
    child = shell(tmp_path, f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/grandchild; wait; wait")
    child.start()
    grandchild = int(wait_for(tmp_path / "grandchild"))
    assert child.stop(grace=0.05) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(grandchild)


def test_the_last_started_is_stopped_first(children: Processes, tmp_path: Path) -> None:
    order = tmp_path / "order"
    for name in ("first", "second"):
        script = f"trap 'echo {name} >> {order}; exit 0' TERM; echo up; while :; do sleep 0.01; done"
        children.add(shell(tmp_path, script, name))
        wait_for(tmp_path / f"{name}.log")
    children.stop()
    assert order.read_text().split() == ["second", "first"]


def test_a_child_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec sleep 60"
    program = f"""
import time
from pathlib import Path
from e2e.cluster.processes import Process
Process("child", ["/bin/sh", "-c", {script!r}], Path({str(tmp_path)!r}) / "child.log").start()
time.sleep(60)
"""
    starter = Process("starter", [sys.executable, "-c", program], tmp_path / "starter.log")
    starter.start()
    child = int(wait_for(tmp_path / "pid"))
    os.kill(starter.pid, signal.SIGKILL)
    starter.stop()
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(child)


def test_free_ports_are_free_and_different() -> None:
    found = free_ports(5)
    assert len(set(found)) == 5
    for port in found:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_ports(1)[0]
    monkeypatch.setattr(processes, "PORTS", (first, first + 1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        with pytest.raises(ProcessError, match="no 1 free ports"):
            free_ports(1)


def test_sigterm_ends_a_run_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), signals_as_interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_cleaning_up_is_not_interrupted() -> None:
    with signals_as_interrupts(), undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_command_that_fails_or_hangs_is_told_with_its_words() -> None:
    run_to_end(["true"], 5)
    with pytest.raises(ProcessError, match="exit code 3\nwhy"):
        run_to_end(["sh", "-c", "echo why; exit 3"], 5)
    with pytest.raises(ProcessError, match="not done after 0 s"):
        run_to_end(["sleep", "5"], 0.1)
