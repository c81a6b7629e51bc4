"""Shadow kinds carried out: read, written and watched as custom resources in the tenant's namespaces.

Objects are decoded whole and shown in the form that was asked for by the proxy itself, since what a tenant sees is more
than what stands on the host: defaults that nobody stored are among it, and never written. These kinds are few and read
rarely.
"""

from collections.abc import Callable

from vcproxy.core import media, printers
from vcproxy.core.http import Call, Reply, single
from vcproxy.core.plan import Shadow
from vcproxy.core.request import ApiRequest
from vcproxy.core.scope import Scope
from vcproxy.host import replies
from vcproxy.host.answers import HostRefusal
from vcproxy.host.identity import Exchange
from vcproxy.host.shadow_deletions import ShadowDeleter
from vcproxy.host.shadow_reads import ShadowReader
from vcproxy.host.shadow_rights import Rights
from vcproxy.host.shadow_store import ShadowStore
from vcproxy.host.shadow_writes import ShadowWriter


class Shadows:
    """Carries out the Shadow plans of one request. `body_limit` is in bytes, `clock` in seconds since the epoch."""

    def __init__(
        self, exchange: Exchange, scope: Scope, rights: Rights, *, body_limit: int, clock: Callable[[], float]
    ) -> None:
        store = ShadowStore(exchange, scope)
        self._reader = ShadowReader(store, scope, rights)
        self._writer = ShadowWriter(store, self._reader, scope, rights, body_limit=body_limit)
        self._deleter = ShadowDeleter(store, self._reader, scope, rights, body_limit=body_limit)
        self._clock = clock

    async def run(self, wanted: Shadow, request: ApiRequest, call: Call) -> Reply:
        """Everything but watches. Raises ApiError; the host's refusals come back as replies."""
        try:
            return await self._run(wanted, request, call)
        except HostRefusal as refusal:
            return await replies.of_refusal(refusal, call)

    async def _run(self, wanted: Shadow, request: ApiRequest, call: Call) -> Reply:
        accepted = media.accept(single(call, "Accept"))
        form = printers.form_of(accepted.host_accept, wanted.query)
        code = 200
        match wanted.verb:
            case "get":
                found = await self._reader.get(wanted)
            case "list":
                found = await self._reader.list(wanted)
            case "delete":
                found = await self._deleter.delete(wanted, call)
            case "deletecollection":
                found = await self._deleter.delete_all(wanted, call)
            case _:
                code, found = await self._writer.write(wanted, request, call)
        if found.get("kind") != "Status":
            found = printers.shown(found, wanted.row.kind, form, self._clock())
        return await replies.of_document(found, accepted.codec, call, code=code)
