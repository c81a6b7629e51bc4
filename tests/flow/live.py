"""A host whose watches are in the test's hands, and clients whose connections are."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from multidict import CIMultiDict

from tests.flow.scripted import ACME, OLD, World
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.http import Feed
from vcproxy.core.names import HostName, TenantId, VirtualName, down
from vcproxy.core.nodes import Sight
from vcproxy.core.view import Birth, NamespaceInfo, Phase, TenantView
from vcproxy.host.shared import Hubs

GLOBEX = TenantId("globex")


def pod(namespace: str, name: str, version: int, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "resourceVersion": str(version), "labels": labels}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata}


def event(kind: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": document}, separators=(",", ":")).encode() + b"\n"


def bookmark(version: int) -> bytes:
    document = {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}}
    return event("BOOKMARK", document)


class Stream:
    """A watch of the host: what the test puts in comes out; `end` ends it."""

    def __init__(self, request: HostRequest) -> None:
        self.request = request
        self.query = dict(parse_qsl(urlsplit(request.target).query))
        self.status = 200
        self.headers = CIMultiDict[str]()
        self.closed = False
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()

    def getall(self, name: str) -> list[str]:
        return []

    async def read(self, limit: int) -> bytes:
        return b""

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

    async def close(self) -> None:
        self.closed = True

    async def put(self, *events: bytes) -> None:
        """Events that come in one chunk, taken in before this returns."""
        self._chunks.put_nowait(b"".join(events))
        await settle()

    async def end(self) -> None:
        self._chunks.put_nowait(None)
        await settle()


class Whole:
    """An answer that is whole."""

    def __init__(self, document: Any, code: int = 200) -> None:
        self.status, self._body = code, json.dumps(document).encode()
        self.headers = CIMultiDict[str]()

    def getall(self, name: str) -> list[str]:
        return []

    async def read(self, limit: int) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    async def close(self) -> None: ...


class LiveHost:
    """Lists hold `pods` at `version`; watches older than `oldest` are refused with 410; namespaces in `there` exist."""

    def __init__(self) -> None:
        self.version, self.oldest, self.away = 100, 0, False
        self.first_chunk = b""
        self.pods: list[dict[str, Any]] = []
        self.there: set[str] = set()
        self.requests: list[HostRequest] = []
        self.streams: list[Stream] = []

    async def send(self, request: HostRequest) -> HostResponse:
        self.requests.append(request)
        parts = urlsplit(request.target)
        query = dict(parse_qsl(parts.query))
        if self.away:
            return Whole({"kind": "Status", "code": 503}, 503)
        if "watch" in query:
            return self._watch(request, int(query.get("resourceVersion", "0")))
        if parts.path.startswith("/api/v1/namespaces/") and parts.path.count("/") == 4:
            return Whole({}, 200 if parts.path.rpartition("/")[2] in self.there else 404)
        return Whole(self._list(parts.path, query))

    def _watch(self, request: HostRequest, version: int) -> HostResponse:
        if version < self.oldest:
            message = f"too old resource version: {version} ({self.oldest})"
            return Whole({"kind": "Status", "code": 410, "reason": "Expired", "message": message}, 410)
        self.streams.append(Stream(request))
        if self.first_chunk:
            self.streams[-1]._chunks.put_nowait(self.first_chunk)
        return self.streams[-1]

    def _list(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        nothing = "nothing" in query.get("labelSelector", "")
        found = [one for one in self.pods if f"/namespaces/{one['metadata']['namespace']}/" in path and not nothing]
        items = [{key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in found]
        metadata = {"resourceVersion": str(self.version)}
        return {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}

    async def close(self) -> None: ...

    def shared(self) -> list[Stream]:
        """The watches that are for all tenants, in the order in which they were opened."""
        return [stream for stream in self.streams if not any("Impersonate" in key for key, _ in stream.request.headers)]


class Registry:
    """Tenants acme and globex with the namespaces given (the host's names)."""

    def __init__(self, *namespaces: str) -> None:
        self.namespaces = {HostName(name) for name in namespaces}
        self.phases = {ACME: Phase.ACTIVE, GLOBEX: Phase.ACTIVE}
        self.early: set[str] = set()
        self.uids = {ACME: "uid-1", GLOBEX: "uid-1"}
        self.births: dict[TenantId, Birth] = {}
        self.asked: list[str] = []

    def tenant(self, tenant: TenantId) -> TenantView | None:
        if tenant not in self.phases:
            return None
        names = (down(tenant, name) for name in self.namespaces)
        spaces = {name: OLD for name in names if name}
        born = self.births.get(tenant, Birth())
        return TenantView(tenant, self.uids[tenant], self.phases[tenant], namespaces=spaces, birth=born)

    def owner(self, namespace: HostName) -> tuple[TenantId, VirtualName] | None:
        tenant, _, name = namespace.partition("-")
        return (TenantId(tenant), VirtualName(name)) if namespace in self.namespaces else None

    def sight(self, view: TenantView) -> Sight:
        return Sight(view.nodes)

    async def namespace(self, tenant: TenantId, name: VirtualName, deadline: float) -> NamespaceInfo | None:
        host = f"{tenant}-{name}"
        self.asked.append(host)
        return OLD if host in self.namespaces or host in self.early else None


class Sink:
    """A client's connection: what was written, and whether it takes more."""

    def __init__(self, feed: Feed, *, blocked: bool = False) -> None:
        self.blocked = blocked
        self.writes: list[bytes] = []
        self.ended = self.aborted = False
        self.feed = feed
        feed.start(self)

    def write(self, frames: bytes) -> None:
        assert not self.ended
        self.writes.append(frames)

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.feed.stop()

    def abort(self) -> None:
        self.aborted = True
        self.feed.stop()

    def go_on(self) -> None:
        self.blocked = False
        self.feed.resume()

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The events, cut out of their chunks."""
        rest, found = b"".join(self.writes), list[dict[str, Any]]()
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            found.append(json.loads(rest[:length]))
            assert rest[length : length + 2] == b"\r\n"
            rest = rest[length + 2 :]
        return found

    @property
    def seen(self) -> list[str]:
        """Each event in short: `ADDED web/a 7`."""
        found = []
        for one in self.documents:
            metadata = one["object"]["metadata"]
            name = f" {metadata.get('namespace', '')}/{metadata['name']}" if "name" in metadata else ""
            found.append(f"{one['type']}{name} {metadata['resourceVersion']}")
        return found


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watching(World):
    """A flow before a live host, with clients of both tenants; time stands still unless the test moves it."""

    def __init__(self, *namespaces: str, registry: Registry | None = None) -> None:
        super().__init__()
        self.live = LiveHost()
        self.live_registry = registry or Registry(*namespaces)
        self.clock = Clock()
        self.hubs = Hubs(self.live, self.live_registry, timeout=5.0, clock=self.clock)
        self.flow._hubs, self.flow._upstream, self.flow._registry = self.hubs, self.live, self.live_registry
        self.flow._scopes._registry = self.live_registry
        self.tokens = {ACME: self.token}

    def made_anew(self, tenant: TenantId, born: int) -> None:
        """The tenant is deleted, and another has its id."""
        self.live_registry.uids[tenant] = "uid-2"
        self.live_registry.births[tenant] = Birth(born, born)
        self.tokens.pop(tenant, None)

    def as_tenant(self, tenant: TenantId) -> None:
        uid = self.live_registry.uids.get(tenant, "uid-1")
        if tenant not in self.tokens:
            self.tokens[tenant] = self.issuer.issue(tenant, uid, "bob", ("tenant:admin",), 600, time.time())[0]
        self.token = self.tokens[tenant]

    async def watch(self, target: str, tenant: TenantId = ACME, **headers: str) -> Sink:
        """A client that watches; the first stream of the host is open when this returns."""
        self.as_tenant(tenant)
        reply = await self.reply("GET", target, **headers)
        assert reply.feed is not None, (reply.code, reply.body)
        return Sink(reply.feed)

    def sweep(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.hubs.sweep()
        self.hubs.sweep()


async def settle(turns: int = 12) -> None:
    """Let everything run that can."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Returns when something has become true."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
