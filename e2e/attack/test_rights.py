"""Case 29: whatever a tenant writes about rights, it gives nobody a right on the host."""

from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import Attacker, Witness
from e2e.cluster.kubectl import Kubectl

pytestmark = pytest.mark.own_host

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
EVERYTHING = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*", "escalate", "bind", "impersonate"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]
KINDS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")


def subjects(tenant: str) -> list[dict[str, str]]:
    """Whom the host knows too."""
    groups = ("system:authenticated", "system:serviceaccounts", "system:masters", "vcproxy:tenants", "system:nodes")
    users = ("system:admin", "kubernetes-admin", f"vcproxy:tenant:{tenant}", "system:kube-controller-manager")
    return [{"apiGroup": GROUP, "kind": "Group", "name": name} for name in groups] + [
        {"apiGroup": GROUP, "kind": "User", "name": name} for name in users
    ]


def rights(host: Kubectl) -> dict[str, Any]:
    """The host's own roles and bindings: what they say, by kind and name."""
    found = {}
    for kind in KINDS:
        for one in host.json("get", f"{kind}.{GROUP}", "--all-namespaces")["items"]:
            metadata = one["metadata"]
            said = [one.get(part) for part in ("rules", "subjects", "roleRef", "aggregationRule")]
            found[f"{kind}/{metadata.get('namespace', '')}/{metadata['name']}"] = said
    return found


@case(29)
def test_roles_and_bindings_of_a_tenant_give_no_right_on_the_host(
    attacker: Attacker, arrived: Witness, host_kubectl: Kubectl
) -> None:
    before = rights(host_kubectl)
    labels = {f"{GROUP}/aggregate-to-{name}": "true" for name in ("admin", "edit", "view", "cluster-admin")}
    selector = {"clusterRoleSelectors": [{"matchLabels": {f"{GROUP}/aggregate-to-admin": "true"}}, {}]}
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"}
    space = f"{RBAC}/namespaces/default"
    for target, body in (
        (f"{RBAC}/clusterroles", {"metadata": {"name": "mine", "labels": labels}, "rules": EVERYTHING}),
        (f"{RBAC}/clusterroles", {"metadata": {"name": "gathered"}, "aggregationRule": selector, "rules": []}),
        (f"{RBAC}/clusterroles", {"metadata": {"name": "vcproxy:tenant-cluster"}, "rules": EVERYTHING}),
        (f"{RBAC}/clusterrolebindings", {"metadata": {"name": "mine"}, "roleRef": reference}),
        (f"{space}/roles", {"metadata": {"name": "mine"}, "rules": EVERYTHING[:1]}),
        (f"{space}/rolebindings", {"metadata": {"name": "vcproxy:tenant"}, "roleRef": reference}),
    ):
        whole = {**body, "subjects": subjects(attacker.tenant)} if "roleRef" in body else body
        answer = attacker.call("POST", target, whole)
        assert answer.code in (201, 403, 409), (target, answer.body)
    assert rights(host_kubectl) == before
    for one in arrived():
        assert f"/{GROUP}/" not in one.uri, one.uri
    for who in (f"--as=system:serviceaccount:{attacker.tenant}-default:default", "--as=somebody"):
        asked = host_kubectl("auth", "can-i", "get", "secrets", "--all-namespaces", who, check=False)
        assert asked.stdout.strip() == "no"
    for name in ("clusterroles/mine", "clusterroles/gathered", "clusterroles/vcproxy:tenant-cluster"):
        attacker.call("DELETE", f"{RBAC}/{name}")
    for target in (f"{RBAC}/clusterrolebindings/mine", f"{space}/roles/mine", f"{space}/rolebindings/vcproxy:tenant"):
        assert attacker.call("DELETE", target).code == 200


@case(29)
@pytest.mark.parametrize("name", ["vcproxy:tenant", "vcproxy:tenant-cluster", "vcproxy:reader"])
def test_a_tenants_role_of_the_name_of_a_wall_is_another_one(
    attacker: Attacker, host_kubectl: Kubectl, name: str
) -> None:
    before = host_kubectl.json("get", "clusterrole", name)["rules"]
    for method in ("GET", "DELETE"):
        assert attacker.call(method, f"{RBAC}/clusterroles/{name}").code in (200, 403, 404)
    assert host_kubectl.json("get", "clusterrole", name)["rules"] == before
