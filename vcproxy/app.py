"""The composition root: one running proxy, put together from its parts and taken apart again."""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from prometheus_client import CollectorRegistry

from vcproxy.access import certificates
from vcproxy.access.authenticator import LiveRevocations, TokenAuthenticator
from vcproxy.access.certificates import CertificateSource, Pair
from vcproxy.access.keys import Keys
from vcproxy.access.limits import Limits
from vcproxy.access.sealing import Sealer
from vcproxy.config import Config
from vcproxy.core import kinds, plan, request
from vcproxy.core.fields import Scope
from vcproxy.core.rules import rows
from vcproxy.core.status import qualified
from vcproxy.core.view import TenantView
from vcproxy.flow import Flow, Settings
from vcproxy.host.catalog import Catalog
from vcproxy.host.kubeconfig import HostCredentials, in_cluster, load_kubeconfig
from vcproxy.host.shared import Hubs
from vcproxy.host.tunnels import OpenTunnels
from vcproxy.host.upstream import Pool
from vcproxy.observe import logs
from vcproxy.observe.account import HostTraffic, Observer
from vcproxy.observe.endpoints import Endpoints
from vcproxy.observe.logs import RequestLog
from vcproxy.server import Server, ServerSettings
from vcproxy.tenants.changes import TenantChanges
from vcproxy.tenants.controller import Controller
from vcproxy.tenants.hostapi import HostApi, HostError, path_of
from vcproxy.tenants.manifests import Advertised
from vcproxy.tenants.registry import Registry

log = logging.getLogger(__name__)

CERTIFICATE_CHECK: Final = 5.0
"""Seconds between two looks at whether there is a newer serving certificate."""
START_DEADLINE: Final = 60.0
"""Seconds in which the host's tenants, keys and discovery must have been read."""
COLLECT: Final = (50_000, 20, 100)
"""Objects between two looks for garbage (Python: 700, 10, 10): requests make few cycles, and each look costs a turn."""
INSTALLATION: Final = "vcproxy-system"


class Secrets:
    """The keys as the host's Secret has them now; None until it was read."""

    def __init__(self) -> None:
        self.keys: Keys | None = None
        self.ca: Pair | None = None

    def update(self, data: Mapping[str, bytes] | None) -> None:
        """Take up the Secret's data; what cannot be read leaves the old keys in force."""
        try:
            keys = Keys.from_secret(data or {})
            ca = Pair((data or {})["ca.crt"], (data or {})["ca.key"])
        except (ValueError, KeyError) as error:
            log.error("the Secret vcproxy-keys cannot be read: %s", type(error).__name__)
            return
        self.keys, self.ca = keys, ca

    def authority(self) -> Pair:
        """The CA. Raises ValueError until it was read."""
        if self.ca is None:
            raise ValueError("the Secret vcproxy-keys has not been read")
        return self.ca


