"""A command that goes on talking, such as `kubectl get -w`: its lines as they come."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from e2e.cluster.kubectl import Kubectl

POLL = 0.05


class Watch:
    """A kubectl command in the background. `lines` holds what it said so far; leaving the `with` ends it."""

    def __init__(self, kubectl: Kubectl, *arguments: str) -> None:
        self.lines: list[str] = []
        self._arguments = arguments
        self._child = kubectl.start(*arguments)
        self._reader = threading.Thread(target=self._read, args=(self._child,), daemon=True)
        self._reader.start()

    def _read(self, child: "subprocess.Popen[bytes]") -> None:
        assert child.stdout is not None
        for line in child.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())

    def wait_for(self, found: Callable[[str], bool], seconds: float = 30.0) -> str:
        """The first line, said already or yet to come, that is `found`. Raises AssertionError with all lines."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in list(self.lines):
                if found(line):
                    return line
            time.sleep(POLL)
        raise AssertionError(f"not said by {' '.join(self._arguments)} in {seconds:.0f} s:\n" + "\n".join(self.lines))

    def stop(self) -> list[str]:
        """End it; everything that it said."""
        self._child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(10)
        self._child.kill()
        self._child.wait()
        self._reader.join(10)
        if self._child.stdout is not None:
            self._child.stdout.close()
        return self.lines

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
