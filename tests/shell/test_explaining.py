"""`vcproxy explain`: the plan of a request as a document that can be printed."""

from typing import Any

from vcproxy.cli.explaining import explained
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.view import NamespaceInfo, Phase, TenantView

ACME = TenantView(TenantId("acme"), "uid-1", Phase.ACTIVE, namespaces={VirtualName("web"): NamespaceInfo(0.0, "1")})


def plan(method: str, url: str) -> dict[str, Any]:
    return explained(method, url, ACME)


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
