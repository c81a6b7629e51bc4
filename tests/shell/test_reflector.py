"""The reflector: readable traces of what the host says and what the callback hears."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.shell.fakehost import Answer, Scripted, json_answer, refused, settle, until
from vcproxy.core import status
from vcproxy.tenants.reflector import Change, Reflector, Sync, Timing

FAST = Timing(first_pause=0.001, longest_pause=0.002, silence=0.05, behind=0.0)


def item(name: str, version: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def page(*names: str, version: int = 5, more: str = "") -> Answer:
    items = [item(name) for name in names]
    return json_answer(200, {"metadata": {"resourceVersion": str(version), "continue": more}, "items": items})


def event(kind: str, name: str, version: int) -> bytes:
    return msgspec.json.encode({"type": kind, "object": item(name, version)}) + b"\n"


def error(code: int) -> bytes:
    return msgspec.json.encode({"type": "ERROR", "object": {"kind": "Status", "code": code}}) + b"\n"


class Heard:
    """What a reflector told, as short texts."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, change: Change) -> None:
        if isinstance(change, Sync):
            self.lines.append("SYNC " + " ".join(found["metadata"]["name"] for found in change.items))
        else:
            self.lines.append(f"{change.type} {change.object['metadata']['name']}")


@asynccontextmanager
async def running(host: Scripted, heard: Heard, **options: Any) -> AsyncIterator[Reflector]:
    reflector = Reflector(host, "/api/v1/things", heard, timing=FAST, **options)
    task = asyncio.create_task(reflector.run())
    try:
        yield reflector
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_lists_then_watches_from_there() -> None:
    watch = Answer(200, [event("ADDED", "c", 6) + event("MODIFIED", "a", 7), event("DELETED", "b", 8), None])
    host, heard = Scripted(page("a", "b"), watch), Heard()
    async with running(host, heard, query={"labelSelector": "x=y"}) as reflector:
        assert reflector.reason() == "/api/v1/things: not listed yet"
        await until(lambda: len(heard.lines) == 4)
        assert reflector.synced
        assert reflector.reason() is None
    assert heard.lines == ["SYNC a b", "ADDED c", "MODIFIED a", "DELETED b"]
    assert host.targets[0] == "/api/v1/things?labelSelector=x%3Dy&limit=500"
    assert "resourceVersion=5" in host.targets[1]
    assert "allowWatchBookmarks=true" in host.targets[1]
    assert "timeoutSeconds=" in host.targets[1]
    assert watch.closed


async def test_a_list_comes_in_pages() -> None:
    host, heard = Scripted(page("a", more="m1"), page("b", version=6), Answer(200, [None])), Heard()
    async with running(host, heard):
        await until(lambda: len(host.targets) == 3)
    assert heard.lines == ["SYNC a b"]
    assert "continue=m1" in host.targets[1]
    assert "resourceVersion=6" in host.targets[2]


async def test_events_may_be_cut_anywhere() -> None:
    text = event("ADDED", "a", 6) + event("ADDED", "é", 7)
    host, heard = Scripted(page(), Answer(200, [text[at : at + 1] for at in range(len(text))] + [None])), Heard()
    async with running(host, heard):
        await until(lambda: len(heard.lines) == 3)
    assert heard.lines == ["SYNC ", "ADDED a", "ADDED é"]


async def test_bookmarks_move_the_version_and_are_not_told() -> None:
    host, heard = Scripted(page("a"), Answer(200, [event("BOOKMARK", "", 50)]), Answer(200, [None])), Heard()
    async with running(host, heard):
        await until(lambda: len(host.targets) == 3)
    assert heard.lines == ["SYNC a"]
    assert "resourceVersion=50" in host.targets[2]


