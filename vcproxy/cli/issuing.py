"""Certificates of tenants' users, signed with the CA that the controller keeps for a tenant."""

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Final

from vcproxy.access.certificates import Pair
from vcproxy.access.issuing import sign
from vcproxy.cli.output import Failure
from vcproxy.cli.recording import change_records, lives
from vcproxy.cli.session import get_tenant
from vcproxy.core.names import TenantId
from vcproxy.tenants import resource
from vcproxy.tenants.authorities import CONFIG_MAPS, SECRETS, Authority, Kept, map_name, parse, secret_name
from vcproxy.tenants.hostapi import HostApi, Object, path_of
from vcproxy.tenants.manifests import INSTALLATION

WAIT: Final = 15.0
"""Seconds in which the controller makes a CA that was just asked for."""
LOOK: Final = 0.1


async def issue_certificate(
    api: HostApi, tenant: TenantId, user: str, groups: tuple[str, ...], life: float | None
) -> Pair:
    """A new key with its certificate, recorded on the host before anyone has it. The key was never anywhere else.

    Without `life` as long as tokens are good. Raises Failure, for a life longer than the proxy's longest too.
    """
    usual, longest = await lives(api)
    if life is not None and life > longest:
        raise Failure(f"a certificate lives for {longest / 3600:.0f}h at most here (tokens.longestLife of the proxy)")
    document = await _asking(api, tenant)
    uid = str(document["metadata"]["uid"])
    newest = await _newest(api, tenant, lambda kept: kept.tenant_uid == uid)
    authority = await _pair(api, tenant, newest)
    try:
        pair, record = sign(authority, uid, user, groups, life or usual, time.time())
    except ValueError as error:
        raise Failure(str(error)) from error
    await change_records(api, tenant, lambda records: records.add(record, time.time()))
    return pair


async def renew(api: HostApi, tenant: TenantId) -> None:
    """Take away a tenant's CAs; returns when the controller has made another. Raises Failure."""
    await _asking(api, tenant)
    there = await _map(api, tenant)
    known = parse(there) if there else None
    for one in known.authorities if known else ():  # before the controller makes one of the same number
        await api.delete(f"{SECRETS}/{secret_name(tenant, one.number)}")
    if there is not None:
        await api.delete(f"{CONFIG_MAPS}/{map_name(tenant)}", str(there["metadata"]["uid"]))
    before = {one.certificate for one in known.authorities} if known else set()
    await _newest(api, tenant, lambda kept: not before & {one.certificate for one in kept.authorities})


async def _asking(api: HostApi, tenant: TenantId) -> Object:
    """The Tenant. Raises Failure where it does not ask for a CA."""
    document = await get_tenant(api, tenant)
    found = resource.parse(document)
    if found is None or not found.issues_certificates:
        patch = '{"spec":{"authentication":{"clientCertificate":{"issue":true}}}}'
        raise Failure(f"tenant {tenant} has no CA of vcproxy: kubectl patch tenant {tenant} --type=merge -p '{patch}'")
    return document


async def _map(api: HostApi, tenant: TenantId) -> Object | None:
    return await api.get(path_of("v1", "configmaps", INSTALLATION, map_name(tenant)))


async def _newest(api: HostApi, tenant: TenantId, wanted: Callable[[Kept], bool]) -> Authority:
    """The CA that signs, once the controller has made it. Raises Failure."""
    end = time.monotonic() + WAIT
    while True:
        there = await _map(api, tenant)
        kept = parse(there) if there else None
        if kept is not None and kept.newest is not None and wanted(kept):
            return kept.newest
        if time.monotonic() > end:
            raise Failure(
                f"the CA of {tenant} has not been made: is `vcproxy serve` running? `vcproxy tenant describe`"
            )
        await asyncio.sleep(LOOK)


async def _pair(api: HostApi, tenant: TenantId, authority: Authority) -> Pair:
    secret = await api.get(path_of("v1", "secrets", INSTALLATION, secret_name(tenant, authority.number)))
    key = ((secret or {}).get("data") or {}).get("ca.key")
    if key is None:
        raise Failure(f"the key of {tenant}'s CA is gone: `vcproxy keys renew-ca {tenant}` makes another")
    return Pair(authority.certificate.encode(), base64.b64decode(key))
