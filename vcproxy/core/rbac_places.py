"""Words of roles and bindings that are being written: no event has told of them yet, and they count already."""

from collections.abc import Callable
from types import TracebackType
from typing import Final

from vcproxy.core.names import TenantId
from vcproxy.core.rbac_policy import Identity
from vcproxy.core.status import ApiError

LONGEST: Final = 10.0
"""Seconds for which a place is kept of whose write nobody knows what became of it: events take well under one."""


class Place:
    """Words that one write adds, until `until` at the longest: a context around the write.

    It is given up with the answer, after which the object itself is learned without anybody coming between. What was
    broken off, or answered with an error of the host, may have been written all the same: its place stays until an
    event tells of the object, or until its time is over.
    """

    def __init__(self, named: Identity, words: int, until: float) -> None:
        self.named = named
        self.words = words
        self.until = until

    def __enter__(self) -> "Place":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, ApiError) and error.status.code < 500):
            self.until = 0.0


class Places:
    """The places of all tenants. `clock` gives seconds that only grow.

    What other replicas have under way is not known here: together they may let through what each of them has under way.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[TenantId, list[Place]] = {}

    def take(self, tenant: TenantId, named: Identity, words: int) -> Place:
        """A place for what a write adds to an object; there is room for it, which is asked before."""
        place = Place(named, words, self._clock() + LONGEST)
        if words > 0:
            self._held.setdefault(tenant, []).append(place)
        return place

    def words(self, tenant: TenantId) -> int:
        """How many words of a tenant are under way."""
        held, now = self._held.pop(tenant, []), self._clock()
        if left := [place for place in held if place.until > now]:
            self._held[tenant] = left
        return sum(place.words for place in left)

    def told(self, tenant: TenantId, named: Identity) -> None:
        """An object has come: the oldest place for it is done."""
        for place in self._held.get(tenant, ()):
            if place.named == named and place.until > 0:
                place.until = 0.0
                return
