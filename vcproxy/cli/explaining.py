"""What the proxy would do with a request, as a document: the plan, and the rules that would run."""

import asyncio
from typing import Any, Final

import msgspec

from vcproxy.cli.output import Failure
from vcproxy.core import decision, plan, request
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.hosting import Upstream
from vcproxy.core.names import TenantId
from vcproxy.core.nodes import Sight
from vcproxy.core.rules import rows
from vcproxy.core.scope import of_tenant
from vcproxy.core.status import forbidden, qualified
from vcproxy.core.view import Phase, TenantView
from vcproxy.host.catalog import Catalog
from vcproxy.tenants.registry import Registry

DEADLINE: Final = 30.0
"""Seconds in which the host has told all that a proxy knows of it."""


class Known(msgspec.Struct, frozen=True):
    """What a proxy knows at one moment: the tenant, what it sees of nodes, the versions that the host serves."""

    view: TenantView
    sight: Sight
    versions: frozenset[tuple[str, str]]


async def known(upstream: Upstream, tenant: TenantId, exports: Exports = NOTHING) -> Known:
    """Read from the host by the very parts of the proxy that read it. Raises Failure, ApiError."""
    registry, catalog = Registry(upstream, exported=exports.groups), Catalog(upstream, address="", exports=exports)
    reading = asyncio.create_task(registry.run())
    try:
        async with asyncio.timeout(DEADLINE):
            await catalog.refresh()
            await registry.wait_synced()
    except TimeoutError:
        raise Failure("; ".join(registry.reasons()) or "the host does not answer in time") from None
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    view = registry.tenant(tenant)
    if view is None:
        raise Failure(f"the host's Tenant {tenant} cannot be read")
    return Known(view, registry.sight(view), catalog.versions)


def explained(method: str, url: str, found: Known, user: str = "admin", exports: Exports = NOTHING) -> dict[str, Any]:
    """The plan for a request of a tenant, as a document: what `vcproxy explain` prints. Raises ApiError 400."""
    asked = request.parse(method, url.encode())
    scope = of_tenant(found.view, found.sight, user, exports)
    decided = decision.decide(asked, scope, versions=found.versions)
    if found.view.phase is not Phase.ACTIVE:
        decided = plan.Deny(forbidden(f"forbidden: the tenant is {found.view.phase.value}").status)
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
        shown["rules"] = _rules_of(decided.row.group, decided.row.kind, exports)
    return shown


def _rules_of(group: str, kind: str, exports: Exports) -> list[str]:
    """The rules that run on a kind, as texts `path: LENS`."""
    return [f"{path or '(the object)'}: {lens.name}" for path, lens in rows(group, kind, exports)]
