"""The audience of a tenant's ServiceAccount tokens: what a token must name to count before the proxy."""

from typing import Final

from vcproxy.core.names import TenantId

DOMAIN: Final = "vcproxy.local"


def audience(tenant: TenantId) -> str:
    """The audience of one tenant's tokens; no two tenants share one."""
    return f"https://{tenant}.{DOMAIN}"
