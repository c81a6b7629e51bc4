"""What lenses know when a request comes, and how old the places are that it goes to."""

from collections.abc import Callable, Collection
from typing import Final, Protocol

from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.names import HostName, TenantId, VirtualName, down, possible_namespace
from vcproxy.core.nodes import Sight
from vcproxy.core.request import ApiRequest
from vcproxy.core.scope import Authorities, Scope, of_tenant
from vcproxy.core.view import NamespaceInfo, TenantView

LEARNED: Final = 1024
"""Host names that are kept of a tenant so that free text can be mapped."""
Ages = Callable[[str], float | None]
"""When a namespace of the host was made that a request goes to, in epoch seconds; of "" when its kind was defined."""


class Registry(Protocol):
    """tenants.registry.Registry."""

    def tenant(self, tenant: TenantId) -> TenantView | None: ...

    def sight(self, view: TenantView) -> Sight:
        """What a tenant may see of nodes."""
        ...

    async def namespace(self, tenant: TenantId, name: VirtualName, deadline: float) -> NamespaceInfo | None: ...


class Scopes:
    """Makes them. `timeout` is in seconds, for the host to say whether a namespace is there that nobody told of yet."""

    def __init__(
        self,
        registry: Registry,
        clock: Callable[[], float],
        *,
        timeout: float,
        authorities: Authorities,
        exports: Exports = NOTHING,
        host_audiences: frozenset[str] = frozenset(),
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._timeout = timeout
        self._authorities = authorities
        self._exports = exports
        self._host_audiences = host_audiences
        self._learned: dict[TenantId, set[str]] = {}

    async def of(self, view: TenantView, user: str, asked: ApiRequest) -> tuple[Scope, Ages]:
        """The scope of a request, and the ages of what it goes to. Raises ApiError where the host does not answer."""
        namespaces: Collection[VirtualName] = view.namespaces
        found = await self._just_made(view, asked)
        if found is not None:
            namespaces = {*view.namespaces, found[0]}
        scope = of_tenant(
            view,
            self._registry.sight(view),
            user,
            self._exports,
            namespaces=namespaces,
            learned=self._learned_of(view.id),
            authorities=self._authorities,
            host_audiences=self._host_audiences,
        )
        return scope, self._ages(view, asked, found)

    async def _just_made(self, view: TenantView, asked: ApiRequest) -> tuple[VirtualName, NamespaceInfo] | None:
        """The namespace that is asked for, where the snapshot does not know it yet and it is there."""
        name = VirtualName(asked.name if asked.resource == "namespaces" else asked.namespace)
        if not name or name in view.namespaces or not possible_namespace(name, view.id):
            return None
        info = await self._registry.namespace(view.id, name, self._timeout)
        return (name, info) if info is not None else None

    def _learned_of(self, tenant: TenantId) -> set[str]:
        learned = self._learned.setdefault(tenant, set())
        if len(learned) > LEARNED:
            learned.clear()
        return learned

    def _ages(self, view: TenantView, asked: ApiRequest, just: tuple[VirtualName, NamespaceInfo] | None) -> Ages:
        defined = view.apis.made(asked.group, asked.resource) if view.apis.apis else None

        def created(host: str) -> float | None:
            if not host:
                return defined
            own = down(view.id, HostName(host)) or VirtualName("")
            now = self._registry.tenant(view.id) or view  # a watch outlives the snapshot that it began with
            info = now.namespaces.get(own) or (just[1] if just is not None and just[0] == own else None)
            made = info.created if info else (self._clock() if asked.resource == "namespaces" else None)
            return max(made, defined) if made is not None and defined is not None else made

        return created
