"""The network of real nodes: a bridge of this run, with the control plane at .1 and the nodes after it.

Every run has a slot of its own, held by a file lock for as long as it lives, so that two runs on one machine do not
meet. What a killed run left behind under a slot is taken away by the next one that gets it. Nothing of the machine's
own settings is changed: nodes reach each other and the control plane over the bridge, and nothing else.
"""

import fcntl
import ipaddress
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from e2e.cluster.cgroups import Cgroups
from e2e.cluster.processes import ProcessError

SLOTS: Final = 20
FIRST: Final = 200
"""Slot 3 has 10.203.0.0/16: nodes in the first /24, pods in the upper half, a /24 for each node."""
MOST_NODES: Final = 50


class NodeNetwork:
    """A bridge in the machine's own network namespace. `NodeNetwork.take()` makes it, `remove` removes it."""

    def __init__(self, slot: int, lock: int) -> None:
        self.name = f"vcproxy{slot}"
        self.prefix = f"10.{FIRST + slot}"
        self.pods = f"{self.prefix}.128.0/17"
        self.gateway = self.address(-1)
        self._lock = lock

    @classmethod
    def take(cls) -> "NodeNetwork":
        """The first slot that nobody holds and whose addresses this machine does not know. Raises ProcessError."""
        known = _known_networks()
        for slot in range(SLOTS):
            if any(ipaddress.ip_network(f"10.{FIRST + slot}.0.0/16").overlaps(one) for one in known):
                continue
            if (lock := _locked(slot)) is not None:
                return cls(slot, lock)._made()
        raise ProcessError(f"no network for nodes: all {SLOTS} from 10.{FIRST}.0.0/16 on are taken")

    def _made(self) -> "NodeNetwork":
        self.sweep()
        ip("link", "add", self.name, "type", "bridge")
        ip("addr", "add", f"{self.gateway}/24", "dev", self.name)
        ip("link", "set", self.name, "up")
        return self

    def address(self, index: int) -> str:
        """Of node `index`, counted from 0."""
        return f"{self.prefix}.0.{index + 2}"

    def node(self, index: int) -> str:
        """What a node is called on the machine: its cgroup, its interface."""
        return f"{self.name}-{index + 1}"

    def attach(self, index: int, pid: int) -> None:
        """Give the network namespace of a process `eth0` on the bridge. Raises ProcessError."""
        link = self.node(index)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", link, "master", self.name, "up")
        ip("addr", "add", f"{self.address(index)}/24", "dev", "eth0", pid=pid)
        for device in ("eth0", "lo"):
            ip("link", "set", device, "up", pid=pid)
        ip("route", "add", "default", "via", self.gateway, pid=pid)

    def route(self, pods: str, index: int, pid: int = 0) -> None:
        """The way to a node's pods, for the machine or for the namespace of another node's process."""
        ip("route", "replace", pods, "via", self.address(index), pid=pid)

    def remove(self) -> None:
        """Take bridge, interfaces and routes away, and let go of the slot."""
        self.sweep()
        os.close(self._lock)

    def sweep(self) -> None:
        """Whatever stands under this slot's names. Interfaces of nodes go with the processes of their namespaces."""
        if Path("/sys/class/net", self.name).exists():
            ip("link", "del", self.name)
        for index in range(MOST_NODES):
            Cgroups(self.node(index)).remove()


def ip(*arguments: str, pid: int = 0) -> str:
    """The `ip` command, in the network namespace of a process if there is one. Raises ProcessError with its words."""
    inside = ["nsenter", f"--target={pid}", "--net", "--"] if pid else []
    done = subprocess.run([*inside, "ip", *arguments], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise ProcessError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _known_networks() -> list[ipaddress.IPv4Network]:
    """Every network that the machine has a route to, but those of earlier runs and the default one."""
    routes = json.loads(ip("-json", "-4", "route", "show", "table", "all") or "[]")
    targets = [one["dst"] for one in routes if not str(one.get("dev", "")).startswith("vcproxy")]
    return [ipaddress.IPv4Network(target, strict=False) for target in targets if target != "default"]


def sweep_abandoned() -> None:
    """Take away what killed runs left behind."""
    for slot in range(SLOTS):
        if _lock_file(slot).exists() and (lock := _locked(slot)) is not None:
            NodeNetwork(slot, lock).remove()


def _lock_file(slot: int) -> Path:
    return Path(tempfile.gettempdir(), f"vcproxy-nodes-{slot}.lock")


def _locked(slot: int) -> int | None:
    """The lock of a slot, held until it is closed or the process ends; None where another run holds it."""
    lock = os.open(_lock_file(slot), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
