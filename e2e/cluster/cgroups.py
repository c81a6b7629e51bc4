"""The cgroup of one node, in every hierarchy that the machine mounts: version 1, version 2, or both side by side."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

GONE: Final = 10.0
"""Seconds in which the kernel lets go of the processes of a node that has ended."""
POLL: Final = 0.05
NEEDED: Final = frozenset({"cpu", "memory", "pids", "cpuset"})
"""Controllers without which a kubelet does not start (kubernetes.io, "About cgroup v2"; cm/cgroup_manager_linux.go)."""


class Cgroups:
    """`name` at the top of each hierarchy."""

    def __init__(self, name: str, mounts: Path = Path("/proc/self/mounts")) -> None:
        self.name = name
        self._mounts = mounts

    def make(self) -> None:
        """Raises OSError where one cannot be made."""
        for root, version in self._roots():
            if version == 2:
                _delegate(root)
            (root / self.name).mkdir(exist_ok=True)

    def missing(self) -> set[str]:
        """Needed controllers that no hierarchy has."""
        found = {option for root, version in self._roots() for option in _controllers(root, version, self._mounts)}
        return set(NEEDED - found)

    def remove(self) -> None:
        """With all that stands below; waits for processes that are on their way out. Raises OSError after that."""
        end = time.monotonic() + GONE
        for root, _ in self._roots():
            while (top := root / self.name).exists():
                try:
                    _remove_tree(top)
                except OSError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(POLL)

    def _roots(self) -> Iterator[tuple[Path, int]]:
        """Every mounted hierarchy once, with its version."""
        for _, where, kind, _ in _mounted(self._mounts):
            if kind in ("cgroup", "cgroup2"):
                yield Path(where), 2 if kind == "cgroup2" else 1


def _mounted(mounts: Path) -> Iterator[tuple[str, str, str, str]]:
    for line in mounts.read_text().splitlines():
        device, where, kind, options, *_ = line.split()
        yield device, where, kind, options


def _controllers(root: Path, version: int, mounts: Path) -> list[str]:
    if version == 2:
        return (root / "cgroup.controllers").read_text().split()
    return [option for _, where, _, options in _mounted(mounts) if where == str(root) for option in options.split(",")]


def _delegate(root: Path) -> None:
    """Version 2 gives a child only the controllers that its parent hands down."""
    control = root / "cgroup.subtree_control"
    wanted = set((root / "cgroup.controllers").read_text().split()) - set(control.read_text().split())
    for controller in sorted(wanted & {*NEEDED, "io", "hugetlb"}):
        control.write_text(f"+{controller}")


def _remove_tree(top: Path) -> None:
    """Folders only, the deepest first: the files of a cgroup are the kernel's and go with it."""
    for child in top.iterdir():
        if child.is_dir():
            _remove_tree(child)
    top.rmdir()
