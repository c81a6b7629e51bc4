"""Several workers: what each gets, how one that ends is started anew, how all end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vcproxy import workers
from vcproxy.config.document import parse
from vcproxy.config.sections import Config
from vcproxy.config.settings import API_VERSION, KIND
from vcproxy.workers import Supervisor, of_worker

FIRST = "first"


def example(**log: Any) -> Config:
    found = parse({"apiVersion": API_VERSION, "kind": KIND})
    return msgspec.structs.replace(found, log=msgspec.structs.replace(found.log, **log))


def test_workers_share_the_address_and_have_ports_of_their_own_for_health_and_metrics() -> None:
    first, third = of_worker(example(), 0), of_worker(example(), 2)
    assert first.listen == third.listen
    assert first.listen.shared
    assert third.operations[1] == first.operations[1] + 2


def notes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != FIRST)


def is_first(folder: Path) -> bool:
    """Whether nobody has asked before: two processes that come at once are told apart."""
    try:
        (folder / FIRST).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def mark(config: Config) -> int:
    """Leaves a note of its process, and ends when told to; the first of all ends at once."""
    folder = Path(config.log.format)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    (folder / str(os.getpid())).touch()
    if is_first(folder):
        return 3
    while not ended:
        time.sleep(0.02)
    return 0


def test_a_worker_that_ends_is_started_anew_and_all_end_with_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PAUSE", 0.05)
    monkeypatch.setattr("vcproxy.observe.logs.configure", lambda form, level: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end_when_three_have_run() -> None:
        limit = time.monotonic() + 30
        while len(notes(tmp_path)) < 3 and time.monotonic() < limit:
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=end_when_three_have_run)
    watcher.start()
    try:
        code = Supervisor(example(format=str(tmp_path)), 2, mark).run()
    finally:
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert code == 0
    assert len(notes(tmp_path)) == 3
    for name in notes(tmp_path):
        with pytest.raises(ProcessLookupError):
            os.kill(int(name), 0)


def starting(config: Config) -> int:
    """A worker that has not come to listen for signals yet."""
    (Path(config.log.format) / str(os.getpid())).touch()
    time.sleep(60)
    return 3


def test_a_worker_that_is_told_to_end_while_it_starts_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcproxy.observe.logs.configure", lambda form, level: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end_when_it_is_there() -> None:
        limit = time.monotonic() + 30
        while not notes(tmp_path) and time.monotonic() < limit:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=end_when_it_is_there)
    watcher.start()
    try:
        assert Supervisor(example(format=str(tmp_path)), 1, starting).run() == 0
    finally:
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def stubborn(config: Config) -> int:
    """Leaves a note of its process, and one of each SIGTERM, which the first of all does not heed."""
    folder = Path(config.log.format)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    first = is_first(folder)
    (folder / str(os.getpid())).touch()
    while first or not ended:
        time.sleep(0.02)
    (folder / "drained").touch()
    return 0


def supervise(folder: str) -> None:
    """A supervisor in a process of its own."""
    limits = msgspec.structs.replace(example().limits, drain=0.2)
    workers.MARGIN = 0.2  # type: ignore[misc]
    Supervisor(msgspec.structs.replace(example(format=folder), limits=limits), 2, stubborn).run()


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def wait(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_workers_of_a_supervisor_that_was_killed_drain_and_end(tmp_path: Path) -> None:
    program = f"from tests.shell.test_workers import supervise; supervise({str(tmp_path)!r})"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as supervisor:
        wait(lambda: len(notes(tmp_path)) == 2)
        processes = [int(name) for name in notes(tmp_path)]
        time.sleep(0.3)
        assert notes(tmp_path) == sorted(map(str, processes))
        supervisor.kill()
    try:
        wait(lambda: "drained" in notes(tmp_path))
        wait(lambda: all(map(gone, processes)))
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
