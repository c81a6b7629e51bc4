"""What the host serves, as a tenant may see it: fetched from the host, filtered once, kept until the host changes."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from vcproxy.core import (
    access_reviews,
    bodies,
    discovery,
    kinds,
    media,
    openapi,
    openapi_own,
    openapi_protobuf,
    protobuf,
    review_forms,
    reviews,
    shadow,
    status,
)
from vcproxy.core.apis import OwnApis, group_discovery
from vcproxy.core.caller import Caller
from vcproxy.core.documents import ISSUER_PATHS, Document
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.hosting import HostRequest, Upstream
from vcproxy.core.http import Call, Reply, single
from vcproxy.core.media import Codec
from vcproxy.core.names import RESERVED_PREFIX, TenantId, VirtualName, up
from vcproxy.core.rbac import User
from vcproxy.core.rbac_policy import Policy
from vcproxy.core.request import ApiRequest
from vcproxy.core.review_forms import Form
from vcproxy.core.status import ApiError
from vcproxy.core.view import TenantView
from vcproxy.host import answers, replies

log = logging.getLogger(__name__)

REFRESH: Final = 30.0
"""Seconds between two looks at whether the host serves something else than before."""
OPENAPI_KEPT: Final = 64
"""Filtered OpenAPI documents that are kept."""
ISSUER_KEPT: Final = "public, max-age=3600"
"""For how long clients may keep the issuer's documents: the API server's own hour."""
_PATHS: Final = (
    *ISSUER_PATHS,
    "/api",
    "/apis",
    "/healthz",
    "/livez",
    "/openapi/v2",
    "/openapi/v3",
    "/readyz",
    "/version",
)


class Asking(Protocol):
    """Who asks for a review, and the rules that answer it."""

    @property
    def user(self) -> User: ...

    @property
    def policy(self) -> Policy: ...


class Reviewer(Protocol):
    """Who knows tokens (access.reviewing.TokenReviewer)."""

    async def review(
        self, token: str, asker: Caller, audiences: tuple[str, ...], now: float
    ) -> tuple[Caller, tuple[str, ...]]:
        """Whom a token is good for in the asker's cluster, and for which of `audiences` (empty: the API's).

        Raises ApiError 401.
        """
        ...


class Catalog:
    """The host's discovery, OpenAPI and version, filtered. `address` is host:port that clients know the proxy by."""

    def __init__(self, upstream: Upstream, *, address: str, timeout: float = 30.0, exports: Exports = NOTHING) -> None:
        self._upstream = upstream
        self._address = address
        self._timeout = timeout
        self._visible = kinds.Served(exports.rows)
        self._kinds = frozenset((row.group, row.kind) for row in exports.served())
        self._seed = _seed(exports)
        self._core: dict[str, Any] = {"items": []}
        self._groups: dict[str, Any] = {"items": []}
        self._openapi: dict[str, tuple[float, str, bytes]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._failure: str | None = "the host's discovery has not been read yet"
        self.versions: frozenset[tuple[str, str]] = frozenset()

    # Keeping it --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reads discovery again and again, until cancelled."""
        while True:
            try:
                await self.refresh()
            except ApiError as error:
                self._failure = f"the host's discovery cannot be read: {error}"
                log.warning("%s", self._failure)
            await asyncio.sleep(REFRESH if self._failure is None else 1.0)

    async def refresh(self) -> None:
        """Read discovery now. Raises ApiError when the host cannot be asked."""
        core = discovery.filtered(await self._document("/api", discovery.AGGREGATED), self._visible)
        groups = discovery.filtered(await self._document("/apis", discovery.AGGREGATED), self._visible)
        self._core, self._groups = core, groups
        self.versions = discovery.group_versions(core, groups)
        self._failure = None

    def reasons(self) -> list[str]:
        """Why the catalog cannot be relied on; empty when it can."""
        return [self._failure] if self._failure and not self.versions else []

    async def _document(self, path: str, accept: str) -> dict[str, Any]:
        response = await self._upstream.send(HostRequest("GET", path, (("Accept", accept),), None, self._timeout))
        try:
            if response.status != 200:
                raise status.bad_gateway()
            return await answers.document(response)
        finally:
            await response.close()

    # Answering ---------------------------------------------------------------------------------------------------

    async def answer(self, document: Document, request: ApiRequest, call: Call, view: TenantView) -> Reply:
        """One of the documents that the proxy answers by itself. Raises ApiError 404, 406, 502 to 504."""
        match document:
            case Document.DISCOVERY:
                return await self._discovery(request.path, call, view.apis)
            case Document.OPENAPI:
                return await self._openapi_reply(request, call, view)
            case Document.VERSION:
                version = await self._document("/version", media.JSON)
                return await replies.of_document(version, Codec.JSON, call)
            case Document.HEALTH:
                return Reply(200, (("Content-Type", "text/plain; charset=utf-8"),), b"ok")
            case Document.PATHS:
                versions = self.versions | view.apis.versions
                shown = [*_PATHS, *(f"/apis/{group}/{version}" for group, version in versions if group)]
                return await replies.of_document({"paths": sorted(shown)}, Codec.JSON, call)
            case Document.ISSUER | Document.ISSUER_KEYS:
                return await self._issuer(document, request.path)
            case Document.REVIEW:
                raise status.no_such_path()

    async def _issuer(self, document: Document, path: str) -> Reply:
        """The issuer of ServiceAccount tokens (KEP-1393): the host's own, but for where its keys are to be had."""
        found = await self._document(path, "*/*")
        if document is Document.ISSUER:
            found["jwks_uri"] = f"https://{self._address}/openid/v1/jwks"
        content = media.JSON if document is Document.ISSUER else "application/jwk-set+json"
        return Reply(200, (("Content-Type", content), ("Cache-Control", ISSUER_KEPT)), msgspec.json.encode(found))

    async def review(
        self,
        request: ApiRequest,
        call: Call,
        caller: Caller,
        asking: Asking,
        reviewer: Reviewer,
        limit: int,
        now: float,
    ) -> Reply:
        """A review of who somebody is, or of what they may do. `now` is in seconds since the epoch."""
        accepted = media.accept(single(call, "Accept"))
        codec = media.body_codec(single(call, "Content-Type"))
        raw = await call.read(limit)
        body = protobuf.decode(raw)[0] if codec is Codec.PROTOBUF else bodies.DECODERS[codec](raw).document
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        kind, version = kinds.TABLE[request.group, request.resource].kind, f"{request.group}/{request.version}"
        form = review_forms.read(kind, version, shadow.plain(body))
        warnings = review_forms.warnings(kind, version, form, request.parameter("fieldValidation"))
        if request.group == access_reviews.GROUP:
            view = access_reviews.review(kind, form, request.namespace, asking.user, asking.policy)
        elif kind == "TokenReview":
            view = await _token_review(form, caller, reviewer, now)
        else:
            view = reviews.self_subject_review(caller, moment)
        return await replies.of_document(view, accepted.codec, call, code=201, headers=warnings)

    async def _discovery(self, path: str, call: Call, own: OwnApis) -> Reply:
        parts = path.strip("/").split("/")
        aggregated = self._core if parts[0] == "api" else self._with(own)
        accept = single(call, "Accept")
        if len(parts) == 1 and discovery.wants_aggregated(accept):
            return await _tagged(msgspec.json.encode(aggregated), discovery.AGGREGATED, call)
        found = self._plain(parts, aggregated)
        if found is None:
            raise status.no_such_path()
        accepted = media.accept(accept or media.JSON)
        return await replies.of_document(found, accepted.codec, call)

    def _with(self, own: OwnApis) -> dict[str, Any]:
        """The host's groups, and behind them those that the tenant defined."""
        if not own.apis:
            return self._groups
        return {**self._groups, "items": [*self._groups["items"], *group_discovery(own)]}

    def _plain(self, parts: list[str], aggregated: dict[str, Any]) -> dict[str, Any] | None:
        match parts:
            case ["api"]:
                return discovery.api_versions(aggregated, self._address)
            case ["apis"]:
                return discovery.api_group_list(aggregated)
            case ["api", version]:
                return discovery.api_resource_list(aggregated, "", version)
            case ["apis", group]:
                return discovery.api_group(aggregated, group)
            case ["apis", group, version]:
                return discovery.api_resource_list(aggregated, group, version)
        return None

    # OpenAPI -----------------------------------------------------------------------------------------------------

    async def _openapi_reply(self, request: ApiRequest, call: Call, view: TenantView) -> Reply:
        content_type = openapi.negotiated(request.path, single(call, "Accept"))
        key = request.path if content_type == media.JSON else "v2.pb"
        own = await self._own_openapi(key, request.path, view) if view.apis.apis else None
        return await _tagged(await self._filtered(key, request.path) if own is None else own, content_type, call)

    async def _own_openapi(self, key: str, path: str, view: TenantView) -> bytes | None:
        """A document that is another for this tenant: version 2; of version 3 the index and those of its own groups."""
        if path == "/openapi/v2":
            base, own = await self._filtered(key, path), await self._own_v2(key, path, view)
            return base + own if key == "v2.pb" else await asyncio.to_thread(openapi_own.joined_v2, base, own)
        if path == "/openapi/v3":
            index = msgspec.json.decode(await self._filtered(path, path))
            return msgspec.json.encode({"paths": index["paths"] | _own_index(view.apis)})
        match path.split("/"):
            case ["", "openapi", "v3", "apis", group, version] if (group, version) in view.apis.versions:
                host = f"/openapi/v3/apis/{up(view.id, VirtualName(group))}/{version}"
                raw = await self._raw(host, media.JSON)
                return await asyncio.to_thread(_renamed, raw, view.id, group, version)
        return None

    async def _own_v2(self, key: str, path: str, view: TenantView) -> bytes:
        """What version 2 says of the tenant's own groups; kept once the host has published all that is defined."""
        own, kept = view.apis, f"{key} of {view.id}"
        make = openapi_own.of_v2_protobuf if key == "v2.pb" else openapi_own.of_v2
        async with self._locks.setdefault(key, asyncio.Lock()):
            read, tag, made = self._openapi.get(kept, (float("-inf"), "", b""))
            if tag == own.revision and time.monotonic() - read < REFRESH:
                return made
            raw = await self._raw(path, openapi.V2_PROTOBUF if key == "v2.pb" else media.JSON)
            made = await asyncio.to_thread(make, raw, view.id, own.versions)
            if all(f"/apis/{group}/{version}/".encode() in made for group, version in own.versions):
                self._keep(kept, own.revision, made)
            return made

    def _keep(self, key: str, tag: str, made: bytes) -> None:
        while len(self._openapi) >= OPENAPI_KEPT and key not in self._openapi:
            del self._openapi[next(iter(self._openapi))]
        self._openapi[key] = time.monotonic(), tag, made

    async def _filtered(self, key: str, path: str) -> bytes:
        """A filtered document, made again when the host's own changed; one maker at a time for each."""
        versions = self.versions
        groups = frozenset(group for group, _ in versions)
        _, _, document = path.partition("/openapi/v3/")
        if document and not openapi.shown_v3(document, self._visible, groups, versions):
            raise status.no_such_path()
        async with self._locks.setdefault(key, asyncio.Lock()):
            read, tag, made = self._openapi.get(key, (float("-inf"), "", b""))
            if time.monotonic() - read < REFRESH:
                return made
            accept = openapi.V2_PROTOBUF if key == "v2.pb" else media.JSON
            raw = await self._raw(path, accept)
            new = f"{hashlib.sha256(raw).hexdigest()}:{sorted(versions)}"
            if new != tag:
                made = await asyncio.to_thread(await self._filter(key, path, versions), raw)
            self._keep(key, new, made)
            return made

    async def _filter(self, key: str, path: str, versions: frozenset[tuple[str, str]]) -> Callable[[bytes], bytes]:
        """What makes the tenant's document of the host's; runs in a thread, since version 2 takes a second."""
        groups = frozenset(group for group, _ in versions)
        if key == "v2.pb":
            shown = msgspec.json.decode(await self._filtered("/openapi/v2", "/openapi/v2"))
            paths, definitions = openapi.methods_of(shown["paths"]), frozenset(shown["definitions"])
            return lambda raw: _checked(openapi_protobuf.filter_v2_protobuf(raw, paths, definitions))
        if path == "/openapi/v3":
            return lambda raw: _json(
                openapi.index_v3(msgspec.json.decode(raw), self._visible, groups, self._seed, versions)
            )
        filter_document = openapi.filter_v2 if path == "/openapi/v2" else openapi.filter_v3
        return lambda raw: _json(filter_document(msgspec.json.decode(raw), self._visible, groups, self._kinds))

    async def _raw(self, path: str, accept: str) -> bytes:
        response = await self._upstream.send(HostRequest("GET", path, (("Accept", accept),), None, self._timeout))
        try:
            if response.status == 404:
                raise status.no_such_path()
            if response.status != 200:
                raise status.bad_gateway()
            return await response.read(answers.BODY_LIMIT)
        finally:
            await response.close()


def _own_index(own: OwnApis) -> dict[str, Any]:
    """What the index of version 3 says of a tenant's own groups; the hashes change with its definitions."""
    found = {}
    for group, version in sorted(own.versions):
        digest = hashlib.sha256(f"{own.revision}/{group}/{version}".encode()).hexdigest().upper()
        key = f"apis/{group}/{version}"
        found[key] = {"serverRelativeURL": f"/openapi/v3/{key}?hash={digest}"}
    return found


def _renamed(raw: bytes, tenant: TenantId, group: str, version: str) -> bytes:
    return msgspec.json.encode(openapi_own.renamed(msgspec.json.decode(raw), tenant, group, version))


async def _token_review(form: Form, asker: Caller, reviewer: Reviewer, now: float) -> dict[str, Any]:
    """Who a token is, in the tenant's cluster and nowhere else."""
    token, asked = reviews.token_asked(form)
    try:
        caller, good = await reviewer.review(token, asker, asked, now)
    except ApiError:
        return reviews.token_review(form, None, ())
    return reviews.token_review(form, caller, good)


def _seed(exports: Exports) -> str:
    """What stands for the table of kinds in hashes: another when a kind, verb or subresource is shown or hidden."""
    rows = sorted(
        (*row.key, row.kind, sorted(row.verbs), sorted(set(row.subresources) - row.hidden_subresources))
        for row in exports.served()
    )
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _json(document: dict[str, Any]) -> bytes:
    return _checked(msgspec.json.encode(document))


def _checked(raw: bytes) -> bytes:
    if RESERVED_PREFIX.encode() in raw:  # the filter keeps built-in kinds only; this would be a fault of ours
        raise AssertionError("a document of the host's own kinds got through")
    return raw


async def _tagged(raw: bytes, content_type: str, call: Call) -> Reply:
    """A document with an ETag; 304 where the client has it already (RFC 9110 13.1.2)."""
    tag = f'"{hashlib.sha256(raw).hexdigest().upper()}"'
    if tag in call.getall("If-None-Match"):
        return Reply(304, (("ETag", tag),))
    reply = await replies.of_bytes(raw, content_type, call, headers=(("ETag", tag),))
    headers = tuple(pair for pair in reply.headers if pair[0] != "Cache-Control")
    return msgspec.structs.replace(reply, headers=(*headers, ("Cache-Control", "public"), ("Vary", "Accept")))
