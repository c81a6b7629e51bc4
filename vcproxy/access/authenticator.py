"""Who is calling, by a vcproxy token: verified once, remembered by the whole text, refused when it no longer counts.

A token costs a signature check the first time and a dictionary look-up after that. Expiry and revocation are looked at
every time, so neither cache can make a token live longer.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

from vcproxy.access.keys import Keys
from vcproxy.access.records import TokenRecords
from vcproxy.access.tokens import CLOCK_SKEW, InvalidTokenError, VerifiedToken, verify
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId

CACHE_LIMIT: Final = 8192
"""Verified tokens that are remembered: at 2 KiB each, 16 MiB."""
REFUSED_LIMIT: Final = 2048

V = TypeVar("V")


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
            self._records[tenant] = TokenRecords.parse(data)

    def refuses(self, tenant: TenantId, token_id: str, user: str, issued: float) -> bool:
        records = self._records.get(tenant)
        return records is not None and records.refuses(token_id, user, issued)


class TokenAuthenticator:
    """Tells callers by their tokens. `keys` is asked each time; while it gives None every token is refused."""

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
        self._cache_limit = cache_limit
        self._refused_limit = refused_limit
        self._keys: Keys | None = None
        self._verified: dict[str, tuple[VerifiedToken, Caller]] = {}
        self._refused: dict[str, None] = {}

    def authenticate(self, token: str, now: float) -> Caller:
        """The caller of a token at `now` (seconds since the epoch). Raises ApiError 401, alike for all that is bad."""
        verified, caller = self._verified.get(token) or (None, None)
        if self._keys_provider() is not self._keys or verified is None or caller is None:
            verified, caller = self._verify(token)
        if not _current(verified, now):
            self._expire(token, verified, now)
            raise status.unauthorized()
        if self._revocations.refuses(verified.tenant, verified.id, verified.user, verified.issued):
            raise status.unauthorized()
        return caller

    def _expire(self, token: str, verified: VerifiedToken, now: float) -> None:
        self._verified.pop(token, None)
        if verified.expires <= now:
            _remember(self._refused, token, None, self._refused_limit)

    def _verify(self, token: str) -> tuple[VerifiedToken, Caller]:
        keys = self._current_keys()
        if keys is None or token in self._refused:
            raise status.unauthorized()
        try:
            verified = verify(token, keys)
        except InvalidTokenError:
            _remember(self._refused, token, None, self._refused_limit)
            raise status.unauthorized() from None
        entry = verified, _caller(verified)
        _remember(self._verified, token, entry, self._cache_limit)
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
    return Caller(token.tenant, token.tenant_uid, token.user, token.groups, credential_id=token.id)


def _remember(cache: dict[str, V], key: str, value: V, limit: int) -> None:
    """Keep an entry; the oldest goes when there are too many (dictionaries keep their order)."""
    while len(cache) >= limit:
        del cache[next(iter(cache))]
    cache[key] = value