class Proxy:
    """One running proxy. `run` returns when `stop` was called and everything has ended."""

    def __init__(self, config: Config, request_log: RequestLog | None = None) -> None:
        self._config = config
        self._request_log = request_log
        self._stop = asyncio.Event()
        self._secrets = Secrets()
        self._ready = False
        self._metrics = CollectorRegistry()
        proxy, controller = credentials(config)
        self._host_credentials = proxy
        limits = config.limits
        self._upstream = Pool(
            proxy, connections=limits.host_connections, owner_connections=limits.tenant_host_connections
        )
        self._writer = Pool(controller)
        HostTraffic(self._metrics, self._upstream)
        self._opened = OpenTunnels()
        revocations = LiveRevocations()
        self._registry = Registry(self._upstream, on_tokens=revocations.update, on_keys=self._secrets.update)
        self._host_ca = ""
        ca_path = path_of("v1", "configmaps", INSTALLATION)
        self._registry.watch_object(ca_path, "kube-root-ca.crt", self._take_host_ca)
        self._catalog = Catalog(self._upstream, address=config.listen.public_url.partition("://")[2])
        self._hubs = Hubs(self._upstream, self._registry, timeout=config.limits.host_timeout)
        self._limits = Limits(in_flight=config.limits.in_flight, watches=config.limits.watches)
        self._authenticator = TokenAuthenticator(lambda: self._secrets.keys, revocations)
        self._sealer = Sealer(lambda: self._secrets.keys)
        self._certificates = self._certificate_source()

    def stop(self) -> None:
        """Ask the proxy to end: it drains first."""
        self._stop.set()

    def reasons(self) -> list[str]:
        """Why the proxy is not ready; empty when it is."""
        keys = [] if self._secrets.keys else ["the keys have not been read yet"]
        found = [*self._registry.reasons(), *self._catalog.reasons(), *keys]
        return found or ([] if self._ready else ["the listener is not open"])

    async def run(self) -> None:
        """Raises OSError where an address cannot be had, TimeoutError where the host cannot be read."""
        operations = Endpoints(*self._config.operations, self._metrics, self.reasons)
        await operations.start()
        tasks = [asyncio.create_task(one) for one in (self._registry.run(), self._catalog.run())]
        if self._config.controller:
            tasks.append(asyncio.create_task(self._controller().run()))
        try:
            await self._until_synced(tasks)
            server = await self._listen()
            running = (self._renew(), self._publish(), self._opened.run(), self._hubs.run())
            tasks += [asyncio.create_task(one) for one in running]
            await self._serve_until_stopped(tasks)
            self._ready = False
            await server.drain()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await operations.close()
            await self._upstream.close()
            await self._writer.close()

    async def _until_synced(self, tasks: list[asyncio.Task[None]]) -> None:
        synced = asyncio.create_task(self._synced())
        done, _ = await asyncio.wait({synced, *tasks}, timeout=START_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        if synced in done:
            return
        synced.cancel()
        for task in done:
            task.result()
        raise TimeoutError("; ".join(self.reasons()))

    async def _synced(self) -> None:
        await self._registry.wait_synced()
        while self._secrets.keys is None or self._catalog.reasons():  # noqa: ASYNC110 - two sources, once, at the start
            await asyncio.sleep(0.02)

    async def _serve_until_stopped(self, tasks: list[asyncio.Task[None]]) -> None:
        """Until `stop`, or until a part that must run ended: its error is raised."""
        stopped = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        for task in done - {stopped}:
            task.result()

    async def _listen(self) -> Server:
        config = self._config
        host, port = config.listen.address
        limits = config.limits
        settings = ServerSettings(
            host,
            port,
            limits.head_bytes,
            limits.keep_alive,
            limits.drain,
            limits.connections,
            limits.tenant_connections,
            config.listen.shared,
        )
        server = Server(self._flow().handle, settings, self._certificates.context())
        await server.start()
        self._ready = True
        log.info("serving on %s:%d", host, server.port)
        return server

    def _flow(self) -> Flow:
        limits = self._config.limits
        ca = "" if self._config.listen.certificate else self._secrets.authority().certificate.decode()
        return Flow(
            authenticator=self._authenticator,
            registry=self._registry,
            changes=lambda view: TenantChanges(view, self._registry.tenant, self._registry.subscribe),
            catalog=self._catalog,
            hubs=self._hubs,
            upstream=self._upstream,
            tunnels=self._upstream,
            opened=self._opened,
            sealer=self._sealer,
            limits=self._limits,
            observer=Observer(self._metrics, self._request_log),
            settings=Settings(limits.body_bytes, limits.host_timeout, self._host_ca, ca or self._public_ca()),
        )

    def _take_host_ca(self, found: dict[str, Any] | None) -> None:
        self._host_ca = ((found or {}).get("data") or {}).get("ca.crt", self._host_ca)

    def _public_ca(self) -> str:
        """What clients trust: the given certificate's own file, or vcproxy's CA."""
        given = self._config.listen.certificate
        return given.read_text() if given else self._secrets.authority().certificate.decode()

    def _certificate_source(self) -> CertificateSource:
        listen = self._config.listen
        if listen.certificate is not None and listen.key is not None:
            return certificates.of_files(listen.certificate, listen.key)
        return certificates.of_ca(self._secrets.authority, listen.names)

    def _controller(self) -> Controller:
        rows = [row for row in kinds.served() if row.namespaced and "list" in row.verbs]
        advertised = self._config.advertise_address
        return Controller(
            self._writer,
            identity=f"{socket.gethostname()}-{id(self):x}",
            kinds=[(row.group, "v2" if row.group == "autoscaling" else "v1", row.resource) for row in rows],
            advertised=Advertised(*advertised) if advertised else None,
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK)
            try:
                if self._certificates.refresh():
                    log.info("a new serving certificate is in use")
            except (OSError, ValueError) as error:
                log.error("the serving certificate cannot be read, the old one stays in use: %s", error)

    async def _publish(self) -> None:
        """Tell the CLI where tenants reach this proxy: ConfigMap vcproxy-info."""
        where = path_of("v1", "configmaps", INSTALLATION, "vcproxy-info")
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "vcproxy-info", "namespace": INSTALLATION},
            "data": {
                "publicURL": self._config.listen.public_url,
                "ca.crt": self._public_ca(),
                "tokenLife": f"{self._config.tokens.life:.0f}s",
                "longestTokenLife": f"{self._config.tokens.longest_life:.0f}s",
            },
        }
        while True:
            try:
                await HostApi(self._writer).apply(where, body)
                await asyncio.Event().wait()
            except HostError as error:
                log.warning("ConfigMap vcproxy-info cannot be written: %s", error.reason)
                await asyncio.sleep(10)


