"""Those who watch one content of one tenant, and how events reach them: pushed, without a task for each.

    Hub -> Audience (its tenant's events, rewritten once) -> Watcher -> core.http.Sink

A watcher that keeps up gets the same bytes as all others of its tenant. One that is behind keeps its cursor and goes on
from there when its client has read; nobody waits for it.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, Protocol

import msgspec

from vcproxy.core import events, status
from vcproxy.core.events import Heard
from vcproxy.core.http import Sink
from vcproxy.core.kinds import Kind
from vcproxy.core.lens import Lens
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.scope import Scope
from vcproxy.core.view import TenantView
from vcproxy.core.window import Event, TenantWindow, Window

log = logging.getLogger(__name__)

PORTION: Final = 64 * 1024
"""Bytes from which a portion for one watcher ends: then it is looked at whether its client keeps up."""
STALLED: Final = 60.0
"""Seconds after which a watcher that reads nothing is cut off."""
SLICE: Final = 256
"""Watchers that are written to in one turn of the loop: some milliseconds."""
BOOKMARK: Final = (45.0, 60.0)
"""Seconds between two bookmarks of a watcher (kube-apiserver: defaultBookmarkFrequency, at most that), spread so that
watchers that began together do not get all of them at once."""
HELD: Final = 1024
"""Events of a tenant that wait until it is known whose their namespace is."""

_EXPIRED: Final = events.frame("ERROR", status.gone("the resourceVersion of this watch is too old").status.encode())
Portion = tuple[bytes, int, int]
"""Frames, the place after them, and the version of the last event in them (0: there is none)."""
Memo = dict[tuple[int, frozenset[VirtualName] | None, str, bool], Portion]


class Feeding(Protocol):
    """What an audience needs of its hub."""

    @property
    def row(self) -> Kind: ...
    @property
    def window(self) -> Window: ...
    @property
    def alive(self) -> bool: ...
    @property
    def expired(self) -> int:
        """Up to which version the host has said that what comes next is gone; -1 where it has not."""
        ...

    @property
    def columns(self) -> bytes:
        """The column definitions of its Tables."""
        ...

    @property
    def lenses(self) -> dict[int, Lens]: ...
    @property
    def current(self) -> Callable[[TenantId], TenantView | None]: ...
    @property
    def now(self) -> Callable[[], float]: ...

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes: ...


class Audience:
    """One tenant's watchers of one hub. `lost`: up to this version events of it may be missing; `born`: it had none."""

    def __init__(self, hub: Feeding, tenant: TenantId) -> None:
        self.hub = hub
        self.tenant = tenant
        self.window: TenantWindow = hub.window.of(tenant)
        self.watchers: dict[Watcher, None] = {}
        self._due: dict[Watcher, None] = {}
        self.held: deque[Heard] = deque()
        self.lost = self.born = 0
        self._epoch = 0
        self._uid = ""
        self._view: TenantView | None = None
        self._scope = Scope(tenant)

    def __repr__(self) -> str:
        return f"<audience {self.tenant} watchers={len(self.watchers)} events={len(self.window)} held={len(self.held)}>"

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten. When its tenant was born is known again by asking."""
        return not (self.watchers or self.held or len(self.window)) and self.lost <= self.hub.window.start

    @property
    def floor(self) -> int:
        """The oldest version from which a watch may begin."""
        return max(self.lost, self.born)

    def covers(self, version: int) -> bool:
        return self.hub.alive and self.hub.window.covers(version) and version >= self.floor

    def add(self, heard: Heard, namespace: VirtualName) -> None:
        """Keep an event; `deliver` brings it to the watchers."""
        self.hub.window.append(self.tenant, event_of(heard, namespace))

    def know(self, scope: Scope) -> None:
        """Take up what the newest watcher knows of the tenant. One made anew does not see what was before it."""
        view = self.hub.current(self.tenant)
        if view is not None and view.uid != self._uid:
            self._begin(view)
        self._scope = scope
        self._view = None

    def _begin(self, view: TenantView) -> None:
        """Events from before a tenant are another owner's of its id: no watch begins there, and that one's end.

        Never beyond where the hub is, so that whoever is refused finds a newer version by listing anew: a kind may be
        kept in another etcd, whose versions have not come as far.
        """
        reached = self.hub.window.reached
        birth = view.birth.of(self.hub.row.group, self.hub.row.resource)
        self.born = birth if birth <= reached else 0  # who asks for less is refused on the way already
        if self._uid and not self.born:  # a Tenant of an older program: nobody noted when it was made
            self.lost = max(self.lost, reached)
        self._uid = view.uid
        self.finish()

    def deliver(self) -> None:
        """Bring every watcher that keeps up to the end; where they are many, a slice in each turn of the loop.

        So no tenant has to wait until all watchers of another have been written to. Who is due is not put off by what
        comes meanwhile.
        """
        self.refresh()
        delivering = bool(self._due)
        self._due |= self.watchers
        if not delivering:
            self._deliver_slice()

    def _deliver_slice(self) -> None:
        memo: Memo = {}
        for watcher in tuple(islice(self._due, SLICE)):
            del self._due[watcher]
            try:
                watcher.pump(memo)
            except Exception:
                log.exception("%r: a watcher could not be written to: it is cut off", self)
                watcher.cut()
        if self._due:
            asyncio.get_running_loop().call_soon(self._deliver_slice)

    def finish(self, watchers: Iterable["Watcher"] | None = None) -> None:
        """End watchers (all, if none are named) cleanly: they watch on from where they are."""
        for watcher in tuple(self.watchers if watchers is None else watchers):
            watcher.end()

    def expire(self, reached: int) -> None:
        """The host no longer has what comes after `reached`: whoever has seen nothing newer is too old for it too."""
        for watcher in [watcher for watcher in self.watchers if watcher.told <= reached]:
            watcher.expire()

    def missed(self, version: int) -> None:
        """Something up to `version` cannot be told: whoever is not past it has to list again."""
        self.lost = max(self.lost, version)
        self.finish([watcher for watcher in self.watchers if watcher.told < version])

    def lose(self, namespace: str, count: int) -> None:
        """Of the first so many that are held, those of a namespace that is gone can be told to nobody."""
        first = [self.held.popleft() for _ in range(count)]
        lost = [heard for heard in first if heard.namespace == namespace]
        self.held.extendleft(heard for heard in reversed(first) if heard.namespace != namespace)
        self.missed(lost[-1].version)

    def harmed(self, watcher: "Watcher") -> None:
        """An event cannot be rewritten for a watcher: all of its tenant who were not told of it list again."""
        self.missed(self.hub.window.reached)
        watcher.end()

    def refresh(self) -> None:
        """Take up the tenant's names of now."""
        view = self.hub.current(self.tenant)
        if view is None or view is self._view:
            return
        if self._uid and view.uid != self._uid:
            self._begin(view)
        if view.classes != self._scope.classes:
            self._epoch += 1  # what was rewritten under other classes counts no more
        self._view = view
        self._scope = msgspec.structs.replace(self._scope, classes=view.classes, namespaces=view.namespaces)

    def portion(self, watcher: "Watcher", memo: Memo) -> Portion:
        """The next bytes for a watcher."""
        key = watcher.cursor, watcher.namespaces, watcher.user, watcher.headed
        fresh = self.window[watcher.cursor].version > watcher.after
        if fresh and (found := memo.get(key)) is not None:
            return found
        made = self._made(watcher)
        if fresh:
            memo[key] = made
        return made

    def _made(self, watcher: "Watcher") -> Portion:
        parts, size, place, last = list[bytes](), 0, watcher.cursor, 0
        headed = watcher.headed
        while place < self.window.end and size < PORTION:
            event = self.window[place]
            place += 1
            if event.version <= watcher.after or not watcher.wants(event):
                continue
            parts.append(self._frames(event, watcher.user) if headed else self._first(event, watcher.user))
            headed, last = True, event.version
            size += len(parts[-1])
        return (parts[0] if len(parts) == 1 else b"".join(parts)), place, last

    def _frames(self, event: Event, user: str) -> bytes:
        if event.personal:
            return events.frame(event.type, self._view_of(event, user))
        if event.epoch != self._epoch:
            event.frames = events.frame(event.type, self._view_of(event, user))
            event.epoch = self._epoch
        return event.frames

    def _first(self, event: Event, user: str) -> bytes:
        raw = events.with_columns(self._view_of(event, user), self.hub.columns)
        return events.frame(event.type, raw)

    def _view_of(self, event: Event, user: str) -> bytes:
        scope = self._scope if self._scope.user == user else msgspec.structs.replace(self._scope, user=user)
        return events.view(event.object, self.hub.row, scope, self.hub.lenses)


