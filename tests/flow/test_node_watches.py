"""Watches of nodes as traces: one host watch for all tenants, and each is told of its own nodes alone."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from tests.flow.live import GLOBEX, LiveHost, Registry, Sink, Watching, Whole, bookmark, event, until
from tests.flow.scripted import ACME
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.names import TenantId
from vcproxy.core.node_events import Look
from vcproxy.core.nodes import Selection, Sight, selection
from vcproxy.core.view import TenantView

NODES = "/api/v1/nodes?watch=1&resourceVersion=100"
CSI = "/apis/storage.k8s.io/v1/csinodes?watch=1&resourceVersion=100"
GPU, WEB = ({"matchLabels": {"pool": pool}} for pool in ("gpu", "web"))


def node(name: str, version: int, kind: str = "Node", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "resourceVersion": str(version), "labels": labels}
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata}


class Provider(LiveHost):
    """A host that has nodes. Lists older than `oldest` are refused; `page` objects come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[dict[str, Any]] = []
        self.page = 500

    async def send(self, request: HostRequest) -> HostResponse:
        query = dict(parse_qsl(urlsplit(request.target).query))
        exact = query.get("resourceVersionMatch") == "Exact"
        if "watch" not in query and exact and int(query["resourceVersion"]) < self.oldest:
            self.requests.append(request)
            return Whole({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}, 410)
        return await super().send(request)

    def _list(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        start = int(query.get("continue", 0))
        items = [] if "nothing" in query.get("labelSelector", "") else self.nodes[start : start + self.page]
        metadata = {"resourceVersion": str(self.version)}
        if start + len(items) < len(self.nodes) and items:
            metadata["continue"] = str(start + len(items))
        return {"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": items}


class Selecting(Registry):
    """Tenants of which each has its selection of nodes; what is live of nodes is in `sees`."""

    def __init__(self) -> None:
        super().__init__("acme-web", "globex-web")
        self.selected = {ACME: selection(GPU), GLOBEX: selection(WEB)}
        self.sees: dict[str, Any] = {}

    def tenant(self, tenant: TenantId) -> TenantView | None:
        view = super().tenant(tenant)
        return view and msgspec.structs.replace(view, nodes=self.selected[tenant])

    def sight(self, view: TenantView) -> Sight:
        return Sight(view.nodes, **self.sees)


class Provided(Watching):
    def __init__(self, *there: dict[str, Any]) -> None:
        self.selecting = Selecting()
        super().__init__(registry=self.selecting)
        self.provider = self.live = Provider()
        self.provider.nodes = [*there]
        self.hubs._upstream = self.flow._upstream = self.live
        self.flow._catalog.versions |= {("storage.k8s.io", "v1")}

    async def refused(self, target: str) -> tuple[int, str]:
        self.as_tenant(ACME)
        code, document = await self.ask("GET", target)
        return code, document["reason"]


def brief(client: Sink) -> list[str]:
    """Type and name of each event; of an ERROR its code."""
    return [
        f"{one['type']} {one['object'].get('code') or one['object']['metadata']['name']}" for one in client.documents
    ]


async def test_all_tenants_share_one_watch_and_see_their_own_nodes_in_it() -> None:
    at = Provided()
    acme, globex = await at.watch(NODES), await at.watch(NODES, GLOBEX)
    (stream,) = at.live.shared()
    await stream.put(event("ADDED", node("a", 101, pool="gpu")), event("ADDED", node("b", 102, pool="web")))
    await stream.put(event("MODIFIED", node("a", 103, pool="web")), event("DELETED", node("b", 104, pool="web")))
    assert brief(acme) == ["ADDED a", "DELETED a"]
    assert brief(globex) == ["ADDED b", "ADDED a", "DELETED b"]
    assert len(at.live.streams) == 1


async def test_what_was_there_before_is_known_of_a_list_in_chunks() -> None:
    at = Provided(*(node(name, 50, pool="gpu") for name in "abc"))
    at.provider.page = 2
    acme = await at.watch(NODES)
    await at.live.shared()[0].put(event("MODIFIED", node("c", 101, pool="gpu")))
    await at.live.shared()[0].put(event("MODIFIED", node("a", 102, pool="web")))
    assert brief(acme) == ["MODIFIED c", "DELETED a"]
    lists = [dict(parse_qsl(urlsplit(one.target).query)) for one in at.live.requests if "Exact" in one.target]
    assert lists == [
        {
            "limit": "500",
            "resourceVersion": "100",
            "resourceVersionMatch": "Exact",
            "labelSelector": "!vcproxy.io/hidden",
        }
    ]
    assert [one.target.count("continue=2") for one in at.live.requests].count(1) == 1


async def test_who_comes_later_is_told_what_it_missed() -> None:
    at = Provided()
    await at.watch(NODES)
    both = [event("ADDED", node(name, version, pool="gpu")) for name, version in (("a", 101), ("b", 102))]
    await at.live.shared()[0].put(*both)
    assert brief(await at.watch(NODES.replace("100", "101"))) == ["ADDED b"]


async def test_who_is_ahead_of_the_host_watch_is_told_nothing_that_it_had() -> None:
    at = Provided()
    await at.watch(NODES)
    ahead = await at.watch(NODES.replace("100", "102"))
    for version in (101, 102, 103):
        await at.live.shared()[0].put(event("MODIFIED", node("a", version, pool="gpu")))
    assert [one["object"]["metadata"]["resourceVersion"] for one in ahead.documents] == ["103"]


async def test_who_is_ahead_of_the_host_watch_is_greeted_with_the_version_that_it_named() -> None:
    at = Provided()
    await at.watch(NODES)
    ahead = await at.watch(f"{NODES.replace('100', '102')}&allowWatchBookmarks=true")
    assert ahead.seen == ["BOOKMARK 102"]


async def test_a_watch_without_a_version_begins_with_what_is_there() -> None:
    at = Provided(node("a", 50, pool="gpu"), node("b", 60, pool="web"))
    acme = await at.watch("/api/v1/nodes?watch=1")
    assert brief(acme) == ["ADDED a"]
    assert acme.documents[0]["object"]["kind"] == "Node"


async def test_initial_events_end_with_a_bookmark_in_the_form_of_the_watch() -> None:
    at = Provided(node("a", 50, pool="gpu"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    acme = await at.watch(f"/api/v1/nodes?{query}", Accept=table)
    added, end = acme.documents
    assert (added["type"], added["object"]["rows"][0]["cells"][0]) == ("ADDED", "a")
    metadata = end["object"]["rows"][0]["object"]["metadata"]
    assert (end["type"], end["object"]["kind"]) == ("BOOKMARK", "Table")
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_the_first_table_of_a_watch_has_the_columns_and_no_other() -> None:
    at = Provided()
    acme = await at.watch(NODES, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    both = [event("ADDED", node(name, version, pool="gpu")) for name, version in (("a", 101), ("b", 102))]
    await at.live.shared()[0].put(*both)
    await at.live.shared()[0].put(event("ADDED", node("c", 103, pool="gpu")))
    assert [bool(one["object"]["columnDefinitions"]) for one in acme.documents] == [True, False, False]


async def test_bookmarks_are_of_the_version_that_all_have_reached() -> None:
    at = Provided()
    acme = await at.watch(f"{NODES}&allowWatchBookmarks=true")
    await at.live.shared()[0].put(event("ADDED", node("b", 130, pool="web")), bookmark(140))
    acme.feed.drain()
    _, mark = acme.documents
    assert mark["object"] == {"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "140"}}


async def test_another_selection_lets_its_tenant_list_again_and_nobody_else() -> None:
    at = Provided()
    acme, globex = await at.watch(NODES), await at.watch(NODES, GLOBEX)
    at.selecting.selected[ACME] = selection(WEB, since=110)
    at.sweep(1)
    assert (brief(acme), acme.ended) == (["ERROR 410"], True)
    assert (brief(globex), globex.ended) == ([], False)
    assert await at.refused(NODES) == (410, "Expired")
    assert brief(await at.watch(NODES.replace("100", "110"))) == []


@pytest.mark.parametrize("known", [None, ("a",)])
async def test_other_labels_of_a_node_let_those_list_again_who_watch_what_follows_it(known: Any) -> None:
    at = Provided(node("a", 50, "CSINode"))
    newest, changed = [100], list[Any]([()])
    at.selecting.sees = {"nodes": {"a": {"pool": "gpu"}}, "reached": lambda: newest[0]}
    at.selecting.sees["changed"] = lambda chosen, since: changed[0]
    nodes, follower = await at.watch(NODES), await at.watch(CSI)
    at.sweep(1)
    assert not follower.ended
    newest[0], changed[0] = 105, known
    at.sweep(1)
    assert (brief(follower), nodes.ended) == (["ERROR 410"], False)
    assert await at.refused(CSI) == (410, "Expired")


async def test_other_labels_of_a_node_that_nothing_follows_let_nobody_list_again() -> None:
    at = Provided(node("a", 50, "CSINode"))
    asked = list[int]()

    def changed(chosen: Selection, since: int) -> tuple[str, ...]:
        asked.append(since)
        return ("z",) if since < 105 and len(asked) > 1 else ()

    at.selecting.sees = {"nodes": {"a": {"pool": "gpu"}}, "reached": lambda: 105, "changed": changed}
    follower = await at.watch(CSI)
    at.sweep(1)
    at.sweep(1)
    assert not follower.ended
    assert asked[1] == 100
    assert asked[-1] == 105, "what was looked at once is looked at again"


async def test_older_clients_make_the_window_longer_with_the_states_of_then() -> None:
    at = Provided(node("a", 50, pool="web"))
    await at.watch(NODES)
    at.provider.nodes = [node("a", 50, pool="gpu")]
    task = asyncio.create_task(at.watch(NODES.replace("100", "90")))
    await until(lambda: len(at.live.shared()) == 2)
    back = at.live.shared()[1]
    await back.put(event("MODIFIED", node("a", 95, pool="web")), bookmark(100))
    assert brief(await task) == ["DELETED a"]


async def test_who_is_older_than_what_the_host_has_is_told_to_list_again() -> None:
    at = Provided()
    client = await at.watch(NODES)
    at.live.oldest = 95
    assert await at.refused(NODES.replace("100", "90")) == (410, "Expired")
    await at.live.shared()[0].put(event("ADDED", node("a", 101, pool="gpu")))
    assert brief(client) == ["ADDED a"]


async def test_a_first_client_that_is_too_old_is_told_so_and_the_watch_begins_now() -> None:
    at = Provided()
    at.live.oldest = 95
    assert await at.refused(NODES.replace("100", "90")) == (410, "Expired")
    assert at.live.shared()[0].query["resourceVersion"] == "100"
    assert brief(await at.watch(NODES)) == []


async def test_a_list_of_a_host_that_is_none_is_a_bad_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Provided()
    monkeypatch.setattr(
        at.provider, "_list", lambda path, query: {"metadata": {"resourceVersion": "100"}, "items": [1]}
    )
    at.as_tenant(ACME)
    code, _ = await at.ask("GET", NODES)
    assert code == 502


async def test_events_of_a_watch_are_the_objects_that_a_get_shows() -> None:
    at = Provided(node("a", 50, pool="gpu", team="globex"))
    at.selecting.sees = {"tenants": frozenset({"acme", "globex"})}
    acme = await at.watch("/api/v1/nodes?watch=1")
    await at.live.shared()[0].put(event("MODIFIED", node("a", 101, pool="gpu", team="globex")))
    assert [one["object"]["metadata"]["labels"] for one in acme.documents] == [{"pool": "gpu"}, {"pool": "gpu"}]
    assert "globex" not in json.dumps(acme.documents)


async def test_a_look_that_fails_is_the_trouble_of_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Provided()
    acme, globex = await at.watch(NODES), await at.watch(NODES, GLOBEX)
    frame = Look.frame

    def failing(look: Look, *rest: Any, **options: Any) -> bytes:
        if look.tenant == ACME:
            raise KeyError("odd")
        return frame(look, *rest, **options)

    monkeypatch.setattr(Look, "frame", failing)
    await at.live.shared()[0].put(event("ADDED", node("b", 102, pool="web")))
    assert (brief(acme), acme.ended) == (["ERROR 410"], True)
    assert (brief(globex), globex.ended) == (["ADDED b"], False)
