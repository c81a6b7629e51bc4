"""What one open watch follows of its tenant: level-based, so that any number of events are one reason to look."""

from collections.abc import Callable, Mapping

from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.view import ClassLists, NamespaceInfo, Phase, TenantView
from vcproxy.tenants.subscriptions import Subscription


class TenantChanges:
    """`namespaces` is asked after each `changed`; nothing that happens between the two is lost."""

    def __init__(
        self,
        view: TenantView,
        current: Callable[[TenantId], TenantView | None],
        subscribe: Callable[[TenantId], Subscription],
    ) -> None:
        self._view = view
        self._current = current
        self._subscribe = subscribe
        self._subscription = subscribe(view.id)

    def namespaces(self) -> Mapping[VirtualName, NamespaceInfo] | None:
        """The namespaces now; None once this tenant may not watch: gone, made anew, suspended or going."""
        now = self._now()
        return now.namespaces if now is not None else None

    def classes(self) -> ClassLists | None:
        """The classes that the tenant may use now; None in the same case."""
        now = self._now()
        return now.classes if now is not None else None

    def _now(self) -> TenantView | None:
        now = self._current(self._view.id)
        return now if now is not None and now.uid == self._view.uid and now.phase is Phase.ACTIVE else None

    async def changed(self) -> None:
        """Returns after the next change of the tenant or its namespaces."""
        try:
            await anext(self._subscription)
        except StopAsyncIteration:  # too many at once: they are one reason to look, as any number is
            self._subscription = self._subscribe(self._view.id)
            return
        self._subscription.drain()

    async def close(self) -> None:
        self._subscription.close()
