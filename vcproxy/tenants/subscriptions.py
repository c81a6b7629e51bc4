"""What open watches want to know of their tenant, told through bounded queues."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.view import NamespaceInfo, TenantView

QUEUE_LIMIT: Final = 1024
"""Events that wait for one reader: whoever lets more pile up is cut off, as a slow watcher is."""


class NamespaceAdded(msgspec.Struct, frozen=True):
    """A namespace of the tenant is there now."""

    name: VirtualName
    info: NamespaceInfo


class NamespaceRemoved(msgspec.Struct, frozen=True):
    """A namespace of the tenant is gone (its deletion has ended)."""

    name: VirtualName


class TenantChanged(msgspec.Struct, frozen=True):
    """Phase, profile, classes or uid of the tenant changed; None when there is no such tenant any more."""

    view: TenantView | None


TenantEvent = NamespaceAdded | NamespaceRemoved | TenantChanged


class Subscription:
    """An async iterator of TenantEvents. It ends when closed; `overflowed` says that it was cut off."""

    def __init__(self, closed: Callable[["Subscription"], None], limit: int = QUEUE_LIMIT) -> None:
        self.overflowed = False
        self._closed_callback = closed
        self._limit = limit
        self._events: deque[TenantEvent] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> TenantEvent:
        while not self._events and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        if self._events and not self.overflowed:
            return self._events.popleft()
        raise StopAsyncIteration

    def push(self, event: TenantEvent) -> None:
        """Hand an event to the reader; closes the subscription when too many wait."""
        if len(self._events) >= self._limit:
            self.overflowed = True
            self.close()
        elif not self._closed:
            self._events.append(event)
            self._wake.set()

    def drain(self) -> None:
        """Forget what waits: for a reader that looks at the state after the first event."""
        self._events.clear()

    def close(self) -> None:
        """End it: the reader gets what was told before, then the end. Idempotent."""
        if not self._closed:
            self._closed = True
            self._closed_callback(self)
        self._wake.set()


class Subscriptions:
    """The open subscriptions of all tenants."""

    def __init__(self) -> None:
        self._open: dict[TenantId, set[Subscription]] = {}

    def subscribe(self, tenant: TenantId) -> Subscription:
        subscription = Subscription(lambda closed: self._forget(tenant, closed))
        self._open.setdefault(tenant, set()).add(subscription)
        return subscription

    def publish(self, tenant: TenantId, event: TenantEvent) -> None:
        for subscription in tuple(self._open.get(tenant, ())):
            subscription.push(event)

    def _forget(self, tenant: TenantId, subscription: Subscription) -> None:
        rest = self._open.get(tenant, set())
        rest.discard(subscription)
        if not rest:
            self._open.pop(tenant, None)
