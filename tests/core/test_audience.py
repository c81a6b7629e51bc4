"""Audiences of tenants."""

from vcproxy.core.audience import audience
from vcproxy.core.names import TenantId


def test_each_tenant_has_an_audience_of_its_own() -> None:
    assert audience(TenantId("acme")) == "https://acme.vcproxy.local"
    assert audience(TenantId("acme")) != audience(TenantId("acm"))
