"""Who is calling: what every authenticator is, and the one for vcproxy's own tokens.

A vcproxy token costs a signature check the first time and a dictionary look-up after that: verified once, remembered by
the whole text, refused when it no longer counts. Expiry and revocation are looked at every time, so neither cache can
make a token live longer.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from vcproxy.access.keys import Keys
from vcproxy.access.records import TokenRecords, tokens_map_name
from vcproxy.access.remembering import ROOM, SMALL_ROOM, Remembered
from vcproxy.access.tokens import CLOCK_SKEW, ISSUER, InvalidTokenError, VerifiedToken, issuer_of, verify
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError
from vcproxy.core.view import TenantView

log = logging.getLogger(__name__)

PROBLEMS: Final = 8
"""Unreadable entries that the log names."""
CACHE_LIMIT: Final = 8192
"""Verified tokens that are remembered."""
REFUSED_LIMIT: Final = 2048


class Credential(msgspec.Struct, frozen=True):
    """What a request brought to say who sends it."""

    token: str = ""
    """Of the one Authorization header; "" where there was none."""
    certificate: bytes = b""
    """The TLS client's certificate, whose key TLS has seen it use, and those it sent with it: DER, in that order."""
    tenant: str = ""
    """The tenant named by `/t/<id>/` or the host name; "" where none was."""


class Authenticator(Protocol):
    """One way to tell who is calling. What is kept is bounded and never outlives the credential."""

    def recall(self, credential: Credential, now: float) -> Caller | None:
        """The caller, where that is known without waiting; else None. Raises ApiError 401 for what is known as bad."""
        ...

    async def authenticate(self, credential: Credential, now: float) -> Caller | None:
        """The caller; None where the credential is not of this sort. Raises ApiError 401 where it is and is bad.

        May be awaited outside of any task. `now` is in seconds since the epoch.
        """
        ...

    def reconsider(self) -> None:
        """Forget what was found bad: it may be another authenticator's by now."""
        ...


class Tenants(Protocol):
    """The tenants there are (tenants.registry.Registry)."""

    def tenant(self, tenant: TenantId) -> TenantView | None: ...


class UnreachableIssuerError(ApiError):
    """401 because whoever would know cannot be asked: who is running already is not ended by it."""

    def __init__(self) -> None:
        super().__init__(status.unauthorized().status)


class UndecidedError(UnreachableIssuerError):
    """The same of a credential of any sort: another authenticator may still know it."""


class Revocations(Protocol):
    """What an authenticator asks about a token whose signature is good."""

    def refuses(self, tenant: TenantId, token_id: str, user: str, issued: float) -> bool:
        """Whether the token was taken back."""
        ...


class LiveRevocations:
    """Revocations fed by a watch of the tenants' ConfigMaps of tokens: O(1) to ask, replaced whole per tenant."""

    def __init__(self) -> None:
        self._records: dict[TenantId, TokenRecords] = {}

    def update(self, tenant: TenantId, data: Mapping[str, str] | None) -> None:
        """Take the data of a tenant's ConfigMap as the truth; None when the map is gone."""
        if data is None:
            self._records.pop(tenant, None)
        else:
            records = self._records[tenant] = TokenRecords.parse(data)
            problems = records.problems()
            if problems:
                shown = ", ".join(problems[:PROBLEMS])
                log.error(
                    "ConfigMap %s: what cannot be read counts as revoked (%d): %s",
                    tokens_map_name(tenant),
                    len(problems),
                    shown,
                )

    def refuses(self, tenant: TenantId, token_id: str, user: str, issued: float) -> bool:
        records = self._records.get(tenant)
        return records is not None and records.refuses(token_id, user, issued)


class TokenAuthenticator:
    """Tells callers by vcproxy tokens. `keys` is asked each time; while it gives None every such token is refused."""

    def __init__(
        self,
        keys: Callable[[], Keys | None],
        revocations: Revocations,
        *,
        cache_limit: int = CACHE_LIMIT,
        refused_limit: int = REFUSED_LIMIT,
    ) -> None:
        self._keys_provider = keys
        self._revocations = revocations
        self._keys: Keys | None = None
        self._verified = Remembered[str, tuple[VerifiedToken, Caller]](cache_limit, ROOM)
        self._refused = Remembered[str, None](refused_limit, SMALL_ROOM)

    def recall(self, credential: Credential, now: float) -> Caller | None:
        """The caller of a token that was verified before and counts now. Raises ApiError 401."""
        token = credential.token
        verified, caller = self._verified.get(token) or (None, None)
        if verified is None or caller is None or self._keys_provider() is not self._keys:
            return None
        self._check(token, verified, now)
        return caller

    async def authenticate(self, credential: Credential, now: float) -> Caller | None:
        """The caller; None for what does not say that vcproxy issued it. Raises ApiError 401."""
        token = credential.token
        if not token or issuer_of(token) != ISSUER:
            return None
        known = self.recall(credential, now)
        if known is not None:
            return known
        verified, caller = self._verify(token)
        self._check(token, verified, now)
        return caller

    def reconsider(self) -> None:
        self._refused.clear()

    def _check(self, token: str, verified: VerifiedToken, now: float) -> None:
        """Raises ApiError 401 for a token that does not count now, alike for all reasons."""
        if not _current(verified, now):
            self._expire(token, verified, now)
            raise status.unauthorized()
        if self._revocations.refuses(verified.tenant, verified.id, verified.user, verified.issued):
            raise status.unauthorized()

    def _expire(self, token: str, verified: VerifiedToken, now: float) -> None:
        self._verified.forget(token)
        if verified.expires <= now:
            self._refused.keep(token, None)

    def _verify(self, token: str) -> tuple[VerifiedToken, Caller]:
        keys = self._current_keys()
        if keys is None or token in self._refused:
            raise status.unauthorized()
        try:
            verified = verify(token, keys)
        except InvalidTokenError:
            self._refused.keep(token, None)
            raise status.unauthorized() from None
        entry = verified, _caller(verified)
        self._verified.keep(token, entry)
        return entry

    def _current_keys(self) -> Keys | None:
        """The keys of now; both caches are forgotten when they are others than before."""
        keys = self._keys_provider()
        if keys is not self._keys:
            self._keys = keys
            self._verified.clear()
            self._refused.clear()
        return keys


def _current(token: VerifiedToken, now: float) -> bool:
    return token.not_before <= now < token.expires and token.issued <= now + CLOCK_SKEW


def _caller(token: VerifiedToken) -> Caller:
    return Caller(
        token.tenant, token.tenant_uid, token.user, token.groups, credential_id=token.id, expires=token.expires
    )
