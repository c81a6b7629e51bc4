"""One measurement: a bounded load on one address, and the CPU that a process spent meanwhile."""

import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any, Final

import msgspec

DEADLINE: Final = 120.0
_TICK: Final = os.sysconf("SC_CLK_TCK")


class Target(msgspec.Struct, frozen=True):
    """Something that is asked: its URL, what a client needs for it, and the process whose CPU counts (0: none)."""

    name: str
    url: str
    client: tuple[str, ...]
    pid: int


class Work(msgspec.Struct, frozen=True):
    """What is asked for: a path by target name (a tenant's names are others than the host's), and how often."""

    name: str
    paths: dict[str, str]
    requests: int
    create: bool = False


class Sample(msgspec.Struct, frozen=True):
    """One round on one target: CPU microseconds a request (0 without a process), milliseconds at p50 and p99."""

    cpu: float
    p50: float
    p99: float


def cpu_seconds(pid: int) -> float:
    """CPU that a process has spent, user and system, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_kib(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def sample(load: Path, target: Target, work: Work, connections: int, mark: str) -> Sample:
    """Run the load once. Raises AssertionError where a request failed."""
    url = target.url + work.paths[target.name]
    command = [str(load), "-url", url, *target.client, "-connections", str(connections)]
    command += ["-requests", str(work.requests), "-name", mark, *(["-create"] if work.create else [])]
    before = cpu_seconds(target.pid) if target.pid else 0.0
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
    spent = cpu_seconds(target.pid) - before if target.pid else 0.0
    result: dict[str, Any] = json.loads(done.stdout)
    if result["failed"]:
        raise AssertionError(f"{result['failed']} of {result['requests']} requests failed: {target.name} {work.name}")
    return Sample(spent / work.requests * 1e6, result["p50"], result["p99"])


def median(samples: list[Sample]) -> Sample:
    """The median of each figure."""
    return Sample(*(statistics.median(getattr(one, name) for one in samples) for name in ("cpu", "p50", "p99")))
