"""One running proxy: all its parts, who of them is told what, and the order in which they begin and end."""

import asyncio
import logging
import socket
from typing import Any, Final

from prometheus_client import CollectorRegistry

from vcproxy.access import clientcerts
from vcproxy.access.assessing import Assessor
from vcproxy.access.authenticator import LiveRevocations
from vcproxy.access.callers import Callers
from vcproxy.access.limits import Limits
from vcproxy.access.sealing import Sealer
from vcproxy.access.secrets import Secrets
from vcproxy.app import settings
from vcproxy.app.certificates import Certificates
from vcproxy.app.controllers import controller_of
from vcproxy.app.reviews import reviews_of
from vcproxy.config.sections import Config
from vcproxy.core import rbac_defaults
from vcproxy.flow import Flow
from vcproxy.host.catalog import Catalog
from vcproxy.host.kubeconfig import credentials
from vcproxy.host.looks import Looks
from vcproxy.host.shared import Hubs
from vcproxy.host.tunnels import OpenTunnels
from vcproxy.host.upstream import Pool
from vcproxy.observe.account import HostTraffic, Observer
from vcproxy.observe.endpoints import Endpoints
from vcproxy.observe.logs import RequestLog
from vcproxy.server import Server
from vcproxy.tenants import info
from vcproxy.tenants.changes import TenantChanges
from vcproxy.tenants.controller import Controller
from vcproxy.tenants.hostapi import HostApi, path_of
from vcproxy.tenants.manifests import INSTALLATION
from vcproxy.tenants.registry import Registry
from vcproxy.tenants.rights import Rights

log = logging.getLogger(__name__)

START_DEADLINE: Final = 60.0
"""Seconds in which the host's tenants, keys and discovery must have been read."""


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
        self._rights = Rights(self._upstream, rbac_defaults.policy(), config.limits.rights)
        self._registry.keep(self._rights.reflectors)
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
        self._certificates = Certificates(config, self._secrets.authority)
        self._reviews = reviews_of(config, self._secrets.authority)

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
                self._certificates.renew(),
                info.publish(HostApi(self._writer), self._config, self._certificates.trusted),
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
        tls = self._callers.listen(self._certificates.tenants.context())
        self._certificates.authorities.shown = self._certificates.trusted()
        server = Server(self._flow().handle, settings.of_listener(self._config), tls)
        await server.start()
        self._ready = True
        log.info("serving on %s:%d", self._config.listen.address[0], server.port)
        return server

    async def _listen_for_reviews(self) -> list[Server]:
        """The listener of the webhook for pods, where the host is to ask it."""
        if self._reviews is None:
            log.warning("webhook.url and webhook.service are not set: pods of tenants are as the host makes them")
            return []
        certificate = self._certificates.reviews(self._reviews.name)
        server = self._reviews.server(self._registry.classes, certificate)
        await server.start()
        return [server]

    def _controller(self) -> Controller:
        return controller_of(
            self._config,
            self._writer,
            identity=f"{socket.gethostname()}-{id(self):x}",
            ca=self._certificates.trusted,
            review=self._reviews.configuration if self._reviews else None,
            assess=Assessor(self._callers.clashing),
        )

    def _flow(self) -> Flow:
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
            settings=settings.of_requests(self._config),
            authorities=self._certificates.authorities,
        )

    def _take_host_ca(self, found: dict[str, Any] | None) -> None:
        known = self._certificates.authorities
        known.host = ((found or {}).get("data") or {}).get("ca.crt", known.host)
