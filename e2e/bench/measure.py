"""Measuring a process from outside while a bounded load runs: CPU, wake-ups, memory; the same way for every program."""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from e2e.cluster.processes import ProcessError

DEADLINE: Final = 120.0
"""Seconds after which a load that does not end is ended."""
_CPUCLOCK_SCHED: Final = 2
_ATTACH: Final = 0.4
"""Seconds in which `perf` is attached; it does not say when."""
WAITS: Final = ("epoll_wait", "epoll_pwait")
WRITES: Final = ("write", "writev", "sendto", "sendmsg")


class Target(msgspec.Struct, frozen=True):
    """Something that is asked: its URL, what a client needs for it, and the process whose CPU counts (0: none)."""

    name: str
    url: str
    client: tuple[str, ...]
    pid: int


class Usage(msgspec.Struct, frozen=True):
    """What a process and its children have spent so far: CPU seconds, user and system, and voluntary switches."""

    cpu: float
    switches: int


class Sample(msgspec.Struct, frozen=True):
    """One round on one target: CPU microseconds and wake-ups a request (0 without a process), requests a second,
    milliseconds at p50 and p99, and how many requests that was."""

    cpu: float
    wakeups: float
    rate: float
    p50: float
    p99: float
    requests: float


def family(pid: int) -> list[int]:
    """The process and all that descend from it: nginx and a proxy with several workers have children."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{found[-1]}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU of a process, exact to nanoseconds (/proc/PID/stat counts ticks of 10 ms): clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def usage(pid: int) -> Usage:
    """Of a process and its children; nothing for pid 0."""
    pids = family(pid) if pid else []
    return Usage(sum(cpu_seconds(one) for one in pids), sum(_switches(one) for one in pids))


def _switches(pid: int) -> int:
    """Times that a thread of it went to sleep by itself: each is followed by a wake-up."""
    return sum(_status(task / "status", "voluntary_ctxt_switches:") for task in Path(f"/proc/{pid}/task").iterdir())


def memory_kib(pid: int) -> int:
    """Resident memory of a process and its children."""
    return sum(_status(Path(f"/proc/{one}/status"), "VmRSS:") for one in family(pid))


def _status(path: Path, field: str) -> int:
    with contextlib.suppress(OSError):  # a thread may end meanwhile
        for line in path.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0


class Load:
    """A load client that has made its connections; `begin` lets it work, `result` is what it says at the end."""

    def __init__(self, child: "subprocess.Popen[str]", words: Any) -> None:
        self._child, self._words = child, words

    def begin(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Raises AssertionError where it ended otherwise, or where a request failed."""
        found: dict[str, Any] = json.loads(self.line())
        if found["failed"]:
            raise AssertionError(f"{found['failed']} of {found['requests']} failed: {self._said()}")
        return found

    def line(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise AssertionError(f"the load ended with {self._child.wait()}: {self._said()}")
        return line

    def _said(self) -> str:
        self._words.seek(0)
        return str(self._words.read())[:500]


@contextlib.contextmanager
def loading(command: Sequence[str], deadline: float = DEADLINE) -> Iterator[Load]:
    """A load that is ready to begin; it is ended at the end, and by force after `deadline` seconds."""
    with tempfile.TemporaryFile("w+") as words:
        child = subprocess.Popen(
            [*command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True, bufsize=1
        )
        timer = threading.Timer(deadline, child.kill)
        timer.start()
        try:
            load = Load(child, words)
            if load.line() != "ready\n":
                raise AssertionError("the load client said something else than that it is ready")
            yield load
        finally:
            timer.cancel()
            child.kill()
            child.communicate()


def sample(command: Sequence[str], target: Target) -> Sample:
    """Run a load once, without what its connections cost to make. Raises AssertionError where a request failed."""
    with loading(command) as load:
        before = usage(target.pid)
        load.begin()
        result = load.result()
        after = usage(target.pid)
    count = max(1, result["requests"])
    return Sample(
        (after.cpu - before.cpu) / count * 1e6,
        (after.switches - before.switches) / count,
        count / result["seconds"],
        result["p50"],
        result["p99"],
        count,
    )


T = TypeVar("T")
FAILURES: Final = (AssertionError, ProcessError, subprocess.SubprocessError, OSError)
"""What a measurement that cannot be made raises."""


def tried(what: str, work: Callable[[], T], notes: list[str]) -> T | None:
    """What `work` returns; where it fails a note says so, and the others go on."""
    try:
        return work()
    except FAILURES as error:
        notes.append(f"failed: {what}: {' '.join(str(error).split())[:300]}")
        print(notes[-1], file=sys.stderr, flush=True)
        return None


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure."""
    return Sample(*(statistics.median(getattr(one, name) for one in samples) for name in Sample.__struct_fields__))


def system_calls(command: Sequence[str], target: Target) -> dict[str, float] | None:
    """Waits (epoll) and writes a request, counted by the kernel while a load runs; None where `perf` cannot count.

    Not in the same run as the CPU: counting costs some itself.
    """
    perf = shutil.which("perf")
    if perf is None:
        return None
    events = ",".join(f"syscalls:sys_enter_{name}" for name in (*WAITS, *WRITES))
    pids = ",".join(map(str, family(target.pid)))
    with loading(command) as load, tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        counting = [perf, "stat", "-x,", "-o", str(counts), "-e", events, "-p", pids]
        child = subprocess.Popen(counting, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(_ATTACH)
        load.begin()
        result = load.result()
        child.send_signal(signal.SIGINT)
        child.wait(10)
        return _counted(counts.read_text() if counts.exists() else "", result["requests"])


def _counted(text: str, requests: int) -> dict[str, float] | None:
    """`perf stat -x,` writes a line for each event: count, unit, event, ..."""
    found = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[0].isdigit():
            found[fields[2].removeprefix("syscalls:sys_enter_")] = int(fields[0])
    if not found:
        return None
    total = {"waits": sum(found.get(name, 0) for name in WAITS), "writes": sum(found.get(name, 0) for name in WRITES)}
    return {name: count / max(1, requests) for name, count in total.items()}


def machine() -> str:
    """What figures were made on."""
    return f"{os.cpu_count()} shared cores"
