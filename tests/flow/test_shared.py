"""Shared watches as traces: one host watch, whatever the number of tenants and clients."""

import asyncio
import json
import time
from typing import Any

import pytest

from tests.flow.live import GLOBEX, Sink, Watching, bookmark, event, pod, settle, until
from tests.flow.scripted import ACME
from vcproxy.core import events, request
from vcproxy.core.plan import Position
from vcproxy.host import audience, backfill
from vcproxy.host.older import OlderHubs

PODS = "/api/v1/pods?watch=1&resourceVersion=100"
WEB = "/api/v1/namespaces/web/pods?watch=1&resourceVersion=100"


def world() -> Watching:
    return Watching("acme-web", "acme-default", "globex-web")


async def test_all_tenants_and_clients_of_a_kind_share_one_host_watch() -> None:
    at = world()
    first, second = await at.watch(PODS), await at.watch(PODS)
    other, one = await at.watch(PODS, GLOBEX), await at.watch(WEB)
    (stream,) = at.live.shared()
    assert stream.request.target.startswith("/api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=100&")
    assert stream.request.target.endswith("&labelSelector=%21vcproxy.io%2Fhidden")
    await stream.put(event("ADDED", pod("acme-web", "a", 101)), event("ADDED", pod("globex-web", "b", 102)))
    await stream.put(event("DELETED", pod("acme-default", "c", 103)))
    assert first.seen == second.seen == ["ADDED web/a 101", "DELETED default/c 103"]
    assert other.seen == ["ADDED web/b 102"]
    assert one.seen == ["ADDED web/a 101"]
    assert len(at.live.streams) == 1


async def test_events_of_one_chunk_are_one_write_of_the_very_same_bytes() -> None:
    at = world()
    first, second = await at.watch(PODS), await at.watch(PODS)
    await at.live.shared()[0].put(*[event("ADDED", pod("acme-web", f"p{n}", 101 + n)) for n in range(5)])
    assert len(first.writes) == 1
    assert first.writes[0] is second.writes[0]


async def test_a_client_that_is_behind_gets_the_rest_when_it_reads_on() -> None:
    at = world()
    slow, quick = await at.watch(PODS), await at.watch(PODS)
    slow.blocked = True
    for number in range(3):
        await at.live.shared()[0].put(event("ADDED", pod("acme-web", "a", 101 + number)))
    assert (slow.seen, len(quick.seen)) == ([], 3)
    slow.go_on()
    assert slow.seen == quick.seen


async def test_a_client_that_reads_nothing_for_a_minute_is_cut_off_alone() -> None:
    at = world()
    slow, quick = await at.watch(PODS), await at.watch(PODS)
    slow.blocked = True
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "a", 101)))
    at.sweep(59)
    assert not slow.aborted
    at.sweep(2)
    assert (slow.aborted, slow.ended, quick.aborted) == (True, False, False)
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "b", 102)))
    assert quick.seen[-1] == "ADDED web/b 102"


async def test_a_watcher_that_cannot_be_looked_at_is_cut_off_alone() -> None:
    at = world()
    first, second = await at.watch(PODS), await at.watch(PODS)
    ((hub, _),) = at.hubs._hubs.values()
    watcher = next(iter(hub.audience(ACME).watchers))
    watcher.valid = lambda: 1 // 0 > 0
    at.sweep(1)
    assert (first.aborted, second.aborted) == (True, False)
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "a", 101)))
    assert second.seen == ["ADDED web/a 101"]


async def test_whoever_comes_later_is_replayed_what_it_missed() -> None:
    at = world()
    await at.watch(PODS)
    await at.live.shared()[0].put(*[event("MODIFIED", pod("acme-web", "a", version)) for version in (101, 102, 103)])
    late = await at.watch(PODS.replace("100", "101"))
    assert late.seen == ["MODIFIED web/a 102", "MODIFIED web/a 103"]
    ahead = await at.watch(PODS.replace("100", "104"))
    await at.live.shared()[0].put(event("MODIFIED", pod("acme-web", "a", 104)))
    await at.live.shared()[0].put(event("MODIFIED", pod("acme-web", "a", 105)))
    assert ahead.seen == ["MODIFIED web/a 105"]


