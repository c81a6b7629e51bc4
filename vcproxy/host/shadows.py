"""Shadow kinds carried out: read, written and watched as custom resources in the tenant's namespaces.

Objects are decoded whole and shown in the form that was asked for by the proxy itself, since what a tenant sees is more
than what stands on the host: defaults that nobody stored are among it, and never written. These kinds are few and read
rarely. Lists come whole, whatever `limit` says: the API server may do so too (api-concepts, "Retrieving large results
sets in chunks").
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from vcproxy.core import bodies, guard, media, patches, printers, protobuf, selectors, shadow, status
from vcproxy.core.hosting import HostResponse
from vcproxy.core.http import Call, Headers, Reply, single
from vcproxy.core.kinds import Kind
from vcproxy.core.media import Codec
from vcproxy.core.names import VirtualName, up
from vcproxy.core.parameters import Pairs
from vcproxy.core.patches import PatchType
from vcproxy.core.plan import Identity, Shadow
from vcproxy.core.printers import Object
from vcproxy.core.request import ApiRequest, render_query
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError
from vcproxy.host import answers, replies
from vcproxy.host.answers import HostRefusal
from vcproxy.host.identity import Exchange

TRIES: Final = 5
"""How often a write that names no resourceVersion is tried after a conflict."""
PARALLEL: Final = 16
"""Namespaces of one list that are asked for at the same time."""
_APPLY: Final = "application/apply-patch+yaml"


class Rights(Protocol):
    """What a write of these kinds has to do with rights, for one caller."""

    def defaults(self, row: Kind) -> Sequence[Object]:
        """The objects of a kind that every tenant has, in its own names; read-only."""
        ...

    def completed(self, document: Object) -> Object:
        """An object with what the host's controllers would fill in: the rules of a role that is aggregated."""
        ...

    def made(self, row: Kind) -> Mapping[str, object]:
        """What of a kind is made of other things, as it is now, by name: another value once a list shows another."""
        ...

    def refusal(self, document: Object, old: Object | None) -> str | None:
        """Why the caller may not write an object, None if it may (RBAC: no one grants what they do not hold)."""
        ...

    def learn(self, document: Object) -> None:
        """An object as it was just written: it counts at once for whoever wrote it."""
        ...

    def forget(self, document: Object) -> None:
        """An object that was just deleted."""
        ...


