"""One request on to the host: its body rewritten on the way up, the answer on the way down."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import msgspec

from vcproxy.core import (
    apis,
    bodies,
    guard,
    media,
    objects,
    partial,
    patches,
    private,
    protobuf,
    shadow,
    status,
    tokenrequests,
)
from vcproxy.core.fields_managed import CONTROLLER
from vcproxy.core.hosting import HostResponse
from vcproxy.core.http import Call, Headers, Reply, single
from vcproxy.core.kinds import Exposure, Kind
from vcproxy.core.media import Accepted, Codec
from vcproxy.core.names import HIDDEN_LABEL, TENANT_LABEL
from vcproxy.core.partial import Answer
from vcproxy.core.patches import PatchType
from vcproxy.core.plan import NAMESPACES, BodyUse, Forward, Identity, Position
from vcproxy.core.request import ApiRequest, resource_path
from vcproxy.core.scope import Scope
from vcproxy.host import answers, replies
from vcproxy.host.identity import Exchange
from vcproxy.host.kept import KeptViews
from vcproxy.host.streams import PROGRESS, HostStream

TRIES: Final = 5
"""How often a patch of the view is tried after a conflict: the API server's own number (MaxRetryWhenPatchConflicts)."""
SLOW_BODY: Final = 256 * 1024
"""Bytes of a body from which a thread decodes it."""
SLOW_PROTOBUF: Final = 32 * 1024
"""The same for protobuf, which is decoded in Python: a worst body of this size takes 20 ms."""

P = ParamSpec("P")
T = TypeVar("T")


class Sent(msgspec.Struct, frozen=True):
    """A body for the host."""

    content_type: str
    body: bytes
    warnings: Headers = ()
    audiences: tuple[str, ...] = ()
    """Of a TokenRequest: what its answer says."""


