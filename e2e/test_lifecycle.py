"""Tenants come and go: made, repeated, removed with everything of theirs and only that."""

import json
from collections.abc import Callable

from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id


def spaces(host_kubectl: Kubectl, tenant: str) -> list[str]:
    found = host_kubectl.json("get", "namespaces", "-l", f"vcproxy.io/tenant={tenant}")["items"]
    return sorted(one["metadata"]["name"] for one in found)


def test_a_tenant_is_removed_with_all_of_it_and_only_that(
    tenant_factory: Callable[[], TenantCluster], host_kubectl: Kubectl, proxy: RunningProxy
) -> None:
    kept, gone = tenant_factory(), tenant_factory()
    for tenant in (kept, gone):
        tenant.kubectl("create", "namespace", "web")
        tenant.kubectl("create", "deployment", "api", "--image=registry.example/api:1", "-n", "web")
    host_kubectl("create", "namespace", f"{gone.id}x")
    old = Client(gone.kubeconfig)
    gone.delete()
    assert spaces(host_kubectl, gone.id) == []
    assert len(spaces(host_kubectl, kept.id)) == 6
    assert host_kubectl("get", "namespace", f"{gone.id}x").returncode == 0
    role = host_kubectl.json("get", "clusterrole", "vcproxy:impersonator")
    assert f"vcproxy:tenant:{gone.id}" not in json.dumps(role)
    assert kept.kubectl("get", "deployment", "api", "-n", "web").returncode == 0
    again = TenantCluster(proxy, gone.id, gone.kubeconfig.parent)
    again.create()
    assert len(again.kubectl.json("get", "namespaces")["items"]) == 4
    assert old.call("GET", "/api/v1/namespaces").code == 403  # tokens of the old one are not the new one's
    again.delete()


def test_an_id_whose_prefix_the_host_uses_is_refused(host_kubectl: Kubectl, proxy: RunningProxy) -> None:
    tenant = random_id()
    host_kubectl("create", "namespace", f"{tenant}-of-the-host")
    refused = proxy.cli("tenant", "create", tenant, "--timeout", "3", check=False)
    assert refused.returncode == 1
    assert "NameTaken" in refused.stdout + refused.stderr
    assert spaces(host_kubectl, tenant) == []
    proxy.cli("tenant", "delete", tenant, "--wait")
    assert host_kubectl("get", "namespace", f"{tenant}-of-the-host").returncode == 0


def test_ids_are_checked_by_the_program_and_by_the_host(proxy: RunningProxy, host_kubectl: Kubectl) -> None:
    assert proxy.cli("tenant", "create", "No-Id", check=False).returncode == 2
    body = {"apiVersion": "vcproxy.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "no-id"}, "spec": {}}
    refused = host_kubectl("create", "-f", "-", input=json.dumps(body), check=False)
    assert "2 to 15 of a-z and 0-9" in refused.stderr


def test_a_binding_removed_by_hand_is_made_again(tenant: TenantCluster, host_kubectl: Kubectl) -> None:
    space = f"{tenant.id}-default"
    host_kubectl(
        "patch", "rolebinding", "vcproxy:tenant", "-n", space, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )
    host_kubectl("delete", "rolebinding", "vcproxy:tenant", "-n", space, "--ignore-not-found")
    for _ in range(50):
        if tenant.kubectl("create", "configmap", "after", check=False).returncode == 0:
            break
    assert tenant.kubectl("get", "configmap", "after").returncode == 0


def test_install_can_be_repeated_and_uninstall_refuses_while_tenants_exist(
    tenant: TenantCluster, proxy: RunningProxy
) -> None:
    again = json.loads(proxy.cli("install", "-o", "json").stdout)
    assert {one["action"] for one in again} == {"unchanged"}
    dry = json.loads(proxy.cli("install", "--dry-run", "-o", "json").stdout)
    assert {one["action"] for one in dry} == {"would be unchanged"}
    refused = proxy.cli("uninstall", check=False)
    assert refused.returncode == 1
    assert f"vcproxy tenant delete {tenant.id}" in refused.stderr
    assert tenant.kubectl("get", "namespaces").returncode == 0


def test_the_service_kubernetes_leads_to_the_proxy(tenant: TenantCluster) -> None:
    assert tenant.kubectl.json("get", "service", "kubernetes")["spec"]["ports"][0]["port"] == 443
    found = tenant.kubectl.json("get", "endpointslices")["items"]
    assert len(found) == 1


def test_explain_prints_the_plan_and_the_rules(tenant: TenantCluster, proxy: RunningProxy) -> None:
    target = "/api/v1/namespaces/default/pods?labelSelector=a%3Db"
    shown = json.loads(proxy.cli("explain", "get", target, "--tenant", tenant.id, "-o", "json").stdout)
    assert shown["plan"]["type"] == "Forward"
    assert shown["target"].startswith(f"/api/v1/namespaces/{tenant.id}-default/pods?")
    assert "metadata.namespace: NAMESPACE" in shown["rules"]
    hidden = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    denied = json.loads(proxy.cli("explain", "get", hidden, "--tenant", tenant.id, "-o", "json").stdout)
    assert denied["plan"]["type"] == "Deny"


def test_explain_knows_what_the_tenant_defined(tenant: TenantCluster, proxy: RunningProxy) -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    spec = {
        "group": "explained.example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    body = {**head, "metadata": {"name": "things.explained.example.com"}, "spec": spec}
    tenant.kubectl("create", "-f", "-", input=json.dumps(body))
    tenant.kubectl("wait", "--for=condition=established", "--timeout=30s", "crd/things.explained.example.com")
    target = "/apis/explained.example.com/v1/namespaces/default/things/x"
    config = ("--config", str(proxy.config))
    shown = json.loads(proxy.cli("explain", "get", target, "--tenant", tenant.id, *config, "-o", "json").stdout)
    group = f"{tenant.id}-explained.example.com"
    assert shown["target"].startswith(f"/apis/{group}/v1/namespaces/{tenant.id}-default/things/x")
    assert shown["plan"]["row"] == "things.explained.example.com (own)"
