"""The host's API in the few verbs that registry and controller speak: JSON in, JSON out, a deadline on each request.

It takes the way to the host (core.hosting.Upstream) as a parameter, and so the credential.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from vcproxy.core.hosting import HostRequest, HostResponse, Upstream

Object = dict[str, Any]
"""A Kubernetes object as decoded JSON: dict with keys apiVersion, kind, metadata."""

KindPath = tuple[str, str, str]
"""(group, version, resource); the core group is empty."""

BODY_LIMIT: Final = 64 * 2**20
"""Bytes of one answer; lists come in pages, so this is never reached by an honest host."""
PAGE: Final = 500
FIELD_MANAGER: Final = "vcproxy-controller"
JSON: Final = "application/json"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class HostError(Exception):
    """The host refused. `code` and `reason` are those of its Status; the message never goes to a tenant."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason

    @property
    def ending(self) -> bool:
        """Whether a write failed because its namespace is gone or going (admission plugin NamespaceLifecycle)."""
        return self.code == 404 or (self.code == 403 and "being terminated" in str(self))


class HostApi:
    """Requests to the host under one credential. Raises HostError for refusals, ApiError 502-504 for a bad way."""

    def __init__(self, upstream: Upstream, *, timeout: float = 10.0) -> None:
        self.upstream = upstream
        self._timeout = timeout

    async def get(self, path: str) -> Object | None:
        """An object, or None where there is none."""
        try:
            return await self._call("GET", path)
        except HostError as error:
            if error.code == 404:
                return None
            raise

    async def create(self, path: str, body: Object) -> Object:
        return await self._call("POST", path, body, JSON)

    async def replace(self, path: str, body: Object) -> Object:
        return await self._call("PUT", path, body, JSON)

    async def apply(self, path: str, body: Object) -> Object:
        """Server-side apply (KEP-555) that takes over fields of others: the object is made if it is not there."""
        query = urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        return await self._call("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml")

    async def patch(self, target: str, body: Object, media: str) -> Object:
        """A patch of any type; `target` is path and query."""
        return await self._call("PATCH", target, body, media)

    async def merge(self, path: str, patch: Object) -> Object:
        """JSON merge patch (RFC 7386); put metadata.uid or metadata.resourceVersion into it as a precondition."""
        query = urlencode({"fieldManager": FIELD_MANAGER})
        return await self._call("PATCH", f"{path}?{query}", patch, "application/merge-patch+json")

    async def delete(self, path: str, uid: str = "") -> None:
        """Delete in the background, only the object of that uid if one is given. None to delete is no error."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._call("DELETE", path, options, JSON)
        except HostError as error:
            if error.code != 404 and not (error.code == 409 and uid):
                raise

    async def items(
        self, path: str, query: Mapping[str, str] | None = None, accept: str = JSON
    ) -> AsyncIterator[Object]:
        """The objects of a list, page by page. A list whose pages grew too old (410) raises HostError."""
        page: Object = {}
        while True:
            page = await self.page(path, query or {}, page.get("metadata", {}).get("continue", ""), accept)
            for item in page.get("items") or ():
                yield item
            if not page.get("metadata", {}).get("continue"):
                return

    async def page(self, path: str, query: Mapping[str, str], more: str, accept: str = JSON) -> Object:
        """One page of a list: the List object itself."""
        wanted = {**query, "limit": str(PAGE), **({"continue": more} if more else {})}
        return await self._call("GET", f"{path}?{urlencode(wanted)}", accept=accept)

    async def _call(
        self, method: str, target: str, body: Object | None = None, media: str = "", accept: str = JSON
    ) -> Object:
        headers = [("Accept", accept), ("User-Agent", "vcproxy")]
        if media:
            headers.append(("Content-Type", media))
        raw = None if body is None else msgspec.json.encode(body)
        response = await self.upstream.send(HostRequest(method, target, headers, raw, self._timeout))
        try:
            return await answer(response)
        finally:
            await response.close()


async def answer(response: HostResponse) -> Object:
    """The object in an answer. Raises HostError where the host says no or what it says is no object."""
    raw = await response.read(BODY_LIMIT)
    try:
        document = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        document = None
    if not 200 <= response.status < 300:
        raise refusal(response.status, document)
    if not isinstance(document, dict):
        raise HostError(response.status, "BadAnswer", "the answer is not a JSON object")
    return document


def refusal(code: int, document: Any) -> HostError:
    """The HostError of a Status object, or of whatever came instead."""
    status = document if isinstance(document, dict) else {}
    return HostError(code, str(status.get("reason", "")), str(status.get("message", ""))[:500])


def collection_of(kind: KindPath, namespace: str = "", name: str = "") -> str:
    """The path of a kind's collection, or of one of its objects."""
    group, version, resource = kind
    return path_of(f"{group}/{version}" if group else version, resource, namespace, name)


def path_of(version: str, resource: str, namespace: str = "", name: str = "", part: str = "") -> str:
    """The path of a collection or object; `version` is `v1` or `apps/v1`."""
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = f"/namespaces/{quote(namespace)}" if namespace else ""
    object_path = f"/{quote(name, safe=':')}" if name else ""
    return f"{root}{scope}/{resource}{object_path}{'/' + part if part else ''}"
