"""Who is calling, by a ServiceAccount token that the host signed for a tenant.

Such a token counts where its audience is the tenant's and its namespace one of that tenant; its user is the account as
the tenant calls it. Who verifies it is a `Verifier`: with the host's public keys and a look at what the token is bound
to (`access.hosttokens.LocalVerifier`), or the host itself (`ReviewingVerifier`). Either way it is asked again every
SOFT seconds of use, so that an account, Pod or Secret that is deleted ends its tokens within 5 s, on watches too.

The checks are those of kube-apiserver (k8s.io/kubernetes/pkg/serviceaccount), but for the minute for which it believes
an expired token.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import msgspec

from vcproxy.access import tokens
from vcproxy.access.authenticator import Credential, Tenants, UnreachableIssuerError
from vcproxy.access.fetching import UnreachableError
from vcproxy.access.flights import Flights
from vcproxy.access.mapping import RefusedError
from vcproxy.access.remembering import ROOM, SMALL_ROOM, Remembered
from vcproxy.core import status
from vcproxy.core.audience import audience
from vcproxy.core.caller import Caller
from vcproxy.core.names import HostName, TenantId, VirtualName, down, tenant_id
from vcproxy.core.view import TenantView

log = logging.getLogger(__name__)

CACHE_LIMIT: Final = 8192
REFUSED_LIMIT: Final = 2048
SOFT: Final = 1.5
"""Seconds after which a caller in use is looked at again beside the request: a watch is checked every 2 s."""
HARD: Final = 4.0
"""Seconds after which a request waits for that look."""
REFUSED_SECONDS: Final = 5.0
FLIGHTS: Final = 256
"""Looks at one time; a request that needs one more is refused."""
LEEWAY: Final = 60.0
"""Seconds by which the host's clock may run ahead (kube-apiserver: jwt.DefaultLeeway)."""
GROUP: Final = "system:serviceaccounts"


class Claims(msgspec.Struct, frozen=True):
    """What a token says, read strictly and not yet verified. `namespace` is the host's."""

    issuer: str
    audiences: frozenset[str]
    namespace: HostName
    name: str
    uid: str
    expires: float
    times: Mapping[str, Any]
    bound: Mapping[str, tuple[str, str]]
    """Kind (`pod`, `secret`, `node`) to name and uid."""
    id: str = ""


class Account(msgspec.Struct, frozen=True):
    """A ServiceAccount that a verifier found behind a token. `namespace` is the host's."""

    namespace: HostName
    name: str
    uid: str
    extra: Mapping[str, tuple[str, ...]]


class Verifier(Protocol):
    """Knows whether the host stands behind a token."""

    async def issued(self, claims: Claims) -> bool:
        """Whether the token is of this sort at all. Raises UnreachableError."""
        ...

    async def verify(
        self, token: str, claims: Claims, tenant: TenantId, audiences: Collection[str], now: float
    ) -> Account:
        """The account. Raises RefusedError for a token that does not count, UnreachableError where nobody can tell."""
        ...


class _Question(msgspec.Struct, frozen=True):
    """A credential, and what its token is to be good for: one of these audiences; without any, the tenant's API."""

    credential: Credential
    audiences: frozenset[str] = frozenset()


class NotYetError(RefusedError):
    """A token of a namespace that is not known here: it may be in a moment."""


