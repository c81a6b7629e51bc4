"""Which cluster stands behind the proxy: a given one, one in kind, or the control plane built here. Decided once."""

import functools
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from e2e.cluster.build import binaries, say
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import ProcessError

GIVEN: Final = "VCPROXY_HOST_KUBECONFIG"
KIND_DEADLINE: Final = 600.0
"""Seconds: kind may have to fetch its node image."""
Probe = Callable[[list[str]], bool]


class Host(Protocol):
    """The cluster behind the proxy, ready for use after `start`."""

    @property
    def description(self) -> str: ...
    @property
    def own(self) -> bool:
        """Whether it was made for this run and goes with it: nothing has to be tidied up on it."""

    @property
    def kubeconfig(self) -> Path:
        """An administrator's."""

    @property
    def kubectl(self) -> Path:
        """From the build, never from the machine's PATH."""

    @property
    def control_plane(self) -> ControlPlane | None:
        """Where it runs here: its audit log, its pids, and a hand on its API server."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def check(self) -> None:
        """Raises ProcessError where a part of it ended by itself."""


class BuiltHost:
    """The control plane built from pinned modules, with three fake nodes or with real ones."""

    own = True

    def __init__(self, folder: Path, real_nodes: int = 0) -> None:
        self.control_plane: ControlPlane = ControlPlane(folder, real_nodes)
        nodes = f"real nodes: {real_nodes}" if real_nodes else "three fake nodes"
        self.description = f"a control plane built from pinned Go modules, with {nodes}"

    @property
    def kubeconfig(self) -> Path:
        return self.control_plane.kubeconfig

    @property
    def kubectl(self) -> Path:
        return self.control_plane.kubectl

    def start(self) -> None:
        self.control_plane.start()

    def stop(self) -> None:
        self.control_plane.stop()

    def check(self) -> None:
        self.control_plane.check()


class GivenHost:
    """Somebody's cluster: used, tidied up, never stopped."""

    own = False
    control_plane = None

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.description = f"the cluster of {GIVEN}={kubeconfig}"

    @functools.cached_property
    def kubectl(self) -> Path:
        return binaries() / "kubectl"

    def start(self) -> None:
        """Raises ProcessError where it does not answer."""
        command = [str(self.kubectl), f"--kubeconfig={self.kubeconfig}", "version", "--request-timeout=20s"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProcessError(f"{self.description} does not answer: {done.stderr.strip()}")

    def stop(self) -> None:
        """It is not ours."""

    def check(self) -> None:
        """It is not ours."""


class KindHost:
    """A cluster in kind, under a random name, deleted at the end."""

    own = True
    control_plane = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"vcproxy-{secrets.token_hex(4)}"
        self.kubeconfig = folder / "kind.kubeconfig"
        self.description = f"a cluster in kind named {self._name}"

    @functools.cached_property
    def kubectl(self) -> Path:
        return binaries() / "kubectl"

    def start(self) -> None:
        """Raises ProcessError with what kind said."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            done = self._kind("create", "cluster", "--wait=180s", f"--kubeconfig={self.kubeconfig}")
        except BaseException:
            self.stop()
            raise
        if done.returncode:
            self.stop()
            raise ProcessError(f"kind could not make a cluster: {done.stderr[-1000:]}")

    def stop(self) -> None:
        self._kind("delete", "cluster", f"--kubeconfig={self.kubeconfig}")

    def check(self) -> None:
        """Docker restarts what ends."""

    def _kind(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["kind", *arguments, f"--name={self._name}"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=KIND_DEADLINE)


def choose_host(
    folder: Path, environment: Mapping[str, str] = os.environ, probe: Probe | None = None, real_nodes: int = 0
) -> Host:
    """The host for this run, not started. The first that can be had of: given, kind, built.

    `real_nodes` are those of the built one: the others have nodes of their own.
    """
    if given := environment.get(GIVEN):
        return GivenHost(Path(given).expanduser().absolute())
    answers = probe or _answers
    if answers(["docker", "info"]) and answers(["kind", "version"]):
        return KindHost(folder)
    return BuiltHost(folder, real_nodes)


def start_host(folder: Path, tell: Callable[[str], None] = say, real_nodes: int = 0) -> Host:
    """Choose a host, say which, start it. Where kind fails the built one is taken. Raises ProcessError."""
    host = choose_host(folder, real_nodes=real_nodes)
    tell(f"host: {host.description}")
    try:
        host.start()
    except (ProcessError, subprocess.TimeoutExpired) as error:
        if not isinstance(host, KindHost):
            raise
        tell(f"{error}")
        host = BuiltHost(folder, real_nodes)
        tell(f"host: {host.description}")
        host.start()
    return host


def _answers(command: list[str]) -> bool:
    """`docker --version` answers where no engine runs, so the engine itself is asked."""
    if shutil.which(command[0]) is None:
        return False
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False
