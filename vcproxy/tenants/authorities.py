"""The certificate authority that vcproxy keeps for a tenant that asks for one (clientCertificate.issue).

A ConfigMap in vcproxy's own namespace says which CAs count; proxies follow it. The key of each stands in a Secret
beside it, written once: the controller makes and removes those, and can read none (`vcproxy kubeconfig --certificate`
reads it as the host's administrator). The next CA is made while the last one may still sign for as long as a
certificate lives; both count until the older one ends.
"""

import base64
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from vcproxy.core.names import TenantId
from vcproxy.tenants import resource
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of
from vcproxy.tenants.manifests import INSTALLATION
from vcproxy.tenants.resource import Tenant

log = logging.getLogger(__name__)

LABEL: Final = "vcproxy.io/authority"
TYPE: Final = "vcproxy.io/authority"
"""Of the Secrets: the host lets the controller make and remove no others (policy vcproxy-controller-secrets)."""
TENANT_UID: Final = "tenantUid"
RENEW: Final = 366 * 86400.0
"""Seconds before a CA ends when the next one is made: no certificate lives longer."""
RETRY: Final = 30.0
AFTER_CONFLICT: Final = 1.0
CONFIG_MAPS: Final = path_of("v1", "configmaps", INSTALLATION)
SECRETS: Final = path_of("v1", "secrets", INSTALLATION)


class Authority(msgspec.Struct, frozen=True):
    """One CA: PEM text, end in seconds since the epoch."""

    number: int
    certificate: str
    expires: float


class Kept(msgspec.Struct, frozen=True):
    """The CAs of one tenant, the oldest first."""

    tenant: TenantId
    tenant_uid: str
    authorities: tuple[Authority, ...] = ()

    @property
    def bundle(self) -> str:
        """All of them as one PEM text."""
        return "".join(one.certificate for one in self.authorities)

    @property
    def newest(self) -> Authority | None:
        return max(self.authorities, key=lambda one: one.expires, default=None)

    def document(self) -> Object:
        """The ConfigMap."""
        metadata = {"name": map_name(self.tenant), "namespace": INSTALLATION, "labels": {LABEL: str(self.tenant)}}
        data = {TENANT_UID: self.tenant_uid} | {
            str(one.number): json.dumps(
                {"certificate": one.certificate, "expires": resource.timestamp(one.expires)}, indent=1
            )
            for one in self.authorities
        }
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class Made(msgspec.Struct, frozen=True):
    """A new CA and its key, PEM; the key never shows in `repr`."""

    certificate: str
    key: bytes
    expires: float

    def __repr__(self) -> str:
        return "Made(...)"


def map_name(tenant: TenantId) -> str:
    return f"authority-{tenant}"


def secret_name(tenant: TenantId, number: int) -> str:
    return f"authority-{tenant}-{number}"


def parse(document: Object) -> Kept | None:
    """What a ConfigMap says, or None where label and name do not name one tenant. What cannot be read is left out."""
    metadata, data = document.get("metadata") or {}, document.get("data") or {}
    owner = (metadata.get("labels") or {}).get(LABEL)
    if not owner or metadata.get("name") != map_name(owner):
        return None
    found = sorted(_readable(data), key=lambda one: one.number)
    return Kept(TenantId(owner), str(data.get(TENANT_UID)), tuple(found))


def _readable(data: Mapping[str, Any]) -> Iterable[Authority]:
    for key, text in data.items():
        if key.isdecimal():
            try:
                entry = json.loads(text)
                yield Authority(
                    int(key), str(entry["certificate"]), datetime.fromisoformat(entry["expires"]).timestamp()
                )
            except (ValueError, KeyError, TypeError):
                log.warning("an entry of a tenant's authorities cannot be read: %s", key)