class Forwarder:
    """Carries out Forward plans for one caller. `seal` makes continue tokens, `body_limit` is in bytes."""

    def __init__(
        self,
        exchange: Exchange,
        scope: Scope,
        seal: Callable[[Position], str],
        kept: KeptViews,
        *,
        body_limit: int,
    ) -> None:
        self._kept = kept
        self._exchange = exchange
        self._scope = scope
        self._seal = seal
        self._body_limit = body_limit

    async def run(self, plan: Forward, request: ApiRequest, call: Call) -> Reply:
        """Raises ApiError; the host's own refusals come back as replies."""
        accepted = Accepted(Codec.JSON, "*/*") if plan.stream else media.accept(single(call, "Accept"))
        if plan.body is BodyUse.NONE:
            return await self._answer(plan, await self._send(plan, accepted, call), accepted, call)
        kind = media.patch_type(single(call, "Content-Type")) if plan.body is BodyUse.PATCH else None
        raw = await call.read(self._body_limit)
        if kind is not None:
            return await self._patch(plan, request, kind, raw, accepted, call)
        sent = await self._sent(plan, request, raw, call)
        return await self._answer(plan, await self._send(plan, accepted, call, sent), accepted, call, sent)

    # Sending -----------------------------------------------------------------------------------------------------

    async def _send(self, plan: Forward, accepted: Accepted, call: Call, sent: Sent | None = None) -> HostResponse:
        headers = [("Accept", accepted.host_accept), *_user_agent(call), *self._groups(plan)]
        if sent is not None and sent.body:
            headers.append(("Content-Type", sent.content_type))
        return await self._exchange.send(
            plan.method,
            plan.target,
            plan.identity,
            headers=headers,
            body=sent.body if sent is not None else None,
            namespace=plan.namespace,
        )

    def _groups(self, plan: Forward) -> Headers:
        """The group that lets the tenant's identity write a guarded kind, where its Tenant says so."""
        if plan.row.kind not in self._scope.writable or plan.identity is not Identity.TENANT:
            return ()
        return (("Impersonate-Group", private.write_group(plan.row)),)

    async def _sent(self, plan: Forward, request: ApiRequest, raw: bytes, call: Call) -> Sent:
        """The body of a create, update or delete, rewritten."""
        codec = media.body_codec(single(call, "Content-Type"))
        if plan.body is BodyUse.OPTIONS:
            return self._options(codec, raw)
        if plan.body_kind == tokenrequests.KIND:
            return self._token_request(plan, request, codec, raw)
        if codec is Codec.PROTOBUF:
            return Sent(codec.value, await _worked(len(raw) > SLOW_PROTOBUF, self._protobuf, plan, request, raw))
        body = await _worked(len(raw) > SLOW_BODY, bodies.DECODERS[codec], raw)
        sent = self._up(body.document, plan, request)
        return Sent(media.JSON, bodies.encode_json(sent), _duplicates(body, request, plan, self._scope))

    def _token_request(self, plan: Forward, request: ApiRequest, codec: Codec, raw: bytes) -> Sent:
        """Always JSON: whatever a decoder of the host would read otherwise than this one is not in it."""
        decoded = shadow.plain(protobuf.decode(raw)[0]) if codec is Codec.PROTOBUF else None
        document = decoded if decoded is not None else bodies.DECODERS[codec](raw).document
        scope = self._scope
        sent, audiences = tokenrequests.up(self._up(document, plan, request), scope.tenant, scope.host_audiences)
        return Sent(media.JSON, bodies.encode_json(sent), audiences=audiences)

    def _protobuf(self, plan: Forward, request: ApiRequest, raw: bytes) -> bytes:
        document, envelope = protobuf.decode(raw)
        return protobuf.encode(self._up(document, plan, request), envelope)

    def _options(self, codec: Codec, raw: bytes) -> Sent:
        """DeleteOptions hold no names; they go on as JSON or as they are."""
        if not raw or codec is Codec.PROTOBUF:
            return Sent(codec.value, raw)
        return Sent(media.JSON, bodies.encode_json(bodies.DECODERS[codec](raw).document))

    def _checked(self, document: Any, request: ApiRequest, plan: Forward) -> dict[str, Any]:
        scope = self._scope
        return guard.check(document, request, plan.row, plan.body_kind, scope.tenant, scope.exports.groups)

    def _up(self, document: Any, plan: Forward, request: ApiRequest) -> dict[str, Any]:
        checked = self._checked(document, request, plan)
        if request.verb == "create" and plan.row.exposure is Exposure.PRIVATE:
            name = str((checked.get("metadata") or {}).get("name") or "")
            private.check_write(plan.row, self._scope, request.verb, name)
        if request.namespace:  # the API server takes it from the URL; rules may need it
            metadata = checked["metadata"] = checked.get("metadata") or {}
            metadata["namespace"] = request.namespace
        return objects.to_host(checked, *plan.body_kind, self._scope)

    # Patches -----------------------------------------------------------------------------------------------------

    async def _patch(
        self, plan: Forward, request: ApiRequest, kind: PatchType, raw: bytes, accepted: Accepted, call: Call
    ) -> Reply:
        body = await _worked(len(raw) > SLOW_BODY, _patch_body, kind, raw)
        warnings = _duplicates(body, request, plan, self._scope)
        if kind is PatchType.APPLY:
            self._checked(body.document, request, plan)
        created = plan.create_first and await self._create_first(plan, request, kind)
        patch = patches.rewrite_patch(body.document, kind, *plan.body_kind, self._scope)
        if patch is None:
            return await self._patch_view(plan, request, kind, body.document, accepted, call)
        encode = bodies.encode_apply if kind is PatchType.APPLY else bodies.encode_json
        sent = Sent(kind.value, encode(patch), warnings)
        reply = await self._answer(plan, await self._send(plan, accepted, call, sent), accepted, call, sent)
        return msgspec.structs.replace(reply, code=201) if created and reply.code == 200 else reply

    async def _create_first(self, plan: Forward, request: ApiRequest, kind: PatchType) -> bool:
        """Make the Namespace that an apply is about to fill: the tenant may not patch one that is not there."""
        if kind is not PatchType.APPLY:
            raise status.not_found(plan.row.group, plan.row.resource, request.name)
        name = plan.namespace
        labels = {TENANT_LABEL: self._scope.tenant}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        dry_run = request.parameter("dryRun")
        query = f"?fieldManager={CONTROLLER}" + ("&dryRun=All" if dry_run else "")
        response = await self._exchange.send(
            "POST",
            resource_path("", request.version, "namespaces") + query,
            Identity.TENANT,
            headers=(("Accept", media.JSON), ("Content-Type", media.JSON)),
            body=bodies.encode_json(body),
        )
        try:
            if response.status not in (201, 409):
                raise await answers.refusal(response, self._scope)
        finally:
            await response.close()
        return response.status == 201

    async def _patch_view(
        self, plan: Forward, request: ApiRequest, kind: PatchType, patch: Any, accepted: Accepted, call: Call
    ) -> Reply:
        """Get the object, patch its view, put the result with its resourceVersion; again after a conflict."""
        for left in reversed(range(TRIES)):
            view = await self._view(plan)
            version = view.get("metadata", {}).get("resourceVersion")
            patched = patches.apply(view, patch, kind)
            same_version = patched.get("metadata", {}).get("resourceVersion") == version
            checked = self._checked(patched, request, plan)
            put = msgspec.structs.replace(
                plan, method="PUT", query=tuple(pair for pair in plan.query if pair[0] != "force")
            )
            body = bodies.encode_json(objects.to_host(checked, *plan.body_kind, self._scope))
            response = await self._send(put, accepted, call, Sent(media.JSON, body))
            if response.status != 409 or not same_version or not left:
                return await self._answer(put, response, accepted, call)
            await response.close()
        raise status.internal()

    async def _view(self, plan: Forward) -> dict[str, Any]:
        response = await self._exchange.send(
            "GET", plan.path, _looking(plan), headers=(("Accept", media.JSON),), namespace=plan.namespace
        )
        try:
            if response.status != 200:
                raise await answers.refusal(response, self._scope)
            raw = await response.read(answers.BODY_LIMIT)
            self._check_shown(answers.split(raw), msgspec.structs.replace(plan, identity=_looking(plan)))
            return objects.to_view(msgspec.json.decode(raw), plan.row, self._scope)
        finally:
            await response.close()

    # Answers -----------------------------------------------------------------------------------------------------

    async def _answer(
        self, plan: Forward, response: HostResponse, accepted: Accepted, call: Call, sent: Sent | None = None
    ) -> Reply:
        if plan.stream and response.status == 200:
            headers = (("Content-Type", "text/plain"),)
            return Reply(200, headers, stream=_logs(plan, response), finite=True, leisurely=True)
        try:
            notes = (*replies.warnings(response, self._scope), *(sent.warnings if sent else ()))
            if response.status >= 300:
                refusal = await answers.refusal(response, self._scope)
                self._seal_continue(refusal.body)
                return await replies.of_refusal(refusal, call, notes)
            raw = await response.read(answers.BODY_LIMIT)
            view = await self._with_beside(raw, plan, accepted) if plan.beside else self._shown(raw, plan)
            if sent is not None and sent.audiences:
                view = tokenrequests.answered(view, sent.audiences)
            return await replies.of_json(view, accepted.codec, call, code=response.status, headers=notes)
        finally:
            await response.close()

    def _shown(self, raw: bytes, plan: Forward) -> bytes:
        """An answer of the host as the tenant sees it. Raises ApiError 404, 502."""
        found = self._kept.find(raw, plan, self._scope)
        if found is not None:
            return found
        answer = answers.split(raw)
        self._check_shown(answer, plan)
        answers.seal_continue(answer, self._seal)
        view = bodies.encode_json(partial.view(answer, plan.row, self._scope).document())
        if answer.entries is None and plan.method == "GET":
            self._kept.keep(raw, plan, self._scope, view)
        return view

    async def _with_beside(self, raw: bytes, plan: Forward, accepted: Accepted) -> bytes:
        """A list of the tenant's own objects and of what stands beside them, all at one resourceVersion, by name."""
        own = answers.split(raw)
        exact = _beside_lists(plan, str(own.list_metadata().get("resourceVersion", "")))
        others = await asyncio.gather(*(self._beside(one, accepted) for one in exact))
        found = (entry for part in (own, *others) for entry in part.entries or ())
        own.entries = [entry for entry in found if self._owned(entry, plan.row)]
        view = partial.view(own, plan.row, self._scope)
        view.entries = sorted(view.entries or (), key=partial.name)
        return bodies.encode_json(view.document())

    async def _beside(self, plan: Forward, accepted: Accepted) -> Answer:
        response = await self._exchange.send(
            "GET", plan.target, Identity.READER, headers=(("Accept", accepted.host_accept),)
        )
        try:
            if response.status != 200:
                raise await answers.refusal(response, self._scope)
            return await answers.answer(response)
        finally:
            await response.close()

    def _seal_continue(self, document: dict[str, Any]) -> None:
        """The host's continue tokens hold host names; a 410 carries one too."""
        metadata = document.get("metadata")
        if isinstance(metadata, dict) and metadata.get("continue"):
            position = Position("", str(metadata["continue"]), str(metadata.get("resourceVersion", "")))
            metadata["continue"] = self._seal(position)

    def _check_shown(self, answer: Answer, plan: Forward) -> None:
        """404 for a single object that is hidden, or that the proxy read under its own identity for another tenant."""
        several = answer.entries is not None and not (answer.is_table and _single(answer))
        if several or (plan.method == "GET" and not plan.name):
            if _sieved(plan):
                answer.entries = [entry for entry in answer.entries or () if self._owned(entry, plan.row)]
            return
        reader = plan.identity is Identity.READER
        known = answer.entries[0] if answer.entries else answer.head
        if (reader and not self._owned(known, plan.row)) or HIDDEN_LABEL in partial.labels(known):
            raise status.not_found(plan.row.group, plan.row.resource, plan.name)

    def _owned(self, members: Any, row: Kind) -> bool:
        if row.exposure is Exposure.OWN:
            return apis.stands(self._scope.tenant, partial.namespace(members))
        return private.shown(row, self._scope, partial.name(members), partial.labels(members))


