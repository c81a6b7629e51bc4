"""Events of nodes: one change on the host is to each tenant what it sees of it."""

import json
from typing import Any

import msgspec
import pytest

from vcproxy.core import node_events
from vcproxy.core.events import Heard
from vcproxy.core.kinds import find
from vcproxy.core.names import TenantId
from vcproxy.core.node_events import Look, NodeEvent, States
from vcproxy.core.nodes import CSI_NODES, EVERY, NODES, SLICES, Chosen, Selection, Sight, selection
from vcproxy.core.printers import Form

ACME = TenantId("acme")
GPU = selection({"matchLabels": {"pool": "gpu"}})
TENANTS = frozenset({"acme", "globex"})
WHOLE = Form()


def node(version: int, name: str = "one", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "resourceVersion": str(version), "labels": labels, "managedFields": [{}]}
    return {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": {}, "status": {"images": [{}]}}


def heard(kind: str, document: dict[str, Any]) -> Heard:
    metadata = document["metadata"]
    return Heard(kind, json.dumps(document).encode(), int(metadata["resourceVersion"]), name=metadata["name"])


def look(
    key: tuple[str, str] = NODES,
    selected: Selection = EVERY,
    query: tuple[tuple[str, str], ...] = (),
    form: Form = WHOLE,
    **sight: Any,
) -> Look:
    row = find(*key)
    assert row is not None
    return Look(row, ACME, Sight(selected, tenants=TENANTS, **sight), Chosen.of(key, query), form, lambda: 0.0)


def told(frame: bytes) -> dict[str, Any] | None:
    """The event of a frame."""
    return json.loads(frame.split(b"\r\n")[1]) if frame else None


def brief(frame: bytes) -> str:
    event = told(frame)
    return "" if event is None else f"{event['type']} {event['object']['metadata']['resourceVersion']}"


def seen(events: list[NodeEvent], by: Look) -> list[str]:
    return [brief(by.frame(event, headed=True)) for event in events]


def changes(*several: tuple[str, dict[str, Any]], key: tuple[str, str] = NODES) -> list[NodeEvent]:
    states: States = {}
    return [node_events.change(states, heard(*one), key) for one in several]


def test_a_node_comes_changes_and_goes_for_who_sees_it_all_the_time() -> None:
    events = changes(("ADDED", node(1)), ("MODIFIED", node(2)), ("DELETED", node(3)))
    assert seen(events, look()) == ["ADDED 1", "MODIFIED 2", "DELETED 3"]


def test_another_label_lets_a_node_come_into_sight_and_go_out_of_it() -> None:
    labels = ({"pool": "web"}, {"pool": "gpu"}, {"pool": "gpu"}, {"pool": "web"}, {"pool": "web"})
    events = changes(*(("MODIFIED", node(at, **one)) for at, one in enumerate(labels, 1)), ("DELETED", node(9)))
    assert seen(events, look(selected=GPU)) == ["", "ADDED 2", "MODIFIED 3", "DELETED 4", "", ""]


def test_a_selector_of_the_client_is_held_against_what_the_tenant_sees() -> None:
    events = changes(("ADDED", node(1, team="globex")), ("MODIFIED", node(2, team="blue")))
    hidden, blue = look(query=(("labelSelector", "team=globex"),)), look(query=(("labelSelector", "team=blue"),))
    assert seen(events, hidden) == ["", ""]
    assert seen(events, blue) == ["", "ADDED 2"]


def test_a_node_that_goes_out_of_sight_is_shown_as_it_was_with_the_version_of_now() -> None:
    (_, event) = changes(("ADDED", node(1, pool="gpu")), ("MODIFIED", node(2, pool="secret")))
    found = told(look(selected=GPU).frame(event, headed=True))
    assert found is not None
    metadata = found["object"]["metadata"]
    assert (found["type"], metadata["labels"], metadata["resourceVersion"]) == ("DELETED", {"pool": "gpu"}, "2")


def test_a_node_that_is_deleted_with_other_labels_is_told_to_who_saw_it_before() -> None:
    events = changes(("ADDED", node(1, pool="gpu")), ("DELETED", node(2, pool="web")))
    assert seen(events, look(selected=GPU)) == ["ADDED 1", "DELETED 2"]
    assert seen(events, look(selected=selection({"matchLabels": {"pool": "web"}}))) == ["", ""]


def test_a_node_that_nobody_had_heard_of_is_deleted_for_who_sees_its_end() -> None:
    assert seen(changes(("DELETED", node(2, pool="gpu"))), look(selected=GPU)) == ["DELETED 2"]


def test_all_who_may_see_the_same_get_the_very_same_bytes() -> None:
    (event,) = changes(("ADDED", node(1, pool="gpu")))
    assert look().frame(event, headed=True) is look(selected=GPU).frame(event, headed=True)


def test_who_sees_less_of_it_gets_bytes_of_its_own() -> None:
    (event,) = changes(("ADDED", node(1, team="globex", zone="a")))
    found = told(look().frame(event, headed=True))
    assert found is not None
    assert found["object"]["metadata"]["labels"] == {"zone": "a"}
    assert event.shown == {}


def test_nothing_that_no_tenant_sees_is_kept() -> None:
    (event,) = changes(("ADDED", node(1)))
    assert event.after is not None
    assert b"managedFields" not in event.after.raw
    assert b"images" not in event.after.raw
    assert event.size > 2 * len(event.after.raw)


def test_the_states_are_those_after_the_last_change() -> None:
    states: States = {}
    for one in (("ADDED", node(1)), ("ADDED", node(2, "two")), ("DELETED", node(3))):
        node_events.change(states, heard(*one), NODES)
    assert list(states) == ["two"]


def test_a_table_has_columns_where_its_watch_has_not_had_them() -> None:
    (event,) = changes(("ADDED", node(1)))
    table = look(form=Form("Table"))
    with_columns, without = told(table.frame(event, headed=False)), told(table.frame(event, headed=True))
    assert with_columns is not None
    assert without is not None
    assert with_columns["object"]["columnDefinitions"]
    assert not without["object"]["columnDefinitions"]
    assert without["object"]["rows"][0]["cells"][0] == "one"


def test_metadata_alone_are_metadata_alone() -> None:
    (event,) = changes(("ADDED", node(1)))
    found = told(look(form=Form("PartialObjectMetadata")).frame(event, headed=True))
    assert found is not None
    assert (found["object"]["kind"], "spec" in found["object"]) == ("PartialObjectMetadata", False)


def test_a_csinode_is_seen_with_its_node_also_a_moment_after_that_is_gone() -> None:
    events = changes(("ADDED", node(1)), ("DELETED", node(2)), key=CSI_NODES)
    gpu = {"one": {"pool": "gpu"}}
    assert seen(events, look(CSI_NODES, GPU, nodes=gpu)) == ["ADDED 1", "DELETED 2"]
    assert seen(events, look(CSI_NODES, GPU, gone=gpu)) == ["ADDED 1", "DELETED 2"]
    assert seen(events, look(CSI_NODES, GPU, nodes={"one": {}})) == ["", ""]


def test_of_a_slice_each_tenant_sees_the_devices_of_its_nodes() -> None:
    devices = [{"name": one, "nodeName": one} for one in ("one", "two")]
    document = node(1, "slice") | {"spec": {"perDeviceNodeSelection": True, "devices": devices}}
    (event,) = changes(("ADDED", document), key=SLICES)
    labels = {"one": {"pool": "gpu"}, "two": {"pool": "web"}}
    found = told(look(SLICES, GPU, nodes=labels).frame(event, headed=True))
    whole = told(look(SLICES, nodes=labels).frame(event, headed=True))
    assert found is not None
    assert whole is not None
    assert [one["name"] for one in found["object"]["spec"]["devices"]] == ["one"]
    assert [one["name"] for one in whole["object"]["spec"]["devices"]] == ["one", "two"]


def test_a_key_is_the_same_for_equal_looks_alone() -> None:
    same, table = look(selected=GPU), look(selected=GPU, form=Form("Table"))
    assert same.key == look(selected=GPU).key
    assert len({same.key, table.key, look().key, look(selected=GPU, query=(("labelSelector", "a"),)).key}) == 4


@pytest.mark.parametrize("raw", [b"[]", b"1", b"{", b"null"])
def test_what_is_no_object_is_no_state(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        node_events.state_of(raw, NODES)
