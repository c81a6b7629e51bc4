"""What the controller reads of namespaces and bindings."""

from typing import Any

import pytest

from vcproxy.core.names import TenantId
from vcproxy.tenants.manifests import binding
from vcproxy.tenants.world import parse_binding, parse_namespace

ACME = TenantId("acme")


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("acme-web", {}),
        ("acme-web", {"vcproxy.io/tenant": "globex"}),
        ("other", {"vcproxy.io/tenant": "acme"}),
        ("acme-", {"vcproxy.io/tenant": "acme"}),
        ("acme-web", {"vcproxy.io/tenant": "not an id"}),
    ],
)
def test_a_namespace_without_label_and_prefix_belongs_to_nobody(name: str, labels: dict[str, str]) -> None:
    assert parse_namespace({"metadata": {"name": name, "labels": labels}}) is None


def test_what_holds_up_a_namespace_is_read_from_its_condition() -> None:
    message = (
        "Some resources are remaining: configmaps. has 1 resource instances, "
        "rolebindings.rbac.authorization.k8s.io has 1 resource instances, widgets.example.com has 12 resource instances"
    )
    found = parse_namespace(
        {
            "metadata": {"name": "acme-web", "labels": {"vcproxy.io/tenant": "acme"}, "deletionTimestamp": "x"},
            "status": {"conditions": [{"type": "NamespaceContentRemaining", "message": message}, {"type": "Other"}]},
        }
    )
    assert found is not None
    assert found.terminating
    assert found.remaining == {"configmaps", "rolebindings.rbac.authorization.k8s.io", "widgets.example.com"}


def changed(**metadata: Any) -> dict[str, Any]:
    document = binding(ACME, "acme-web")
    return document | {"metadata": document["metadata"] | metadata}


@pytest.mark.parametrize(
    "document",
    [
        changed(finalizers=[]),
        changed(labels={}),
        changed(deletionTimestamp="x"),
        changed() | {"subjects": []},
        changed() | {"subjects": None},
        changed() | {"subjects": [{"kind": "User", "name": "vcproxy:tenant:globex"}]},
        changed() | {"subjects": [*binding(ACME, "x")["subjects"], {"kind": "User", "name": "eve"}]},
        changed() | {"roleRef": {"name": "cluster-admin"}},
    ],
)
def test_a_binding_that_gives_more_or_less_is_not_right(document: dict[str, Any]) -> None:
    found = parse_binding(document)
    assert found is not None
    assert not found.right_for(ACME)


def test_the_binding_that_is_made_is_right_for_its_tenant_alone() -> None:
    found = parse_binding(binding(ACME, "acme-web"))
    assert found is not None
    assert found.right_for(ACME)
    assert not found.right_for(TenantId("globex"))
    assert parse_binding({"metadata": {"name": "other"}}) is None