class Authorities:
    """Makes, renews and removes them. `known` is what the host was last seen to have."""

    def __init__(
        self,
        api: HostApi,
        known: Callable[[TenantId], Kept | None],
        make: Callable[[TenantId], Made],
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._known = known
        self._make = make
        self._now = now
        self._problems: dict[TenantId, str] = {}

    def problem(self, tenant: TenantId) -> str:
        """Why the tenant has not the CA that it should have; "" where it has."""
        return self._problems.get(tenant, "")

    async def keep(self, tenant: Tenant) -> float | None:
        """Make what is missing, remove what is too much; seconds until to look again. A refusal of the host waits."""
        try:
            wait = await self._keep(tenant)
        except HostError as error:
            if error.code == 409:
                return AFTER_CONFLICT  # somebody else was faster
            self._problems[tenant.id] = str(error)
            log.warning("tenant %s: its certificate authority: %s", tenant.id, error)
            return RETRY
        self._problems.pop(tenant.id, None)
        return wait

    async def _keep(self, tenant: Tenant) -> float | None:
        known = self._known(tenant.id)
        if known is not None and (known.tenant_uid != tenant.uid or not tenant.issues_certificates):
            await self.remove(tenant.id)
            known = None
        if not tenant.issues_certificates:
            return None
        wait = self._due(known)
        return await self._renew(tenant) if wait <= 0 else wait

    def _due(self, known: Kept | None) -> float:
        """Seconds until something has to be done."""
        if known is None or known.newest is None:
            return 0.0
        return min(known.newest.expires - RENEW, *(one.expires for one in known.authorities)) - self._now()

    async def _renew(self, tenant: Tenant) -> float:
        """A new CA where the last one is old, without those that ended. What stands there is read anew before."""
        where = path_of("v1", "configmaps", INSTALLATION, map_name(tenant.id))
        there = await self._api.get(where)
        known = (parse(there) if there else None) or Kept(tenant.id, tenant.uid)
        if known.tenant_uid != tenant.uid:
            return RETRY  # the news that it was removed comes
        live = [one for one in known.authorities if one.expires > self._now()]
        if not live or max(one.expires for one in live) - RENEW <= self._now():
            live.append(await self._add(tenant.id, max((one.number for one in known.authorities), default=0) + 1))
        for gone in (one for one in known.authorities if one not in live):
            await self._api.delete(f"{SECRETS}/{secret_name(tenant.id, gone.number)}")
        made = msgspec.structs.replace(known, authorities=tuple(live))
        await self._write(where, there, made)
        return max(self._due(made), 1.0)

    async def _write(self, where: str, there: Object | None, made: Kept) -> None:
        """Raises HostError, for a ConfigMap that somebody else changed meanwhile too."""
        document = made.document()
        if there is None:
            await self._api.create(CONFIG_MAPS, document)
        elif parse(there) != made:
            metadata = {**there["metadata"], "labels": document["metadata"]["labels"]}
            await self._api.replace(where, {**document, "metadata": metadata})

    async def _add(self, tenant: TenantId, number: int) -> Authority:
        """A new CA whose key is stored; one of that number that never came to count is replaced."""
        made = self._make(tenant)
        body = _secret(tenant, number, made)
        try:
            await self._api.create(SECRETS, body)
        except HostError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._api.delete(f"{SECRETS}/{secret_name(tenant, number)}")
            await self._api.create(SECRETS, body)
        log.info("tenant %s has a new certificate authority, number %d", tenant, number)
        return Authority(number, made.certificate, made.expires)

    async def remove(self, tenant: TenantId) -> None:
        """Take away all CAs of a tenant; its certificates count no more. Raises HostError."""
        self._problems.pop(tenant, None)
        where = path_of("v1", "configmaps", INSTALLATION, map_name(tenant))
        there = await self._api.get(where)
        known = parse(there) if there else None
        if known is None or there is None:
            return
        for one in known.authorities:
            await self._api.delete(f"{SECRETS}/{secret_name(tenant, one.number)}")
        await self._api.delete(where, str(there["metadata"].get("uid")))


def _secret(tenant: TenantId, number: int, made: Made) -> Object:
    """The Secret with a CA's key; the host lets nobody change it."""
    name, labels = secret_name(tenant, number), {LABEL: str(tenant)}
    data = {"ca.crt": made.certificate.encode(), "ca.key": made.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "immutable": True,
        "metadata": {"name": name, "namespace": INSTALLATION, "labels": labels},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
