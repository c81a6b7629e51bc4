"""The composition root: one running proxy, put together from its parts and taken apart again."""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import time
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop
from prometheus_client import CollectorRegistry

from vcproxy import __version__
from vcproxy.access import certificates, clientcerts, issuing
from vcproxy.access.assessing import Assessor
from vcproxy.access.authenticator import LiveRevocations
from vcproxy.access.callers import Callers
from vcproxy.access.certificates import CertificateSource
from vcproxy.access.limits import Limits
from vcproxy.access.sealing import Sealer
from vcproxy.access.secrets import Secrets
from vcproxy.config.sections import Config
from vcproxy.core import rbac_defaults
from vcproxy.core.kinds import Kind
from vcproxy.core.names import TenantId
from vcproxy.core.pods import Facts
from vcproxy.flow import Flow, Settings
from vcproxy.host.catalog import Catalog
from vcproxy.host.kubeconfig import credentials
from vcproxy.host.looks import Looks
from vcproxy.host.shared import Hubs
from vcproxy.host.tunnels import OpenTunnels
from vcproxy.host.upstream import Pool
from vcproxy.observe import logs
from vcproxy.observe.account import HostTraffic, Observer
from vcproxy.observe.endpoints import Endpoints
from vcproxy.observe.logs import RequestLog
from vcproxy.server import Server, ServerSettings
from vcproxy.tenants import info, installation, pods_webhook, wall
from vcproxy.tenants.authorities import Made
from vcproxy.tenants.changes import TenantChanges
from vcproxy.tenants.controller import Controller
from vcproxy.tenants.hostapi import HostApi, path_of
from vcproxy.tenants.manifests import INSTALLATION, Advertised
from vcproxy.tenants.registry import Registry
from vcproxy.tenants.rights import Rights
from vcproxy.tenants.term import Term
from vcproxy.tenants.wall import stored

log = logging.getLogger(__name__)

CERTIFICATE_CHECK: Final = 5.0
"""Seconds between two looks at whether there is a newer serving certificate."""
START_DEADLINE: Final = 60.0
"""Seconds in which the host's tenants, keys and discovery must have been read."""
COLLECT: Final = (50_000, 20, 100)
"""Objects between two looks for garbage (Python: 700, 10, 10): requests make few cycles, and each look costs a turn."""
REVIEWERS: Final = 256
"""Connections to the webhook for pods: API servers keep a few open each, others have no business there."""
_VERSIONS: Final = {"autoscaling": "v2"}
"""Of built-in groups: the version in which the controller looks, where that is not v1."""
IN_CLUSTER_NAMES: Final = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
"""What clients inside of pods call the API server: the names in its own certificate, as kubeadm makes it."""


