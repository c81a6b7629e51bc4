"""The second wall alone: what a tenant's identity may do on the host when nothing rewrites its requests."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster


class Identity:
    """A tenant's identity, straight at the host."""

    def __init__(self, kubectl: Kubectl, tenant: str) -> None:
        self.tenant, self._kubectl = tenant, kubectl

    def tries(self, *command: str, body: Any = None) -> str:
        """What kubectl said: `done` or the refusal."""
        identity = (f"--as=vcproxy:tenant:{self.tenant}", "--as-group=vcproxy:tenants")
        done = self._kubectl(*command, *identity, input=json.dumps(body) if body else None, check=False)
        return "done" if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def pair(tenant_factory: Callable[[], TenantCluster], host_kubectl: Kubectl) -> tuple[Identity, Identity]:
    first, second = (Identity(host_kubectl, tenant_factory().id) for _ in range(2))
    return first, second


def namespace(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def test_a_namespace_needs_the_prefix_and_the_owner(pair: tuple[Identity, Identity]) -> None:
    first, second = pair
    own = {"vcproxy.io/tenant": first.tenant}
    create = ("create", "-f", "-")
    assert first.tries(*create, body=namespace(f"{first.tenant}-a", own)) == "done"
    assert "not one of this tenant" in first.tries(*create, body=namespace(f"{second.tenant}-a", own))
    assert "not one of this tenant" in first.tries(*create, body=namespace("plain", own))
    assert "owner's label" in first.tries(*create, body=namespace(f"{first.tenant}-b", {}))
    foreign = {"vcproxy.io/tenant": second.tenant}
    assert "owner's label" in first.tries(*create, body=namespace(f"{first.tenant}-b", foreign))
    for label in ("vcproxy.io/hidden", "pod-security.kubernetes.io/enforce", "resource.kubernetes.io/admin-access"):
        body = namespace(f"{first.tenant}-b", {**own, label: "true" if "pod" not in label else "privileged"})
        assert "denied request" in first.tries(*create, body=body)


def test_rights_end_at_the_tenants_namespaces(pair: tuple[Identity, Identity]) -> None:
    first, second = pair
    for space in (f"{second.tenant}-default", "default", "kube-system", "vcproxy-system"):
        for verb in (("get", "secrets"), ("create", "configmap", "x"), ("delete", "pods", "--all")):
            assert "orbidden" in first.tries(*verb, "-n", space)
    for kind in ("nodes", "namespaces", "clusterroles", "persistentvolumes", "tenants.vcproxy.io"):
        assert "orbidden" in first.tries("get", kind)
    assert "orbidden" in first.tries("get", "pods", "-A")


def test_no_rights_over_rights_admission_or_tokens(pair: tuple[Identity, Identity]) -> None:
    first, _ = pair
    space = ("-n", f"{first.tenant}-default")
    for command in (
        ("create", "role", "r", "--verb=get", "--resource=pods", *space),
        ("create", "rolebinding", "b", "--clusterrole=admin", "--user=x", *space),
        ("create", "clusterrolebinding", "b", "--clusterrole=admin", "--user=x"),
        ("create", "token", "default", *space),
        ("delete", "validatingadmissionpolicy", "vcproxy-tenants"),
        ("delete", "rolebinding", "vcproxy:tenant", *space),
        ("certificate", "approve", "x"),
    ):
        assert "orbidden" in first.tries(*command)


def test_reserved_labels_hidden_objects_and_legacy_tokens(
    pair: tuple[Identity, Identity], host_kubectl: Kubectl
) -> None:
    first, _ = pair
    name = f"{first.tenant}-default"
    space = ("-n", name)
    assert first.tries("create", "configmap", "mine", *space) == "done"
    assert "reserved" in first.tries("label", "configmap", "mine", "vcproxy.io/tenant=x", *space)
    host_kubectl("create", "configmap", "kept", *space)
    host_kubectl("label", "configmap", "kept", "vcproxy.io/hidden=true", *space)
    assert "kept by the provider" in first.tries("delete", "configmap", "kept", *space)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}},
    }
    assert "not supported" in first.tries("create", "-f", "-", *space, body=secret)


def test_first_namespaces_stay_and_addresses_of_pods_too(pair: tuple[Identity, Identity]) -> None:
    first, _ = pair
    for name in ("default", "kube-system", "kube-public"):
        assert "may not be deleted" in first.tries("delete", "namespace", f"{first.tenant}-{name}", "--wait=false")
    space = ("-n", f"{first.tenant}-default")
    assert first.tries("run", "p", "--image=registry.example/x:1", *space) == "done"
    patch = ("patch", "pod", "p", "--subresource=status", "--type=merge", *space, "-p")
    assert "set by its node" in first.tries(*patch, '{"status":{"podIP":"192.0.2.1"}}')
    service = ("patch", "service", "kubernetes", "--subresource=status", "--type=merge", *space, "-p")
    first.tries("create", "service", "clusterip", "kubernetes", "--tcp=80:80", *space)
    conditions = '{"status":{"conditions":[]}}'
    assert "set by the provider" in first.tries(*service, conditions)


def test_the_proxys_own_credential_is_no_master_key(
    proxy: Any, host_kubectl: Kubectl, pair: tuple[Identity, Identity]
) -> None:
    first, _ = pair
    own = Kubectl(host_kubectl.program, proxy.folder / "credentials" / "proxy.kubeconfig")
    for command in (
        ("get", "secrets", "-n", f"{first.tenant}-default"),
        ("get", "secrets", "-n", "kube-system"),
        ("create", "configmap", "x", "-n", f"{first.tenant}-default"),
        ("get", "pods", "--as=system:admin", "-n", "default"),
        ("get", "pods", "--as=vcproxy:tenant:nobody", "-n", "default"),
        ("get", "pods", f"--as=vcproxy:tenant:{first.tenant}", "--as-group=system:masters", "-n", "default"),
    ):
        refused = own(*command, check=False)
        assert refused.returncode == 1, command
        assert "orbidden" in refused.stderr


def test_the_controller_opens_definitions_of_tenants_and_changes_nothing_else_of_any(
    proxy: Any, host_kubectl: Kubectl, tenant_factory: Callable[[], TenantCluster]
) -> None:
    tenant = tenant_factory()
    schema = {"openAPIV3Schema": {"type": "object"}}
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    body = {**head, "metadata": {"name": "things.example.com"}, "spec": spec}
    tenant.kubectl("create", "-f", "-", input=json.dumps(body))
    own = Kubectl(host_kubectl.program, proxy.folder / "credentials" / "controller.kubeconfig")

    def tries(name: str, patch: dict[str, Any]) -> str:
        done = own("patch", "crd", name, "--type=merge", "-p", json.dumps(patch), check=False)
        return "done" if done.returncode == 0 else done.stderr

    anything = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    opened = {"name": "v1", "served": True, "storage": True, "schema": anything}
    name = f"things.{tenant.id}-example.com"
    for patch in (
        {"spec": {"versions": [{**opened, "schema": schema}]}},
        {"spec": {"versions": [opened, {**opened, "name": "v2", "storage": False}]}},
        {"spec": {"versions": [opened], "names": {"shortNames": ["po"]}}},
        {"metadata": {"labels": {"vcproxy.io/tenant": "other"}}, "spec": {"versions": [opened]}},
    ):
        assert "vcproxy-controller-definitions" in tries(name, patch)
    assert "definitions of tenants only" in tries("tenants.vcproxy.io", {"metadata": {"labels": {"x": "y"}}})
    assert tries(name, {"spec": {"versions": [opened]}}) == "done"