def event_of(heard: Heard, namespace: VirtualName) -> Event:
    return Event(heard.version, namespace, heard.type, heard.object, personal=events.PERSONAL in heard.object)


def _next_bookmark(now: float) -> float:
    return now + random.uniform(*BOOKMARK)  # noqa: S311 - jitter, not a secret


class Watcher:
    """One client's watch: a core.http.Feed.

    `after` is the version that it starts from, `told` the newest that it was told; `deadline` and `bookmark_at` are
    moments of the hub's clock; `headed` says that it has column definitions (always, where there are none).
    """

    __slots__ = (
        "_give_back", "_initial", "_silent", "_sink", "_stalled", "after", "audience", "bookmark_at", "bookmarks",
        "cursor", "deadline", "headed", "namespaces", "told", "user", "valid",
    )  # fmt: skip

    def __init__(
        self,
        audience: Audience,
        after: int,
        *,
        namespaces: frozenset[VirtualName] | None,
        bookmarks: bool,
        deadline: float,
        user: str,
        valid: Callable[[], bool],
        give_back: Callable[[], None],
        initial: Iterable[bytes] = (),
        headed: bool = True,
    ) -> None:
        self.audience = audience
        self.after = self.told = after
        self.namespaces = namespaces
        self.bookmarks = bookmarks
        self.deadline = deadline
        self.bookmark_at = 0.0
        self.user = user
        self.valid = valid
        self.headed = headed
        self.cursor = 0
        self._initial: deque[bytes] | None = deque(initial) or None
        self._give_back: Callable[[], None] | None = give_back
        self._sink: Sink | None = None
        self._silent = not self._initial
        self._stalled = 0.0

    def wants(self, event: Event) -> bool:
        return self.namespaces is None or event.namespace in self.namespaces

    # What the listener calls ---------------------------------------------------------------------------------------

    def start(self, sink: Sink) -> None:
        self._sink, audience = sink, self.audience
        if not audience.covers(self.after):
            if not self._initial and self.after <= audience.hub.expired:
                sink.write(_EXPIRED)
            sink.end()
            return
        self.cursor = audience.window.after(self.after)
        self.bookmark_at = _next_bookmark(audience.hub.now())
        audience.watchers[self] = None
        audience.refresh()
        self.pump({})
        if self._silent:
            self.mark()

    def resume(self) -> None:
        self._stalled = 0.0
        self.pump({})

    def drain(self) -> None:
        self.mark()
        self.end()

    def stop(self) -> None:
        self.audience.watchers.pop(self, None)
        self._sink = self._initial = None
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    # What the audience and the sweep call ----------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether something waits for its client."""
        return self._initial is not None or self.cursor < self.audience.window.end

    def pump(self, memo: Memo) -> None:
        """Write until the end is reached or the client is behind."""
        window = self.audience.window
        while self._initial and self._sink is not None and not self._sink.blocked:
            self._sink.write(self._initial.popleft())
        if not self._initial:
            self._initial = None
        if self.cursor < window.first:
            self.cut()
        while self._sink is not None and not self._initial and self.cursor < window.end and not self._sink.blocked:
            try:
                portion = self.audience.portion(self, memo)
            except Exception:  # one object of one tenant: nobody else is to notice
                log.exception("%r cannot tell an event: its watchers list again", self.audience)
                self.audience.harmed(self)
                return
            self._write(*portion)
        if self._sink is not None and self.behind and not self._stalled:
            self._stalled = self.audience.hub.now()

    def _write(self, frames: bytes, place: int, last: int) -> None:
        self.told = max(self.told, last)
        self.cursor = place
        if frames and self._sink is not None:
            self.headed, self._silent = True, False
            self._sink.write(frames)

    def mark(self) -> None:
        """A bookmark, where it was asked for and says something new, or is the first that its client hears.

        The first comes at once where nothing else does: client-go lists again after a watch that ended in its first
        second without an event (tools/cache/reflector.go, VeryShortWatchError), as where a proxy is killed just then.
        """
        hub = self.audience.hub
        self.bookmark_at = _next_bookmark(hub.now())
        if self._sink is None or not self.bookmarks or self.behind or self._sink.blocked:
            return
        reached = self._reached()
        if reached > self.told or self._silent:
            self.told, self._silent = reached, False
            self._sink.write(self.bookmark(reached))

    def _reached(self) -> int:
        """Up to which version this client has had everything.

        A client may be ahead of its hub, which moves with its own kind only: then it is the version that the client
        named itself, and says nothing new of the host.
        """
        return self.told if self.audience.held else max(self.audience.hub.window.reached, self.told)

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        """A framed bookmark."""
        return self.audience.hub.bookmark(version, initial_end=initial_end)

    def end(self) -> None:
        """End the answer cleanly."""
        if self._sink is not None:
            self._sink.end()

    def expire(self) -> None:
        """End with the host's word that the client must list again, if it has had everything before."""
        if self.behind:
            self.end()
        else:
            self.give_up()

    def give_up(self) -> None:
        """End with that word whatever the client has had."""
        if self._sink is not None and not self._sink.blocked:
            self._sink.write(_EXPIRED)
        self.end()

    def cut(self) -> None:
        """Cut a client off that is too far behind."""
        sink, self._sink = self._sink, None
        self.audience.watchers.pop(self, None)
        if sink is not None:
            sink.abort()

    def look(self, now: float, *, check: bool) -> None:
        """What the sweep does: the end of its time, of its rights or of our patience, and bookmarks."""
        if self._stalled and not self.behind:
            self._stalled = 0.0
        if now >= self.deadline:
            self.drain()
        elif (self._stalled and now - self._stalled > STALLED) or self.cursor < self.audience.window.first:
            self.cut()
        elif check and not self.valid():
            self.end()
        elif self.bookmarks and now >= self.bookmark_at:
            self.mark()
