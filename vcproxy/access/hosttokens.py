"""Whether the host stands behind a ServiceAccount token: by its public keys and a look at what the token is bound to,
or by asking the host (TokenReview).

Nothing that a token says becomes an address: the host's own two documents are read from the host alone.
"""

import asyncio
import calendar
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import msgspec

from vcproxy.access import tokens
from vcproxy.access.fetching import UnreachableError
from vcproxy.access.jwks import KeySet
from vcproxy.access.mapping import RefusedError
from vcproxy.access.serviceaccounts import Account, Claims
from vcproxy.access.signatures import ALGORITHMS, signed
from vcproxy.core.names import HostName, TenantId
from vcproxy.core.request import resource_path
from vcproxy.core.status import ApiError

DISCOVERY: Final = "/.well-known/openid-configuration"
KEYS: Final = "/openid/v1/jwks"
REFRESH: Final = 900.0
"""Seconds after which the issuer's name is read again at its next use."""
PAUSE: Final = 2.0
"""Seconds between two tries to read it."""
GRACE: Final = 60.0
"""Seconds for which what is being deleted still counts (kube-apiserver: jwt.DefaultLeeway); what is gone never does."""
_RESOURCES: Final[Mapping[str, str]] = {"pod": "pods", "secret": "secrets", "node": "nodes"}
_EXTRA: Final = "authentication.kubernetes.io/"


class Host(Protocol):
    """The host, as far as tokens are concerned (host.looks.Looks). All raise ApiError where it cannot be asked."""

    async def document(self, path: str) -> dict[str, Any]:
        """One of the issuer's two documents."""
        ...

    async def metadata(self, path: str, tenant: TenantId | None) -> dict[str, Any] | None:
        """The metadata of an object, read as the tenant (None: as the proxy); None where there is no such object."""
        ...

    async def review(self, token: str, audiences: Collection[str]) -> dict[str, Any]:
        """The status of a TokenReview."""
        ...


