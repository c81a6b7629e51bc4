"""What is made for a tenant."""

from vcproxy.core.names import TenantId
from vcproxy.tenants.manifests import Advertised, endpoint_slice, own_namespaces, service

ACME = TenantId("acme")


def test_every_tenant_has_five_namespaces_one_of_them_hidden() -> None:
    assert own_namespaces(ACME) == (
        "acme-default",
        "acme-kube-system",
        "acme-kube-public",
        "acme-kube-node-lease",
        "acme-vcproxy",
    )


def test_the_service_leads_to_the_advertised_address() -> None:
    for ip, family in (("10.0.0.5", "IPv4"), ("fd00::5", "IPv6")):
        path, body = endpoint_slice(ACME, Advertised(ip, 8443))
        assert path == "/apis/discovery.k8s.io/v1/namespaces/acme-default/endpointslices/kubernetes"
        assert body["addressType"] == family
        assert body["endpoints"][0]["addresses"] == [ip]
    path, body = service(ACME, Advertised("10.0.0.5", 8443))
    assert path == "/api/v1/namespaces/acme-default/services/kubernetes"
    assert "selector" not in body["spec"]
    assert body["spec"]["ports"] == [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443}]
