"""What authenticators ask of the host: its issuer's documents, whether an object is there, and what it says of a token.

An object is looked at as the tenant whose it is, and its metadata alone: so the proxy needs no right of its own to read
Secrets, and gets none of their data. Nodes are nobody's: those it reads under its own name.
"""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from vcproxy.core import media, status
from vcproxy.core.hosting import HostRequest, Upstream
from vcproxy.core.names import TenantId
from vcproxy.host import answers
from vcproxy.host.identity import impersonation

DEADLINE: Final = 5.0
"""Seconds to the head of an answer: who waits is a client that has not been let in yet."""
LIMIT: Final = 1 << 20
"""Bytes of an answer."""
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
ACTOR: Final = "system:vcproxy"
"""In the host's audit log: no user of the tenant asked, the proxy did."""


class Looks:
    """Raises ApiError 502 to 504 where the host cannot be asked or refuses."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def document(self, path: str) -> dict[str, Any]:
        """A document of the host, as the proxy."""
        found = await self._ask(HostRequest("GET", path, (("Accept", "*/*"),), None, DEADLINE))
        if found is None:
            raise status.bad_gateway()
        return found

    async def metadata(self, path: str, tenant: TenantId | None) -> dict[str, Any] | None:
        """The metadata of an object, read as the tenant (None: as the proxy); None where there is no such object."""
        own = impersonation(tenant, ACTOR) if tenant is not None else ()
        request = HostRequest("GET", path, (("Accept", METADATA), *own), None, DEADLINE, tenant or "")
        found = await self._ask(request)
        metadata = (found or {}).get("metadata")
        return metadata if isinstance(metadata, dict) else None

    async def review(self, token: str, audiences: Collection[str]) -> dict[str, Any]:
        """The status of a TokenReview, as the proxy."""
        spec = {"token": token, "audiences": sorted(audiences)}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        headers = (("Accept", media.JSON), ("Content-Type", media.JSON))
        found = await self._ask(HostRequest("POST", REVIEWS, headers, msgspec.json.encode(body), DEADLINE))
        state = (found or {}).get("status")
        return state if isinstance(state, dict) else {}

    async def _ask(self, request: HostRequest) -> dict[str, Any] | None:
        response = await self._upstream.send(request)
        try:
            if response.status == 404:
                return None
            if response.status not in (200, 201):
                raise status.bad_gateway()
            return await answers.document(response, LIMIT)
        finally:
            await response.close()