async def test_the_host_watch_goes_on_where_it_was_and_nobody_notices() -> None:
    at = world()
    client = await at.watch(PODS)
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "a", 101)), bookmark(150))
    await at.live.shared()[0].end()
    await until(lambda: len(at.live.shared()) == 2)
    again = at.live.shared()[1]
    assert again.query["resourceVersion"] == "150"
    await again.put(event("DELETED", pod("acme-web", "a", 151)))
    assert client.seen == ["ADDED web/a 101", "DELETED web/a 151"]
    assert not client.ended


async def test_when_the_host_no_longer_has_what_comes_next_whoever_is_as_old_hears_it() -> None:
    at = world()
    client, newer = await at.watch(PODS), await at.watch(PODS.replace("100", "105"))
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "a", 101)), event("ERROR", gone))
    added, error = client.documents
    assert (added["type"], error["type"], error["object"]["code"]) == ("ADDED", "ERROR", 410)
    assert error["object"]["reason"] == "Expired"
    assert newer.documents == []
    assert (client.ended, newer.ended, client.aborted, newer.aborted) == (True, True, False, False)
    await at.watch(PODS)
    assert len(at.live.shared()) == 2


async def test_a_host_that_says_so_only_in_the_stream_is_heard_by_whoever_came_first() -> None:
    at = world()
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 100 (200)"}
    at.live.first_chunk = event("ERROR", gone)
    reply = await at.reply("GET", WEB)
    if reply.feed is not None:
        documents = Sink(reply.feed).documents
    else:
        assert reply.stream is not None
        documents = [json.loads(line) async for line in reply.stream.chunks()]
        await reply.stream.close()
    assert [one["object"]["code"] for one in documents] == [410]


async def test_after_a_restart_older_clients_make_the_window_longer_together() -> None:
    at = world()
    newest = await at.watch(PODS)
    olds = [asyncio.create_task(at.watch(PODS.replace("100", version))) for version in ("90", "95", "90")]
    await until(lambda: len(at.live.shared()) == 2)
    back = at.live.shared()[1]
    assert (back.query["resourceVersion"], back.query["timeoutSeconds"]) == ("90", "4")
    await back.put(event("ADDED", pod("acme-web", "a", 91)), event("ADDED", pod("acme-web", "b", 99)))
    assert not any(task.done() for task in olds)
    await back.put(bookmark(100))
    first, second, third = await asyncio.gather(*olds)
    assert first.seen == third.seen == ["ADDED web/a 91", "ADDED web/b 99"]
    assert second.seen == ["ADDED web/b 99"]
    assert newest.seen == []
    assert (back.closed, len(at.live.streams)) == (True, 2)


async def test_whoever_is_too_old_hears_it_from_the_host_and_nobody_else_does() -> None:
    at = world()
    client = await at.watch(PODS)
    at.live.oldest = 50
    code, refusal = await at.ask("GET", WEB.replace("100", "10"))
    assert (code, refusal["reason"]) == (410, "Expired")
    assert at.live.requests[-1].target.startswith("/api/v1/namespaces/acme-web/pods?")
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "a", 101)))
    assert client.seen == ["ADDED web/a 101"]


async def test_a_version_of_the_future_moves_nobody_elses_start() -> None:
    at = world()
    ahead = await at.watch(PODS.replace("100", "999999"))
    client = await at.watch(PODS)
    (stream,) = at.live.shared()
    assert stream.query["resourceVersion"] == "100"
    await stream.put(event("ADDED", pod("acme-web", "a", 101)))
    assert (ahead.seen, client.seen) == ([], ["ADDED web/a 101"])


