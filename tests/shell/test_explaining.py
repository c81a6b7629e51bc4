"""`vcproxy explain`: the plan of a request as a document that can be printed, of what the host says of the tenant."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shell.fakehost import FakeHost, json_answer
from vcproxy.cli.explaining import Known, explained, known
from vcproxy.cli.output import Failure
from vcproxy.core import exports, kinds
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.names import TENANT_LABEL, TenantId, VirtualName
from vcproxy.core.nodes import Sight
from vcproxy.core.view import NamespaceInfo, Phase, TenantView

ACME = TenantId("acme")
VIEW = TenantView(ACME, "uid-1", Phase.ACTIVE, namespaces={VirtualName("web"): NamespaceInfo(0.0, "1")})
VERSIONS = frozenset((row.group, version) for row in kinds.served() for version in ("v1", "v2"))
GATEWAYS = Path(__file__).parents[2] / "config" / "gateway-api.yaml"


def plan(method: str, url: str) -> dict[str, Any]:
    return explained(method, url, Known(VIEW, Sight(VIEW.nodes), VERSIONS))


def test_a_forward_tells_its_target_its_row_and_the_rules_that_run() -> None:
    found = plan("GET", "/api/v1/namespaces/web/pods/p")
    assert found["plan"]["type"] == "Forward"
    assert found["target"].startswith("/api/v1/namespaces/acme-web/pods/p")
    assert found["plan"]["row"] == "pods (namespaced)"
    assert any(line.startswith("metadata.namespace: ") for line in found["rules"])


def test_what_is_denied_tells_the_status_and_no_target() -> None:
    found = plan("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas")
    assert found["plan"]["type"] == "Deny"
    assert "target" not in found


class Host(FakeHost):
    """A host with discovery, on which a tenant has defined widgets and selects nodes."""

    def __init__(self, phase: str = "Active") -> None:
        super().__init__()
        metadata = {"name": "acme", "labels": {TENANT_LABEL: "acme"}}
        spec = {"nodes": {"matchLabels": {"pool": "a"}}}
        tenant = {"metadata": {"name": "acme", "uid": "u"}, "spec": spec, "status": {"phase": phase}}
        self.put("/apis/vcproxy.io/v1alpha1", "tenants", tenant)
        self.put("/api/v1", "namespaces", {"metadata": {**metadata, "name": "acme-web"}})
        for name, pool in (("n1", "a"), ("n2", "b")):
            self.put("/api/v1", "nodes", {"metadata": {"name": name, "labels": {"pool": pool}}})
        definition = {
            "metadata": {**metadata, "name": "widgets.acme-example.com"},
            "spec": {
                "group": "acme-example.com",
                "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": True, "storage": True}],
            },
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        }
        self.put("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", definition)

    async def send(self, request: HostRequest) -> HostResponse:
        groups = {"/api": [""], "/apis": ["apps", "gateway.networking.k8s.io"]}
        if request.target not in groups:
            return await super().send(request)
        resources = {"": "pods", "apps": "deployments", "gateway.networking.k8s.io": "gateways"}
        items = [
            {
                "metadata": {"name": name} if name else {},
                "versions": [{"version": "v1", "resources": [{"resource": resources[name], "verbs": ["get", "list"]}]}],
            }
            for name in groups[request.target]
        ]
        return json_answer(200, {"items": items})


async def asked(url: str, found: Exports = NOTHING, host: FakeHost | None = None) -> dict[str, Any]:
    shown = explained("GET", url, await known(host or Host(), ACME, found), "ann", found)
    json.dumps(shown)  # it can be printed
    return shown


async def test_what_the_tenant_defined_counts_with_its_group_on_the_host() -> None:
    found = await asked("/apis/example.com/v1/namespaces/web/widgets/w")
    assert (found["plan"]["type"], found["target"].partition("?")[0]) == (
        "Forward",
        "/apis/acme-example.com/v1/namespaces/acme-web/widgets/w",
    )
    assert found["plan"]["row"] == "widgets.example.com (own)"
    assert "apiVersion: API_VERSION" in found["rules"]
    assert (await asked("/apis/example.com/v2/namespaces/web/widgets/w"))["plan"]["type"] == "Deny"


async def test_versions_are_those_that_the_host_serves() -> None:
    assert (await asked("/apis/apps/v1/namespaces/web/deployments/d"))["plan"]["type"] == "Forward"
    assert (await asked("/apis/apps/v2/namespaces/web/deployments/d"))["plan"]["type"] == "Deny"


async def test_nodes_are_those_that_the_tenant_sees() -> None:
    assert (await asked("/api/v1/nodes"))["plan"]["type"] != "Deny"
    read = await known(Host(), ACME)
    assert [name for name in ("n1", "n2", "n3") if read.sight.sees_node(name)] == ["n1"]


async def test_kinds_that_the_provider_exports_count_with_their_rules() -> None:
    gateways = exports.read(yaml.safe_load(GATEWAYS.read_text())["exports"])
    url = "/apis/gateway.networking.k8s.io/v1/namespaces/web/gateways/g"
    found = await asked(url, gateways)
    assert found["target"].startswith("/apis/gateway.networking.k8s.io/v1/namespaces/acme-web/gateways/g")
    assert any(line.startswith("spec.") for line in found["rules"])
    assert (await asked(url))["plan"]["type"] == "Deny"


async def test_of_a_tenant_that_is_suspended_everything_is_denied() -> None:
    host = Host()
    tenant = host.find("tenants", "acme") or {}
    host.put("/apis/vcproxy.io/v1alpha1", "tenants", {**tenant, "spec": {"suspended": True}})
    found = await asked("/api/v1/namespaces/web/pods", host=host)
    assert found["plan"]["type"] == "Deny"


async def test_a_tenant_that_is_not_there_is_told() -> None:
    with pytest.raises(Failure, match="globex"):
        await known(Host(), TenantId("globex"))
