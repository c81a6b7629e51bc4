"""Nodes as traces: asked whole under the proxy's own identity, shown in the form that was asked for."""

from typing import Any

import msgspec

from tests.flow.scripted import Answer, World, refusal
from vcproxy.core.nodes import selection

VISIBLE = "labelSelector=%21vcproxy.io%2Fhidden"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def node(name: str = "a", pool: str = "gpu", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "resourceVersion": "7", "labels": {"pool": pool}, **fields}
    return {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "status": {"images": [{"names": ["x"]}]}}


def listed(*items: dict[str, Any], **metadata: str) -> Answer:
    inner = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items]
    metadata = {"resourceVersion": "9", **metadata}
    return Answer(200, {"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": inner})


def world(*answers: Answer) -> World:
    """A tenant that has the nodes of one pool."""
    made = World(*answers)
    assert made.registry.view is not None
    made.registry.view = msgspec.structs.replace(made.registry.view, nodes=selection({"matchLabels": {"pool": "gpu"}}))
    return made


def names(found: dict[str, Any]) -> list[str]:
    return [one["metadata"]["name"] for one in found["items"]]


async def test_a_node_of_the_tenant_is_shown_without_what_tells_of_others() -> None:
    at = world(Answer(200, node(managedFields=[{}])))
    code, found = await at.ask("GET", "/api/v1/nodes/a")
    assert (code, at.host.asked) == (200, ["GET /api/v1/nodes/a"])
    assert found["metadata"] == {"name": "a", "resourceVersion": "7", "labels": {"pool": "gpu"}}
    assert "images" not in found.get("status", {})


async def test_nobody_is_impersonated_for_it() -> None:
    at = world(Answer(200, node()))
    await at.ask("GET", "/api/v1/nodes/a")
    assert at.host.header(0, "Impersonate-User") is None


async def test_a_node_of_others_is_refused_in_the_words_for_one_that_is_not_there() -> None:
    of_others = await world(Answer(200, node("b", "web"))).ask("GET", "/api/v1/nodes/b")
    absent = await world(refusal(404, "NotFound", 'nodes "b" not found')).ask("GET", "/api/v1/nodes/b")
    assert of_others[0] == absent[0] == 404
    assert of_others[1]["message"] == absent[1]["message"] == 'nodes "b" not found'
    assert of_others[1]["reason"] == absent[1]["reason"] == "NotFound"


async def test_a_list_has_the_nodes_of_the_tenant() -> None:
    at = world(listed(node("a"), node("b", "web"), node("c")))
    code, found = await at.ask("GET", "/api/v1/nodes")
    assert (code, found["kind"], names(found)) == (200, "NodeList", ["a", "c"])
    assert found["metadata"] == {"resourceVersion": "9"}


async def test_what_a_client_selects_is_selected_of_what_it_sees() -> None:
    items = [node("a"), node("c"), node("b", "web")]
    _, found = await world(listed(*items)).ask("GET", "/api/v1/nodes?labelSelector=pool%3Dweb")
    assert names(found) == []
    _, found = await world(listed(*items)).ask("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dc")
    assert names(found) == ["c"]


async def test_a_field_that_cannot_be_selected_is_refused_without_the_host() -> None:
    at = world()
    code, found = await at.ask("GET", "/api/v1/nodes?fieldSelector=status.phase%3Dx")
    assert (code, "field label not supported: status.phase" in found["message"], at.host.asked) == (400, True, [])


async def test_the_hosts_continue_token_is_sealed_and_opened_again() -> None:
    at = world(listed(node(), **{"continue": "host-token"}), listed(node("c")))
    _, found = await at.ask("GET", "/api/v1/nodes?limit=1")
    token = found["metadata"]["continue"]
    assert "host-token" not in token
    _, found = await at.ask("GET", f"/api/v1/nodes?limit=1&continue={token}")
    assert names(found) == ["c"]
    assert "continue=host-token" in at.host.asked[1]


async def test_a_410_has_a_sealed_token_too() -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "x", "metadata": {"continue": "host-token"}}
    at = world(listed(node(), **{"continue": "old"}), Answer(410, gone))
    _, found = await at.ask("GET", "/api/v1/nodes?limit=1")
    code, found = await at.ask("GET", f"/api/v1/nodes?limit=1&continue={found['metadata']['continue']}")
    assert (code, found["reason"]) == (410, "Expired")
    assert found["metadata"]["continue"]
    assert "host-token" not in found["metadata"]["continue"]


async def test_a_table_is_printed_here_of_whole_nodes() -> None:
    at = world(listed(node("a"), node("b", "web")))
    code, found = await at.ask("GET", "/api/v1/nodes", Accept=TABLE)
    assert (code, found["kind"], [row["cells"][0] for row in found["rows"]]) == (200, "Table", ["a"])
    assert at.host.header(0, "Accept") == "application/json"
    inner = found["rows"][0]["object"]
    assert (inner["kind"], inner["metadata"]["labels"]) == ("PartialObjectMetadata", {"pool": "gpu"})


async def test_rows_with_whole_objects_say_what_they_are() -> None:
    _, found = await world(listed(node())).ask("GET", "/api/v1/nodes?includeObject=Object", Accept=TABLE)
    assert found["rows"][0]["object"]["kind"] == "Node"


async def test_a_long_list_is_the_same_as_a_short_one() -> None:
    many = [node(f"n{at}", "gpu" if at % 2 else "web", annotations={"kubernetes.io/x": "x" * 999}) for at in range(600)]
    _, found = await world(listed(*many)).ask("GET", "/api/v1/nodes")
    assert names(found) == [f"n{at}" for at in range(600) if at % 2]


async def test_an_odd_watch_is_refused_in_the_hosts_words_without_its_selectors() -> None:
    at = world(refusal(422, "Invalid", "sendInitialEvents is forbidden"))
    code, found = await at.ask("GET", "/api/v1/nodes?watch=1&sendInitialEvents=false&labelSelector=pool%3Dgpu")
    assert (code, found["message"]) == (422, "sendInitialEvents is forbidden")
    assert "pool" not in at.host.asked[0]


async def test_an_odd_watch_that_the_host_takes_is_refused_all_the_same() -> None:
    at = world(listed())
    code, _ = await at.ask("GET", "/api/v1/nodes?watch=1&resourceVersion=x")
    assert code == 400


async def test_a_host_that_sends_no_object_is_a_bad_gateway() -> None:
    code, _ = await world(Answer(200, chunks=[b"[]"])).ask("GET", "/api/v1/nodes")
    assert code == 502