async def test_without_a_version_what_is_there_comes_first() -> None:
    at = world()
    at.live.pods = [pod("acme-web", "a", 40), pod("acme-default", "b", 50), pod("globex-web", "c", 60)]
    client = await at.watch("/api/v1/pods?watch=1")
    assert client.seen == ["ADDED default/b 50", "ADDED web/a 40"]
    assert {(one["object"]["kind"], one["object"]["apiVersion"]) for one in client.documents} == {("Pod", "v1")}
    await at.live.shared()[0].put(event("DELETED", pod("acme-web", "a", 101)))
    assert client.seen[2:] == ["DELETED web/a 101"]


async def test_initial_events_end_with_the_bookmark_of_kep_3157() -> None:
    at = world()
    at.live.pods = [pod("acme-web", "a", 40)]
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    client = await at.watch(f"/api/v1/pods?{query}")
    assert client.seen == ["ADDED web/a 40", "BOOKMARK 100"]
    assert client.documents[1]["object"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "100", "annotations": {"k8s.io/initial-events-end": "true"}},
    }


async def test_bookmarks_come_each_minute_to_those_who_asked() -> None:
    at = world()
    with_bookmarks, without = await at.watch(f"{PODS}&allowWatchBookmarks=true"), await at.watch(PODS)
    await at.live.shared()[0].put(bookmark(120))
    at.sweep(1)
    assert with_bookmarks.seen == ["BOOKMARK 100"]
    at.sweep(60)
    at.sweep(60)
    assert (with_bookmarks.seen, without.seen) == (["BOOKMARK 100", "BOOKMARK 120"], [])


async def test_a_watch_with_nothing_new_begins_with_a_bookmark_so_that_client_go_does_not_take_it_for_a_failure() -> (
    None
):
    at = world()
    quiet, busy = await at.watch(f"{PODS}&allowWatchBookmarks=true"), await at.watch(f"{PODS}&allowWatchBookmarks=true")
    assert (quiet.seen, busy.seen) == (["BOOKMARK 100"], ["BOOKMARK 100"])
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "a", 101)))
    late = await at.watch(f"{PODS}&allowWatchBookmarks=true")
    assert late.seen == ["ADDED web/a 101"]


async def test_who_is_ahead_of_the_hub_is_greeted_with_the_version_that_it_named() -> None:
    at = world()
    await at.watch(PODS)
    ahead = await at.watch(f"{PODS.replace('100', '140')}&allowWatchBookmarks=true")
    assert ahead.seen == ["BOOKMARK 140"]
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "a", 130)), bookmark(135))
    at.sweep(61)
    assert ahead.seen == ["BOOKMARK 140"]  # what it has already is told to nobody twice
    at.live.version = 140
    other = await at.watch(f"{PODS}&allowWatchBookmarks=true")
    assert other.seen == ["ADDED web/a 130"]  # the hub itself is where the host has told it to be
    other.feed.drain()
    assert other.seen[1:] == ["BOOKMARK 135"]


async def test_who_was_not_greeted_for_it_did_not_read_has_its_bookmark_at_the_end() -> None:
    at = world()
    at.as_tenant(ACME)
    reply = await at.reply("GET", f"{PODS.replace('100', '140')}&allowWatchBookmarks=true")
    assert reply.feed is not None
    client = Sink(reply.feed, blocked=True)
    assert client.seen == []
    client.blocked = False
    client.feed.drain()
    assert (client.seen, client.ended) == (["BOOKMARK 140"], True)


async def test_a_drain_ends_with_a_bookmark_of_how_far_it_came() -> None:
    at = world()
    asked, plain = await at.watch(f"{PODS}&allowWatchBookmarks=true"), await at.watch(PODS)
    await at.live.shared()[0].put(event("ADDED", pod("globex-web", "b", 130)))
    for client in (asked, plain):
        client.feed.drain()
    assert (asked.seen, asked.ended, plain.seen, plain.ended) == (["BOOKMARK 100", "BOOKMARK 130"], True, [], True)


async def test_events_that_a_watcher_does_not_cover_move_its_bookmark_on() -> None:
    at = world()
    client = await at.watch(f"{WEB}&allowWatchBookmarks=true")
    await at.live.shared()[0].put(
        event("ADDED", pod("acme-web", "a", 101)), event("ADDED", pod("acme-default", "b", 102))
    )
    client.feed.drain()
    assert client.seen == ["BOOKMARK 100", "ADDED web/a 101", "BOOKMARK 102"]


