"""Case 6: a backend of the attacker's own redirects whoever asks it to where the attacker may not go."""

from typing import Final
from urllib.parse import quote

import pytest

from e2e.attack.cases import case
from e2e.client import Client
from e2e.cluster.host import Host
from e2e.cluster.images import AGNHOST
from e2e.cluster.proxy import TenantCluster
from e2e.conftest import TenantFactory
from e2e.scan import leaks
from e2e.witness import AuditLog

pytestmark = pytest.mark.real_nodes

SPACE: Final = "/api/v1/namespaces/default"
PODS: Final = f"""
apiVersion: v1
kind: Pod
metadata: {{name: site, labels: {{app: site}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: site, image: "{AGNHOST}", args: [netexec, --http-port=8080]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: site}}
spec:
  selector: {{app: site}}
  ports: [{{port: 80, targetPort: 8080}}]
"""
BACKENDS: Final = ("pods/site:8080", "services/site:80")
CODES: Final = (301, 302, 303, 307, 308)


def serving(tenant: TenantCluster) -> TenantCluster:
    tenant.kubectl("apply", "-f", "-", input=PODS)
    tenant.kubectl("wait", "pod/site", "--for=condition=Ready", "--timeout=80s")
    return tenant


@pytest.fixture(scope="module")
def attacker(real_tenant_factory: TenantFactory) -> TenantCluster:
    return serving(real_tenant_factory())


@pytest.fixture(scope="module")
def victim(real_tenant_factory: TenantFactory) -> TenantCluster:
    return serving(real_tenant_factory())


@case(6)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("code", CODES)
def test_a_redirect_of_a_real_backend_is_not_followed_and_leads_nowhere(
    attacker: TenantCluster, victim: TenantCluster, real_host: Host, backend: str, code: int
) -> None:
    assert real_host.control_plane is not None
    address = victim.kubectl.json("get", "pod", "site")["status"]["podIP"]
    hosts = real_host.control_plane.url
    client, log = Client(attacker.kubeconfig), AuditLog(real_host.control_plane)
    mark = log.mark()
    places = [
        f"http://{address}:8080/echo?msg=treasure",
        f"{hosts}/api/v1/namespaces/{victim.id}-default/secrets",
        f"/api/v1/namespaces/{victim.id}-default/pods/site:8080/proxy/echo?msg=treasure",
        "//169.254.169.254/latest/meta-data",
    ]
    for place in places:
        answer = client.call("GET", f"{SPACE}/{backend}/proxy/redirect?code={code}&location={quote(place, safe='')}")
        assert answer.code == code
        assert "location" not in {name.lower() for name in answer.headers}
        assert answer.body != b"treasure"
        assert leaks([str(answer.headers).encode()], [hosts.rpartition("//")[2], f"{attacker.id}-"]) == []
    came = {one.uri for one in log.since(mark) if one.acted_as == f"vcproxy:tenant:{attacker.id}"}
    assert len(came) == len(places), came  # each is told of when it begins and when it ends
    assert all(f"/namespaces/{attacker.id}-default/{backend}/proxy/redirect" in uri for uri in came), came
