"""What the host serves, as a tenant may see it: fetched from the host, filtered once, kept until the host changes."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from vcproxy.core import bodies, discovery, kinds, media, openapi, protobuf, reviews, status
from vcproxy.core.caller import Caller
from vcproxy.core.hosting import HostRequest, Upstream
from vcproxy.core.http import Call, Reply, single
from vcproxy.core.media import Codec
from vcproxy.core.names import RESERVED_PREFIX
from vcproxy.core.plan import Document
from vcproxy.core.request import ApiRequest
from vcproxy.core.status import ApiError
from vcproxy.host import answers, replies

log = logging.getLogger(__name__)

REFRESH: Final = 30.0
"""Seconds between two looks at whether the host serves something else than before."""
OPENAPI_KEPT: Final = 64
"""Filtered OpenAPI documents that are kept."""
_PATHS: Final = ("/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version")


class Catalog:
    """The host's discovery, OpenAPI and version, filtered. `address` is host:port that clients know the proxy by."""

    def __init__(self, upstream: Upstream, *, address: str, timeout: float = 30.0) -> None:
        self._upstream = upstream
        self._address = address
        self._timeout = timeout
        self._visible = kinds.Served()
        self._kinds = frozenset((row.group, row.kind) for row in kinds.served())
        self._seed = _seed()
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

    async def answer(self, document: Document, request: ApiRequest, call: Call) -> Reply:
        """One of the documents that the proxy answers by itself. Raises ApiError 404, 406, 502 to 504."""
        match document:
            case Document.DISCOVERY:
                return await self._discovery(request.path, call)
            case Document.OPENAPI:
                return await self._openapi_reply(request, call)
            case Document.VERSION:
                version = await self._document("/version", media.JSON)
                return await replies.of_document(version, Codec.JSON, call)
            case Document.HEALTH:
                return Reply(200, (("Content-Type", "text/plain; charset=utf-8"),), b"ok")
            case Document.PATHS:
                shown = [*_PATHS, *(f"/apis/{group}/{version}" for group, version in self.versions if group)]
                return await replies.of_document({"paths": sorted(shown)}, Codec.JSON, call)
            case Document.REVIEW:
                raise status.no_such_path()

    async def review(self, call: Call, caller: Caller, limit: int, now: float) -> Reply:
        """A SelfSubjectReview. `now` is in seconds since the epoch."""
        accepted = media.accept(single(call, "Accept"))
        codec = media.body_codec(single(call, "Content-Type"))
        raw = await call.read(limit)
        body = protobuf.decode(raw)[0] if codec is Codec.PROTOBUF else bodies.DECODERS[codec](raw).document
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        view = reviews.self_subject_review(body, caller, moment)
        return await replies.of_document(view, accepted.codec, call, code=201)

    async def _discovery(self, path: str, call: Call) -> Reply:
        parts = path.strip("/").split("/")
        aggregated = self._core if parts[0] == "api" else self._groups
        accept = single(call, "Accept")
        if len(parts) == 1 and discovery.wants_aggregated(accept):
            return await _tagged(msgspec.json.encode(aggregated), discovery.AGGREGATED, call)
        found = self._plain(parts)
        if found is None:
            raise status.no_such_path()
        accepted = media.accept(accept or media.JSON)
        return await replies.of_document(found, accepted.codec, call)

    def _plain(self, parts: list[str]) -> dict[str, Any] | None:
        match parts:
            case ["api"]:
                return discovery.api_versions(self._core, self._address)
            case ["apis"]:
                return discovery.api_group_list(self._groups)
            case ["api", version]:
                return discovery.api_resource_list(self._core, "", version)
            case ["apis", group]:
                return discovery.api_group(self._groups, group)
            case ["apis", group, version]:
                return discovery.api_resource_list(self._groups, group, version)
        return None

    # OpenAPI -----------------------------------------------------------------------------------------------------

    async def _openapi_reply(self, request: ApiRequest, call: Call) -> Reply:
        content_type = openapi.negotiated(request.path, single(call, "Accept"))
        key = request.path if content_type == media.JSON else "v2.pb"
        return await _tagged(await self._filtered(key, request.path), content_type, call)

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
            while len(self._openapi) >= OPENAPI_KEPT and key not in self._openapi:
                del self._openapi[next(iter(self._openapi))]
            self._openapi[key] = time.monotonic(), new, made
            return made

    async def _filter(self, key: str, path: str, versions: frozenset[tuple[str, str]]) -> Callable[[bytes], bytes]:
        """What makes the tenant's document of the host's; runs in a thread, since version 2 takes a second."""
        groups = frozenset(group for group, _ in versions)
        if key == "v2.pb":
            shown = msgspec.json.decode(await self._filtered("/openapi/v2", "/openapi/v2"))
            paths, definitions = frozenset(shown["paths"]), frozenset(shown["definitions"])
            return lambda raw: _checked(openapi.filter_v2_protobuf(raw, paths, definitions))
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


def _seed() -> str:
    """What stands for the table of kinds in hashes: another when a kind, verb or subresource is shown or hidden."""
    rows = sorted(
        (*row.key, row.kind, sorted(row.verbs), sorted(set(row.subresources) - row.hidden_subresources))
        for row in kinds.served()
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
