"""The way of a request, in one place. Every step is called from here, and no step knows the one after the next."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from vcproxy.access import authorizer, impersonation, refresh
from vcproxy.access.authenticator import Credential
from vcproxy.access.definitions import Definitions
from vcproxy.access.limits import Limits
from vcproxy.access.positions import Positions
from vcproxy.access.refresh import Refresher
from vcproxy.access.rights import CallerRights, Policies
from vcproxy.access.sealing import Sealer
from vcproxy.core import addressing, births, decision, http, plan, request, status
from vcproxy.core.caller import Caller
from vcproxy.core.documents import Document
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.hosting import Tunnels, Upstream
from vcproxy.core.http import Call, Reply
from vcproxy.core.names import VirtualName
from vcproxy.core.plan import Answer, Deny, Forward, Plan, Position
from vcproxy.core.request import ApiRequest
from vcproxy.core.scope import Authorities, Scope
from vcproxy.core.status import ApiError
from vcproxy.core.view import Phase, TenantView
from vcproxy.host import beginnings, replies
from vcproxy.host.answers import HostRefusal
from vcproxy.host.catalog import Catalog, Reviewer
from vcproxy.host.dispatch import Dispatcher, Watching
from vcproxy.host.identity import Exchange
from vcproxy.host.kept import KeptViews
from vcproxy.host.shared import Hubs
from vcproxy.host.tunnels import Connector, OpenTunnels
from vcproxy.host.watches import Changes
from vcproxy.observe.account import Account, Observer
from vcproxy.tenants.scopes import Ages, Registry, Scopes

log = logging.getLogger(__name__)


class Authenticator(Protocol):
    """access.chain.Chain."""

    def recall(self, credential: Credential, now: float) -> Caller | None: ...

    async def authenticate(self, credential: Credential, now: float) -> Caller:
        """Raises ApiError 401."""
        ...

    def counts(self, credential: Credential, caller: Caller, now: float) -> bool: ...


class Settings(msgspec.Struct, frozen=True):
    """`body_limit` is in bytes, `host_timeout` in seconds.

    `domain` is the one whose names are tenants, "" for none. `definitions` is how many kinds a tenant may define.
    """

    body_limit: int
    host_timeout: float
    domain: str = ""
    definitions: int = 100
    host_audiences: frozenset[str] = frozenset()
    exports: Exports = NOTHING


class Flow:
    """Everything that a request needs, passed in once; `handle` is the whole program."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        refresher: Refresher,
        registry: Registry,
        policies: Policies,
        changes: Callable[[TenantView], Changes],
        catalog: Catalog,
        reviewer: Reviewer,
        hubs: Hubs,
        upstream: Upstream,
        tunnels: Tunnels,
        opened: OpenTunnels,
        sealer: Sealer,
        limits: Limits,
        observer: Observer,
        settings: Settings,
        authorities: Authorities | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authenticator = authenticator
        self._refresher = refresher
        self._registry = registry
        self._policies = policies
        self._changes = changes
        self._catalog = catalog
        self._reviewer = reviewer
        self._hubs = hubs
        self._upstream = upstream
        self._tunnels = tunnels
        self._opened = opened
        self._positions = Positions(sealer)
        self._limits = limits
        self._observer = observer
        self._settings = settings
        self._clock = clock
        self._kept = KeptViews()
        self._definitions = Definitions(settings.definitions)
        self._scopes = Scopes(
            registry,
            clock,
            timeout=settings.host_timeout,
            authorities=authorities or Authorities(),
            exports=settings.exports,
            host_audiences=settings.host_audiences,
        )

    async def handle(self, call: Call) -> Reply:
        """The reply to a call. Never raises but when the client went away."""
        account = Account(call.request_id, call.method, self._clock())
        try:
            reply = await self._way(call, account)
        except ApiError as refusal:
            reply = http.refused(refusal.status, call.request_id)
        except Exception:  # the boundary: whatever went wrong, the client gets one Status
            log.exception("request failed", extra={"request_id": call.request_id})
            reply = http.refused(status.internal().status, call.request_id)
        self._observer.account(account, reply.code, self._clock())  # 10. account once
        return reply

    async def _way(self, call: Call, account: Account) -> Reply:
        credential, target = self._credential(call)
        if target == refresh.PATH:
            return self._renewed(call, credential, account)
        asked = request.parse(call.method, target)  # 1. the head, canonical
        account.verb, account.resource = asked.verb, asked.resource
        now = account.started
        caller = self._authenticator.recall(credential, now)  # 2. who is calling
        if caller is None:
            caller = await self._authenticator.authenticate(credential, now)
        account.tenant, account.user = caller.tenant, caller.user
        view = self._active(caller, credential)  # 3. which tenant, is it active
        call.claim(view.id)
        with self._limits.request(view.id):
            rights = CallerRights(self._policies, caller, lambda: _made(view))
            acting = impersonation.act(caller, call, rights.authorize)  # 4. as whom
            if acting is not caller:
                caller = acting
                rights = CallerRights(self._policies, caller, lambda: _made(view))
            rights.authorize(authorizer.attributes(asked))  # 5. may this user do this
            scope, ages = await self._scopes.of(view, caller.user, asked)
            asked = births.fresh(asked, view.birth, now - _made(view))
            position = self._positions.of(asked, view)
            decided = decision.decide(asked, scope, versions=self._catalog.versions, position=position)  # 6. decide
            account.plan = type(decided).__name__
            valid: Callable[[], bool] = lambda: self._still_valid(credential, caller)  # noqa: E731
            place = self._definitions.place(asked, view) if isinstance(decided, Forward) else None
            reply = self._carry_out(decided, asked, call, caller, rights, view, scope, ages, valid)
            return await reply if place is None else await place.settled(reply)

    async def _carry_out(
        self,
        decided: Plan,
        asked: ApiRequest,
        call: Call,
        caller: Caller,
        rights: CallerRights,
        view: TenantView,
        scope: Scope,
        ages: Ages,
        valid: Callable[[], bool],
    ) -> Reply:
        """7. rewrite the body, 8. send it as the tenant, 9. rewrite the answer by what it is."""
        exchange = Exchange(
            self._upstream, caller, clock=self._clock, created=ages, timeout=self._settings.host_timeout
        )
        match decided:
            case Deny(status=refusal):
                return http.refused(refusal, call.request_id)
            case Answer(document=Document.REVIEW):
                return await self._catalog.review(
                    asked, call, caller, rights, self._reviewer, self._settings.body_limit, self._clock()
                )
            case Answer(document=document):
                return await self._catalog.answer(document, asked, call, view)
            case plan.Tunnel() | plan.Proxy():
                return await self._connect(decided, exchange, scope, call, valid)
        await beginnings.check(asked, decided, view, exchange)
        seal: Callable[[Position], str] = lambda at: self._positions.seal(asked, view, at)  # noqa: E731
        dispatcher = Dispatcher(exchange, scope, self._hubs, seal, self._kept, self._settings.body_limit, self._clock)
        watching = Watching(
            lambda: self._changes(view),
            valid=valid,
            hold=lambda taking: (self._limits.take if taking else self._limits.give)("watches", view.id),
        )
        match decided:
            case Forward():
                return await dispatcher.forward(decided, asked, call)
            case plan.List():
                return await dispatcher.list(decided, call)
            case plan.Watch():
                return await dispatcher.watch(decided, call, watching)
            case plan.Shadow():
                return await dispatcher.shadow(decided, asked, call, rights, watching)

    async def _connect(
        self, decided: plan.Tunnel | plan.Proxy, exchange: Exchange, scope: Scope, call: Call, valid: Callable[[], bool]
    ) -> Reply:
        """The way to a pod or service itself."""
        connector = Connector(exchange, scope, self._tunnels, self._opened, valid)
        try:
            if isinstance(decided, plan.Tunnel):
                return await connector.tunnel(decided, call)
            shown = addressing.prefix(call.target) + decided.shown
            return await connector.proxy(msgspec.structs.replace(decided, shown=shown), call, self._settings.body_limit)
        except HostRefusal as refusal:
            return await replies.of_refusal(refusal, call)

    def _renewed(self, call: Call, credential: Credential, account: Account) -> Reply:
        """A short-lived token for a refresh token: the only thing that the proxy answers about itself."""
        holder = self._refresher.holder(credential.token, account.started)
        account.verb, account.resource = "create", "credential"
        account.tenant, account.user = holder.tenant, holder.user
        view = self._active(holder, credential)
        call.claim(view.id)
        if call.method != "POST":
            raise status.method_not_allowed()
        with self._limits.request(view.id):
            body = msgspec.json.encode(self._refresher.exchange(credential.token, account.started))
        return Reply(200, (("Content-Type", "application/json"), ("Cache-Control", "no-store")), body)

    def _credential(self, call: Call) -> tuple[Credential, bytes]:
        """What the call brought, and its target without the tenant's name. Raises ApiError 401 and 400."""
        domain = self._settings.domain
        host = call.getall("Host") if domain else ()
        tenant, target = addressing.split(call.target, host[0] if host else "", domain)
        return Credential(bearer(call), call.certificate, tenant), target

    def _active(self, caller: Caller, credential: Credential) -> TenantView:
        """The caller's tenant. Unknown, suspended, deleted and other than the named ones are refused alike."""
        view = self._registry.tenant(caller.tenant) if credential.tenant in ("", caller.tenant) else None
        if view is None or view.uid != caller.tenant_uid or view.phase is not Phase.ACTIVE:
            raise status.forbidden("forbidden: this cluster is not available to you: ask its provider")
        return view

    def _still_valid(self, credential: Credential, caller: Caller) -> bool:
        """Whether a watch may go on: the token counts and the tenant is active."""
        try:
            self._active(caller, credential)
        except ApiError:
            return False
        return self._authenticator.counts(credential, caller, self._clock())


def _made(view: TenantView) -> float:
    """When a tenant was made, in epoch seconds: its first namespace was, too."""
    first = view.namespaces.get(VirtualName("default"))
    return first.created if first is not None else 0.0


def bearer(call: Call) -> str:
    """The token of the one Authorization header (RFC 6750 2.1). Raises ApiError 401 for everything else.

    "" where there is no such header but a certificate.
    """
    values = call.getall("Authorization")
    if not values and call.certificate:
        return ""
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise status.unauthorized()
    return token.strip()
