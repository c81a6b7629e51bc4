"""The way of a request, in one place. Every step is called from here, and no step knows the one after the next."""

import logging
import time
from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from vcproxy.access import authorizer
from vcproxy.access.limits import Limits
from vcproxy.access.sealing import Sealer
from vcproxy.core import http, plan, request, status
from vcproxy.core.caller import Caller
from vcproxy.core.fields import Scope
from vcproxy.core.hosting import Tunnels, Upstream
from vcproxy.core.http import Call, Reply
from vcproxy.core.names import HostName, TenantId, VirtualName, down
from vcproxy.core.plan import Answer, Deny, Document, Forward, Plan, Position
from vcproxy.core.request import ApiRequest
from vcproxy.core.status import ApiError
from vcproxy.core.view import NamespaceInfo, Phase, TenantView
from vcproxy.host import replies
from vcproxy.host.answers import HostRefusal
from vcproxy.host.catalog import Catalog
from vcproxy.host.dispatch import Dispatcher
from vcproxy.host.identity import Exchange
from vcproxy.host.kept import KeptViews
from vcproxy.host.shared import Hubs
from vcproxy.host.tunnels import Connector, OpenTunnels
from vcproxy.host.watches import Changes
from vcproxy.observe.account import Account, Observer

log = logging.getLogger(__name__)


class Authenticator(Protocol):
    def authenticate(self, token: str, now: float) -> Caller:
        """Raises ApiError 401."""
        ...


class Registry(Protocol):
    def tenant(self, tenant: TenantId) -> TenantView | None: ...

    async def namespace(self, tenant: TenantId, name: VirtualName, deadline: float) -> NamespaceInfo | None: ...


class Settings(msgspec.Struct, frozen=True):
    """`body_limit` is in bytes, `host_timeout` in seconds; the certificates are PEM texts."""

    body_limit: int
    host_timeout: float
    host_ca: str = ""
    tenant_ca: str = ""


