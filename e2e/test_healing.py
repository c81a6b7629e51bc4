"""Walls that the host's administrator damages by hand stand again within seconds."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.conftest import TenantFactory

SECONDS: Final = 5.0
EVERYTHING: Final = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
ANYBODY: Final = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
WALLS: Final = [
    ("clusterrole", "vcproxy:tenant", [{"op": "add", "path": "/rules/-", "value": EVERYTHING}]),
    ("clusterrole", "vcproxy:tenant-cluster", [{"op": "add", "path": "/rules/-", "value": EVERYTHING}]),
    ("clusterrole", "vcproxy:tenant-system", [{"op": "add", "path": "/rules/-", "value": EVERYTHING}]),
    ("clusterrole", "vcproxy:reader", [{"op": "remove", "path": "/rules/0"}]),
    ("clusterrole", "vcproxy:impersonator", [{"op": "add", "path": "/rules/-", "value": EVERYTHING}]),
    ("clusterrolebinding", "vcproxy:tenants", [{"op": "add", "path": "/subjects/-", "value": ANYBODY}]),
    ("clusterrolebinding", "vcproxy:reader", [{"op": "remove", "path": "/subjects"}]),
    ("clusterrolebinding", "vcproxy:impersonator", [{"op": "add", "path": "/subjects/-", "value": ANYBODY}]),
    (
        "validatingadmissionpolicy",
        "vcproxy-tenants",
        [{"op": "replace", "path": "/spec/failurePolicy", "value": "Ignore"}],
    ),
    ("validatingadmissionpolicy", "vcproxy-tenants", [{"op": "remove", "path": "/spec/validations/0"}]),
    (
        "validatingadmissionpolicybinding",
        "vcproxy-tenants",
        [{"op": "replace", "path": "/spec/validationActions", "value": ["Audit"]}],
    ),
    (
        "validatingadmissionpolicybinding",
        "vcproxy-tenants",
        [{"op": "add", "path": "/spec/matchResources", "value": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}],
    ),
]


@pytest.fixture(scope="module")
def tenant(tenant_factory: TenantFactory) -> TenantCluster:
    return tenant_factory()


def said(document: dict[str, Any]) -> dict[str, Any]:
    """What an object says, without what the host notes about it; users of the impersonator in any order."""
    parts = {key: document.get(key) for key in ("rules", "subjects", "roleRef", "spec")}
    return {**parts, "labels": document["metadata"].get("labels")}


def until(condition: Callable[[], bool]) -> float:
    """Seconds until it holds; AssertionError where that takes too long."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < SECONDS, "not healed in time"
        time.sleep(0.1)
    return time.monotonic() - start


def as_before(host: Kubectl, where: tuple[str, ...], before: dict[str, Any]) -> bool:
    done = host("get", *where, "-o", "json", check=False)
    return done.returncode == 0 and said(json.loads(done.stdout)) == said(before)


@pytest.mark.parametrize(("kind", "name", "damage"), WALLS)
def test_a_wall_that_is_changed_or_removed_stands_again(
    host_kubectl: Kubectl, tenant: TenantCluster, kind: str, name: str, damage: list[dict[str, Any]]
) -> None:
    before = host_kubectl.json("get", kind, name)
    host_kubectl("patch", kind, name, "--type=json", "-p", json.dumps(damage))
    until(lambda: as_before(host_kubectl, (kind, name), before))
    host_kubectl("delete", kind, name)
    until(lambda: as_before(host_kubectl, (kind, name), before))
    assert tenant.kubectl("get", "configmaps", check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "name", "part", "damage"),
    [
        (
            "mutatingwebhookconfiguration",
            "vcproxy-pods",
            "webhooks",
            {"path": "/webhooks/0/failurePolicy", "value": "Ignore"},
        ),
        (
            "mutatingwebhookconfiguration",
            "vcproxy-pods",
            "webhooks",
            {"path": "/webhooks/0/objectSelector", "value": {"matchLabels": {"a": "b"}}},
        ),
        ("validatingadmissionpolicy", "vcproxy-pods", "spec", {"path": "/spec/failurePolicy", "value": "Ignore"}),
        ("validatingadmissionpolicy", "vcproxy-accounts", "spec", {"path": "/spec/failurePolicy", "value": "Ignore"}),
    ],
)
def test_what_edits_and_judges_pods_stands_again(
    host_kubectl: Kubectl, tenant: TenantCluster, kind: str, name: str, part: str, damage: dict[str, Any]
) -> None:
    def now() -> Any:
        done = host_kubectl("get", kind, name, "-o", "json", check=False)
        return json.loads(done.stdout)[part] if done.returncode == 0 else None

    before = now()
    host_kubectl("patch", kind, name, "--type=json", "-p", json.dumps([{"op": "replace", **damage}]))
    until(lambda: now() == before)
    host_kubectl("delete", kind, name)
    until(lambda: now() == before)


def test_the_proxys_rights_in_its_own_namespace_stand_again(host_kubectl: Kubectl, tenant: TenantCluster) -> None:
    for kind in ("role", "rolebinding"):
        where = (kind, "vcproxy", "-n", "vcproxy-system")
        before = host_kubectl.json("get", *where)
        host_kubectl("delete", *where)
        until(lambda where=where, before=before: as_before(host_kubectl, where, before))  # type: ignore[misc]


