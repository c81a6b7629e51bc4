"""Child processes: started with a log file, probed, watched, and stopped by process id in every way that a run can end.

Each child leads a process group of its own, so Ctrl-C in a terminal reaches only the program that started it, which
then stops its children in order. Where `setpriv` is there, the kernel stops a child whose starter was killed.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

LAST_LINES: Final = 20
POLL: Final = 0.05
"""Seconds between two probes."""
PORTS: Final = (20000, 30000)
"""Below the ports that Linux gives to outgoing connections, so a stopped server's port stays free for its successor."""


class ProcessError(Exception):
    """A child ended or never became ready; the text holds the last lines of its log."""


class Process:
    """One child. `start` may be called again after `stop` or `kill`: same command, same log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name, self.command, self.log = name, list(command), log
        self._env, self._cwd = env, cwd
        self._child: subprocess.Popen[bytes] | None = None
        self._wanted = False

    @property
    def pid(self) -> int:
        """The process id of the running child, else 0."""
        return self._child.pid if self._child and self._child.poll() is None else 0

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*_tied(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self._env) if self._env is not None else None,
                cwd=self._cwd,
                start_new_session=True,
            )
        self._wanted = True

    def check(self) -> None:
        """Raises ProcessError where the child ended by itself."""
        if self._wanted and self._child is not None and (code := self._child.poll()) is not None:
            raise ProcessError(f"{self.name} ended with {_meaning(code)}; the end of {self.log}:\n{self.tail()}")

    def stop(self, grace: float = 10.0) -> int:
        """SIGTERM, after `grace` seconds SIGKILL for the whole group. Returns the exit code; 0 if it did not run."""
        self._wanted = False
        if self._child is None:
            return 0
        if self._child.poll() is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(grace)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL for the child and all that it started. Returns the exit code."""
        self._wanted = False
        if self._child is None:
            return 0
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.wait()

    def tail(self, lines: int = LAST_LINES) -> str:
        """The last lines of the log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"


class Processes:
    """Children of one run, in the order in which they were started; stopped in the reverse order."""

    def __init__(self) -> None:
        self._all: list[Process] = []

    def add(self, process: Process) -> Process:
        """Start it and remember it."""
        self._all.append(process)
        process.start()
        return process

    def pids(self) -> dict[str, int]:
        return {process.name: process.pid for process in self._all if process.pid}

    def check(self) -> None:
        """Raises ProcessError where one of them ended by itself."""
        for process in self._all:
            process.check()

    def wait_until(self, what: str, probe: Callable[[], bool], seconds: float) -> None:
        """Probe until it holds. Raises ProcessError after `seconds`, or at once where a child ended."""
        end = time.monotonic() + seconds
        while not _holds(probe):
            self.check()
            if time.monotonic() > end:
                logs = "\n".join(f"--- {process.log}\n{process.tail(5)}" for process in self._all)
                raise ProcessError(f"{what}: not so after {seconds:.0f} s\n{logs}")
            time.sleep(POLL)

    def stop(self) -> None:
        """Stop all of them."""
        for process in reversed(self._all):
            process.stop()
        self._all.clear()


def run_to_end(command: Sequence[str], seconds: float) -> None:
    """A command that ends by itself. Raises ProcessError with what it said where it fails or takes longer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise ProcessError(f"{' '.join(command)}: not done after {seconds:.0f} s") from error
    if done.returncode:
        raise ProcessError(f"{' '.join(command)}: {_meaning(done.returncode)}\n{done.stdout}{done.stderr}")


def _holds(probe: Callable[[], bool]) -> bool:
    """Whether the probe holds; a connection that fails is a no."""
    try:
        return probe()
    except OSError:
        return False


def _tied() -> list[str]:
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "TERM", "--"] if found else []


def _meaning(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on now, all different."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        first = PORTS[0] + (os.getpid() * 61 + time.time_ns() // 1000) % (PORTS[1] - PORTS[0])
        for port in [*range(first, PORTS[1]), *range(PORTS[0], first)]:
            if len(found) == count:
                break
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                found.append(port)
    if len(found) < count:
        raise ProcessError(f"no {count} free ports between {PORTS[0]} and {PORTS[1]}")
    return found


@contextlib.contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt as SIGINT does, so that `finally` runs however a run is ended."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    old = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that would end the run are left out while it cleans up: a second Ctrl-C leaves nothing running."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    old = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