def credentials(config: Config) -> tuple[HostCredentials, HostCredentials]:
    """The proxy's credential and the controller's. Raises KubeconfigError."""
    proxy, controller = config.host.kubeconfig, config.host.controller_kubeconfig
    if proxy is None or controller is None:
        return in_cluster("proxy"), in_cluster("controller")
    return load_kubeconfig(Path(proxy)), load_kubeconfig(Path(controller))


def serve(config: Config) -> int:
    """Run a proxy until SIGTERM or SIGINT. The exit code: 0 after a drain, 1 after a failure."""
    gc.set_threshold(*COLLECT)
    _raise_descriptors()
    request_log = logs.configure(config.log.format, config.log.level)
    try:
        uvloop.run(_serve(config, request_log))
    except (OSError, ValueError, TimeoutError) as error:
        log.error("vcproxy ends: %s", error)
        return 1
    return 0


def _raise_descriptors() -> None:
    """As many open files as this process may have at all: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(config: Config, request_log: RequestLog | None) -> None:
    proxy = Proxy(config, request_log)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, proxy.stop)
    await proxy.run()


def explain(method: str, url: str, view: TenantView, user: str = "admin") -> dict[str, Any]:
    """The plan for a request of a tenant, as a document: what `vcproxy explain` prints. Raises ApiError 400."""
    asked = request.parse(method, url.encode())
    scope = Scope(view.id, user, view.classes, view.namespaces)
    versions = frozenset((row.group, version) for row in kinds.served() for version in ("v1", "v2"))
    decided = plan.decide(asked, scope, versions=versions)
    shown = {
        "request": msgspec.to_builtins(asked),
        "plan": msgspec.to_builtins(
            decided, order="sorted", enc_hook=dict
        ),  # the rows of kinds hold read-only mappings
    }
    if isinstance(decided, plan.Forward | plan.Tunnel | plan.Proxy):
        shown["target"] = decided.target
    if not isinstance(decided, plan.Answer | plan.Deny):
        shown["plan"]["row"] = f"{qualified(*decided.row.key)} ({decided.row.exposure.value})"
        shown["rules"] = rules_of(decided.row.group, decided.row.kind)
    return shown


def rules_of(group: str, kind: str) -> list[str]:
    """The rules that run on a kind, as texts `path: LENS`."""
    return [f"{path or '(the object)'}: {lens.name}" for path, lens in rows(group, kind)]
