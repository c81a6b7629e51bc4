"""TokenReviews of a tenant: what a token is good for in its cluster, found by the chain that lets callers in.

Only ServiceAccount tokens carry audiences of their own. Whatever else the chain knows counts for the API itself, that
is for the tenant's audience (kube-apiserver: authenticator/audagnostic.go).
"""

from collections.abc import Collection
from typing import Protocol

from vcproxy.access.authenticator import Credential
from vcproxy.access.serviceaccounts import ServiceAccountAuthenticator
from vcproxy.core import status
from vcproxy.core.audience import audience
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId


class Chain(Protocol):
    """access.chain.Chain."""

    async def authenticate(self, credential: Credential, now: float) -> Caller: ...


class TokenReviewer:
    """Answers for one tenant at a time: a token of any other tenant is one that nobody knows.

    A tenant that was made again under the id of a deleted one is another: it has another uid.
    """

    def __init__(self, chain: Chain, accounts: ServiceAccountAuthenticator | None, host: Collection[str]) -> None:
        """`host` are the audiences of the host: a tenant that names one of them means its own API.

        Without `accounts` tokens of ServiceAccounts do not count.
        """
        self._chain = chain
        self._accounts = accounts
        self._host = host

    async def review(
        self, token: str, asker: Caller, audiences: tuple[str, ...], now: float
    ) -> tuple[Caller, tuple[str, ...]]:
        """Whom the token is good for in the asker's cluster, and for which of `audiences` (empty: the API's).

        Raises ApiError 401.
        """
        tenant = asker.tenant
        own = audience(tenant)
        asked = {one: own if one in self._host else one for one in audiences or (own,)}
        found = await self._accounts.review(token, tenant, frozenset(asked.values()), now) if self._accounts else None
        caller, good = found or await self._other(token, tenant, own, now)
        named = tuple(one for one, stored in asked.items() if stored in good)
        if not named or (caller.tenant, caller.tenant_uid) != (tenant, asker.tenant_uid):
            raise status.unauthorized()
        return caller, named

    async def _other(self, token: str, tenant: TenantId, own: str, now: float) -> tuple[Caller, frozenset[str]]:
        return await self._chain.authenticate(Credential(token, b"", tenant), now), frozenset({own})