class Shadows:
    """Carries out the Shadow plans of one request."""

    def __init__(
        self, exchange: Exchange, scope: Scope, rights: Rights, *, body_limit: int, clock: Callable[[], float]
    ) -> None:
        self._exchange = exchange
        self._scope = scope
        self._rights = rights
        self._body_limit = body_limit
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
                found = await self._get(wanted)
            case "list":
                found = await self._list(wanted)
            case "delete":
                found = await self._delete(wanted, call)
            case "deletecollection":
                found = await self._delete_all(wanted, call)
            case _:
                code, found = await self._write(wanted, request, call)
        if found.get("kind") != "Status":
            found = printers.shown(found, wanted.row.kind, form, self._clock())
        return await replies.of_document(found, accepted.codec, call, code=code)

    # Reading -----------------------------------------------------------------------------------------------------

    async def _get(self, wanted: Shadow) -> Object:
        default = self._default(wanted)
        return default if default is not None else await self._stored(wanted)

    def _default(self, wanted: Shadow) -> Object | None:
        named = (one for one in self._defaults(wanted) if one["metadata"]["name"] == wanted.name)
        found = next(named, None)
        return self._rights.completed(found) if found is not None else None

    async def _stored(self, wanted: Shadow) -> Object:
        query = render_query([pair for pair in wanted.query if pair[0] == "resourceVersion"])
        path = shadow.path(wanted.row, self._scope.tenant, _namespace(wanted), wanted.name) + query
        return self._rights.completed(await self._ask(wanted, "GET", path))

    async def _list(self, wanted: Shadow) -> Object:
        names = self._parts(wanted)
        first = await self._part(wanted, names[0], self._query(wanted))
        version = str(printers.metadata(first).get("resourceVersion", ""))
        exact = [pair for pair in self._query(wanted) if not pair[0].startswith("resourceVersion")]
        exact += [("resourceVersion", version), ("resourceVersionMatch", "Exact")]
        slots = asyncio.Semaphore(PARALLEL)

        async def one(name: VirtualName) -> Object:
            async with slots:
                try:
                    return await self._part(wanted, name, exact)
                except HostRefusal as refusal:
                    if refusal.status.code != 403:
                        raise
                    return {"items": []}  # its binding goes last: without rights there is no namespace

        parts = [first, *await asyncio.gather(*(one(name) for name in names[1:]))]
        items = [*self.listed_defaults(wanted), *(item for part in parts for item in part["items"])]
        items.sort(key=lambda item: (item["metadata"].get("namespace", ""), item["metadata"]["name"]))
        row = wanted.row
        head = {"kind": f"{row.kind}List", "apiVersion": f"{row.group}/v1", "metadata": {"resourceVersion": version}}
        return head | {"items": [_bare(self._rights.completed(item)) for item in items]}

    def _parts(self, wanted: Shadow) -> Sequence[VirtualName]:
        if wanted.absent:
            return (VirtualName("default"),)
        return wanted.namespaces if wanted.namespaces is not None else sorted(self._scope.namespaces)

    def _query(self, wanted: Shadow) -> list[tuple[str, str]]:
        """The query of a list: whole, of what is visible and was selected."""
        rest = [pair for pair in wanted.query if pair[0] in ("resourceVersion", "resourceVersionMatch")]
        rest += [pair for pair in wanted.query if pair[0] == "timeoutSeconds"]
        return rest + self.selecting(wanted)

    def selecting(self, wanted: Shadow) -> list[tuple[str, str]]:
        """The selectors for the host."""
        pairs = dict(wanted.query)
        row = shadow.stored(wanted.row)
        labels = (
            selectors.NOTHING if wanted.absent else selectors.labels_up(pairs.get("labelSelector"), row, self._scope)
        )
        fields = shadow.fields_up(pairs.get("fieldSelector"), wanted.row, self._scope)
        return [("labelSelector", labels), *([("fieldSelector", fields)] if fields and not wanted.absent else [])]

    def listed_defaults(self, wanted: Shadow) -> list[Object]:
        """The defaults that were selected."""
        pairs = dict(wanted.query)
        select = pairs.get("labelSelector"), pairs.get("fieldSelector")
        return [one for one in self._defaults(wanted) if shadow.matches(one, *select)]

    def made(self, wanted: Shadow) -> Mapping[str, object]:
        """What lists show that stands nowhere: grants, and what aggregated roles have gathered. To be compared."""
        return self._rights.made(wanted.row)

    def _defaults(self, wanted: Shadow) -> Sequence[Object]:
        found = self._rights.defaults(wanted.row)
        if not wanted.row.namespaced:
            return found
        spaces = self._scope.namespaces if wanted.namespaces is None else wanted.namespaces
        return [one for one in found if one["metadata"].get("namespace") in spaces]

    async def _part(self, wanted: Shadow, namespace: VirtualName, query: Sequence[tuple[str, str]]) -> Object:
        path = shadow.path(wanted.row, self._scope.tenant, namespace) + render_query(list(query))
        listed = await self._send(wanted, "GET", path, namespace)
        return {**listed, "items": [shadow.to_view(item, wanted.row, self._scope) for item in listed["items"]]}

    # Writing -----------------------------------------------------------------------------------------------------

    async def _write(self, wanted: Shadow, request: ApiRequest, call: Call) -> tuple[int, Object]:
        if self._default(wanted) is not None:
            raise _read_only(wanted)
        raw = await call.read(self._body_limit)
        if wanted.verb == "patch":
            kind = media.patch_type(single(call, "Content-Type"))
            body = bodies.decode_apply(raw) if kind is PatchType.APPLY else bodies.decode_json(raw)
            _refuse_repeated(body)
            way = self._apply(wanted, request, body.document) if kind is PatchType.APPLY else None
            code, found = await (way or self._patch(wanted, request, kind, body.document))
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

    def _may(self, wanted: Shadow, document: Object, old: Object | None) -> None:
        """Raises ApiError 403 where the caller would grant what it does not hold."""
        words = self._rights.refusal(document, old)
        if words is not None:
            row, name = wanted.row, str(printers.metadata(document).get("name") or wanted.name)
            subject = f'{status.qualified(row.group, row.resource)} "{name}"'
            raise status.forbidden(f"{subject} is forbidden: {words}", row.group, row.resource, name)

    async def _create(self, wanted: Shadow, request: ApiRequest, document: Object) -> tuple[int, Object]:
        name = str(document["metadata"].get("name") or "")
        wanted = msgspec.structs.replace(wanted, name=name)  # whom a refusal is about
        if name and any(one["metadata"]["name"] == name for one in self._defaults(wanted)):
            raise status.already_exists(wanted.row.group, wanted.row.resource, name)
        self._may(wanted, document, None)
        path = shadow.path(wanted.row, self._scope.tenant, _namespace(wanted)) + _written(wanted.query)
        return 201, await self._ask(wanted, "POST", path, self._up(wanted, document))

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
            old = await self._present(wanted)
            document = made(msgspec.json.decode(msgspec.json.encode(old)) if old else None)
            self._may(wanted, document, old)
            if old is None:
                path = shadow.path(wanted.row, self._scope.tenant, _namespace(wanted)) + _written(wanted.query)
                return 201, await self._ask(wanted, "POST", path, self._up(wanted, document))
            if unconditional and not document["metadata"].get("resourceVersion"):
                document["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            same = document["metadata"].get("resourceVersion") == old["metadata"]["resourceVersion"]
            path = shadow.path(wanted.row, self._scope.tenant, _namespace(wanted), wanted.name)
            try:
                body = self._up(wanted, document)
                return 200, await self._ask(wanted, "PUT", path + _written(wanted.query), body)
            except HostRefusal as refusal:
                if refusal.status.code != 409 or not (unconditional and same and left):
                    raise
        raise status.internal()

    async def _apply(self, wanted: Shadow, request: ApiRequest, patch: Any) -> tuple[int, Object]:
        """A server-side apply: tried dry, judged, and done on the very version that was judged."""
        row = wanted.row
        guard.check(patch, request, row, (row.group, row.kind), self._scope.tenant)
        shadow.check(patch, row)
        path = shadow.path(row, self._scope.tenant, _namespace(wanted), wanted.name)
        body = {**patch, "metadata": {**(patch.get("metadata") or {})}}
        dry = [pair for pair in wanted.query if pair[0] != "dryRun" and pair[0] in _WRITING]
        for left in reversed(range(TRIES)):
            old = await self._present(wanted)
            if old is not None and not (patch.get("metadata") or {}).get("resourceVersion"):
                body["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            made = shadow.patch_up(body, row, self._scope)
            if old is not None and shadow.last_applied(made):
                shadow.keep_applied(made, await self._send(wanted, "GET", path, _namespace(wanted)), row, self._scope)
            sent = bodies.encode_apply(made)
            try:
                tried = await self._ask(wanted, "PATCH", path + render_query([*dry, ("dryRun", "All")]), sent, _APPLY)
                self._may(wanted, tried, old)
                if dict(wanted.query).get("dryRun"):
                    return 200 if old else 201, tried
                return 200 if old else 201, await self._ask(wanted, "PATCH", path + render_query(dry), sent, _APPLY)
            except HostRefusal as refusal:
                moved = refusal.status.code == 409 and "has been modified" in refusal.status.message
                if not moved or (patch.get("metadata") or {}).get("resourceVersion") or not left:
                    raise
        raise status.internal()

    async def _present(self, wanted: Shadow) -> Object | None:
        """What stands there now, or None."""
        path = shadow.path(wanted.row, self._scope.tenant, _namespace(wanted), wanted.name)
        try:
            return await self._ask(wanted, "GET", path)
        except HostRefusal as refusal:
            if refusal.status.code == 404:
                return None
            raise

    async def _delete(self, wanted: Shadow, call: Call) -> Object:
        if self._default(wanted) is not None:
            raise _read_only(wanted)
        path = shadow.path(wanted.row, self._scope.tenant, _namespace(wanted), wanted.name)
        old = await self._present(wanted)
        options, dry = await self._deletion(wanted, call)
        found = await self._ask(wanted, "DELETE", path + _written(wanted.query), options)
        if old is not None and not dry:
            self._rights.forget(old)
        return found

    async def _delete_all(self, wanted: Shadow, call: Call) -> Object:
        path = shadow.path(wanted.row, self._scope.tenant, self._parts(wanted)[0])
        query = [pair for pair in wanted.query if pair[0] in _DELETING] + self.selecting(wanted)
        options, dry = await self._deletion(wanted, call)
        listed = await self._send(wanted, "DELETE", path + render_query(query), _namespace(wanted), options)
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

    def _up(self, wanted: Shadow, document: Object) -> bytes:
        return bodies.encode_json(shadow.to_host(document, wanted.row, self._scope))

    def event(self, wanted: Shadow, document: Object) -> Object:
        """The object of an event as the tenant sees it."""
        if document.get("kind") == "Status":
            return shadow.status_to_view(document, wanted.row, wanted.name, self._scope)
        return self._rights.completed(shadow.to_view(document, wanted.row, self._scope))

    # The host ----------------------------------------------------------------------------------------------------

    async def _ask(
        self, wanted: Shadow, method: str, target: str, body: bytes | None = None, kind: str = media.JSON
    ) -> Object:
        """One object of the host as the tenant sees it. Raises HostRefusal in the tenant's words."""
        found = await self._send(wanted, method, target, _namespace(wanted), body, kind)
        if found.get("kind") == "Status":
            return shadow.status_to_view(found, wanted.row, wanted.name, self._scope)
        return shadow.to_view(found, wanted.row, self._scope)

    async def _send(
        self,
        wanted: Shadow,
        method: str,
        target: str,
        namespace: VirtualName,
        body: bytes | None = None,
        kind: str = media.JSON,
    ) -> Object:
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
        return HostRefusal(response.status, body)


_WRITING: Final = ("dryRun", "fieldManager", "fieldValidation", "force")
_DELETING: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")


def _namespace(wanted: Shadow) -> VirtualName:
    return wanted.namespaces[0] if wanted.namespaces else VirtualName("")


def _written(query: Pairs) -> str:
    return render_query([pair for pair in query if pair[0] in _WRITING[:3] or pair[0] in _DELETING])


def _refuse_repeated(body: bodies.Body) -> None:
    """Raises ApiError 400 for keys that stand twice: two readers could read two sets of rights."""
    if body.duplicates:
        raise status.bad_request(f'strict decoding error: duplicate field "{".".join(body.duplicates[0])}"')


def _bare(item: Object) -> Object:
    """An item of a list says not once more what it is (the API server: items of built-in kinds)."""
    return {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}


def _read_only(wanted: Shadow) -> ApiError:
    row = wanted.row
    words = (
        f'{status.qualified(row.group, row.resource)} "{wanted.name}" is forbidden: it is one of this cluster\'s own'
    )
    return status.forbidden(f"{words} and cannot be changed", row.group, row.resource, wanted.name)