class Flow:
    """Everything that a request needs, passed in once; `handle` is the whole program."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        registry: Registry,
        changes: Callable[[TenantView], Changes],
        catalog: Catalog,
        hubs: Hubs,
        upstream: Upstream,
        tunnels: Tunnels,
        opened: OpenTunnels,
        sealer: Sealer,
        limits: Limits,
        observer: Observer,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authenticator = authenticator
        self._registry = registry
        self._changes = changes
        self._catalog = catalog
        self._hubs = hubs
        self._upstream = upstream
        self._tunnels = tunnels
        self._opened = opened
        self._sealer = sealer
        self._limits = limits
        self._observer = observer
        self._settings = settings
        self._clock = clock
        self._kept = KeptViews()
        self._learned: dict[TenantId, set[str]] = {}

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
        asked = request.parse(call.method, call.target)  # 1. the head, canonical
        account.verb, account.resource = asked.verb, asked.resource
        caller = self._authenticator.authenticate(bearer(call), self._clock())  # 2. who is calling
        account.tenant, account.user = caller.tenant, caller.user
        view = self._active(caller)  # 3. which tenant, is it active
        call.claim(view.id)
        with self._limits.request(view.id):
            authorizer.authorize(caller, authorizer.attributes(asked))  # 5. may this user do this
            scope, ages = await self._scope(view, caller, asked)
            position = self._position(asked, view.id)
            decided = plan.decide(asked, scope, versions=self._catalog.versions, position=position)  # 6. decide
            account.plan = type(decided).__name__
            return await self._carry_out(decided, asked, call, caller, view, scope, ages)

    async def _carry_out(
        self,
        decided: Plan,
        asked: ApiRequest,
        call: Call,
        caller: Caller,
        view: TenantView,
        scope: Scope,
        ages: Callable[[str], float | None],
    ) -> Reply:
        """7. rewrite the body, 8. send it as the tenant, 9. rewrite the answer by what it is."""
        exchange = Exchange(
            self._upstream, caller, clock=self._clock, created=ages, timeout=self._settings.host_timeout
        )
        match decided:
            case Deny(status=refusal):
                return http.refused(refusal, call.request_id)
            case Answer(document=Document.REVIEW):
                return await self._catalog.review(call, caller, self._settings.body_limit, self._clock())
            case Answer(document=document):
                return await self._catalog.answer(document, asked, call)
            case plan.Tunnel() | plan.Proxy():
                return await self._connect(decided, exchange, scope, call, caller)
        seal: Callable[[Position], str] = lambda at: self._seal(asked, view.id, at)  # noqa: E731
        dispatcher = Dispatcher(exchange, scope, self._hubs, seal, self._kept, self._settings.body_limit)
        match decided:
            case Forward():
                return await dispatcher.forward(decided, asked, call)
            case plan.List():
                return await dispatcher.list(decided, call)
            case plan.Watch():
                return await dispatcher.watch(
                    decided,
                    call,
                    lambda: self._changes(view),
                    valid=lambda: self._still_valid(call, caller),
                    hold=lambda taking: (self._limits.take if taking else self._limits.give)("watches", view.id),
                )

    async def _connect(
        self, decided: plan.Tunnel | plan.Proxy, exchange: Exchange, scope: Scope, call: Call, caller: Caller
    ) -> Reply:
        """The way to a pod or service itself."""
        connector = Connector(exchange, scope, self._tunnels, self._opened, lambda: self._still_valid(call, caller))
        try:
            if isinstance(decided, plan.Tunnel):
                return await connector.tunnel(decided, call)
            return await connector.proxy(decided, call, self._settings.body_limit)
        except HostRefusal as refusal:
            return await replies.of_refusal(refusal, call)

    def _active(self, caller: Caller) -> TenantView:
        """The caller's tenant. Unknown, suspended and deleted ones are refused alike."""
        view = self._registry.tenant(caller.tenant)
        if view is None or view.uid != caller.tenant_uid or view.phase is not Phase.ACTIVE:
            raise status.forbidden("forbidden: this cluster is not available to you: ask its provider")
        return view

    async def _scope(
        self, view: TenantView, caller: Caller, asked: ApiRequest
    ) -> tuple[Scope, Callable[[str], float | None]]:
        """What lenses know of the tenant, and the age of its namespaces; a namespace just made is looked up."""
        namespaces: Collection[VirtualName] = view.namespaces
        infos = dict[str, NamespaceInfo]()
        name = VirtualName(asked.name if asked.resource == "namespaces" else asked.namespace)
        if name and name not in view.namespaces and plan.possible_namespace(name, view.id):
            info = await self._registry.namespace(view.id, name, self._settings.host_timeout)
            if info is not None:
                infos[name] = info
                namespaces = {*view.namespaces, name}
        learned = self._learned.setdefault(view.id, set())
        if len(learned) > 1024:
            learned.clear()
        settings = self._settings
        scope = Scope(view.id, caller.user, view.classes, namespaces, learned, settings.host_ca, settings.tenant_ca)

        def created(host: str) -> float | None:
            own = down(view.id, HostName(host)) or VirtualName("")
            now = self._registry.tenant(view.id) or view  # a watch outlives the snapshot that it began with
            info = now.namespaces.get(own) or infos.get(own)
            return info.created if info else (self._clock() if asked.resource == "namespaces" else None)

        return scope, created

    def _position(self, asked: ApiRequest, tenant: TenantId) -> Position | None:
        token = asked.parameter("continue")
        if not token:
            return None
        try:
            return msgspec.json.decode(self._sealer.open(tenant, _purpose(asked), token), type=Position)
        except (ValueError, msgspec.DecodeError):
            raise status.bad_request("continue key is not valid: start the list again without it") from None

    def _seal(self, asked: ApiRequest, tenant: TenantId, position: Position) -> str:
        return self._sealer.seal(tenant, _purpose(asked), msgspec.json.encode(position))

    def _still_valid(self, call: Call, caller: Caller) -> bool:
        """Whether a watch may go on: the token counts and the tenant is active."""
        try:
            self._active(self._authenticator.authenticate(bearer(call), self._clock()))
        except ApiError:
            return False
        return True


def bearer(call: Call) -> str:
    """The token of the one Authorization header (RFC 6750 2.1). Raises ApiError 401 for everything else."""
    values = call.getall("Authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise status.unauthorized()
    return token.strip()


def _purpose(asked: ApiRequest) -> str:
    """What a continue token is for: it continues the very list that it came from."""
    return f"list:{asked.group}/{asked.resource}/{asked.namespace}"
