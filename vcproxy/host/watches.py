"""Watches of one client alone: one host watch for each namespace that it covers, merged into one stream.

For selectors, Secrets and whatever else is not shared (host.shared). Namespaces that appear or go while the watch is
open count. A client watches on from the newest version that it saw, so an older event that comes after a newer one
must not be lost when a part breaks off: each part goes on by itself from where it was, and the client does not notice.
What comes together from several parts is put in order (`ORDER`), so that a client that is ended between two events has
seen no newer one than those that it has missed; docs/architecture.md, "Reads", says what is left.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from vcproxy.core import apis, bodies, content, events, objects, plan, selectors, status, watch_queries, watched
from vcproxy.core.framing import Frames
from vcproxy.core.hosting import HostResponse
from vcproxy.core.kinds import Exposure
from vcproxy.core.lens import Lens
from vcproxy.core.names import VirtualName, up
from vcproxy.core.parameters import Pairs
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError
from vcproxy.core.targets import namespace_target
from vcproxy.core.versions import version_of
from vcproxy.core.view import ClassLists, NamespaceInfo
from vcproxy.host import answers
from vcproxy.host.answers import HostRefusal
from vcproxy.host.hubs import SILENCE
from vcproxy.host.identity import Exchange
from vcproxy.host.inbox import Inbox

EVENT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one event: what etcd and the API server let through, and room for the frame around it."""
QUEUE: Final = 256
"""Events of one watch that wait for a slow reader before the host's streams are held back."""
QUEUE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of the host's lines of such events: decoded they take several times as much."""
CHECK: Final = 2.0
"""Seconds between two looks at whether the caller may still watch."""
ORDER: Final = 0.03
"""Seconds for which events of several parts are gathered: the host tells all of them of its events in one order."""
WAITS: Final = (0.05, 5.0)
"""Seconds before a part that broke off is opened again: at first, and at most."""
GRACE: Final = 5.0
"""Seconds after the end of its time for which a host may go on with a watch."""
LAST: Final = 5.0
"""Seconds for which the part of a namespace that went is read on: its last events come apart from that news."""
REFUSED: Final = 60.0
"""Seconds for which a namespace whose rights do not come holds back bookmarks: who lists is refused it as well."""
INITIAL_END: Final = "k8s.io/initial-events-end"
_BEGINNING: Final = ("resourceVersion", "resourceVersionMatch", "sendInitialEvents")
_LIFE: Final = (1800, 3600)
"""Seconds that a watch lasts when the client says nothing (the API server's --min-request-timeout, and its double)."""

Part = VirtualName | int
"""A namespace; of a kind of cluster scope 0 is the whole, or the tenant's own, and 1 and so on what stands beside."""
WHOLE: Final = 0


class Changes(Protocol):
    """What a watch follows of its tenant: its namespaces now, and a wait for the next change of them."""

    def namespaces(self) -> Mapping[VirtualName, NamespaceInfo] | None:
        """The namespaces of the tenant; None once it may not watch any more."""
        ...

    def classes(self) -> ClassLists | None:
        """The classes that the provider lends the tenant; None in the same case."""
        ...

    async def changed(self) -> None:
        """Returns after the next change of the tenant or its namespaces."""
        ...

    async def close(self) -> None: ...


class _Event(msgspec.Struct):
    part: Part
    type: str
    object: dict[str, Any]


class _Ended(msgspec.Struct):
    part: Part


_Item = _Event | _Ended | None


