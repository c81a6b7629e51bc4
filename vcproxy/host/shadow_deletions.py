"""Shadow kinds deleted, one or many; what every tenant has stays."""

from vcproxy.core import bodies, media, protobuf, shadow
from vcproxy.core.http import Call, single
from vcproxy.core.media import Codec
from vcproxy.core.plan import Shadow
from vcproxy.core.printers import Object
from vcproxy.core.request import render_query
from vcproxy.core.scope import Scope
from vcproxy.host.shadow_reads import ShadowReader
from vcproxy.host.shadow_rights import Rights, read_only
from vcproxy.host.shadow_store import DELETING, ShadowStore, namespace_of, written


class ShadowDeleter:
    """Deletes for one caller; a right that went counts no more at once. `body_limit` is in bytes."""

    def __init__(
        self, store: ShadowStore, reader: ShadowReader, scope: Scope, rights: Rights, *, body_limit: int
    ) -> None:
        self._store = store
        self._reader = reader
        self._scope = scope
        self._rights = rights
        self._body_limit = body_limit

    async def delete(self, wanted: Shadow, call: Call) -> Object:
        """One object; what the host says of it. Raises ApiError and HostRefusal."""
        if self._reader.default(wanted) is not None:
            raise read_only(wanted)
        path = self._store.object_path(wanted)
        old = await self._store.present(wanted)
        options, dry = await self._deletion(wanted, call)
        found = await self._store.ask(wanted, "DELETE", path + written(wanted.query), options)
        if old is not None and not dry:
            self._rights.forget(old)
        return found

    async def delete_all(self, wanted: Shadow, call: Call) -> Object:
        """All that were selected in one namespace; the list of them. Raises ApiError and HostRefusal."""
        path = shadow.path(wanted.row, self._scope.tenant, self._reader.parts(wanted)[0])
        query = [pair for pair in wanted.query if pair[0] in DELETING] + self._reader.selecting(wanted)
        options, dry = await self._deletion(wanted, call)
        listed = await self._store.send(wanted, "DELETE", path + render_query(query), namespace_of(wanted), options)
        row = wanted.row
        items = [shadow.to_view(item, row, self._scope) for item in listed.get("items") or ()]
        for item in () if dry else items:
            self._rights.forget(item)
        return {**listed, "kind": f"{row.kind}List", "apiVersion": f"{row.group}/v1", "items": items}

    async def _deletion(self, wanted: Shadow, call: Call) -> tuple[bytes | None, bool]:
        """DeleteOptions as they are sent on, and whether the deletion is tried dry: kubectl says so in them alone."""
        dry = bool(dict(wanted.query).get("dryRun"))
        raw = await call.read(self._body_limit)
        if not raw:
            return None, dry
        codec = media.body_codec(single(call, "Content-Type"))
        options = protobuf.decode(raw)[0] if codec is Codec.PROTOBUF else bodies.DECODERS[codec](raw).document
        return bodies.encode_json(options), dry or (isinstance(options, dict) and bool(options.get("dryRun")))
