"""Owner references: to the host as its garbage collector needs them, to the tenant as it wrote them."""

from typing import Any

import pytest

from tests.core.objects_strategies import scope
from vcproxy.core import objects, shadow
from vcproxy.core.kinds import TABLE
from vcproxy.core.status import ApiError

RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLES = TABLE[RBAC, "clusterroles"]


def owner(kind: str, version: str = f"{RBAC}/v1", name: str = "Read:er", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": "u", **fields}


def map_of(reference: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "ownerReferences": [reference]}}


def stored(reference: dict[str, Any]) -> dict[str, Any]:
    """What a ConfigMap that is owned so holds on the host; coming down it is what it was."""
    host = objects.to_host(map_of(dict(reference)), "", "ConfigMap", scope())
    found: dict[str, Any] = dict(host["metadata"]["ownerReferences"][0])
    assert objects.to_view(host, TABLE["", "configmaps"], scope())["metadata"]["ownerReferences"] == [reference]
    return found


def stored_of_cluster_role(reference: dict[str, Any]) -> dict[str, Any]:
    document = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"ownerReferences": [dict(reference)]}}
    host = shadow.to_host(document, CLUSTER_ROLES, scope())
    found: dict[str, Any] = dict(host["metadata"]["ownerReferences"][0])
    assert shadow.to_view(host, CLUSTER_ROLES, scope())["metadata"]["ownerReferences"] == [reference]
    return found


@pytest.mark.parametrize("kind", ["Role", "RoleBinding"])
def test_an_owner_that_stands_as_vcproxys_own_kind_is_found_there(kind: str) -> None:
    wanted = owner(kind, "shadow.vcproxy.io/v1", "x--52eadx--3aer", blockOwnerDeletion=True)
    assert stored(owner(kind, blockOwnerDeletion=True)) == wanted


@pytest.mark.parametrize("kind", ["ClusterRole", "ClusterRoleBinding"])
def test_an_owner_of_cluster_scope_is_kept_where_nobody_looks_for_it(kind: str) -> None:
    assert stored(owner(kind)) == owner(kind, f"{RBAC}.kept.shadow.vcproxy.io/v1")
    unblocking = owner(kind, blockOwnerDeletion=False)
    assert stored(unblocking) == {**unblocking, "apiVersion": f"{RBAC}.kept.shadow.vcproxy.io/v1"}


def test_a_kept_owner_does_not_wait_for_what_the_host_will_not_delete() -> None:
    assert stored(owner("ClusterRole", blockOwnerDeletion=True)) == owner(
        "ClusterRole", f"{RBAC}.held.shadow.vcproxy.io/v1"
    )


def test_a_cluster_role_is_collected_with_the_cluster_role_that_owns_it() -> None:
    assert stored_of_cluster_role(owner("ClusterRole")) == owner(
        "ClusterRole", "shadow.vcproxy.io/v1", "x--52eadx--3aer"
    )


def test_a_cluster_role_is_never_collected_for_want_of_an_owner_that_has_a_namespace() -> None:
    for reference, version in (
        (owner("Role"), f"{RBAC}.kept.shadow.vcproxy.io/v1"),
        (owner("Deployment", "apps/v1"), "apps.kept.shadow.vcproxy.io/v1"),
        (owner("Pod", "v1"), "kept.shadow.vcproxy.io/v1"),
        (owner("Widget", "example.com/v1"), "example.com.kept.shadow.vcproxy.io/v1"),
    ):
        assert stored_of_cluster_role(reference) == {**reference, "apiVersion": version}


def test_owners_of_cluster_scope_that_stand_on_the_host_are_found_by_their_names_there() -> None:
    assert stored_of_cluster_role(owner("Namespace", "v1", "web"))["name"] == "acme-web"


def test_nobody_writes_the_groups_that_mean_this() -> None:
    for version in ("shadow.vcproxy.io/v1", "apps.kept.shadow.vcproxy.io/v1"):
        with pytest.raises(ApiError, match="reserved"):
            stored(owner("Role", version))


def test_what_is_no_reference_passes() -> None:
    for odd in (None, "x", {}, {"apiVersion": 1}, {"apiVersion": "v1", "kind": 3}):
        host = objects.to_host(map_of(odd), "", "ConfigMap", scope())  # type: ignore[arg-type]
        assert host["metadata"]["ownerReferences"] == [odd]


def test_what_the_host_says_of_a_kept_owner_names_the_tenants_kind() -> None:
    event = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": "e"},
        "message": f"ownerRef [{RBAC}.kept.shadow.vcproxy.io/v1/ClusterRole, namespace: acme-web, name: x, uid: u]"
        ' does not exist in namespace "acme-web"',
    }
    assert objects.to_view(event, TABLE["", "events"], scope())["message"] == (
        f'ownerRef [{RBAC}/v1/ClusterRole, namespace: web, name: x, uid: u] does not exist in namespace "web"'
    )
