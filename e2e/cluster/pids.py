"""A file of process ids that can be trusted later: each stands with the moment its process began.

A process id is used again by the system; the pair of id and beginning is not. One line is `name pid beginning`.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

POLL = 0.05


@dataclass(frozen=True)
class Recorded:
    """A process as it was when it was written down."""

    name: str
    pid: int
    began: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return bool(self.began) and beginning(self.pid) == self.began

    def stop(self, grace: float) -> bool:
        """SIGTERM, after `grace` seconds SIGKILL; whether it ran. Another process with its id is left alone."""
        if not self.alive:
            return False
        self._signal(signal.SIGTERM)
        end = time.monotonic() + grace
        while self.alive and time.monotonic() < end:
            time.sleep(POLL)
        if self.alive:
            self._signal(signal.SIGKILL)
        return True

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return


def beginning(pid: int, proc: Path = Path("/proc")) -> str:
    """When a process began, as one word; empty if there is no such process, or only what its parent has not reaped."""
    try:
        # After the name, which may hold anything, in brackets: state is the first field, the start time the 20th.
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "" if (proc / "self").exists() else _beginning_by_ps(pid)
    return "" if fields[0] in "ZX" else f"{boot}/{fields[19]}"


def _beginning_by_ps(pid: int) -> str:
    """The same where there is no /proc."""
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return re.sub(r"\s+", "_", done.stdout.strip())


def write_pids(path: Path, pids: Mapping[str, int]) -> None:
    """Write the file whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text("".join(f"{name} {pid} {beginning(pid)}\n" for name, pid in pids.items()))
    temporary.replace(path)


def read_pids(path: Path) -> list[Recorded]:
    """What stands in the file; lines that are none of ours are left out, and a missing file is an empty one."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    return [Recorded(line[0], int(line[1]), line[2]) for line in lines if len(line) == 3 and line[1].isdigit()]