def _sieved(plan: Forward) -> bool:
    """Whether a list may hold what the tenant does not see: read as the proxy, or over all namespaces of the host."""
    everywhere = plan.row.exposure is Exposure.OWN and plan.row.namespaced and not plan.namespace
    return everywhere or plan.identity is Identity.READER


def _beside_lists(plan: Forward, version: str) -> list[Forward]:
    """The lists of what stands beside, at exactly that resourceVersion."""
    at = (("resourceVersion", version), ("resourceVersionMatch", "Exact"))
    kept = ([pair for pair in query if not pair[0].startswith("resourceVersion")] for query in plan.beside)
    return [msgspec.structs.replace(plan, query=(*query, *at), beside=()) for query in kept]


def _single(table: Answer) -> bool:
    return len(table.entries or ()) == 1


def _looking(plan: Forward) -> Identity:
    """As whom an object is read that is to be patched: of Private kinds but Namespaces a tenant may only write."""
    private = plan.row.exposure is Exposure.PRIVATE and plan.row.key != NAMESPACES
    return Identity.READER if private else Identity.TENANT


def _logs(plan: Forward, response: HostResponse) -> HostStream:
    """The bytes of a container; where they are followed it may be quiet for as long as it likes."""
    followed = any(name == "follow" and value.lower() not in ("false", "0") for name, value in plan.query)
    return HostStream(response, None if followed else PROGRESS)


