"""Events of Shared kinds: what one change on the host is to each tenant that watches. Pure.

A node that gets another label may begin to be a tenant's, or cease to be: then the same MODIFIED of the host is an
ADDED to one, a DELETED to another, and to a third nothing. So the states before and after are kept with the event.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from vcproxy.core import events, nodes, printers
from vcproxy.core.kinds import Kind
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.nodes import Chosen, Object, Sight
from vcproxy.core.printers import Form
from vcproxy.core.window import Event

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class State(msgspec.Struct, frozen=True):
    """An object of the host at one moment. `place` says who sees it, `raw` is its JSON, stripped.

    `words` could be ids of tenants (core.nodes.words).
    """

    place: Object
    raw: bytes
    words: frozenset[str]


def state_of(raw: bytes, key: tuple[str, str]) -> State:
    """The state of an object as the host has it. Raises msgspec.DecodeError for what is no object."""
    document = _decode(raw)
    place = nodes.placed(document, key)
    nodes.stripped(document, key)
    return State(place, _encode(document), nodes.words(document))


States = dict[str, State]


class NodeEvent(Event):
    """A change: the state before it and the state after it, None where there is none. `shown` are frames for many."""

    __slots__ = ("after", "before", "shown")

    def __init__(self, version: int, kind: str, before: State | None, after: State | None) -> None:
        super().__init__(version, VirtualName(""), kind, b"")
        self.before = before
        self.after = after
        self.shown: dict[str, bytes] = {}
        self.size += 2 * sum(len(state.raw) for state in (before, after) if state is not None)


def change(states: States, heard: events.Heard, key: tuple[str, str]) -> NodeEvent:
    """The event of a change; `states` are taken on to what is after it. Raises msgspec.DecodeError."""
    now = state_of(heard.object, key)
    before = states.pop(heard.name, None)
    if heard.type == "DELETED":
        return NodeEvent(heard.version, heard.type, now if before is None else _at_end(before, now), None)
    states[heard.name] = now
    return NodeEvent(heard.version, heard.type, before, now)


def _at_end(before: State, now: State) -> State:
    """The last state, as the host tells of it: who saw the object until now is told."""
    return State(before.place, now.raw, now.words)


class Look(msgspec.Struct, frozen=True):
    """How one watcher looks at the events of a kind: for whom, what of it, in which form. `clock` is epoch seconds."""

    row: Kind
    tenant: TenantId
    sight: Sight
    chosen: Chosen
    form: Form
    clock: Callable[[], float]

    @property
    def key(self) -> str:
        """The same for all watchers that get the same bytes."""
        return repr((self.tenant, self.sight.selection, self.chosen.terms, self.chosen.fields, self.form))

    def frame(self, event: NodeEvent, *, headed: bool) -> bytes:
        """The bytes of an event for this watcher, none where it is not to know of it."""
        was, is_ = self._sees(event.before), self._sees(event.after)
        if is_ and event.after is not None:
            return self._framed("MODIFIED" if was else "ADDED", event, event.after, headed)
        if was and event.before is not None:
            return self._framed("DELETED", event, event.before, headed)
        return b""

    def first(self, view: Object, *, headed: bool) -> bytes:
        """The ADDED event of an object that is there when the watch begins."""
        return events.frame("ADDED", self._formed(view, headed))

    def _sees(self, state: State | None) -> bool:
        if state is None or not nodes.visible(state.place, self.row.key, self.sight):
            return False
        return not (self.chosen.terms or self.chosen.fields) or self.chosen.holds(self._view(state))

    def _view(self, state: State) -> Object:
        return nodes.shown(_decode(state.raw), self.row.key, self.tenant, self.sight)

    def _framed(self, kind: str, event: NodeEvent, state: State, headed: bool) -> bytes:
        if self.form.name or self._is_personal(state):
            return events.frame(kind, self._formed(self._dated(self._view(state), event), headed))
        if kind not in event.shown:
            raw = state.raw if state is event.after else _encode(self._dated(_decode(state.raw), event))
            event.shown[kind] = events.frame(kind, raw)
        return event.shown[kind]

    def _is_personal(self, state: State) -> bool:
        """Whether tenants see different things of an object that they see."""
        sliced = self.row.key == nodes.SLICES and bool(self.sight.selection.terms)
        return sliced or any(word in self.sight.tenants for word in state.words)

    def _dated(self, view: Object, event: NodeEvent) -> Object:
        """With the version of the event: that of an object that is not seen any more is from before it."""
        printers.metadata(view)["resourceVersion"] = str(event.version)
        return view

    def _formed(self, view: Object, headed: bool) -> bytes:
        return _encode(printers.shown(view, self.row.kind, self.form, self.clock(), columns=not headed))