async def test_a_watch_ends_after_the_seconds_that_were_asked_for() -> None:
    at = world()
    client = await at.watch(f"{PODS}&timeoutSeconds=30")
    at.sweep(29)
    assert not client.ended
    at.sweep(1)
    assert client.ended


async def test_suspension_ends_the_watches_of_that_tenant_alone() -> None:
    at = world()
    client, other = await at.watch(PODS), await at.watch(PODS, GLOBEX)
    at.live_registry.phases[ACME] = type(at.live_registry.phases[ACME]).SUSPENDED
    at.sweep(2)
    assert (client.ended, other.ended) == (True, False)


async def test_places_are_given_back_however_a_watch_ends() -> None:
    at = world()
    for _ in range(12):
        client = await at.watch(PODS)
        client.end()
    for _ in range(12):
        at.as_tenant(ACME)
        reply = await at.reply("GET", PODS)
        assert reply.feed is not None
        reply.feed.stop()  # the client went away before it had its head


async def test_a_namespace_just_made_holds_back_its_own_tenant_only() -> None:
    at = world()
    client, other = await at.watch(PODS), await at.watch(PODS, GLOBEX)
    at.live_registry.early.add("acme-new")
    released = asyncio.Event()
    ask = at.live_registry.namespace

    async def slowly(tenant, name, deadline):  # type: ignore[no-untyped-def]
        await released.wait()
        return await ask(tenant, name, deadline)

    at.live_registry.namespace = slowly  # type: ignore[method-assign]
    await at.live.shared()[0].put(
        event("ADDED", pod("acme-new", "a", 101)),
        event("ADDED", pod("acme-web", "b", 102)),
        event("ADDED", pod("globex-web", "c", 103)),
    )
    assert (client.seen, other.seen) == ([], ["ADDED web/c 103"])
    client_mark = await at.watch(f"{PODS}&allowWatchBookmarks=true")
    at.sweep(61)
    assert client_mark.seen == ["BOOKMARK 100"]  # a newer one would promise what is held back
    released.set()
    await settle()
    assert client.seen == ["ADDED new/a 101", "ADDED web/b 102"]
    assert at.live_registry.asked == ["acme-new"]


async def test_events_of_namespaces_of_nobody_are_dropped() -> None:
    at = world()
    at.live.there.add("acme-foreign")
    client = await at.watch(PODS)
    await at.live.shared()[0].put(
        event("ADDED", pod("kube-system", "a", 101)),
        event("ADDED", pod("acme-vcproxy", "b", 102)),
        event("ADDED", pod("acme", "c", 103)),
        event("ADDED", pod("acme-foreign", "d", 104)),
        event("ADDED", pod("acme-web", "e", 105)),
    )
    await until(lambda: bool(client.seen))
    assert client.seen == ["ADDED web/e 105"]


async def test_a_namespace_that_is_gone_and_unknown_lets_its_tenant_list_again() -> None:
    at = world()
    client, other = await at.watch(PODS), await at.watch(PODS, GLOBEX)
    await at.live.shared()[0].put(event("DELETED", pod("acme-old", "a", 101)))
    await until(lambda: client.ended)
    at.as_tenant(ACME)
    code, refusal = await at.ask("GET", PODS)
    assert (code, refusal["reason"]) == (410, "Expired")
    at.live.version = 101
    await at.watch(PODS.replace("100", "101"))
    assert not other.ended


async def test_selectors_secrets_and_odd_queries_get_host_watches_of_their_own() -> None:
    at = world()
    for target in (
        f"{WEB}&labelSelector=a%3Db",
        f"{WEB}&fieldSelector=metadata.name%3Da",
        "/api/v1/namespaces/web/secrets?watch=1&resourceVersion=100",
        f"{WEB}&resourceVersionMatch=Exact",
    ):
        reply = await at.reply("GET", target)
        assert reply.stream is not None, target
        await reply.stream.close()
    assert at.live.shared() == []
    assert len(at.live.streams) == 4


