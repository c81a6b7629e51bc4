"""Slots and addresses of real nodes. A script stands in for `ip`."""

from pathlib import Path

import pytest

from e2e.cluster import bridge
from e2e.cluster.bridge import NodeNetwork
from e2e.cluster.processes import ProcessError


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `ip` is told; the machine has one route, into the second slot's range."""
    told: list[str] = []

    def ip(*arguments: str, pid: int = 0) -> str:
        told.append(" ".join([*([f"[{pid}]"] if pid else []), *arguments]))
        return f'[{{"dst": "default"}}, {{"dst": "10.{bridge.FIRST + 1}.7.0/24", "dev": "eth0"}}]'

    monkeypatch.setattr(bridge, "ip", ip)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(NodeNetwork, "sweep", lambda network: None)
    return told


def test_two_runs_have_two_slots_and_known_networks_are_left_alone(calls: list[str]) -> None:
    first, second = NodeNetwork.take(), NodeNetwork.take()
    assert (first.name, first.gateway, first.pods) == ("vcproxy0", "10.200.0.1", "10.200.128.0/17")
    assert second.name == "vcproxy2"
    first.remove()
    third = NodeNetwork.take()
    assert third.name == "vcproxy0"
    second.remove()
    third.remove()
    assert "link add vcproxy0 type bridge" in calls


def test_where_all_are_taken_that_is_said(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "SLOTS", 1)
    network = NodeNetwork.take()
    with pytest.raises(ProcessError, match="no network for nodes"):
        NodeNetwork.take()
    network.remove()


def test_sweeping_takes_what_nobody_holds_and_was_once_taken(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[str] = []
    monkeypatch.setattr(NodeNetwork, "sweep", lambda network: swept.append(network.name))
    held, left = NodeNetwork.take(), NodeNetwork.take()
    left.remove()
    swept.clear()
    bridge.sweep_abandoned()
    assert swept == [left.name]
    held.remove()


def test_a_node_gets_its_interface_address_and_way_out(calls: list[str]) -> None:
    network = NodeNetwork.take()
    calls.clear()
    network.attach(1, 77)
    network.remove()
    assert calls == [
        "link add vcproxy0-2 type veth peer name eth0 netns 77",
        "link set vcproxy0-2 master vcproxy0 up",
        "[77] addr add 10.200.0.3/24 dev eth0",
        "[77] link set eth0 up",
        "[77] link set lo up",
        "[77] route add default via 10.200.0.1",
    ]


def test_pods_are_behind_their_node(calls: list[str]) -> None:
    network = NodeNetwork.take()
    calls.clear()
    network.route("10.200.128.0/24", 0)
    network.route("10.200.129.0/24", 1, pid=77)
    network.remove()
    assert calls == [
        "route replace 10.200.128.0/24 via 10.200.0.2",
        "[77] route replace 10.200.129.0/24 via 10.200.0.3",
    ]


def test_names_of_interfaces_are_short_enough(calls: list[str]) -> None:
    """The kernel takes 15 characters (IFNAMSIZ)."""
    assert len(f"vcproxy{bridge.SLOTS}-{bridge.MOST_NODES}") <= 15


def test_what_ip_says_is_told() -> None:
    with pytest.raises(ProcessError, match="ip"):
        bridge.ip("no-such-object")
