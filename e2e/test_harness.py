"""The harness itself: what the other end-to-end tests stand on does what it says."""

import pytest

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.conftest import TenantFactory
from e2e.witness import AuditLog


def test_kubectl_and_the_host_are_of_the_pinned_version(host_kubectl: Kubectl) -> None:
    assert host_kubectl.json("version")["clientVersion"]["gitVersion"] == "v1.37.2"


@pytest.mark.own_host
def test_three_nodes_are_ready(control_plane: ControlPlane, host_kubectl: Kubectl) -> None:
    assert control_plane.pids().keys() == {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
    }
    assert len(host_kubectl.json("get", "nodes")["items"]) == 3


def test_a_tenant_has_a_cluster_of_its_own(tenant: TenantCluster) -> None:
    found = tenant.kubectl.json("get", "namespaces")["items"]
    assert {one["metadata"]["name"] for one in found} == {"default", "kube-system", "kube-public", "kube-node-lease"}


def test_two_tenants_do_not_meet(tenant_factory: TenantFactory) -> None:
    first, second = tenant_factory(), tenant_factory()
    first.kubectl("create", "configmap", "mine", "--from-literal=a=1")
    assert second.kubectl("get", "configmap", "mine", check=False).returncode == 1
    assert first.id != second.id
    for tenant, other in ((first, second), (second, first)):
        assert other.id.encode() not in b"".join(tenant.received)


@pytest.mark.own_host
def test_the_audit_log_names_who_asked(control_plane: ControlPlane, tenant: TenantCluster) -> None:
    log = AuditLog(control_plane)
    at = log.mark()
    tenant.kubectl("get", "configmaps")
    assert f"vcproxy:tenant:{tenant.id}" in {one.acted_as for one in log.since(at)}


@pytest.mark.own_host
def test_the_api_server_comes_back_on_its_port(
    control_plane: ControlPlane, host_kubectl: Kubectl, proxy: RunningProxy, tenant: TenantCluster
) -> None:
    control_plane.kill_api_server()
    assert host_kubectl("get", "nodes", check=False).returncode == 1
    control_plane.start_api_server()
    host_kubectl("get", "nodes")
    proxy.wait_ready()
    tenant.kubectl("get", "namespaces")