class Proxy:
    """One running proxy. `run` returns when `stop` was called and everything has ended."""

    def __init__(self, config: Config, request_log: RequestLog | None = None) -> None:
        self._config = config
        self._request_log = request_log
        self._stop = asyncio.Event()
        self._secrets = Secrets()
        self._ready = False
        self._metrics = CollectorRegistry()
        proxy, controller = credentials(config.host)
        self._host_credentials = proxy
        limits = config.limits
        self._upstream = Pool(
            proxy, connections=limits.host_connections, owner_connections=limits.tenant_host_connections
        )
        self._writer = Pool(controller)
        HostTraffic(self._metrics, self._upstream)
        self._opened = OpenTunnels()
        revocations = LiveRevocations()
        self._registry = Registry(
            self._upstream,
            exported=config.exports.groups,
            on_tokens=revocations.update,
            on_keys=self._secrets.update,
            on_authorities=lambda tenant, kept: self._callers.keep(
                tenant, clientcerts.Kept(kept.bundle, kept.tenant_uid) if kept else None
            ),
            on_authentication=lambda tenant, spec: self._callers.update(tenant, spec),
            on_grants=lambda tenant, found: self._rights.grant(
                tenant, found.grants if found else (), found.resource_version if found else ""
            ),
        )
        self._rights = Rights(self._upstream, rbac_defaults.policy())
        self._registry.keep(self._rights.reflectors)
        self._host_ca = ""
        ca_path = path_of("v1", "configmaps", INSTALLATION)
        self._registry.watch_object(ca_path, "kube-root-ca.crt", self._take_host_ca)
        address = config.listen.public_url.partition("://")[2]
        self._catalog = Catalog(self._upstream, address=address, exports=config.exports)
        self._hubs = Hubs(self._upstream, self._registry, timeout=config.limits.host_timeout)
        self._limits = Limits(in_flight=config.limits.in_flight, watches=config.limits.watches)
        self._callers = Callers(
            lambda: self._secrets.keys,
            revocations,
            self._registry,
            config.authentication,
            Looks(self._upstream),
            config.pods.host_audiences,
        )
        self._sealer = Sealer(lambda: self._secrets.keys)
        self._certificates = self._certificate_source()
        self._webhook_certificates: CertificateSource | None = None

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
        servers: list[Server] = []
        try:
            await self._until_synced(tasks)
            await self._callers.look(self._config.pods.host_audiences)
            servers += await self._listen_for_reviews()
            if self._config.controller:  # it tells the host of the webhook, which answers by now
                tasks.append(asyncio.create_task(self._controller().run()))
            servers.append(await self._listen())
            running = (
                self._renew(),
                info.publish(HostApi(self._writer), self._config, self._public_ca),
                self._opened.run(),
                self._hubs.run(),
            )
            tasks += [asyncio.create_task(one) for one in running]
            await self._serve_until_stopped(tasks)
            self._ready = False
            await asyncio.gather(*(server.drain() for server in servers))
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
        server = Server(self._flow().handle, settings, self._callers.trust.apply(self._certificates.context()))
        await server.start()
        self._ready = True
        log.info("serving on %s:%d", host, server.port)
        return server

    async def _listen_for_reviews(self) -> list[Server]:
        """The listener of the webhook for pods, where the host is to ask it."""
        where = self._webhook_place()
        if where is None:
            log.warning("webhook.url and webhook.service are not set: pods of tenants are as the host makes them")
            return []
        name = where.host if isinstance(where, pods_webhook.Service) else urlsplit(where).hostname or ""
        self._webhook_certificates = certificates.of_ca(self._secrets.authority, [name])
        host, port = self._config.webhook.listen
        settings = ServerSettings(host, port, connections=REVIEWERS, reuse_port=self._config.listen.shared)
        handler = pods_webhook.Webhook(
            self._pod_facts(),
            lambda: pods_webhook.secret_path(self._secrets.authority().key),
            self._registry.classes,
        )
        server = Server(handler, settings, self._webhook_certificates.context())
        await server.start()
        return [server]

    def _webhook_place(self) -> str | pods_webhook.Service | None:
        found = self._config.webhook
        return pods_webhook.Service(*found.service) if found.service else found.url

    def _webhook_configuration(self) -> dict[str, Any]:
        """What the host is to be told. Raises ValueError until the keys were read."""
        place, ca = self._webhook_place(), self._secrets.authority()
        return pods_webhook.configuration(
            pods_webhook.client(place or "", pods_webhook.secret_path(ca.key), ca.certificate)
        )

    def _pod_facts(self) -> Facts:
        host, port = self._config.advertise_address or ("", 0)
        inside = self._config.pods
        return Facts(inside.nameserver or "", host, port, frozenset(inside.host_audiences))

    def _flow(self) -> Flow:
        limits = self._config.limits
        ca = "" if self._config.listen.certificate else self._secrets.authority().certificate.decode()
        return Flow(
            authenticator=self._callers.chain,
            refresher=self._callers.refresher,
            registry=self._registry,
            policies=self._rights,
            changes=lambda view: TenantChanges(view, self._registry.tenant, self._registry.subscribe),
            catalog=self._catalog,
            reviewer=self._callers.reviewer,
            hubs=self._hubs,
            upstream=self._upstream,
            tunnels=self._upstream,
            opened=self._opened,
            sealer=self._sealer,
            limits=self._limits,
            observer=Observer(self._metrics, self._request_log),
            settings=Settings(
                limits.body_bytes,
                limits.host_timeout,
                self._host_ca,
                ca or self._public_ca(),
                self._config.listen.domain,
                limits.definitions,
                frozenset(self._config.pods.host_audiences),
                self._config.exports,
            ),
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
        advertised = self._config.advertise_address
        inside = (*IN_CLUSTER_NAMES, advertised[0]) if advertised else ()
        tenants = (f"*.{listen.domain}",) if listen.domain else ()
        return certificates.of_ca(self._secrets.authority, tuple(dict.fromkeys((*listen.names, *tenants, *inside))))

    def _controller(self) -> Controller:
        rows = [row for row in map(stored, self._config.exports.served()) if row.namespaced and "list" in row.verbs]
        advertised = self._config.advertise_address
        term = partial(
            Term,
            self._writer,
            kinds=[(row.group, self._version(row), row.resource) for row in rows],
            advertised=Advertised(*advertised) if advertised else None,
            installed=self._installed(),
            ca=self._public_ca,
            review=self._webhook_configuration if self._webhook_place() else None,
            authority=_made_authority,
            assess=Assessor(),
        )
        return Controller(self._writer, identity=f"{socket.gethostname()}-{id(self):x}", term=term)

    def _version(self, row: Kind) -> str:
        """The version in which the controller looks at a kind."""
        return self._config.exports.versions.get(row.key, _VERSIONS.get(row.group, "v1"))

    def _installed(self) -> list[dict[str, Any]]:
        """What the controller keeps on the host; behind a webhook for pods also a policy."""
        host = self._config.pods.host_audiences
        walls = wall.pod_walls(host) if self._webhook_place() else []
        return [*installation.objects(__version__, self._config.exports), *wall.token_walls(host), *walls]

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK)
            try:
                if self._certificates.refresh():
                    log.info("a new serving certificate is in use")
                if self._webhook_certificates is not None:
                    self._webhook_certificates.refresh()
            except (OSError, ValueError) as error:
                log.error("the serving certificate cannot be read, the old one stays in use: %s", error)


def _made_authority(tenant: TenantId) -> Made:
    """A new CA for a tenant."""
    pair = issuing.make_authority(tenant, time.time())
    return Made(pair.certificate.decode(), pair.key, pair.expires().timestamp())


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
