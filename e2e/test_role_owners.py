"""Owner references to and from roles, under the host's real garbage collector."""

import json
import time
from typing import Any, Final

import pytest

from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.conftest import TenantFactory
from e2e.scan import leaks

GROUP: Final = "rbac.authorization.k8s.io"
SETTLED: Final = 60.0
"""Seconds in which the host's garbage collector has heard of a kind, and collected."""
LOOKED: Final = 8.0
"""Seconds in which it would have taken away what it is not to take away: others went meanwhile."""


@pytest.fixture(scope="module")
def kubectl(tenant_factory: TenantFactory) -> Kubectl:
    tenant: TenantCluster = tenant_factory()
    return tenant.kubectl


def owner(kubectl: Kubectl, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    found = kubectl.json("get", kind, name)
    metadata = found["metadata"]
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        **fields,
    }


def owned(kubectl: Kubectl, kind: str, name: str, reference: dict[str, Any]) -> None:
    version = f"{GROUP}/v1" if "Role" in kind else "v1"
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "ownerReferences": [reference]}}
    made = json.loads(kubectl("create", "-f", "-", "-o", "json", input=json.dumps(document)).stdout)
    assert made["metadata"]["ownerReferences"] == [reference]


def there(kubectl: Kubectl, kind: str, name: str) -> bool:
    return kubectl("get", kind, name, check=False).returncode == 0


def gone(kubectl: Kubectl, kind: str, name: str) -> None:
    end = time.monotonic() + SETTLED
    while there(kubectl, kind, name):
        assert time.monotonic() < end, f"{kind} {name} was not collected"
        time.sleep(0.5)


def test_what_a_role_owns_goes_with_it(kubectl: Kubectl) -> None:
    kubectl("create", "role", "Own:er", "--verb=get", "--resource=pods")
    owned(kubectl, "ConfigMap", "of-role", owner(kubectl, "role", "Own:er", blockOwnerDeletion=True, controller=True))
    time.sleep(LOOKED)
    assert there(kubectl, "configmap", "of-role")
    kubectl("delete", "role", "Own:er", "--cascade=foreground", "--timeout=60s")
    gone(kubectl, "configmap", "of-role")


def test_a_role_goes_with_its_owner(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "owner")
    owned(kubectl, "Role", "of-map", owner(kubectl, "configmap", "owner"))
    kubectl("delete", "configmap", "owner")
    gone(kubectl, "role", "of-map")


def test_a_cluster_role_goes_with_the_cluster_role_that_owns_it(kubectl: Kubectl) -> None:
    kubectl("create", "clusterrole", "whole", "--verb=get", "--resource=pods")
    owned(kubectl, "ClusterRole", "part", owner(kubectl, "clusterrole", "whole"))
    kubectl("delete", "clusterrole", "whole")
    gone(kubectl, "clusterrole", "part")


def test_what_a_cluster_role_owns_stays_and_does_not_hold_it_up(kubectl: Kubectl) -> None:
    kubectl("create", "clusterrole", "wide", "--verb=get", "--resource=pods")
    owned(kubectl, "ConfigMap", "of-wide", owner(kubectl, "clusterrole", "wide", blockOwnerDeletion=True))
    owned(kubectl, "ConfigMap", "of-nobody", {**owner(kubectl, "clusterrole", "wide"), "name": "no", "uid": "no"})
    absent = {"apiVersion": "v1", "kind": "Pod", "name": "absent", "uid": "absent"}
    owned(kubectl, "ConfigMap", "witness", absent)
    gone(kubectl, "configmap", "witness")  # the collector is at work
    time.sleep(LOOKED)
    kubectl("delete", "clusterrole", "wide", "--cascade=foreground", "--timeout=30s")
    time.sleep(LOOKED)
    assert there(kubectl, "configmap", "of-wide")
    assert there(kubectl, "configmap", "of-nobody")
    events = kubectl("get", "events", "-o", "json").stdout
    assert leaks([events.encode()], ["shadow.vcproxy"]) == []


def test_a_cluster_role_stays_whose_owner_has_a_namespace(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "spaced")
    owned(kubectl, "ClusterRole", "odd", owner(kubectl, "configmap", "spaced"))
    time.sleep(LOOKED)
    kubectl("delete", "configmap", "spaced")
    time.sleep(LOOKED)
    assert there(kubectl, "clusterrole", "odd")


def test_owners_are_taken_off_where_they_are_deleted_without_what_they_own(kubectl: Kubectl) -> None:
    for kind, name in (("role", "left"), ("clusterrole", "left")):
        kubectl("create", kind, name, "--verb=get", "--resource=pods")
        owned(kubectl, "ConfigMap", f"of-{kind}-left", owner(kubectl, kind, name))
        time.sleep(LOOKED)
        kubectl("delete", kind, name, "--cascade=orphan", "--timeout=30s")
        assert "ownerReferences" not in kubectl.json("get", "configmap", f"of-{kind}-left")["metadata"]