def test_a_binding_of_a_tenant_that_is_widened_or_removed_stands_again(
    host_kubectl: Kubectl, tenant: TenantCluster
) -> None:
    where = ("rolebinding", "vcproxy:tenant", "-n", f"{tenant.id}-default")
    before = host_kubectl.json("get", *where)
    wider = [{"op": "add", "path": "/subjects/-", "value": ANYBODY}]
    host_kubectl("patch", *where, "--type=json", "-p", json.dumps(wider))
    until(lambda: as_before(host_kubectl, where, before))
    host_kubectl("delete", *where, "--wait=false")
    until(lambda: as_before(host_kubectl, where, before))
    assert tenant.kubectl("create", "configmap", "after").returncode == 0


@pytest.mark.parametrize("change", ["vcproxy.io/tenant-", "vcproxy.io/tenant=other", "vcproxy.io/profile=soft"])
@pytest.mark.parametrize("space", ["default", "vcproxy", "web"])
def test_labels_of_a_tenants_namespace_are_put_back(
    host_kubectl: Kubectl, tenant: TenantCluster, space: str, change: str
) -> None:
    tenant.kubectl("create", "namespace", "web", check=False)
    where = ("namespace", f"{tenant.id}-{space}")
    until(lambda: "vcproxy.io/profile" in host_kubectl.json("get", *where)["metadata"]["labels"])
    before = host_kubectl.json("get", *where)
    host_kubectl("label", *where, change, "--overwrite")
    until(lambda: host_kubectl.json("get", *where)["metadata"]["labels"] == before["metadata"]["labels"])


def test_what_bounds_the_controller_it_cannot_write(host_kubectl: Kubectl, proxy: RunningProxy) -> None:
    controller = Kubectl(host_kubectl.program, proxy.folder / "credentials" / "controller.kubeconfig")
    for command in (
        ("delete", "validatingadmissionpolicy", "vcproxy-controller"),
        ("delete", "validatingadmissionpolicybinding", "vcproxy-controller"),
        ("create", "clusterrolebinding", "b", "--clusterrole=cluster-admin", "--user=x"),
        ("create", "clusterrole", "r", "--verb=get", "--resource=secrets"),
        ("get", "secrets", "-n", "vcproxy-system"),
        ("get", "pods", "--as=system:admin"),
    ):
        refused = controller(*command, check=False)
        assert refused.returncode != 0, command
        assert "orbidden" in refused.stderr, command


@pytest.mark.parametrize(
    ("kind", "name", "damage"),
    [
        ("clusterrole", "vcproxy:tenant", [{"op": "add", "path": "/rules/-", "value": EVERYTHING}]),
        (
            "clusterrole",
            "vcproxy:impersonator",
            [{"op": "add", "path": "/rules/-", "value": {**EVERYTHING, "verbs": ["impersonate"]}}],
        ),
        (
            "clusterrole",
            "vcproxy:tenant",
            [
                {
                    "op": "add",
                    "path": "/rules/-",
                    "value": {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["get"]},
                }
            ],
        ),
        ("clusterrolebinding", "vcproxy:tenants", [{"op": "add", "path": "/subjects/-", "value": ANYBODY}]),
    ],
)
def test_into_the_walls_that_it_keeps_the_controller_writes_nothing_wider(
    host_kubectl: Kubectl, proxy: RunningProxy, kind: str, name: str, damage: list[dict[str, Any]]
) -> None:
    controller = Kubectl(host_kubectl.program, proxy.folder / "credentials" / "controller.kubeconfig")
    refused = controller("patch", kind, name, "--type=json", "-p", json.dumps(damage), check=False)
    assert refused.returncode == 1
    assert "vcproxy-controller" in refused.stderr


def test_a_healed_installation_is_whole(proxy: RunningProxy, tenant: TenantCluster) -> None:
    """An installer says so: what was put back is what it would put there."""
    dry = json.loads(proxy.cli("install", "--dry-run", "-o", "json").stdout)
    assert {one["action"] for one in dry} == {"would be unchanged"}


DEFINED: Final = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "walls.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "walls", "singular": "wall", "kind": "Wall"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


def test_rights_to_a_tenants_own_kinds_stand_again(host_kubectl: Kubectl, tenant: TenantCluster) -> None:
    name = f"vcproxy:apis:{tenant.id}"
    kinds = ("clusterrole", "clusterrolebinding")
    tenant.kubectl("apply", "-f", "-", input=json.dumps(DEFINED))
    until(lambda: all(host_kubectl("get", kind, name, check=False).returncode == 0 for kind in kinds))
    before = {kind: host_kubectl.json("get", kind, name) for kind in kinds}
    damages = [
        ("clusterrole", [{"op": "remove", "path": "/rules/0"}]),
        (
            "clusterrole",
            [
                {
                    "op": "add",
                    "path": "/aggregationRule",
                    "value": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
                }
            ],
        ),
        ("clusterrolebinding", [{"op": "add", "path": "/subjects/-", "value": ANYBODY}]),
    ]
    for kind, damage in damages:
        host_kubectl("patch", kind, name, "--type=json", "-p", json.dumps(damage))
        until(lambda kind=kind: as_before(host_kubectl, (kind, name), before[kind]))  # type: ignore[misc]
    for kind in kinds:
        host_kubectl("delete", kind, name)
        until(lambda kind=kind: as_before(host_kubectl, (kind, name), before[kind]))  # type: ignore[misc]
