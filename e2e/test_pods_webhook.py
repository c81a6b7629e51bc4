"""The host's webhook for tenants' pods: fails closed, leaves the host's own namespaces and all templates alone."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster

pytestmark = pytest.mark.own_host

POD = ("run", "probe", "--image=busybox", "--restart=Never", "--dry-run=server", "-o", "json")


@pytest.fixture
def web(tenant: TenantCluster) -> TenantCluster:
    """A tenant with a Deployment that has one pod in its namespace `web`."""
    tenant.kubectl("create", "namespace", "web")
    tenant.kubectl("wait", "serviceaccount/default", "-n", "web", "--for=create", "--timeout=60s")
    tenant.kubectl("create", "deployment", "site", "--image=busybox", "-n", "web")
    tenant.kubectl("rollout", "status", "deployment/site", "-n", "web", "--timeout=60s")
    return tenant


@pytest.fixture
def stopped(proxy: RunningProxy, web: TenantCluster) -> Iterator[None]:
    """While the proxy is down; afterwards it serves again."""
    proxy.stop_serving()
    yield
    proxy.start_serving()
    proxy.wait_known(web.id, web.token)


def test_no_pod_of_a_tenant_is_made_while_the_proxy_is_down(
    web: TenantCluster, host_kubectl: Kubectl, stopped: None
) -> None:
    refused = host_kubectl(*POD, "-n", f"{web.id}-web", check=False)
    assert refused.returncode
    assert "pods.vcproxy.io" in refused.stderr
    assert "annotations" not in json.loads(host_kubectl(*POD, "-n", "default").stdout)["metadata"]


def test_pods_that_could_not_be_made_come_when_the_proxy_is_back(
    proxy: RunningProxy, web: TenantCluster, host_kubectl: Kubectl
) -> None:
    proxy.stop_serving()
    try:
        host_kubectl("scale", "deployment/site", "-n", f"{web.id}-web", "--replicas=2")
        time.sleep(1.0)  # the host's controller tries, and is refused
        assert len(host_kubectl.json("get", "pods", "-n", f"{web.id}-web")["items"]) == 1
    finally:
        proxy.start_serving()
        proxy.wait_known(web.id, web.token)
    web.kubectl("rollout", "status", "deployment/site", "-n", "web", "--timeout=80s")
    for pod in host_kubectl.json("get", "pods", "-n", f"{web.id}-web")["items"]:
        assert pod["metadata"]["annotations"]["vcproxy.io/namespace"] == "web"


def test_templates_stay_as_they_were_written(web: TenantCluster, host_kubectl: Kubectl) -> None:
    stored = host_kubectl.json("get", "deployment", "site", "-n", f"{web.id}-web")
    assert "vcproxy" not in json.dumps(stored["spec"]["template"])
    (pod,) = host_kubectl.json("get", "pods", "-n", f"{web.id}-web")["items"]
    assert pod["spec"]["dnsConfig"]["searches"][0] == f"web.svc.{web.id}.vcproxy.local"
    (seen,) = web.kubectl.json("get", "pods", "-n", "web")["items"]
    assert "vcproxy" not in json.dumps(seen)


def test_the_ca_for_pods_comes_back_when_somebody_takes_it_away(web: TenantCluster, host_kubectl: Kubectl) -> None:
    where = ("configmap", "vcproxy-root-ca.crt", "-n", f"{web.id}-web")
    before = host_kubectl.json("get", *where)["data"]
    host_kubectl("delete", *where)
    until(lambda: host_kubectl("get", *where, check=False).returncode == 0)
    assert host_kubectl.json("get", *where)["data"] == before


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not so after {seconds:.0f} s"
        time.sleep(0.2)