async def test_each_content_has_a_watch_of_its_own() -> None:
    at = world()
    table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    await at.watch(PODS)
    await at.watch(PODS, Accept=table)
    await at.watch(PODS, Accept="application/json;as=Table;v=v1;g=meta.k8s.io, application/json;q=0.5")
    await at.watch("/apis/apps/v1/deployments?watch=1&resourceVersion=100")
    accepts = [dict(stream.request.headers)["Accept"] for stream in at.live.shared()]
    assert accepts == ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json"]


async def test_a_host_watch_ends_a_minute_after_its_last_watcher() -> None:
    at = world()
    client = await at.watch(PODS)
    client.end()
    at.sweep(59)
    assert not at.live.shared()[0].closed
    at.sweep(2)
    await settle()
    assert at.live.shared()[0].closed
    await at.watch(PODS)
    assert len(at.live.shared()) == 2


async def test_the_next_owner_of_an_id_is_told_nothing_of_the_one_before() -> None:
    at = world()
    await at.watch(PODS, GLOBEX)
    (stream,) = at.live.shared()
    await stream.put(event("ADDED", pod("acme-web", "old", 101)), event("DELETED", pod("acme-web", "old", 102)))
    at.live.version = 110
    at.made_anew(ACME, 105)
    at.as_tenant(ACME)
    for target in (PODS, PODS.replace("100", "104"), f"{WEB}&labelSelector=a%3Db", f"{WEB}&resourceVersionMatch=Exact"):
        code, refusal = await at.ask("GET", target)
        assert (code, refusal["reason"]) == (410, "Expired"), target
    code, _ = await at.ask("GET", "/api/v1/namespaces/web/secrets?resourceVersion=100&resourceVersionMatch=Exact")
    assert code == 410
    client = await at.watch(PODS.replace("100", "105"))
    await stream.put(event("ADDED", pod("acme-web", "new", 111)))
    assert client.seen == ["ADDED web/new 111"]


async def test_the_window_is_not_made_longer_for_the_time_of_another_owner() -> None:
    at = world()
    at.made_anew(ACME, 95)
    await at.watch(PODS, GLOBEX)
    at.as_tenant(ACME)
    code, _ = await at.ask("GET", PODS.replace("100", "90"))
    assert (code, len(at.live.streams)) == (410, 1)


async def test_an_audience_whose_tenant_is_made_anew_has_a_floor_and_ends_who_watched_before() -> None:
    at = world()
    former, other = await at.watch(PODS), await at.watch(PODS, GLOBEX)
    at.made_anew(ACME, 105)
    await at.live.shared()[0].put(event("ADDED", pod("acme-web", "new", 111)))
    assert (former.seen, former.ended, other.ended) == ([], True, False)
    hub = next(iter(at.hubs._hubs.values()))[0]
    assert hub.audience(ACME).floor == 105
    again = await at.watch(PODS.replace("100", "110"))
    assert again.seen == ["ADDED web/new 111"]


async def test_an_audience_of_a_young_tenant_is_forgotten_as_any_other() -> None:
    at = world()
    await at.watch(PODS, GLOBEX)
    hub = next(iter(at.hubs._hubs.values()))[0]
    await at.live.shared()[0].put(bookmark(150))
    at.made_anew(ACME, 120)
    client = await at.watch(PODS.replace("100", "130"))
    assert hub.audience(ACME).floor == 120
    client.feed.stop()
    at.sweep(1)
    assert ACME not in hub.audiences


async def test_versions_of_a_kind_that_has_an_etcd_of_its_own_are_not_compared() -> None:
    at = world()
    at.made_anew(ACME, 5000)  # the host says that the newest of this kind is 100
    client = await at.watch(PODS)
    assert not client.ended


