"""How far the host has come when a tenant comes to be, noted in its status before anybody may ask as the tenant."""

from typing import Final

import msgspec

from vcproxy.core import selectors
from vcproxy.core.request import render_query
from vcproxy.core.versions import version_of
from vcproxy.core.view import Birth
from vcproxy.tenants.hostapi import HostApi, path_of
from vcproxy.tenants.resource import Tenant, TenantStatus

_EVENTS: Final = path_of("v1", "events") + render_query([("limit", "1"), ("labelSelector", selectors.NOTHING)])


async def noted(api: HostApi, tenant: Tenant, status: TenantStatus) -> TenantStatus:
    """The status with the birth of a tenant that has none yet. Raises HostError and ApiError.

    Any moment will do between the making of the Tenant object, before which all that another tenant had under the id
    was removed, and the first request of the new one, which needs it to be Active. For a Tenant of an older program,
    which was Active without, it is now: who watches on from before lists once again. One that was restored from another
    host may bring that one's version, which is newer than itself: no status is written before what it tells of.
    """
    if 0 < status.birth.version <= version_of(tenant.resource_version):
        return status
    listed = await api.get(_EVENTS) or {}
    events = version_of((listed.get("metadata") or {}).get("resourceVersion"))
    return msgspec.structs.replace(status, birth=Birth(version_of(tenant.resource_version), events))
