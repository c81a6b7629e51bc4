"""What is done to the host's API server."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from e2e.cluster.control_plane import ControlPlane


@contextlib.contextmanager
def asleep(control_plane: ControlPlane) -> Iterator[None]:
    """It is stopped (SIGSTOP) and goes on afterwards, if it was not killed meanwhile."""
    server = control_plane.pids()["kube-apiserver"]
    os.kill(server, signal.SIGSTOP)
    time.sleep(0.3)  # all of its threads
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was killed
            os.kill(server, signal.SIGCONT)


@contextlib.contextmanager
def dead(control_plane: ControlPlane) -> Iterator[None]:
    """It is killed, and started again afterwards."""
    control_plane.kill_api_server()
    try:
        yield
    finally:
        control_plane.start_api_server()
