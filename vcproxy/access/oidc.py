"""Who is calling, by an ID token of an OIDC issuer that the provider trusts, for all tenants or for one.

A token is asked of the issuers whose URL its `iss` equals, letter for letter; its head only chooses among that issuer's
own keys, and only algorithms with a public key are believed (RFC 8725). Without a tenant in the address the token's
tenant is the one whose issuer it is; an issuer of several tenants needs the address.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from vcproxy.access import tokens
from vcproxy.access.authenticator import Credential, Tenants
from vcproxy.access.fetching import Fetcher, UnreachableError
from vcproxy.access.jwks import KeySet
from vcproxy.access.mapping import TENANT_EXTRA, Mapped, RefusedError
from vcproxy.access.remembering import ROOM, SMALL_ROOM, Remembered
from vcproxy.access.signatures import ALGORITHMS, signed
from vcproxy.access.trust import Issuer
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId

log = logging.getLogger(__name__)

CACHE_LIMIT: Final = 4096
REFUSED_LIMIT: Final = 1024
KEPT_SECONDS: Final = 300.0
"""How long a verified token is believed before its issuer's keys are looked at again; never past its expiry."""
REFUSED_SECONDS: Final = 10.0
TRIES: Final = 3
"""How often the issuers are asked that changed while they were."""
LEEWAY: Final = 60.0
"""Seconds by which the issuer's clock may run ahead."""


