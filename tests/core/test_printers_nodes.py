"""Tables of nodes and of what follows them, cell by cell as the API server prints them."""

from typing import Any

import pytest

from vcproxy.core.printers import Form, shown

NOW = 1767225600.0 + 61
INFO = {
    "kubeletVersion": "v1.37.2",
    "osImage": "Linux 1",
    "kernelVersion": "6.1",
    "architecture": "arm64",
    "containerRuntimeVersion": "containerd://2",
}


def cells(kind: str, document: dict[str, Any]) -> list[Any]:
    metadata = {"name": "one", "creationTimestamp": "2026-01-01T00:00:00Z", **document.get("metadata", {})}
    table = shown({**document, "metadata": metadata}, kind, Form("Table"), NOW)
    found: list[Any] = table["rows"][0]["cells"]
    assert len(found) == len(table["columnDefinitions"])
    return found


def test_a_node_shows_its_state_roles_and_machine() -> None:
    addresses = [
        {"type": "Hostname", "address": "one"},
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "InternalIP", "address": "fd00::1"},
        {"type": "ExternalIP", "address": "192.0.2.1"},
    ]
    state = {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": INFO}
    labels = {"node-role.kubernetes.io/web": "", "node-role.kubernetes.io/a": "x", "kubernetes.io/role": "old"}
    expected = ["one", "Ready", "a,old,web", "61s", "v1.37.2", "10.0.0.1", "192.0.2.1", "Linux 1", "6.1 (arm64)"]
    assert cells("Node", {"metadata": {"labels": labels}, "status": state}) == [*expected, "containerd://2"]


def test_a_node_of_which_nothing_is_known_shows_that() -> None:
    none, unknown = "<none>", "<unknown>"
    assert cells("Node", {}) == ["one", "Unknown", none, "61s", "", none, none, unknown, unknown, unknown]


@pytest.mark.parametrize(
    ("status", "unschedulable", "text"),
    [
        ("True", False, "Ready"),
        ("False", False, "NotReady"),
        ("Unknown", False, "NotReady"),
        ("True", True, "Ready,SchedulingDisabled"),
    ],
)
def test_a_node_is_ready_or_not(status: str, unschedulable: bool, text: str) -> None:
    node = {"spec": {"unschedulable": unschedulable}, "status": {"conditions": [{"type": "Ready", "status": status}]}}
    assert cells("Node", node)[1] == text


def test_a_csi_node_shows_how_many_drivers_it_has() -> None:
    assert cells("CSINode", {"spec": {"drivers": [{"name": "a"}, {"name": "b"}]}}) == ["one", 2, "61s"]
    assert cells("CSINode", {"spec": {"drivers": None}}) == ["one", 0, "61s"]


def test_a_slice_shows_where_it_is_and_of_which_driver() -> None:
    spec = {"nodeName": "n", "driver": "d.example.com", "pool": {"name": "p"}}
    assert cells("ResourceSlice", {"spec": spec}) == ["one", "n", "d.example.com", "p", "61s"]
    assert cells("ResourceSlice", {"spec": {"driver": "d", "pool": None}}) == ["one", "", "d", "", "61s"]