def _user_agent(call: Call) -> Headers:
    """The client's name, from which the host makes the field manager where none is given."""
    value = single(call, "User-Agent") or ""
    return (("User-Agent", value[:256]),) if value and value.isascii() and value.isprintable() else ()


async def _worked(slow: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives; slow work is done by a thread, so that the loop serves others meanwhile."""
    return await asyncio.to_thread(work, *args, **kwargs) if slow else work(*args, **kwargs)


def _patch_body(kind: PatchType, raw: bytes) -> bodies.Body:
    return bodies.decode_apply(raw) if kind is PatchType.APPLY else bodies.decode_json(raw)


def _duplicates(body: bodies.Body, request: ApiRequest, plan: Forward, scope: Scope) -> Headers:
    """What the API server says of keys that stand twice, by fieldValidation; on a rewritten path always a refusal."""
    if not body.duplicates:
        return ()
    node, strict = objects.tree_of(*plan.body_kind, scope.exports), request.parameter("fieldValidation") == "Strict"
    for path in body.duplicates:
        if strict or objects.on_rule(node, path):
            raise status.bad_request(f'strict decoding error: duplicate field "{_dotted(path)}"')
    if request.parameter("fieldValidation") == "Ignore":
        return ()
    return tuple(("Warning", f'299 - "duplicate field \\"{_dotted(path)}\\""') for path in body.duplicates[:10])


def _dotted(path: tuple[str, ...]) -> str:
    """A path as the API server writes it; what cannot stand in a header is left out."""
    text = ".".join(path).replace(".[]", "[]")
    return "".join(sign for sign in text if sign.isascii() and sign.isprintable() and sign not in '"\\')[:200]
