"""Watches of Shared kinds: one host watch of each for all tenants, whatever the selectors and forms of who watches.

    NodeHub (its objects as they are, and what each change was) -> NodeAudience (all tenants) -> NodeWatcher

Who sees an event is decided when it is told, by core.node_events. Where that alone does not tell a client all, for its
tenant's selection has changed, or the labels of a node that CSINodes and ResourceSlices follow, it has to list again.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Final

import msgspec

from vcproxy.core import events, node_events, nodes, status
from vcproxy.core.content import Content
from vcproxy.core.events import Heard
from vcproxy.core.hosting import HostResponse
from vcproxy.core.names import TenantId
from vcproxy.core.node_events import Look, NodeEvent, States
from vcproxy.core.nodes import NODES
from vcproxy.core.scope import Scope
from vcproxy.core.view import TenantView
from vcproxy.host import answers
from vcproxy.host.audience import PORTION, Audience, Portion, Watcher
from vcproxy.host.backfill import Backfill, Owned
from vcproxy.host.hubs import Hub

EVERYONE: Final = TenantId("")
"""Whose the events are: kept once for all tenants."""
PAGE: Final = 500
"""Objects of one chunk of a list."""


class NodeHub(Hub):
    """One Shared kind. `states` are its objects after the last event that was taken in, by name."""

    states: States

    async def _open(self, wanted: int) -> HostResponse:
        newest = await self._newest()
        for start in (min(wanted, newest), newest):
            states = await self.states_at(start)
            if states is None:
                continue
            response = await self._watch(start)
            if response.status == 200:
                self.states = states
                self.window.start = self.window.reached = start
                return response
            await self._refused(response)
        raise status.bad_gateway()

    async def states_at(self, version: int) -> States | None:
        """All objects as they were at a version, None where the host does not have it any more. Raises ApiError."""
        found: States = {}
        chunk: tuple[tuple[str, str], ...] = (("resourceVersion", str(version)), ("resourceVersionMatch", "Exact"))
        while chunk:
            response = await self.ask(self.content.target(("limit", str(PAGE)), *chunk))
            try:
                if response.status != 200:
                    await self._refused(response)
                    return None
                raw = await response.read(answers.BODY_LIMIT)
            finally:
                await response.close()
            more = await asyncio.to_thread(_take_in, raw, self.row.key, found)
            chunk = (("continue", more),) if more else ()
        return found

    def audience(self, tenant: TenantId) -> "NodeAudience":
        found = self.audiences.get(EVERYONE)
        if not isinstance(found, NodeAudience):
            found = self.audiences[EVERYONE] = NodeAudience(self, EVERYONE)
        return found

    def _give(self, heard: Heard) -> Audience:
        self.window.append(EVERYONE, node_events.change(self.states, heard, self.row.key))
        return self.audience(EVERYONE)

    def concerns(self, look: Look, names: Collection[str]) -> bool:
        """Whether other labels of these nodes matter to an object that is there."""
        key, sight = self.row.key, look.sight
        return any(nodes.concerns(state.place, key, name, sight) for state in self.states.values() for name in names)


class _Listed(msgspec.Struct):
    metadata: dict[str, msgspec.Raw] = {}
    items: list[msgspec.Raw] | None = None
    apiVersion: str = ""  # noqa: N815 - the name on the wire


def _take_in(raw: bytes, key: tuple[str, str], found: States) -> str:
    """Take the objects of a list in. Its continue token. Raises ApiError 502."""
    try:
        listed = msgspec.json.decode(raw, type=_Listed)
        for item in listed.items or ():
            state = node_events.state_of(bytes(item), key)
            found[str(state.place["metadata"]["name"])] = state
        return msgspec.json.decode(listed.metadata.get("continue", b'""'), type=str)
    except (msgspec.DecodeError, RecursionError):
        raise status.bad_gateway() from None


class NodeBackfill(Backfill):
    """The way back of a NodeHub: what was before each event is known from a list of the version that it begins at."""

    def __init__(self, hub: NodeHub) -> None:
        super().__init__(hub)
        self._nodes = hub

    async def _owned(self, version: int, heard: list[Heard]) -> Owned | None:
        states = await self._nodes.states_at(version)
        if states is None:
            return None
        return [(EVERYONE, node_events.change(states, one, self._nodes.row.key)) for one in heard]


class NodeAudience(Audience):
    """All who watch a Shared kind."""

    def know(self, scope: Scope) -> None:
        """Watchers bring what is to be known of their tenants themselves."""

    def refresh(self) -> None:
        """The same."""

    def harmed(self, watcher: Watcher) -> None:
        """All tenants are here, and each looks at events in its own way: it is that one's trouble."""
        watcher.give_up()

    def _made(self, watcher: Watcher) -> Portion:
        assert isinstance(watcher, NodeWatcher)
        parts, size, place, last = list[bytes](), 0, watcher.cursor, 0
        headed = watcher.headed
        while place < self.window.end and size < PORTION:
            event = self.window[place]
            place += 1
            assert isinstance(event, NodeEvent)
            frame = watcher.look_at.frame(event, headed=headed) if event.version > watcher.after else b""
            if frame:
                parts.append(frame)
                headed, last = True, event.version
                size += len(frame)
        return b"".join(parts), place, last


