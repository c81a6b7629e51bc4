"""A scripted host, and a flow in front of it: a test reads as the trace of a request."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from multidict import CIMultiDict
from prometheus_client import CollectorRegistry

from tests.policies import KeptPolicies
from vcproxy.access.authenticator import LiveRevocations, TokenAuthenticator
from vcproxy.access.chain import Chain
from vcproxy.access.keys import Keys
from vcproxy.access.limits import Limits
from vcproxy.access.refresh import Refresher
from vcproxy.access.sealing import Sealer
from vcproxy.access.tokens import Issuer
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.http import Pipe, Reply
from vcproxy.core.names import HostName, TenantId, VirtualName, down
from vcproxy.core.nodes import Sight
from vcproxy.core.scope import Authorities
from vcproxy.core.view import ClassLists, NamespaceInfo, Phase, TenantView
from vcproxy.flow import Flow, Settings
from vcproxy.host.catalog import Catalog
from vcproxy.host.shared import Hubs
from vcproxy.host.tunnels import OpenTunnels
from vcproxy.observe.account import Observer

ACME = TenantId("acme")
OLD = NamespaceInfo(0.0, "1")


class Answer:
    """What the host answers: a code, a JSON document or raw chunks, warnings."""

    def __init__(self, code: int, body: Any = None, *, chunks: list[bytes] | None = None, warning: str = "") -> None:
        self.status = code
        self._chunks = chunks if chunks is not None else [json.dumps(body).encode()]
        self.headers: Mapping[str, str] = CIMultiDict({"Warning": warning} if warning else {})
        self.closed = False

    @property
    def certificate(self) -> bytes:
        return b""

    def getall(self, name: str) -> list[str]:
        return [self.headers[name]] if name in self.headers else []

    async def read(self, limit: int) -> bytes:
        return b"".join(self._chunks)[:limit]

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk

    async def close(self) -> None:
        self.closed = True


class ScriptedPipe:
    """The host's end of a tunnel: keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.peer: Pipe | None = None

    def connect(self, peer: Pipe) -> None:
        self.peer = peer

    def write(self, data: bytes) -> None:
        self.written += data

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class ScriptedHost:
    """Gives its answers in order and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[HostRequest] = []

    async def send(self, request: HostRequest) -> HostResponse:
        self.requests.append(request)
        assert self.answers, f"the host was asked once too often: {request.method} {request.target}"
        return self.answers.pop(0)

    async def upgrade(self, request: HostRequest) -> tuple[HostResponse, Pipe | None]:
        answer = await self.send(request)
        return answer, ScriptedPipe() if answer.status == 101 else None

    async def close(self) -> None:
        pass

    @property
    def asked(self) -> list[str]:
        """Method and target of each request."""
        return [f"{one.method} {one.target}" for one in self.requests]

    def header(self, index: int, name: str) -> str | None:
        return CIMultiDict(self.requests[index].headers).get(name)

    def body(self, index: int = -1) -> Any:
        return json.loads(self.requests[index].body or b"null")


class ScriptedCall:
    """A client's request."""

    request_id = "id"
    certificate = b""

    def __init__(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        self.method, self.target, self._headers, self._body = method, target.encode(), headers, body

    @property
    def upgrade(self) -> bool:
        return bool(self.getall("Upgrade"))

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self._headers if key.lower() == name.lower()]

    def items(self) -> list[tuple[str, str]]:
        return [(key.lower(), value) for key, value in self._headers]

    def begins(self, prefix: bytes) -> bool:
        return any(key.lower().encode().startswith(prefix) for key, _ in self._headers)

    async def read(self, limit: int) -> bytes:
        return self._body[:limit]

    def claim(self, owner: str) -> None:
        pass


class ScriptedRegistry:
    """One tenant, acme, with the namespaces given."""

    def __init__(self, *namespaces: str, phase: Phase = Phase.ACTIVE) -> None:
        spaces = {VirtualName(name): OLD for name in ("default", *namespaces)}
        self.view: TenantView | None = TenantView(ACME, "uid-1", phase, namespaces=spaces)

    def tenant(self, tenant: TenantId) -> TenantView | None:
        return self.view if tenant == ACME else None

    def sight(self, view: TenantView) -> Sight:
        return Sight(view.nodes)

    async def namespace(self, tenant: TenantId, name: VirtualName, deadline: float) -> NamespaceInfo | None:
        return None

    def owner(self, namespace: HostName) -> tuple[TenantId, VirtualName] | None:
        name = down(ACME, namespace)
        return (ACME, name) if name and self.view is not None and name in self.view.namespaces else None


class ScriptedChanges:
    """A tenant whose namespaces stay as they are."""

    def __init__(self, view: TenantView) -> None:
        self._view = view

    def namespaces(self) -> Mapping[VirtualName, NamespaceInfo] | None:
        return self._view.namespaces

    def classes(self) -> ClassLists | None:
        return self._view.classes

    async def changed(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


_SECRET = Keys.generate()


class Nobody:
    """Knows no token."""

    async def review(
        self, token: str, asker: Caller, audiences: tuple[str, ...], now: float
    ) -> tuple[Caller, tuple[str, ...]]:
        raise status.unauthorized()


class World:
    """A flow before a scripted host, and a client of acme's administrator."""

    def __init__(self, *answers: Answer, namespaces: tuple[str, ...] = ("web",), phase: Phase = Phase.ACTIVE) -> None:
        self.host = ScriptedHost(*answers)
        self.policies = KeptPolicies()
        self.authorities = Authorities()
        self.registry = ScriptedRegistry(*namespaces, phase=phase)
        keys = Keys.from_secret(_SECRET)
        self.issuer = Issuer(keys)
        self.token = self.issuer.issue(ACME, "uid-1", "ann", ("tenant:admin",), 600, time.time())[0]
        catalog = Catalog(self.host, address="cluster:443")
        groups = ("", "apps", "authentication.k8s.io", "authorization.k8s.io", "rbac.authorization.k8s.io")
        catalog.versions = frozenset((group, "v1") for group in groups)
        self.hubs = Hubs(self.host, self.registry, timeout=5.0)
        self.flow = Flow(
            authenticator=Chain([TokenAuthenticator(lambda: keys, LiveRevocations())]),
            refresher=Refresher(lambda: keys, LiveRevocations()),
            registry=self.registry,
            policies=self.policies,
            changes=ScriptedChanges,
            catalog=catalog,
            reviewer=Nobody(),
            hubs=self.hubs,
            upstream=self.host,
            tunnels=self.host,
            opened=OpenTunnels(),
            sealer=Sealer(keys),
            limits=Limits(in_flight=10, watches=10),
            observer=Observer(CollectorRegistry()),
            settings=Settings(1024, 5.0),
            authorities=self.authorities,
        )

    async def ask(
        self, method: str, target: str, body: Any = None, *, media: str = "application/json", **headers: str
    ) -> tuple[int, Any]:
        """Code and document of the answer; `headers` are given with `_` for `-`."""
        reply = await self.reply(method, target, body, media=media, **headers)
        return reply.code, json.loads(reply.body) if reply.body else None

    async def reply(
        self, method: str, target: str, body: Any = None, *, media: str = "application/json", **headers: str
    ) -> Reply:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.token}", **{key.replace("_", "-"): v for key, v in headers.items()}}
        sent = [(key, value) for key, value in given.items() if value]
        if raw and media:
            sent.append(("Content-Type", media))
        return await self.flow.handle(ScriptedCall(method, target, sent, raw))


def refusal(code: int, reason: str, message: str) -> Answer:
    return Answer(code, {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message})