class ServiceAccountAuthenticator:
    """Tells callers by tokens of the host for ServiceAccounts of tenants. `clock` is in seconds since the epoch."""

    def __init__(self, tenants: Tenants, verifier: Verifier, clock: Callable[[], float] = time.time) -> None:
        self._tenants = tenants
        self._verifier = verifier
        self._clock = clock
        self._known = Remembered[_Question, tuple[Caller, float]](CACHE_LIMIT, ROOM)
        self._refused = Remembered[_Question, float](REFUSED_LIMIT, SMALL_ROOM)
        self._flights = Flights[_Question, Caller | None](self._looked, FLIGHTS)

    def recall(self, credential: Credential, now: float) -> Caller | None:
        return self._recall(_Question(credential), now)

    async def authenticate(self, credential: Credential, now: float) -> Caller | None:
        return await self._answer(_Question(credential), now) if credential.token else None

    def reconsider(self) -> None:
        self._refused.clear()

    async def review(
        self, token: str, tenant: TenantId, audiences: Collection[str], now: float
    ) -> tuple[Caller, frozenset[str]] | None:
        """Whom a token of this tenant for one of `audiences` is good for, and for which of them.

        None where it is not of this sort. Raises ApiError 401.
        """
        wanted, claims = frozenset(audiences), read(token)
        question = _Question(Credential(token, tenant=tenant), frozenset() if wanted == {audience(tenant)} else wanted)
        caller = await self._answer(question, now) if claims is not None else None
        return (caller, claims.audiences & wanted) if caller is not None and claims is not None else None

    # Looking -----------------------------------------------------------------------------------------------------

    def _recall(self, question: _Question, now: float) -> Caller | None:
        caller, looked = self._known.get(question) or (None, 0.0)
        if caller is None or now - looked >= HARD or now >= caller.expires:
            if (self._refused.get(question) or 0.0) > now:
                raise status.unauthorized()
            return None
        if now - looked >= SOFT:
            self._flights.begin(question, now)
        return caller

    async def _answer(self, question: _Question, now: float) -> Caller | None:
        known = self._recall(question, now)
        return known if known is not None else await self._flights.wait(question, now)

    async def _looked(self, question: _Question, now: float) -> Caller | None:
        credential = question.credential
        claims = read(credential.token)
        try:
            if claims is None or not await self._verifier.issued(claims):
                return None
            view = self._view(claims, TenantId(credential.tenant))
            wanted = claims.audiences & (question.audiences or {audience(view.id)})
            caller = await self._caller(credential.token, claims, view, wanted, now)
        except UnreachableError as error:
            log.warning("a ServiceAccount token cannot be verified: %s", error)
            raise UnreachableIssuerError from None
        except (RefusedError, tokens.InvalidTokenError) as error:
            self._refuse(question, error)
            raise status.unauthorized() from None
        self._refused.forget(question)
        self._known.keep(question, (caller, now))
        return caller

    def _refuse(self, question: _Question, error: Exception) -> None:
        log.debug("a ServiceAccount token was refused: %s", error)
        self._known.forget(question)
        if not isinstance(error, NotYetError):
            self._refused.keep(question, self._clock() + REFUSED_SECONDS)

    def _view(self, claims: Claims, named: TenantId) -> TenantView:
        """The tenant whose namespace the token is of. Its label says so, not the prefix alone: the registry knows."""
        try:
            tenant = tenant_id(claims.namespace.partition("-")[0])
        except ValueError:
            raise RefusedError("the namespace is none of a tenant") from None
        view = self._tenants.tenant(tenant)
        if view is None or named not in ("", tenant):
            raise RefusedError("the token is of another tenant, or of none")
        if down(tenant, claims.namespace) not in view.namespaces:
            raise NotYetError("the namespace is none of the tenant's")
        return view

    async def _caller(
        self, token: str, claims: Claims, view: TenantView, audiences: Collection[str], now: float
    ) -> Caller:
        """Raises RefusedError, InvalidTokenError and UnreachableError."""
        if not audiences:
            raise RefusedError("the token is for someone else")
        tokens.check_times(dict(claims.times), now, LEEWAY)
        account = await self._verifier.verify(token, claims, view.id, audiences, now)
        if (account.namespace, account.name, account.uid) != (claims.namespace, claims.name, claims.uid):
            raise RefusedError("the account is not the one that the token names")
        namespace = down(view.id, account.namespace) or VirtualName("")
        user = f"system:serviceaccount:{namespace}:{account.name}"
        groups = (GROUP, f"{GROUP}:{namespace}")
        return Caller(view.id, view.uid, user, groups, account.uid, account.extra, claims.id, claims.expires)


# Reading what a token says -------------------------------------------------------------------------------------------


_KNOWN: Final = frozenset({"namespace", "serviceaccount", "pod", "secret", "node", "warnafter"})
"""What such a token may say of itself; one that is bound to something else is not believed."""


class _Reference(msgspec.Struct, frozen=True):
    name: str
    uid: str = ""


class _Private(msgspec.Struct, frozen=True):
    namespace: str
    serviceaccount: _Reference
    pod: _Reference | None = None
    secret: _Reference | None = None
    node: _Reference | None = None


class _Payload(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    aud: str | tuple[str, ...]
    private: _Private = msgspec.field(name="kubernetes.io")
    jti: str = ""


def read(token: str) -> Claims | None:
    """What a token says of a ServiceAccount, unverified; None for everything that is no such token."""
    try:
        _, document = tokens.parts(token)
        payload = msgspec.convert(document, _Payload)
    except (tokens.InvalidTokenError, msgspec.ValidationError):
        return None
    private, account = payload.private, payload.private.serviceaccount
    expires = document.get("exp")
    if not document["kubernetes.io"].keys() <= _KNOWN:
        return None
    if payload.sub != f"system:serviceaccount:{private.namespace}:{account.name}" or not isinstance(expires, int):
        return None
    bound = {"pod": private.pod, "secret": private.secret, "node": private.node}
    return Claims(
        payload.iss,
        frozenset([payload.aud] if isinstance(payload.aud, str) else payload.aud),
        HostName(private.namespace),
        account.name,
        account.uid,
        float(expires),
        document,
        {kind: (one.name, one.uid) for kind, one in bound.items() if one is not None},
        payload.jti,
    )
