"""Requests under the right identity: a tenant's as the tenant (impersonated), reads of its Namespaces as the proxy.

A RoleBinding takes up to 100 ms to count, so what a tenant asks of a namespace in its first seconds may meet a 403
that is none: such an answer is asked for again, within a bound.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from vcproxy.core.caller import Caller
from vcproxy.core.hosting import HostRequest, HostResponse, Tunnels, Upstream
from vcproxy.core.http import Pipe
from vcproxy.core.names import TenantId, host_user
from vcproxy.core.plan import Identity
from vcproxy.core.private import TENANTS_GROUP

EARLY: Final = 10.0
"""Seconds of a namespace's life in which a 403 for want of rights is asked again."""
STATUS_LIMIT: Final = 1 << 20
"""Bytes of a Status that are read."""
KEPT_NAMES: Final = 256
"""Characters of user and actor whose headers are kept: some 2 KiB, 8 MiB of all that are kept."""
_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 0.25

_USER: Final = "Impersonate-Extra-vcproxy.io%2Fuser"

Headers = Sequence[tuple[str, str]]


def impersonation(tenant: TenantId, user: str, actor: str = "") -> Headers:
    """The headers that make a request the tenant's; who it is goes along for the host's audit log.

    `actor` is who acts as `user`, and stands before that one.
    """
    return (_kept if len(user) + len(actor) <= KEPT_NAMES else _made)(tenant, user, actor)


def _made(tenant: TenantId, user: str, actor: str) -> Headers:
    return (
        ("Impersonate-User", host_user(tenant)),
        ("Impersonate-Group", TENANTS_GROUP),
        *((_USER, quote(name, safe="@:.-_")) for name in ((actor, user) if actor else (user,))),
    )


_kept = lru_cache(maxsize=4096)(_made)
"""Those who ask do so again and again. What is kept is short: users may choose whom they act as."""


class BufferedResponse:
    """An answer that was read already: what is left to do is what the Protocol of an answer says."""

    def __init__(self, response: HostResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._body = body

    def getall(self, name: str) -> list[str]:
        return self._response.getall(name)

    async def read(self, limit: int) -> bytes:
        return self._body[:limit]

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    async def close(self) -> None:
        await self._response.close()


class Exchange:
    """Sends a caller's requests to the host. `created` tells when a host namespace was made (epoch seconds) or None.

    Of "" it tells the same of the kind that is asked for, where the tenant defined it.
    """

    def __init__(
        self,
        upstream: Upstream,
        caller: Caller,
        *,
        clock: Callable[[], float],
        created: Callable[[str], float | None],
        timeout: float,
    ) -> None:
        self._upstream = upstream
        self._caller = caller
        self._clock = clock
        self._created = created
        self._timeout = timeout

    @property
    def tenant(self) -> TenantId:
        return self._caller.tenant

    def _own(self) -> Headers:
        """What makes a request the tenant's."""
        return impersonation(self._caller.tenant, self._caller.user, self._caller.actor)

    async def send(
        self,
        method: str,
        target: str,
        identity: Identity,
        *,
        headers: Headers = (),
        body: bytes | None = None,
        namespace: str = "",
    ) -> HostResponse:
        """The host's answer. Raises ApiError 502, 503 or 504."""
        own = self._own() if identity is Identity.TENANT else ()
        request = HostRequest(method, target, (*headers, *own), body, self._timeout, self.tenant)
        response = await self._upstream.send(request)
        if response.status != 403 or identity is not Identity.TENANT or not self._early(namespace):
            return response
        return await self._again(request, response, namespace)

    async def upgrade(
        self, tunnels: Tunnels, method: str, target: str, headers: Headers
    ) -> tuple[HostResponse, Pipe | None]:
        """The host's answer to a switch of protocols, as the tenant. Raises ApiError 429, 502 or 504."""
        own = (*headers, *self._own())
        return await tunnels.upgrade(HostRequest(method, target, own, None, self._timeout, self.tenant))

    def _early(self, namespace: str) -> bool:
        made = self._created(namespace)
        return made is not None and self._clock() - made < EARLY

    async def _again(self, request: HostRequest, response: HostResponse, namespace: str) -> HostResponse:
        """Ask again while the 403 is one of missing rights and the namespace is young; never longer than EARLY."""
        wait, end = _FIRST_WAIT, self._clock() + EARLY
        while True:
            buffered = BufferedResponse(response, await response.read(STATUS_LIMIT))
            late = self._clock() >= end or not self._early(namespace)
            if late or not _lacks_rights(await buffered.read(STATUS_LIMIT), self.tenant):
                return buffered
            await response.close()
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
            response = await self._upstream.send(request)
            if response.status != 403:
                return response


def _lacks_rights(body: bytes, tenant: TenantId) -> bool:
    try:
        message = json.loads(body).get("message", "")
    except (ValueError, AttributeError):
        return False
    return f'User "{host_user(tenant)}" cannot ' in message
