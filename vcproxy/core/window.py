"""The events of one shared watch that are kept for those who come late: bounded, in order, apart for each tenant.

Whoever reads holds a cursor into its tenant's events, so a replay costs what the tenant has and not what the cluster
has. Events leave in the order in which they came, whichever tenant they are of.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from vcproxy.core.names import TenantId, VirtualName

COUNT: Final = 16384
"""Events of one window."""
BYTES: Final = 64 * 1024 * 1024
"""Bytes of one window: each event counts twice, as the host sent it and as its tenant gets it."""
OVERHEAD: Final = 256
"""Bytes that an event costs beside its object."""
_COMPACT: Final = 64


class Event:
    """One event. `object` is the host's JSON; `frames` are its bytes for the tenant, once somebody needed them.

    `namespace` is empty for a cluster-scoped object. `frames` counts only while `epoch` is that of the tenant's names;
    `personal` says that the bytes differ from user to user, so they are not kept.
    """

    __slots__ = ("epoch", "frames", "namespace", "object", "personal", "size", "type", "version")

    def __init__(self, version: int, namespace: VirtualName, kind: str, raw: bytes, *, personal: bool = False) -> None:
        self.version = version
        self.namespace = namespace
        self.type = kind
        self.object = raw
        self.personal = personal
        self.size = 2 * len(raw) + OVERHEAD
        self.frames = b""
        self.epoch = -1

    def __repr__(self) -> str:
        return f"<{self.type} {self.namespace or '-'} {self.version}>"


class TenantWindow:
    """The events of one tenant, oldest first, each at a place that never changes. Places may be negative."""

    __slots__ = ("_base", "_events", "_gone")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._base = 0
        self._gone = 0

    def __len__(self) -> int:
        return len(self._events) - self._gone

    @property
    def first(self) -> int:
        """The place of the oldest event that is still there."""
        return self._base + self._gone

    @property
    def end(self) -> int:
        """The place after the newest event."""
        return self._base + len(self._events)

    def __getitem__(self, place: int) -> Event:
        """The event at a place from `first` to `end`, exclusive."""
        return self._events[place - self._base]

    def after(self, version: int) -> int:
        """The place of the first event that is newer than `version`."""
        return self._base + bisect_right(self._events, version, self._gone, key=lambda event: event.version)

    def append(self, event: Event) -> None:
        self._events.append(event)

    def prepend(self, events: Sequence[Event]) -> None:
        """Put older events, in order, before all others."""
        self._compact()
        self._events[:0] = events
        self._base -= len(events)

    def pop(self) -> Event:
        """Take the oldest event out."""
        event = self._events[self._gone]
        self._gone += 1
        if self._gone >= _COMPACT and 2 * self._gone >= len(self._events):
            self._compact()
        return event

    def _compact(self) -> None:
        del self._events[: self._gone]
        self._base += self._gone
        self._gone = 0


class Window:
    """The events of all tenants. It covers every event that is newer than `start`; `reached` is how far it has come."""

    def __init__(self, start: int, *, count: int = COUNT, size: int = BYTES) -> None:
        self.start = start
        self.reached = start
        self.bytes = 0
        self._count = count
        self._size = size
        self._order: deque[TenantWindow] = deque()
        self._tenants: dict[TenantId, TenantWindow] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        return f"<window {self.start}..{self.reached} events={len(self)} bytes={self.bytes}>"

    def of(self, tenant: TenantId) -> TenantWindow:
        """The events of a tenant; it may have none."""
        found = self._tenants.get(tenant)
        if found is None:
            found = self._tenants[tenant] = TenantWindow()
        return found

    def tenants(self) -> Iterator[TenantId]:
        return iter(tuple(self._tenants))

    def forget(self, tenant: TenantId) -> None:
        """Drop the place of a tenant that has no events; nobody may hold a cursor into it."""
        if tenant in self._tenants and not len(self._tenants[tenant]):
            del self._tenants[tenant]

    def covers(self, version: int) -> bool:
        """Whether every event newer than `version` is in the window or yet to come."""
        return version >= self.start

    def append(self, tenant: TenantId, event: Event) -> None:
        """Add the newest event of a tenant; the oldest ones of all go where there is no room."""
        own = self.of(tenant)
        own.append(event)
        self._order.append(own)
        self.bytes += event.size
        while self._order and (len(self._order) > self._count or self.bytes > self._size):
            gone = self._order.popleft().pop()
            self.bytes -= gone.size
            self.start = max(self.start, gone.version)

    def has_room(self, count: int, size: int) -> bool:
        """Whether so many more events of so many bytes would go in without another going out."""
        return len(self._order) + count <= self._count and self.bytes + size <= self._size

    def prepend(self, start: int, events: Sequence[tuple[TenantId, Event]]) -> bool:
        """Put events from `start` to the window's own start, in order, before all. False, and nothing, without room."""
        size = sum(event.size for _, event in events)
        if not self.has_room(len(events), size):
            return False
        older: dict[TenantId, list[Event]] = {}
        for tenant, event in events:
            older.setdefault(tenant, []).append(event)
        for tenant, own in older.items():
            self.of(tenant).prepend(own)
        self._order.extendleft(self.of(tenant) for tenant, _ in reversed(events))
        self.bytes += size
        self.start = start
        return True