async def test_a_continue_token_of_the_former_owner_is_none() -> None:
    at = world()
    at.as_tenant(ACME)
    view = at.live_registry.tenant(ACME)
    assert view is not None
    asked = request.parse("GET", b"/api/v1/namespaces/web/pods")
    token = at.flow._positions.seal(asked, view, Position("", "inner", "100"))
    code, _ = await at.ask("GET", f"/api/v1/namespaces/web/pods?limit=5&continue={token}")
    assert code == 200
    at.made_anew(ACME, 105)
    at.as_tenant(ACME)
    code, _ = await at.ask("GET", f"/api/v1/namespaces/web/pods?limit=5&continue={token}")
    assert code == 400


async def test_an_object_that_cannot_be_rewritten_harms_its_own_tenant_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    at = world()
    client, other = await at.watch(PODS), await at.watch(PODS, GLOBEX)
    view = events.view

    def failing(raw: bytes, *rest: Any) -> bytes:
        if b"poison" in raw:
            raise KeyError("odd")
        return view(raw, *rest)

    monkeypatch.setattr(events, "view", failing)
    (stream,) = at.live.shared()
    await stream.put(event("ADDED", pod("acme-web", "poison", 101)), event("ADDED", pod("globex-web", "b", 102)))
    assert (client.seen, client.ended, other.seen, other.ended) == ([], True, ["ADDED web/b 102"], False)
    at.as_tenant(ACME)
    code, _ = await at.ask("GET", PODS)
    assert code == 410  # it lists again, and is past it
    again = await at.watch(PODS.replace("100", "102"))
    await stream.put(event("ADDED", pod("acme-web", "c", 103)))
    assert again.seen == ["ADDED web/c 103"]
    assert len(at.live.shared()) == 1


async def test_what_was_held_is_let_go_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    at = world()
    client, other = await at.watch(PODS), await at.watch(PODS, GLOBEX)

    async def failing(*_: Any) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(at.live_registry, "namespace", failing)
    await at.live.shared()[0].put(event("ADDED", pod("acme-new", "a", 101)))
    await until(lambda: client.ended)
    again = await at.watch(PODS.replace("100", "101"))
    await at.live.shared()[0].put(
        event("ADDED", pod("acme-web", "b", 102)), event("ADDED", pod("globex-web", "c", 103))
    )
    assert (again.seen, other.seen) == (["ADDED web/b 102"], ["ADDED web/c 103"])


async def test_a_client_waits_for_an_older_window_no_longer_than_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "DEADLINE", 0.2)
    at = world()
    await at.watch(PODS)
    at.as_tenant(ACME)
    begun = time.monotonic()
    asked = [at.reply("GET", PODS.replace("100", str(version))) for version in (91, 92, 93, 94, 95)]
    replies = await asyncio.gather(*asked)  # the host says nothing on any of these watches
    assert time.monotonic() - begun < 0.6
    assert all(reply.feed is not None for reply in replies)  # of one more hub, that begins where the oldest is

    def still_open() -> list[str]:
        return [stream.query["resourceVersion"] for stream in at.live.shared() if not stream.closed]

    await until(lambda: still_open() == ["100", "91"])


async def test_who_is_too_far_behind_for_the_window_is_told_all_in_order_by_one_more_host_watch() -> None:
    at = world()
    newest = await at.watch(PODS)
    olds = [asyncio.create_task(at.watch(PODS.replace("100", version))) for version in ("92", "90")]
    await until(lambda: len(at.live.shared()) == 2)
    await at.live.shared()[1].end()  # before it came as far as the window
    await until(lambda: len(at.live.shared()) == 3)
    await at.live.shared()[2].end()
    later, oldest = await asyncio.gather(*olds)
    one_more = at.live.shared()[3]
    assert [stream.query["resourceVersion"] for stream in at.live.streams] == ["100", "90", "92", "90"]
    told = [("acme-web", "a", 91), ("acme-default", "b", 92), ("acme-web", "c", 93), ("acme-default", "d", 101)]
    await one_more.put(*(event("ADDED", pod(space, name, version)) for space, name, version in told))
    await at.live.shared()[0].put(event("ADDED", pod("acme-default", "d", 101)))
    assert oldest.seen == ["ADDED web/a 91", "ADDED default/b 92", "ADDED web/c 93", "ADDED default/d 101"]
    assert later.seen == oldest.seen[2:]
    assert newest.seen == ["ADDED default/d 101"]


