"""Watches as traces: events of several namespaces become one stream in the tenant's names."""

import json
from typing import Any

import pytest

from tests.flow.scripted import Answer, World, refusal


def line(kind: str, namespace: str, name: str, version: str, **metadata: Any) -> bytes:
    named = {"name": name, "namespace": f"acme-{namespace}"} if name else {}
    event = {
        "type": kind,
        "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {**named, "resourceVersion": version, **metadata}},
    }
    return json.dumps(event).encode() + b"\n"


def gone() -> Answer:
    """What ends a watch: the host no longer has what comes next."""
    return refusal(410, "Expired", "too old resource version")


async def events(world: World, target: str) -> list[tuple[str, str, str]]:
    """Type, namespace/name and version of each event, until the watch ends."""
    reply = await world.reply("GET", target)
    assert reply.stream is not None, reply.body
    got = [json.loads(chunk) async for chunk in reply.stream.chunks()]
    await reply.stream.close()
    return [
        (
            event["type"],
            f"{event['object']['metadata'].get('namespace', '')}/{event['object']['metadata'].get('name', '')}",
            event["object"]["metadata"].get("resourceVersion", ""),
        )
        for event in got
    ]


async def test_events_are_cut_anywhere_and_come_in_the_tenants_names() -> None:
    raw = line("ADDED", "web", "a", "3") + line("DELETED", "web", "a", "4")
    world = World(Answer(200, chunks=[raw[:10], raw[10:90], raw[90:]]), gone())
    got = await events(world, "/api/v1/namespaces/web/pods?labelSelector=a&watch=1&resourceVersion=2")
    assert got == [("ADDED", "web/a", "3"), ("DELETED", "web/a", "4")]
    assert "resourceVersion=2" in world.host.asked[0]
    assert "allowWatchBookmarks=true" in world.host.asked[0]


async def test_bookmarks_that_nobody_asked_for_do_not_pass() -> None:
    world = World(Answer(200, chunks=[line("BOOKMARK", "web", "", "9"), line("ADDED", "web", "a", "10")]), gone())
    got = await events(world, "/api/v1/namespaces/web/pods?labelSelector=a&watch=1")
    assert got == [("ADDED", "web/a", "10")]


async def test_bookmarks_pass_where_they_are_asked_for() -> None:
    world = World(Answer(200, chunks=[line("ADDED", "web", "a", "8"), line("BOOKMARK", "web", "", "9")]), gone())
    got = await events(world, "/api/v1/namespaces/web/pods?labelSelector=a&watch=1&allowWatchBookmarks=true")
    assert got == [("ADDED", "web/a", "8"), ("BOOKMARK", "/", "9")]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", ("v1", "Pod")),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", ("meta.k8s.io/v1", "PartialObjectMetadata")),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", ("meta.k8s.io/v1", "Table")),
    ],
)
async def test_a_watch_that_goes_on_from_a_version_begins_with_a_bookmark_of_it(
    accept: str, kind: tuple[str, str]
) -> None:
    world = World(Answer(200, chunks=[]), gone())
    target = "/api/v1/namespaces/web/pods?labelSelector=a&watch=1&resourceVersion=7&allowWatchBookmarks=true"
    reply = await world.reply("GET", target, Accept=accept)
    assert reply.stream is not None
    (mark,) = [json.loads(chunk) async for chunk in reply.stream.chunks()]
    await reply.stream.close()
    about = mark["object"]
    told = about["rows"][0]["object"] if kind[1] == "Table" else about
    assert (mark["type"], (about["apiVersion"], about["kind"])) == ("BOOKMARK", kind)
    assert told["metadata"]["resourceVersion"] == "7"


async def test_an_error_event_is_translated() -> None:
    status = {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "in acme-web"}
    raw = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
    world = World(Answer(200, chunks=[raw]))
    reply = await world.reply("GET", "/api/v1/namespaces/web/pods?labelSelector=a&watch=1")
    assert reply.stream is not None
    got = [json.loads(chunk) async for chunk in reply.stream.chunks()]
    await reply.stream.close()
    assert got[0]["object"]["message"] == "in web"


async def test_a_refusal_of_the_host_is_the_answer_and_everything_is_closed() -> None:
    gone = refusal(410, "Expired", "too old resource version: 1 (5)")
    other = Answer(200, chunks=[line("ADDED", "web", "a", "3")])
    world = World(gone, other)
    code, found = await world.ask("GET", "/api/v1/pods?labelSelector=a&watch=1&resourceVersion=1")
    assert (code, found["reason"]) == (410, "Expired")
    assert other.closed


async def test_a_watch_takes_a_place_and_gives_it_back() -> None:
    world = World(*[Answer(200, chunks=[]) for _ in range(12)])
    for _ in range(12):
        assert await events(world, "/api/v1/namespaces/web/pods?labelSelector=a&watch=1") == []


async def test_events_of_objects_of_another_owner_do_not_pass() -> None:
    def namespace(name: str, owner: str) -> bytes:
        metadata = {"name": name, "resourceVersion": "3", "labels": {"vcproxy.io/tenant": owner}}
        event = {"type": "ADDED", "object": {"kind": "Namespace", "apiVersion": "v1", "metadata": metadata}}
        return json.dumps(event).encode() + b"\n"

    world = World(Answer(200, chunks=[namespace("acme-web", "acme"), namespace("globex-web", "globex")]))
    assert await events(world, "/api/v1/namespaces?labelSelector=a&watch=1") == [("ADDED", "/web", "3")]
    assert world.host.header(0, "Impersonate-User") is None


async def test_a_part_that_breaks_off_goes_on_from_where_it_was() -> None:
    first = Answer(200, chunks=[line("ADDED", "web", "a", "5"), line("BOOKMARK", "web", "", "8")])
    world = World(first, Answer(200, chunks=[line("DELETED", "web", "a", "9")]), gone())
    got = await events(world, "/api/v1/namespaces/web/pods?labelSelector=a&watch=1&resourceVersion=4&timeoutSeconds=30")
    assert got == [("ADDED", "web/a", "5"), ("DELETED", "web/a", "9")]
    assert "resourceVersion=8" in world.host.asked[1]
    assert "resourceVersion=9" in world.host.asked[2]


async def test_a_watch_that_breaks_off_within_its_initial_events_ends() -> None:
    world = World(Answer(200, chunks=[line("ADDED", "web", "a", "5")]))
    got = await events(world, "/api/v1/namespaces/web/pods?labelSelector=a&watch=1")
    assert (got, len(world.host.asked)) == ([("ADDED", "web/a", "5")], 1)


async def test_events_of_several_namespaces_that_come_together_come_in_order() -> None:
    parts = [
        Answer(200, chunks=[line("ADDED", "default", "a", "7"), line("ADDED", "default", "b", "9")]),
        Answer(200, chunks=[line("ADDED", "web", "c", "6"), line("ADDED", "web", "d", "8")]),
    ]
    world = World(*parts, gone(), gone())
    got = await events(world, "/api/v1/pods?labelSelector=a&watch=1&resourceVersion=4")
    assert [version for _, _, version in got] == ["6", "7", "8", "9"]


@pytest.mark.parametrize("version", ["1" * 5000, "%C2%B2", "a"])
async def test_a_version_that_is_none_is_the_hosts_to_refuse(version: str) -> None:
    world = World(refusal(400, "BadRequest", "invalid resource version"))
    code, found = await world.ask("GET", f"/api/v1/pods?labelSelector=a&watch=1&resourceVersion={version}")
    assert (code, found["reason"]) == (400, "BadRequest")
