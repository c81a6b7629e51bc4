"""How many kinds a tenant may define: counted with those that are under way, of which no event has told yet."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from vcproxy.core import guard
from vcproxy.core.apis import DEFINITIONS
from vcproxy.core.http import Reply
from vcproxy.core.names import TenantId
from vcproxy.core.request import ApiRequest
from vcproxy.core.status import ApiError
from vcproxy.core.view import TenantView

LONGEST: Final = 10.0
"""Seconds for which a place is kept whose definition nobody tells of: events take well under one."""


class Definitions:
    """Places for definitions. `most` is how many a tenant may have, `clock` gives seconds that only grow.

    A place is given up when the host refuses, when one more definition of the tenant is told of, or after LONGEST. What
    other replicas have under way is not known here: together they may let through what each of them has under way.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._waiting: dict[TenantId, _Waiting] = {}

    def place(self, asked: ApiRequest, view: TenantView) -> "Place | None":
        """A place for what a request defines; None where it defines nothing. Raises ApiError 403 if there is none."""
        if asked.resource != DEFINITIONS[1]:
            return None
        waiting = self._told(view)
        guard.check_count(asked, view.apis, self._most, len(waiting.places))
        if not guard.defines(asked, view.apis):
            return None
        place = Place(self._clock() + LONGEST, waiting.places)
        waiting.places.append(place)
        self._waiting[view.id] = waiting
        return place

    def _told(self, view: TenantView) -> "_Waiting":
        """What is still under way: of those that were told of since, one place each is done."""
        held = view.apis.definitions
        waiting = self._waiting.pop(view.id, None)
        if waiting is None:
            return _Waiting(held)
        del waiting.places[: len(held - waiting.seen)]
        waiting.seen, now = held, self._clock()
        waiting.places[:] = [place for place in waiting.places if place.until > now]
        if waiting.places:
            self._waiting[view.id] = waiting
        return waiting


class Place:
    """One definition that is under way, until `until` at the longest."""

    def __init__(self, until: float, places: "list[Place]") -> None:
        self.until = until
        self._places = places

    async def settled(self, reply: Awaitable[Reply]) -> Reply:
        """The reply; the place is given up where the host has made nothing. What is not known may have been made."""
        try:
            found = await reply
        except ApiError as refusal:
            self._settle(refusal.status.code)
            raise
        self._settle(found.code)
        return found

    def _settle(self, code: int) -> None:
        if code != 201 and code < 500 and self in self._places:
            self._places.remove(self)


class _Waiting:
    """The places of one tenant, the oldest first, and the definitions that were known when it was last looked at."""

    def __init__(self, seen: frozenset[str]) -> None:
        self.seen = seen
        self.places: list[Place] = []
