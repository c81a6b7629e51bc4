"""What `kubectl get` prints of nodes and of what follows them; cells are those of the API server, tried on 1.37."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from vcproxy.core.columns import AGE, NAME, Column, Object, metadata

_ROLE: Final = "node-role.kubernetes.io/"
_OLD_ROLE: Final = "kubernetes.io/role"
Cell = Callable[[Object, float], Any]


def _part(document: Object, name: str) -> Object:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _ready(node: Object, now: float) -> str:
    conditions = _part(node, "status").get("conditions") or ()
    found = [one.get("status") for one in conditions if isinstance(one, dict) and one.get("type") == "Ready"]
    state = ("Ready" if found[-1] == "True" else "NotReady") if found else "Unknown"
    return f"{state},SchedulingDisabled" if _part(node, "spec").get("unschedulable") else state


def _roles(node: Object, now: float) -> str:
    return ",".join(sorted(set(_roles_of(_part(metadata(node), "labels"))))) or "<none>"


def _roles_of(labels: Object) -> Iterator[str]:
    for name, value in labels.items():
        if name.startswith(_ROLE) and name != _ROLE:
            yield name.removeprefix(_ROLE)
        elif name == _OLD_ROLE and value:
            yield value


def _address(kind: str) -> Cell:
    def cell(node: Object, now: float) -> str:
        addresses = _part(node, "status").get("addresses") or ()
        found = (one.get("address") for one in addresses if isinstance(one, dict) and one.get("type") == kind)
        return str(next(found, "<none>"))

    return cell


def _info(name: str, absent: str = "<unknown>") -> Cell:
    return lambda node, now: str(_part(_part(node, "status"), "nodeInfo").get(name) or absent)


def _kernel(node: Object, now: float) -> str:
    machine, version = _info("architecture", "")(node, now), _info("kernelVersion")(node, now)
    return f"{version} ({machine})" if machine else str(version)


def _drivers(csi_node: Object, now: float) -> int:
    return len(_part(csi_node, "spec").get("drivers") or ())


def _spec(name: str) -> Cell:
    return lambda slice_, now: str(_part(slice_, "spec").get(name) or "")


def _pool(slice_: Object, now: float) -> str:
    return str(_part(_part(slice_, "spec"), "pool").get("name") or "")


COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = MappingProxyType(
    {
        "Node": (
            NAME,
            Column("Status", _ready, description="Whether the node is ready, and takes new pods."),
            Column("Roles", _roles, description="What the node is for, by its labels."),
            AGE,
            Column("Version", _info("kubeletVersion", ""), description="The version of the kubelet."),
            Column("Internal-IP", _address("InternalIP"), priority=1, description="The address in the cluster."),
            Column("External-IP", _address("ExternalIP"), priority=1, description="The address from outside."),
            Column("OS-Image", _info("osImage"), priority=1, description="The operating system."),
            Column("Kernel-Version", _kernel, priority=1, description="The version of the kernel."),
            Column(
                "Container-Runtime",
                _info("containerRuntimeVersion"),
                priority=1,
                description="The container runtime and its version.",
            ),
        ),
        "CSINode": (
            NAME,
            Column("Drivers", _drivers, type="integer", description="How many CSI drivers run on the node."),
            AGE,
        ),
        "ResourceSlice": (
            NAME,
            Column("Node", _spec("nodeName"), description="The node whose devices these are."),
            Column("Driver", _spec("driver"), description="The DRA driver that tells of them."),
            Column("Pool", _pool, description="The pool that they are of."),
            AGE,
        ),
    }
)
"""Columns by kind."""