async def test_one_more_host_watch_ends_a_minute_after_its_last_watcher() -> None:
    at = world()
    await at.watch(PODS)
    old = asyncio.create_task(at.watch(PODS.replace("100", "90")))
    await until(lambda: len(at.live.shared()) == 2)
    await at.live.shared()[1].end()
    client = await old
    client.feed.stop()
    at.sweep(61)
    await until(lambda: at.live.shared()[2].closed)
    assert not at.live.shared()[0].closed


def ca_map(text: str, version: int) -> dict[str, object]:
    metadata = {"name": "kube-root-ca.crt", "namespace": "acme-web", "resourceVersion": str(version)}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"ca.crt": text}}


async def test_a_certificate_that_is_rotated_is_shown_by_watches_that_are_open() -> None:
    at = world()
    at.authorities.host, at.authorities.shown = "host 1", "own 1"
    client = await at.watch("/api/v1/configmaps?watch=1&resourceVersion=100")
    await at.live.shared()[0].put(event("MODIFIED", ca_map("host 1", 101)))
    at.authorities.host, at.authorities.shown = "host 2", "own 2"
    await at.live.shared()[0].put(event("MODIFIED", ca_map("host 2", 102)))
    told = b"".join(client.writes)
    assert (b'"own 1"' in told, b'"own 2"' in told, b'"host ' in told) == (True, True, False)


async def test_many_watchers_of_one_tenant_are_told_in_slices_and_others_have_their_turn_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audience, "SLICE", 3)
    at = world()
    crowd = [await at.watch(PODS) for _ in range(8)]
    (stream,) = at.live.shared()
    told = asyncio.create_task(stream.put(event("ADDED", pod("acme-web", "a", 101))))
    turns = set[int]()
    while len(turns) < 4:  # none, a slice, two, all
        turns.add(sum(bool(client.seen) for client in crowd))
        await asyncio.sleep(0)
    assert turns == {0, 3, 6, 8}
    await told
    await stream.put(event("DELETED", pod("acme-web", "a", 102)))
    await until(lambda: all(len(client.seen) == 2 for client in crowd))
    assert {tuple(client.seen) for client in crowd} == {("ADDED web/a 101", "DELETED web/a 102")}


async def test_who_cannot_be_written_to_is_cut_off_and_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    at = world()
    broken, other = await at.watch(PODS), await at.watch(PODS)
    pump = audience.Watcher.pump

    def fails(self: audience.Watcher, memo: audience.Memo) -> None:
        if self is broken.feed:
            raise RuntimeError("broken")
        pump(self, memo)

    monkeypatch.setattr(audience.Watcher, "pump", fails)
    for version in (101, 102):
        await at.live.shared()[0].put(event("ADDED", pod("acme-web", f"a{version}", version)))
    assert other.seen == ["ADDED web/a101 101", "ADDED web/a102 102"]
    assert broken.aborted


async def test_events_of_a_namespace_that_is_gone_are_asked_about_once() -> None:
    at = world()
    client = await at.watch(PODS)
    asked = len(at.live.requests)
    gone = [event("DELETED", pod("acme-old", f"a{number}", 101 + number)) for number in range(50)]
    await at.live.shared()[0].put(*gone, event("ADDED", pod("acme-web", "b", 160)))
    await until(lambda: client.ended)
    at.live.version = 160
    again = await at.watch(PODS.replace("100", "150"))
    await until(lambda: again.seen == ["ADDED web/b 160"])
    assert len([one for one in at.live.requests[asked:] if one.target.endswith("/namespaces/acme-old")]) == 1


async def test_where_the_oldest_is_gone_on_the_host_others_who_are_behind_are_told_all_the_same() -> None:
    at = world()
    await at.watch(PODS)
    at.live.oldest = 80
    ((content, (hub, _)),) = at.hubs._hubs.items()
    found = await OlderHubs(lambda: at.hubs._made(content, hub.row)[0]).covering(90, 10)
    assert found is not None
    assert found.window.start == 90
    found.close()
