"""Where Shadow kinds stand: custom resources in the tenant's namespaces on the host, asked for as the tenant."""

from typing import Final

from vcproxy.core import bodies, media, shadow
from vcproxy.core.hosting import HostResponse
from vcproxy.core.http import Headers
from vcproxy.core.names import VirtualName, up
from vcproxy.core.parameters import Pairs
from vcproxy.core.plan import Identity, Shadow
from vcproxy.core.printers import Object
from vcproxy.core.request import render_query
from vcproxy.core.scope import Scope
from vcproxy.host import answers
from vcproxy.host.answers import HostRefusal
from vcproxy.host.identity import Exchange

WRITING: Final = ("dryRun", "fieldManager", "fieldValidation", "force")
DELETING: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")


class ShadowStore:
    """The host's objects of one tenant. Paths are the host's, names in plans the tenant's."""

    def __init__(self, exchange: Exchange, scope: Scope) -> None:
        self._exchange = exchange
        self._scope = scope

    def collection_path(self, wanted: Shadow) -> str:
        """Of the one namespace that is asked for."""
        return shadow.path(wanted.row, self._scope.tenant, namespace_of(wanted))

    def object_path(self, wanted: Shadow) -> str:
        """Of the one object that is asked for."""
        return shadow.path(wanted.row, self._scope.tenant, namespace_of(wanted), wanted.name)

    def stored(self, wanted: Shadow, document: Object) -> bytes:
        """The body of a write. Raises ApiError 403, 422: shadow.to_host."""
        return bodies.encode_json(shadow.to_host(document, wanted.row, self._scope))

    async def present(self, wanted: Shadow) -> Object | None:
        """What stands there now, or None."""
        try:
            return await self.ask(wanted, "GET", self.object_path(wanted))
        except HostRefusal as refusal:
            if refusal.status.code == 404:
                return None
            raise

    async def ask(
        self, wanted: Shadow, method: str, target: str, body: bytes | None = None, kind: str = media.JSON
    ) -> Object:
        """One object of the host as the tenant sees it. Raises HostRefusal in the tenant's words."""
        found = await self.send(wanted, method, target, namespace_of(wanted), body, kind)
        if found.get("kind") == "Status":
            return shadow.status_to_view(found, wanted.row, wanted.name, self._scope)
        return shadow.to_view(found, wanted.row, self._scope)

    async def send(
        self,
        wanted: Shadow,
        method: str,
        target: str,
        namespace: VirtualName,
        body: bytes | None = None,
        kind: str = media.JSON,
    ) -> Object:
        """What the host answers, as it stands there. Raises HostRefusal in the tenant's words."""
        headers: Headers = (("Accept", media.JSON), *((("Content-Type", kind),) if body is not None else ()))
        host = up(self._scope.tenant, shadow.place(wanted.row, namespace))
        response = await self._exchange.send(
            method, target, Identity.TENANT, headers=headers, body=body, namespace=host
        )
        try:
            if response.status >= 300:
                raise await self._refused(response, wanted)
            return await answers.document(response)
        finally:
            await response.close()

    async def _refused(self, response: HostResponse, wanted: Shadow) -> HostRefusal:
        refusal = await answers.refusal(response, self._scope)
        body = shadow.status_to_view(refusal.body, wanted.row, wanted.name, self._scope)
        return HostRefusal(refusal.status.code, body)  # which is not always the host's: answers.refusal


def namespace_of(wanted: Shadow) -> VirtualName:
    """The one that is asked for; none for all, and for kinds of cluster scope."""
    return wanted.namespaces[0] if wanted.namespaces else VirtualName("")


def written(query: Pairs) -> str:
    """Of a query what the host is told at a write but an apply."""
    return render_query([pair for pair in query if pair[0] in WRITING[:3] or pair[0] in DELETING])