async def test_a_watch_that_ends_goes_on_without_a_list() -> None:
    host, heard = (
        Scripted(page(), Answer(200, [event("ADDED", "a", 6)]), Answer(200, [event("ADDED", "b", 7), None])),
        Heard(),
    )
    async with running(host, heard):
        await until(lambda: len(heard.lines) == 3)
    assert heard.lines == ["SYNC ", "ADDED a", "ADDED b"]
    assert "resourceVersion=6" in host.targets[2]


@pytest.mark.parametrize("broken", [status.bad_gateway(), status.timed_out(), status.unavailable("no")])
async def test_a_broken_way_goes_on_from_the_known_version(broken: BaseException) -> None:
    host = Scripted(
        page("a"), Answer(200, [event("ADDED", "b", 6), broken]), broken, refused(503, "x"), Answer(200, [None])
    )
    heard = Heard()
    async with running(host, heard) as reflector:
        await until(lambda: len(host.targets) == 5)
        await settle()
        assert reflector.reason() is None
    assert heard.lines == ["SYNC a", "ADDED b"]
    assert all("resourceVersion=6" in target for target in host.targets[2:])


@pytest.mark.parametrize("gone", [Answer(200, [error(410)]), refused(410, "Expired")])
async def test_a_forgotten_version_means_a_new_list(gone: Answer) -> None:
    host, heard = Scripted(page("a"), gone, page("b", version=9), Answer(200, [None])), Heard()
    async with running(host, heard):
        await until(lambda: len(host.targets) == 4)
    assert heard.lines == ["SYNC a", "SYNC b"]
    assert "resourceVersion=9" in host.targets[3]


@pytest.mark.parametrize(
    "line", [b"{}\n", b"nonsense\n", b'{"type":"NEW","object":{}}\n', b'{"type":"ADDED","object":[]}\n', b"x" * 400]
)
async def test_what_is_no_event_means_a_new_list(line: bytes) -> None:
    host, heard = Scripted(page("a"), Answer(200, [line]), page("b"), Answer(200, [None])), Heard()
    async with running(host, heard, event_limit=300):
        await until(lambda: len(host.targets) == 4)
    assert heard.lines == ["SYNC a", "SYNC b"]


async def test_silence_is_taken_for_death() -> None:
    silent = Answer(200, [None])
    host, heard = Scripted(page("a"), silent, Answer(200, [event("ADDED", "b", 6), None])), Heard()
    async with running(host, heard):
        await until(lambda: len(heard.lines) == 2)
    assert silent.closed
    assert "resourceVersion=5" in host.targets[2]


async def test_refusals_and_bad_answers_are_retried_until_they_end() -> None:
    host = Scripted(
        *(refused(403, "Forbidden", "no rights") for _ in range(30)),
        Answer(200, [b"[]"]),
        status.bad_gateway(),
        page("a"),
        Answer(200, [None]),
    )
    heard = Heard()
    async with running(host, heard) as reflector:
        await until(lambda: "no rights" in (reflector.reason() or ""))
        await until(lambda: reflector.synced)
    assert heard.lines == ["SYNC a"]


async def test_a_watch_that_cannot_be_had_is_told_as_a_reason() -> None:
    script = [step for _ in range(50) for step in (page("a"), refused(403, "Forbidden", "no watch"))]
    host, heard = Scripted(*script), Heard()
    async with running(host, heard) as reflector:
        await until(lambda: "no watch" in (reflector.reason() or "") and reflector.synced)


async def test_pauses_grow_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    host = Scripted(*(status.bad_gateway() for _ in range(12)))
    reflector = Reflector(host, "/x", Heard(), timing=Timing(first_pause=0.1, longest_pause=5.0))
    monkeypatch.setattr("vcproxy.tenants.reflector.asyncio.sleep", sleep)
    task = asyncio.create_task(reflector.run())
    async with asyncio.timeout(5):
        while len(host.targets) < 13:
            await asyncio.wait({task}, timeout=0.001)
    task.cancel()
    assert len(slept) == 12
    assert 0.05 <= slept[0] <= 0.1
    assert all(2.5 <= pause <= 5.0 for pause in slept[6:])