class OidcAuthenticator:
    """Tells callers by ID tokens. Issuers of all tenants are given once, a tenant's own by `update`."""

    def __init__(
        self,
        tenants: Tenants,
        shared: Iterable[Issuer] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenants = tenants
        self._clock = clock
        self._issuers: dict[TenantId, tuple[Issuer, ...]] = {}
        self._shared = tuple(shared)
        self._generation = 0
        self._by_url: dict[str, list[tuple[TenantId | None, Issuer]]] = {}
        self._keys: dict[Issuer, KeySet] = {}
        self._known = Remembered[Credential, tuple[Caller, float]](CACHE_LIMIT, ROOM)
        self._refused = Remembered[Credential, float](REFUSED_LIMIT, SMALL_ROOM)
        self._index()

    def update(self, tenant: TenantId, issuers: Sequence[Issuer]) -> None:
        """Take these as all issuers of a tenant; what was believed through others ends."""
        if self._issuers.get(tenant, ()) == tuple(issuers):
            return
        self._issuers.pop(tenant, None)
        if issuers:
            self._issuers[tenant] = tuple(issuers)
        self._index()

    def recall(self, credential: Credential, now: float) -> Caller | None:
        caller, until = self._known.get(credential) or (None, 0.0)
        if caller is not None and now < until:
            return caller
        if caller is None and (self._refused.get(credential) or 0.0) > now:
            raise status.unauthorized()
        return None

    async def authenticate(self, credential: Credential, now: float) -> Caller | None:
        for _ in range(TRIES):
            generation = self._generation
            caller = await self._asked(credential, now)
            if generation == self._generation:
                if caller is not None:
                    self._known.keep(credential, (caller, min(caller.expires, now + KEPT_SECONDS)))
                return caller
        raise status.unauthorized()

    async def _asked(self, credential: Credential, now: float) -> Caller | None:
        """As `authenticate`, by the issuers of now: who is taken out meanwhile counts no more."""
        candidates = self._candidates(credential) if credential.token else None
        if candidates is None:
            return None
        if (self._refused.get(credential) or 0.0) > now:
            raise status.unauthorized()
        try:
            return await self._first(credential, candidates, now)
        except (RefusedError, tokens.InvalidTokenError) as error:
            log.debug("an ID token was refused: %s", error)
            self._refused.keep(credential, now + REFUSED_SECONDS)
            raise status.unauthorized() from None

    def reconsider(self) -> None:
        self._refused.clear()

    def _index(self) -> None:
        self._by_url = {}
        self._generation += 1
        for issuer in self._shared:
            self._by_url.setdefault(issuer.url, []).append((None, issuer))
        for tenant, issuers in self._issuers.items():
            for issuer in issuers:
                self._by_url.setdefault(issuer.url, []).append((tenant, issuer))
        live = {issuer for found in self._by_url.values() for _, issuer in found}
        self._keys = {issuer: keys for issuer, keys in self._keys.items() if issuer in live}
        self._known.clear()
        self._refused.clear()

    def _candidates(self, credential: Credential) -> list[tuple[TenantId | None, Issuer]] | None:
        """Whose issuer may have made the token; None where it names no issuer that is known."""
        found = self._by_url.get(tokens.issuer_of(credential.token))
        if found is None or not credential.tenant:
            return found
        return [one for one in found if one[0] in (None, credential.tenant)]

    async def _first(
        self, credential: Credential, candidates: list[tuple[TenantId | None, Issuer]], now: float
    ) -> Caller:
        """The caller, by the one issuer that finds the token good. Raises RefusedError, InvalidTokenError."""
        found: dict[TenantId, Caller] = {}
        reasons = ["no issuer of this tenant made the token"]
        for tenant, issuer in candidates:
            try:
                claims = await self._verified(credential.token, issuer, now)
                mapped = issuer.mapping.apply(claims)
                caller = self._caller(tenant or TenantId(credential.tenant), mapped, claims)
                found.setdefault(caller.tenant, caller)
            except (RefusedError, tokens.InvalidTokenError) as error:
                reasons.append(str(error))
        if len(found) != 1:
            raise RefusedError("the tenant must be named" if found else reasons[-1])
        return next(iter(found.values()))

    def _caller(self, tenant: TenantId, mapped: Mapped, claims: Mapping[str, Any]) -> Caller:
        view = self._tenants.tenant(chosen(tenant, mapped))
        if view is None:
            raise RefusedError("there is no such tenant")
        extra = {key: values for key, values in mapped.extra.items() if key != TENANT_EXTRA}
        return Caller(
            view.id,
            view.uid,
            mapped.user,
            mapped.groups,
            mapped.uid,
            extra,
            str(claims.get("jti") or ""),
            float(claims["exp"]),
        )

    async def _verified(self, token: str, issuer: Issuer, now: float) -> dict[str, Any]:
        """The claims of a token that this issuer signed for us and that counts now."""
        header, claims = tokens.parts(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or "crit" in header or "b64" in header or not isinstance(kid, str | None):
            raise RefusedError("the head of the token is not acceptable")
        if claims.get("iss") != issuer.url or not _meant(claims.get("aud"), issuer.audiences):
            raise RefusedError("the token is for someone else")
        tokens.check_times(claims, now, LEEWAY)
        try:
            keys = await self._key_set(issuer).candidates(kid, algorithm)
        except UnreachableError as error:
            raise RefusedError(str(error)) from error
        if not any(signed(token, key, algorithm) for key in keys):
            raise RefusedError("no key of the issuer signed the token")
        return claims

    def _key_set(self, issuer: Issuer) -> KeySet:
        if issuer not in self._keys:
            fetcher = Fetcher(issuer.ca)
            self._keys[issuer] = KeySet(issuer.url, issuer.discovery, fetcher.ask, self._clock)
        return self._keys[issuer]


def chosen(tenant: TenantId, mapped: Mapped) -> TenantId:
    """The tenant, which the user's extra must name where it names any; it alone decides where it names just one."""
    allowed = mapped.extra.get(TENANT_EXTRA, ())
    if allowed and not tenant and len(allowed) == 1:
        return TenantId(allowed[0])
    if allowed and tenant not in allowed:
        raise RefusedError("the user is none of this tenant")
    return tenant


def _meant(audience: Any, ours: frozenset[str]) -> bool:
    given = audience if isinstance(audience, list) else [audience]
    return any(isinstance(one, str) and one in ours for one in given)