class NodeWatcher(Watcher):
    """One client's watch. `look_at` is how it looks at events; `current` is its tenant as it is now."""

    __slots__ = ("_anchor", "_bookmark", "current", "look_at")

    def __init__(
        self,
        audience: NodeAudience,
        after: int,
        *,
        look_at: Look,
        current: Callable[[], TenantView | None],
        bookmarks: bool,
        deadline: float,
        valid: Callable[[], bool],
        give_back: Callable[[], None],
        initial: Iterable[bytes],
        headed: bool,
    ) -> None:
        super().__init__(
            audience,
            after,
            namespaces=None,
            bookmarks=bookmarks,
            deadline=deadline,
            user=look_at.key,
            valid=valid,
            give_back=give_back,
            initial=initial,
            headed=headed,
        )
        self.look_at, self.current = look_at, current
        self._anchor = min(after, look_at.sight.reached())
        self._bookmark = bookmark_of(look_at, self._hub.content.version)

    @property
    def _hub(self) -> NodeHub:
        assert isinstance(self.audience.hub, NodeHub)
        return self.audience.hub

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        return events.bookmark(self._bookmark, version, initial_end=initial_end)

    def look(self, now: float, *, check: bool) -> None:
        """As for every watcher; and who cannot be told all any more is told to list again."""
        if self._is_misled():
            self.expire()
        else:
            super().look(now, check=check)

    def _is_misled(self) -> bool:
        """Whether the events that come do not tell all."""
        view, sight = self.current(), self.look_at.sight
        if view is not None and view.nodes != sight.selection:
            return True
        if self.look_at.row.key == NODES:
            return False
        reached = sight.reached()
        names = sight.changed(sight.selection, self._anchor)
        if names is None or (names and self._hub.concerns(self.look_at, names)):
            return True
        self._anchor = max(self._anchor, reached)
        return False


def check_known(look: Look, after: int) -> None:
    """Raises ApiError 410 where events since a version do not tell all that has changed for a tenant."""
    names = look.sight.changed(look.sight.selection, after) if look.row.key != NODES else ()
    if after < look.sight.selection.since or names is None or names:
        raise status.gone(f"too old resource version: {after}: what this cluster has of nodes has changed since")


def frames_of(look: Look, view: nodes.Object) -> tuple[list[bytes], bool]:
    """The initial events of a list as the tenant sees it, and whether a Table's columns are in them."""
    head = {"kind": look.row.kind, "apiVersion": view.get("apiVersion")}
    headed = look.form.name != "Table"
    found = list[bytes]()
    for item in view["items"]:
        found.append(look.first({**head, **item}, headed=headed))
        headed = True
    return found, headed


def bookmark_of(look: Look, version: str) -> nodes.Object:
    """The object of a bookmark in the form of a watch; `version` is that of the kind."""
    row, form = look.row, look.form
    return Content(row.group, version, row.resource, row.kind, True, form.name, form.version).bookmark()
