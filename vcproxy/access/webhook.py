"""Who is calling, by a token that somebody else knows: a TokenReview (authentication.k8s.io/v1) sent to one address.

Asked for whatever no authenticator before it claims; what it does not know, one after it may know. The answer is kept
for a while, a no for a shorter one; all who bring the same token wait for one exchange. The tenant is the one of the
address, or the one that the user's extra `vcproxy.io/tenant` names; where that extra is given, no other is entered.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from vcproxy.access import tokens
from vcproxy.access.authenticator import Credential, Tenants, UndecidedError, UnreachableIssuerError
from vcproxy.access.fetching import UnreachableError
from vcproxy.access.flights import Flights
from vcproxy.access.mapping import TENANT_EXTRA, Mapped, RefusedError, check_size
from vcproxy.access.oidc import chosen
from vcproxy.access.remembering import ROOM, SMALL_ROOM, Remembered
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

log = logging.getLogger(__name__)

CACHE_LIMIT: Final = 4096
REFUSED_LIMIT: Final = 1024
FLIGHTS: Final = 128
"""Exchanges at one time; whoever comes then is refused."""
TOKEN_LIMIT: Final = 16384
_VERSION: Final = "authentication.k8s.io/v1"

Ask = Callable[[str, bytes], Awaitable[Any]]


class WebhookAuthenticator:
    """Tells callers by asking. `kept` and `refused` are in seconds; `ask` ends by a deadline of its own."""

    def __init__(self, tenants: Tenants, url: str, ask: Ask, kept: float, refused: float) -> None:
        self._tenants = tenants
        self._url = url
        self._ask = ask
        self._kept = kept
        self._refused_for = refused
        self._known = Remembered[Credential, tuple[Caller, float]](CACHE_LIMIT, ROOM)
        self._refused = Remembered[Credential, float](REFUSED_LIMIT, SMALL_ROOM)
        self._flights = Flights[Credential, Caller | None](self._asked, FLIGHTS)

    def recall(self, credential: Credential, now: float) -> Caller | None:
        caller, until = self._known.get(credential) or (None, 0.0)
        return caller if now < until else None

    def reconsider(self) -> None:
        self._refused.clear()

    async def authenticate(self, credential: Credential, now: float) -> Caller | None:
        if not 0 < len(credential.token) <= TOKEN_LIMIT:
            return None
        known = self.recall(credential, now)
        if known is not None or (self._refused.get(credential) or 0.0) > now:
            return known
        try:
            return await self._flights.wait(credential, now)
        except UnreachableIssuerError:
            raise UndecidedError from None

    async def _asked(self, credential: Credential, now: float) -> Caller | None:
        review = {"apiVersion": _VERSION, "kind": "TokenReview", "spec": {"token": credential.token}}
        try:
            answer = await self._ask(self._url, msgspec.json.encode(review))
            caller = self._caller(credential, answer, now)
        except UnreachableError as error:
            log.warning("the token webhook cannot be asked: %s", error)
            raise UnreachableIssuerError from None
        except (RefusedError, ApiError):
            self._known.forget(credential)
            self._refused.keep(credential, now + self._refused_for)
            return None
        self._known.keep(credential, (caller, min(now + self._kept, caller.expires)))
        return caller

    def _caller(self, credential: Credential, answer: Any, now: float) -> Caller:
        """The caller of a review's answer. Only `authenticated: true` without an error is a yes (CVE-2023-48312).

        Where the token says when it ends, nobody makes it last longer.
        """
        try:
            review = msgspec.convert(answer, _Review)
        except msgspec.ValidationError as error:
            raise RefusedError("not a TokenReview") from error
        state = review.status
        if not state.authenticated or state.error or not state.user.username:
            raise RefusedError("not authenticated")
        extra = {key: tuple(values) for key, values in state.user.extra.items()}
        groups = tuple(group for group in state.user.groups if group != "system:authenticated")
        mapped = Mapped(state.user.username, groups, state.user.uid, extra)
        check_size(mapped)
        if any(name.startswith("vcproxy:") for name in (mapped.user, *groups)):
            raise RefusedError("the prefix vcproxy: is reserved")
        view = self._tenants.tenant(chosen(TenantId(credential.tenant), mapped))
        if view is None:
            raise RefusedError("there is no such tenant")
        extra.pop(TENANT_EXTRA, None)
        expires = tokens.ends(credential.token)
        if expires <= now:
            raise RefusedError("the token has expired")
        return Caller(view.id, view.uid, mapped.user, groups, mapped.uid, extra, expires=expires)


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class _Status(msgspec.Struct, frozen=True):
    authenticated: bool = False
    error: str = ""
    user: _User = _User()


class _Review(msgspec.Struct, frozen=True):
    kind: str
    status: _Status