class HostIssuer:
    """The host's issuer of ServiceAccount tokens and its keys. `clock` gives seconds, monotonic."""

    def __init__(self, host: Host, clock: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._clock = clock
        self._asked = float("-inf")
        self._flight: asyncio.Task[None] | None = None
        self._failure = "the host's issuer is not known"
        self._keys: KeySet | None = None
        self._name = ""

    async def name(self) -> str:
        """The `iss` of the host's tokens. Raises UnreachableError until it was read."""
        if self._clock() - self._asked > (REFRESH if self._name else PAUSE):
            if self._flight is None or self._flight.done():
                self._flight = asyncio.create_task(self._read())
            await asyncio.wait({self._flight})  # it ends by the deadline of its exchange
        if not self._name:
            raise UnreachableError(self._failure)
        return self._name

    async def signed(self, token: str, header: Mapping[str, Any]) -> bool:
        """Whether one of the host's keys signed the token. Raises UnreachableError until they were read."""
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or "crit" in header or "b64" in header or not isinstance(kid, str):
            return False
        if self._keys is None:
            raise UnreachableError(self._failure)
        return any(signed(token, key, algorithm) for key in await self._keys.candidates(kid, algorithm))

    async def _read(self) -> None:
        try:
            name = (await self._host.document(DISCOVERY)).get("issuer")
            if isinstance(name, str) and name and name != self._name:
                self._name, self._keys = name, KeySet(name, DISCOVERY, self._document, self._clock)
        except ApiError as error:
            self._failure = f"the host's issuer cannot be read: {error}"
        finally:
            self._asked = self._clock()

    async def _document(self, url: str) -> Any:
        """The discovery document, or the keys, wherever it says that they are: they come from the host alone."""
        try:
            return await self._host.document(DISCOVERY if url == DISCOVERY else KEYS)
        except ApiError as error:
            raise UnreachableError(str(error)) from error


async def look(host: Host, claims: Claims, tenant: TenantId, now: float) -> None:
    """Nothing if account, Pod, Secret and Node are those of the token; else raises RefusedError, UnreachableError."""
    await _look(host, "serviceaccounts", (claims.name, claims.uid), claims, tenant, now)
    for kind, bound in claims.bound.items():
        if kind != "node" or "pod" not in claims.bound:  # of a Pod's token the node is a hint
            await _look(host, _RESOURCES[kind], bound, claims, tenant, now)


async def _look(
    host: Host, resource: str, bound: tuple[str, str], claims: Claims, tenant: TenantId, now: float
) -> None:
    name, uid = bound
    namespace = "" if resource == "nodes" else claims.namespace
    path = resource_path("", "v1", resource, namespace, name)
    try:
        found = await host.metadata(path, tenant if namespace else None)
    except ApiError as error:
        raise UnreachableError(f"{resource} cannot be looked at: {error}") from error
    if found is None or found.get("uid") != uid or _deleted(found, now):
        raise RefusedError(f"what the token is bound to is gone ({resource})")


class LocalVerifier:
    """Verifies with the host's public keys, then looks whether what the token is bound to is still there."""

    def __init__(self, host: Host, issuer: HostIssuer) -> None:
        self._host = host
        self._issuer = issuer

    async def issued(self, claims: Claims) -> bool:
        return claims.issuer == await self._issuer.name()

    async def verify(
        self, token: str, claims: Claims, tenant: TenantId, audiences: Collection[str], now: float
    ) -> Account:
        header, _ = tokens.parts(token)
        if not await self._issuer.signed(token, header):
            raise RefusedError("no key of the host signed the token")
        await look(self._host, claims, tenant, now)
        return Account(claims.namespace, claims.name, claims.uid, extra(claims))


class ReviewingVerifier:
    """Asks the host about each token, and looks by itself too: the host believes its own answer for ten seconds.

    `audiences` are those of the host. Where nothing else is configured there, they are its issuers of now and before.
    """

    def __init__(self, host: Host, issuer: HostIssuer, audiences: Collection[str] = ()) -> None:
        self._host = host
        self._issuer = issuer
        self._audiences = audiences

    async def issued(self, claims: Claims) -> bool:
        """Whether the token says that it is the host's: it is not asked about all that strangers bring."""
        try:
            return claims.issuer in self._audiences or claims.issuer == await self._issuer.name()
        except UnreachableError:  # a host may have an issuer that is no URL, and then no document of it
            return True

    async def verify(
        self, token: str, claims: Claims, tenant: TenantId, audiences: Collection[str], now: float
    ) -> Account:
        try:
            answer = await self._host.review(token, audiences)
        except ApiError as error:
            raise UnreachableError(f"a TokenReview cannot be had: {error}") from error
        try:
            state = msgspec.convert(answer, _Status)
        except msgspec.ValidationError as error:
            raise RefusedError("not a TokenReview") from error
        if not state.authenticated or state.error or not set(state.audiences) & set(audiences):
            raise RefusedError("the host does not know the token")
        parts = state.user.username.split(":")
        if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
            raise RefusedError("the user is no ServiceAccount")
        await look(self._host, claims, tenant, now)
        return Account(HostName(parts[2]), parts[3], state.user.uid, state.user.extra)


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    uid: str = ""
    extra: dict[str, tuple[str, ...]] = {}


class _Status(msgspec.Struct, frozen=True):
    authenticated: bool = False
    error: str = ""
    audiences: tuple[str, ...] = ()
    user: _User = _User()


def extra(claims: Claims) -> dict[str, tuple[str, ...]]:
    """A user's extra as kube-apiserver makes it of the claims (ServiceAccountInfo.UserInfo)."""
    found: dict[str, tuple[str, ...]] = {f"{_EXTRA}credential-id": (f"JTI={claims.id}",)} if claims.id else {}
    for kind in ("node", "pod"):
        if kind in claims.bound:
            name, uid = claims.bound[kind]
            found[f"{_EXTRA}{kind}-name"] = (name,)
            found |= {f"{_EXTRA}{kind}-uid": (uid,)} if uid else {}
    return found


def _deleted(metadata: Mapping[str, Any], now: float) -> bool:
    moment = metadata.get("deletionTimestamp")
    if not isinstance(moment, str):
        return False
    try:
        return calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")) < now - GRACE
    except ValueError:
        return True
