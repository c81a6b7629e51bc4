"""Host watches beside the one of a content, for clients from further back than its window can be made longer for.

As after a proxy was away for longer than a window has room. Such a client is told all in order, as everybody: events of
several namespaces come in one order only where one host watch tells them. Each is a hub like the first, begun where the
oldest of those clients was; they stay there until their watches end, and it ends when nobody is left.
"""

from collections.abc import Callable, Iterator
from typing import Final

from vcproxy.host.hubs import Hub

MOST: Final = 3
"""Hubs of one content beside its first, at a time. Whoever finds no place gets host watches of its own."""


class OlderHubs:
    """Those of one content. `made` makes one that has not begun."""

    def __init__(self, made: Callable[[], Hub]) -> None:
        self._made = made
        self._hubs: list[Hub] = []

    def __iter__(self) -> Iterator[Hub]:
        return iter(self._hubs)

    async def covering(self, version: int, oldest: int) -> Hub | None:
        """One that tells all that is newer than a version; where none does one is begun, at `oldest` if that is older.

        None where there are too many, or where the host no longer has that much. Raises ApiError as the host failed.
        """
        while (hub := self._known(version)) is not None:
            if await _covers(hub, version):
                return hub
        for start in sorted({min(version, oldest), version}):  # what is older still may be gone on the host
            if len(self._hubs) >= MOST:
                return None
            hub = self._made()
            self._hubs.append(hub)
            hub.begin(start)
            if await _covers(hub, version):
                return hub
            self.forget()
        return None

    def forget(self) -> None:
        """Drop those that have ended."""
        self._hubs = [hub for hub in self._hubs if hub.alive]

    def _known(self, version: int) -> Hub | None:
        """The first that covers a version, or may do so once it is open."""
        self.forget()
        return next((hub for hub in self._hubs if hub.window.covers(version)), None)


async def _covers(hub: Hub, version: int) -> bool:
    hub.idle_since = hub.now()
    await hub.opened()
    if not hub.window.covers(version) and not hub.audiences:
        hub.close()  # it could begin only where everybody is anyway
    return hub.alive and hub.window.covers(version)
