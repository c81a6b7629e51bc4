"""Shadow kinds written: made, put and patched. Who grants what it does not hold is refused before the host is asked."""

from collections.abc import Callable
from typing import Any

import msgspec

from vcproxy.core import bodies, guard, media, patches, protobuf, shadow, status
from vcproxy.core.http import Call, single
from vcproxy.core.media import Codec
from vcproxy.core.patches import PatchType
from vcproxy.core.plan import Shadow
from vcproxy.core.printers import Object
from vcproxy.core.request import ApiRequest
from vcproxy.core.scope import Scope
from vcproxy.host.answers import HostRefusal
from vcproxy.host.shadow_applies import TRIES, ShadowApplier
from vcproxy.host.shadow_reads import ShadowReader
from vcproxy.host.shadow_rights import Rights, judge, read_only
from vcproxy.host.shadow_store import ShadowStore, written


class ShadowWriter:
    """Writes for one caller. `body_limit` is in bytes."""

    def __init__(
        self, store: ShadowStore, reader: ShadowReader, scope: Scope, rights: Rights, *, body_limit: int
    ) -> None:
        self._store = store
        self._reader = reader
        self._scope = scope
        self._rights = rights
        self._applier = ShadowApplier(store, scope, rights)
        self._body_limit = body_limit

    async def write(self, wanted: Shadow, request: ApiRequest, call: Call) -> tuple[int, Object]:
        """Code and object. Raises ApiError and HostRefusal."""
        if self._reader.default(wanted) is not None:
            raise read_only(wanted)
        raw = await call.read(self._body_limit)
        if wanted.verb == "patch":
            kind = media.patch_type(single(call, "Content-Type"))
            body = bodies.decode_apply(raw) if kind is PatchType.APPLY else bodies.decode_json(raw)
            _refuse_repeated(body)
            if kind is PatchType.APPLY:
                code, found = await self._applier.apply(wanted, request, body.document)
            else:
                code, found = await self._patch(wanted, request, kind, body.document)
        else:
            document = self._body(wanted, request, raw, call)
            code, found = await (self._create if wanted.verb == "create" else self._update)(wanted, request, document)
        if not dict(wanted.query).get("dryRun"):
            self._rights.learn(found)
        return code, self._rights.completed(found)

    def _body(self, wanted: Shadow, request: ApiRequest, raw: bytes, call: Call) -> Object:
        codec = media.body_codec(single(call, "Content-Type"))
        if codec is Codec.PROTOBUF:
            return self._checked(wanted, request, shadow.plain(protobuf.decode(raw)[0]))
        body = bodies.DECODERS[codec](raw)
        _refuse_repeated(body)
        return self._checked(wanted, request, body.document)

    def _checked(self, wanted: Shadow, request: ApiRequest, document: Any) -> Object:
        row = wanted.row
        found = guard.check(document, request, row, (row.group, row.kind), self._scope.tenant)
        shadow.check(found, row)
        found.setdefault("apiVersion", f"{row.group}/v1")
        found.setdefault("kind", row.kind)
        metadata = found["metadata"] = found.get("metadata") or {}
        if wanted.name:
            metadata["name"] = wanted.name
        if row.namespaced:
            metadata["namespace"] = request.namespace
        return found

    async def _create(self, wanted: Shadow, request: ApiRequest, document: Object) -> tuple[int, Object]:
        name = str(document["metadata"].get("name") or "")
        wanted = msgspec.structs.replace(wanted, name=name)  # whom a refusal is about
        if name and any(one["metadata"]["name"] == name for one in self._reader.defaults(wanted)):
            raise status.already_exists(wanted.row.group, wanted.row.resource, name)
        with judge(self._rights, wanted, document, None):
            return 201, await self._post(wanted, document)

    async def _post(self, wanted: Shadow, document: Object) -> Object:
        path = self._store.collection_path(wanted) + written(wanted.query)
        return await self._store.ask(wanted, "POST", path, self._store.stored(wanted, document))

    async def _update(self, wanted: Shadow, request: ApiRequest, document: Object) -> tuple[int, Object]:
        """A PUT. Without a resourceVersion it counts for whatever is there, or makes the object (rbac: strategy.go)."""
        version = document["metadata"].get("resourceVersion")
        return await self._put(
            wanted, lambda old: {**document, "metadata": {**document["metadata"]}}, unconditional=not version
        )

    async def _patch(self, wanted: Shadow, request: ApiRequest, kind: PatchType, patch: Any) -> tuple[int, Object]:
        """A patch of the view: got, patched, put with its resourceVersion."""

        def patched(old: Object | None) -> Object:
            if old is None:
                raise status.not_found(wanted.row.group, wanted.row.resource, wanted.name)
            return self._checked(wanted, request, patches.apply(old, patch, kind))

        return await self._put(wanted, patched, unconditional=True)

    async def _put(
        self, wanted: Shadow, made: Callable[[Object | None], Object], *, unconditional: bool
    ) -> tuple[int, Object]:
        """Get, make, put; again after a conflict with somebody else."""
        for left in reversed(range(TRIES)):
            old = await self._store.present(wanted)
            document = made(msgspec.json.decode(msgspec.json.encode(old)) if old else None)
            version = document["metadata"].get("resourceVersion")
            if old is not None and not version and unconditional:
                version = document["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            free = unconditional and old is not None and version == old["metadata"]["resourceVersion"]
            try:
                with judge(self._rights, wanted, document, old):
                    return await self._written(wanted, document, old)
            except HostRefusal as refusal:
                if refusal.status.code != 409 or not (free and left):
                    raise
        raise status.internal()

    async def _written(self, wanted: Shadow, document: Object, old: Object | None) -> tuple[int, Object]:
        if old is None:
            return 201, await self._post(wanted, document)
        path = self._store.object_path(wanted) + written(wanted.query)
        return 200, await self._store.ask(wanted, "PUT", path, self._store.stored(wanted, document))


def _refuse_repeated(body: bodies.Body) -> None:
    """Raises ApiError 400 for keys that stand twice: two readers could read two sets of rights."""
    if body.duplicates:
        raise status.bad_request(f'strict decoding error: duplicate field "{".".join(body.duplicates[0])}"')
