"""What is made for a tenant."""

from importlib import resources

import yaml

from vcproxy.core import kinds
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


def test_the_proxy_may_watch_each_kind_that_tenants_watch_but_secrets() -> None:
    text = resources.files("vcproxy.manifests").joinpath("30-proxy-rights.yaml").read_text()
    reader = next(one for one in yaml.safe_load_all(text) if one["metadata"]["name"] == "vcproxy:reader")
    granted = {
        (group, resource)
        for rule in reader["rules"]
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        if {"list", "watch"} <= set(rule["verbs"])
    }
    served = {row.key for row in kinds.served() if {"list", "watch"} <= row.verbs}
    assert granted == (served - {("", "secrets")}) | {("vcproxy.io", "tenants")}
    assert not any("secrets" in rule.get("resources", ()) or "*" in str(rule) for rule in reader["rules"][:-1])