class WatchStream:
    """One tenant's watch. `open` once, then iterate `chunks`; `close` ends all that it started.

    `shown` makes of an object of the host what the tenant sees; without it the rules of the kind do.
    """

    def __init__(
        self,
        exchange: Exchange,
        scope: Scope,
        wanted: plan.Watch,
        accept: str,
        changes: Changes,
        valid: Callable[[], bool],
        shown: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self._shown = shown or self._to_view
        self._exchange = exchange
        self._scope = scope
        self._wanted = wanted
        self._whole = wanted.namespaces == ()
        self._accept = accept
        self._changes = changes
        self._valid = valid
        self._queue: Inbox[_Item] = Inbox(QUEUE, QUEUE_BYTES)
        self._tasks: dict[Part, asyncio.Task[None]] = {}
        self._leaving: dict[Part, asyncio.TimerHandle] = {}
        self._refused: set[Part] = set()
        self._versions: dict[Part, int] = {}
        self._initial: set[Part] = set()
        self._wants_end = False
        self._columns: dict[int, Lens] = {}
        self._sent = 0
        life = watch_queries.life_of(wanted.query) or random.randint(*_LIFE)  # noqa: S311 - jitter, not a secret
        self._query, self._life = watch_queries.lasting(wanted.query, life), life
        self._beside = {number: watch_queries.lasting(query, life) for number, query in enumerate(wanted.beside, 1)}
        self._end = 0.0
        self._bookmarks = content.flag(dict(wanted.query), "allowWatchBookmarks")
        self._follower: asyncio.Task[None] | None = None

    def _greeting(self) -> bytes | None:
        """A bookmark of where the watch begins, as host.audience.Watcher gives one."""
        start = watch_queries.start_of(self._query)
        about = content.of_alone(self._wanted, self._accept) if self._bookmarks and start else None
        if about is None:
            return None
        return self._encode(_Event(WHOLE, "BOOKMARK", events.bookmark_at(about.bookmark(), start)))

    async def open(self) -> None:
        """Ask the host for all parts. Raises ApiError as the host refused the first that it refused."""
        self._end = asyncio.get_running_loop().time() + self._life
        first = self._first_parts()
        if content.flag(dict(self._query), "sendInitialEvents"):
            self._initial, self._wants_end = set(first), True
        responses = await _all_of([asyncio.ensure_future(self._ask(*one)) for one in first.items()])
        opened = dict(zip(first, responses, strict=True))
        failure = next((one for one in responses if isinstance(one, BaseException)), None)
        if failure is not None:
            await _close_all(opened.values())
            raise failure
        for part, response in opened.items():
            if response is None:
                self._initial.discard(part)
                self._start(part, watch_queries.start_of(self._query))
            elif not isinstance(response, BaseException):
                self._tasks[part] = asyncio.create_task(self._pump(part, response, watch_queries.start_of(self._query)))
        if not self._whole:
            self._follower = asyncio.create_task(self._follow())
        elif self._wanted.beside:
            self._follower = asyncio.create_task(self._follow_classes())

    def _first_parts(self) -> dict[Part, Pairs]:
        names = self._covered()
        if self._whole:
            return dict[Part, Pairs]({WHOLE: self._query}) | dict[Part, Pairs](self._beside.items())
        if names:
            return dict.fromkeys(names, self._query)
        # nothing is there yet: an empty watch still has bookmarks and an end of its initial events
        nothing = tuple(pair for pair in self._query if pair[0] not in ("labelSelector", "fieldSelector"))
        return {VirtualName("default"): (*nothing, ("labelSelector", selectors.NOTHING))}

    def _covered(self) -> list[VirtualName]:
        """The tenant's namespaces that the watch covers and that are there now."""
        known = self._changes.namespaces() or {}
        wanted = self._wanted.namespaces
        return [name for name in known if wanted is None or name in wanted]

    async def _ask(self, part: Part, query: Pairs) -> HostResponse | None:
        """The host's answer for one part, with code 200; None where the namespace went away in the meantime."""
        response = await self._exchange.send(
            "GET",
            namespace_target(
                self._wanted.row,
                self._wanted.version,
                self._scope.tenant,
                None if isinstance(part, int) else part,
                query,
            ),
            self._wanted.identity,
            headers=(("Accept", self._accept),),
            namespace="" if isinstance(part, int) else up(self._scope.tenant, part),
        )
        if response.status == 200:
            return response
        try:
            if response.status == 403 and part != "default" and not isinstance(part, int):
                return None
            raise await answers.refusal(response, self._scope)
        finally:
            await response.close()

    async def _pump(self, part: Part, response: HostResponse | None, reached: int = 0) -> None:
        """The events of one part into the queue, over as many host watches as it takes."""
        while response is not None:
            reached = await self._events(part, response, reached)
            response = await self._again(part, reached) if reached else None
        await self._queue.put(_Ended(part))

    async def _events(self, part: Part, response: HostResponse, reached: int) -> int:
        """One host watch until it ends in whatever way. How far it came; 0 where it cannot go on from there."""
        frames, chunks, marked = Frames(EVENT_LIMIT), response.chunks(), False
        try:
            while True:
                async with asyncio.timeout_at(self._patience(marked=marked)):
                    chunk = await anext(chunks)
                for line in frames.feed(chunk):
                    event = _event(part, line)
                    marked = marked or event.type == "BOOKMARK"
                    await self._queue.put(event, len(line))
                    if event.type == "ERROR":
                        return 0
                    if reached or event.type == "BOOKMARK":  # initial events come in no order: half of them is none
                        reached = max(reached, watched.version(event.object))
        except (StopAsyncIteration, TimeoutError, ApiError, msgspec.DecodeError, KeyError):
            return reached
        finally:
            await response.close()

    def _patience(self, *, marked: bool) -> float:
        """Until when the host must say something, as a moment of the loop.

        It sends a bookmark each minute where it keeps a cache of watches, so not of Events; `marked`: it has sent one.
        """
        last = self._end + GRACE
        return min(asyncio.get_running_loop().time() + SILENCE, last) if marked else last

    async def _again(self, part: Part, reached: int, wait: float = WAITS[0]) -> HostResponse | None:
        """The host watch of a part once more, from where it was, asked for until it is there.

        None at the end of its time, where its namespace went, or where the host no longer has what comes next.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (left := int(self._end - loop.time())) > 0 and (isinstance(part, int) or part in self._covered()):
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
            wait = min(max(wait * 2, WAITS[0]), WAITS[1])
            try:
                response = await self._ask(part, self._onward(part, reached, left))
            except HostRefusal as refusal:
                if refusal.status.code in (403, 410):
                    return None
            except ApiError:
                continue
            else:
                if response is not None:
                    self._refused.discard(part)
                    return response
                if loop.time() - begun >= REFUSED:
                    self._refused.add(part)
        return None

    def _onward(self, part: Part, reached: int, left: int) -> Pairs:
        asked = self._beside.get(part, self._query) if isinstance(part, int) else self._query
        rest = tuple(pair for pair in asked if pair[0] not in (*_BEGINNING, "timeoutSeconds"))
        return (*rest, ("resourceVersion", str(reached)), ("timeoutSeconds", str(left)))

    async def _follow(self) -> None:
        """Start a part for each namespace that appears, let that of one that went come to its end."""
        while (known := self._changes.namespaces()) is not None:
            for name in self._covered():
                if name not in self._tasks:
                    self._start(name)
            for part in self._tasks:
                self._mind(part, there=part in known)
            await self._changes.changed()
        await self._queue.put(None)

    def _mind(self, part: Part, *, there: bool) -> None:
        """A namespace that went may have events under way. One made anew in that time is seen by the same watch."""
        if there and (timer := self._leaving.pop(part, None)) is not None:
            timer.cancel()
        elif not there and part not in self._leaving:
            self._leaving[part] = asyncio.get_running_loop().call_later(LAST, self._drop, part)

    def _drop(self, part: Part) -> None:
        if (timer := self._leaving.pop(part, None)) is not None:
            timer.cancel()
        if (task := self._tasks.pop(part, None)) is not None:
            task.cancel()
        self._versions.pop(part, None)
        self._refused.discard(part)

    async def _follow_classes(self) -> None:
        """Once the provider lends other objects, what was listed before is not what is there: the client lists anew."""
        while (now := self._changes.classes()) == self._scope.classes:
            await self._changes.changed()
        if now is not None:
            expired = status.gone("the classes that this cluster may use have changed").status
            await self._queue.put(_Event(WHOLE, "ERROR", msgspec.json.decode(expired.encode())))
        await self._queue.put(None)

    def _start(self, part: Part, after: int = 0) -> None:
        """Begin a part that is not open yet, from a version or from the birth of its namespace."""
        info = (self._changes.namespaces() or {}).get(part) if not isinstance(part, int) else None
        begin = after or version_of(info.resource_version if info is not None else "")
        self._versions[part] = begin
        self._tasks[part] = asyncio.create_task(self._later(part, begin))

    async def _later(self, part: Part, begin: int) -> None:
        """Its rights may not be there yet: they are waited for, and nothing of it is lost."""
        await self._pump(part, await self._again(part, begin, 0.0), begin)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The events for the tenant, a line each, until the watch ends."""
        if (greeting := self._greeting()) is not None:
            yield greeting
        while True:
            try:
                async with asyncio.timeout(CHECK):
                    item = await self._queue.get()
            except TimeoutError:
                if self._valid():
                    continue
                return
            for one in await self._gathered(item):
                if one is None or not self._valid():
                    return
                if isinstance(one, _Ended):
                    if not self._went(one.part):
                        return
                    self._drop(one.part)
                elif (line := self._line(one)) is not None:
                    yield line

    def _went(self, part: Part) -> bool:
        """Whether the namespace of a part is no longer there, so that the watch goes on without it."""
        known = self._changes.namespaces()
        return not isinstance(part, int) and known is not None and part not in known

    async def _gathered(self, first: _Item) -> list[_Item]:
        """What comes together, the oldest first; an end is the last."""
        found = [first]
        if len(self._tasks) > 1 and isinstance(first, _Event):
            await asyncio.sleep(ORDER)
        while len(self._queue):
            found.append(self._queue.take())
        return sorted(found, key=lambda one: watched.version(one.object) if isinstance(one, _Event) else math.inf)

    def _line(self, event: _Event) -> bytes | None:
        if event.type == "BOOKMARK":
            return self._bookmark(event)
        if not self._owned(event):
            return None
        version = watched.version(event.object)
        if event.type != "ERROR" and version:
            self._versions[event.part] = max(version, self._versions.get(event.part, 0))
            self._sent = max(self._sent, version)
        return self._encode(event)

    def _encode(self, event: _Event) -> bytes:
        return bodies.encode_json({"type": event.type, "object": self._shown(event.object)}) + b"\n"

    def _to_view(self, document: dict[str, Any]) -> dict[str, Any]:
        return objects.to_view(document, self._wanted.row, self._scope, self._columns)

    def _owned(self, event: _Event) -> bool:
        """Whether an object is the tenant's: the host's selector says so, and it is looked at once more here."""
        row = self._wanted.row
        if event.type == "ERROR":
            return True
        if row.exposure is Exposure.OWN and row.namespaced:
            return apis.stands(self._scope.tenant, str(watched.metadata(event.object).get("namespace", "")))
        return row.exposure is not Exposure.PRIVATE or watched.owned(event.object, row, self._scope)

    def _bookmark(self, event: _Event) -> bytes | None:
        """A bookmark counts once every part has come as far: only what all of them have delivered is behind it."""
        version = watched.version(event.object)
        self._versions[event.part] = max(version, self._versions.get(event.part, 0))
        ended = part_ended = INITIAL_END in (watched.metadata(event.object).get("annotations") or {})
        if ended:
            self._initial.discard(event.part)
            ended, self._wants_end = self._wants_end and not self._initial, self._wants_end and bool(self._initial)
        counted = (part for part in self._tasks if part not in self._refused)
        reached = min((self._versions.get(part, 0) for part in counted), default=version)
        if self._initial or not (ended or (self._bookmarks and not part_ended)):
            return None
        if not ended and reached < max(self._sent, 1):
            return None
        watched.metadata(event.object)["resourceVersion"] = str(reached or version)
        self._sent = max(self._sent, reached)
        return self._encode(event)

    async def close(self) -> None:
        """End every host watch of this one. Idempotent."""
        tasks = [*self._tasks.values(), *([self._follower] if self._follower else [])]
        for task in tasks:
            task.cancel()
        for timer in self._leaving.values():
            timer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._changes.close()


def _event(part: Part, line: bytes) -> _Event:
    """Raises msgspec.DecodeError and KeyError."""
    event = msgspec.json.decode(line)
    return _Event(part, str(event["type"]), event["object"])


async def _all_of(asked: Sequence["asyncio.Future[HostResponse | None]"]) -> list[HostResponse | BaseException | None]:
    """What all of them become. Where nobody waits for it any more, those that are answered already are ended."""
    try:
        await asyncio.wait(asked)
    except BaseException:
        for one in asked:
            one.cancel()
        await _close_all(await asyncio.gather(*asked, return_exceptions=True))
        raise
    return [one.exception() or one.result() for one in asked]


async def _close_all(responses: Any) -> None:
    for response in responses:
        if response is not None and not isinstance(response, BaseException):
            await response.close()
