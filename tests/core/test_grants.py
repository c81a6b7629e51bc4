"""What a provider grants: read leniently, taken apart and put together, made into bindings."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core import grants, rbac_defaults
from vcproxy.core.grants import Grant, Right
from vcproxy.core.rbac import Attributes, User
from vcproxy.core.rbac_policy import Policy

NAMES = st.lists(st.sampled_from(["ann", "bob", "dev"]), max_size=3, unique=True).map(tuple)
SPACES = st.none() | st.lists(st.sampled_from(["web", "db"]), max_size=2, unique=True).map(tuple)
GRANTS = st.lists(st.builds(Grant, st.sampled_from(["tenant-view", "own"]), NAMES, NAMES, SPACES), max_size=5)
ANN = User("ann", ("system:authenticated",))


def allowed(given: list[Any], asked: Attributes) -> bool:
    documents = grants.documents(grants.parse(given), "7")
    return Policy().based_on(Policy.of(documents, rbac_defaults.policy())).allows(ANN, asked)


def pods(namespace: str) -> Attributes:
    return Attributes("get", resource="pods", namespace=namespace)


@pytest.mark.parametrize(
    ("grant", "in_web", "in_db", "in_all"),
    [
        ({"role": "tenant-view", "users": ["ann"]}, True, True, True),
        ({"role": "tenant-view", "groups": ["system:authenticated"]}, True, True, True),
        ({"role": "tenant-view", "users": ["ann"], "namespaces": ["web"]}, True, False, False),
        ({"role": "tenant-view", "users": ["ann"], "namespaces": []}, False, False, False),
        ({"role": "tenant-view", "users": ["ann"], "namespaces": "web"}, False, False, False),
        ({"role": "tenant-view", "users": ["bob"]}, False, False, False),
        ({"role": "absent", "users": ["ann"]}, False, False, False),
        ({"users": ["ann"]}, False, False, False),
        ("tenant-admin", False, False, False),
    ],
)
def test_a_grant_counts_where_it_says_and_an_odd_one_nowhere(
    grant: Any, in_web: bool, in_db: bool, in_all: bool
) -> None:
    assert [allowed([grant], pods(space)) for space in ("web", "db", "")] == [in_web, in_db, in_all]


@given(GRANTS)
def test_grants_taken_apart_and_put_together_are_the_same(found: list[Grant]) -> None:
    whole = grants.gathered(grants.rights(found))
    assert grants.rights(whole) == grants.rights(found)
    assert grants.parse([one.document() for one in whole]) == whole
    assert grants.gathered(grants.rights(whole)) == whole


def test_people_with_the_same_rights_share_a_grant() -> None:
    held = {
        Right("tenant-edit", "User", "ann", "web"),
        Right("tenant-edit", "Group", "dev", "web"),
        Right("tenant-edit", "User", "bob"),
    }
    assert [one.document() for one in grants.gathered(held)] == [
        {"role": "tenant-edit", "users": ["bob"]},
        {"role": "tenant-edit", "users": ["ann"], "groups": ["dev"], "namespaces": ["web"]},
    ]


def test_the_bindings_of_grants_are_one_for_each_role_and_namespace() -> None:
    found = grants.documents(
        (Grant("tenant-view", ("ann",)), Grant("tenant-view", ("bob",)), Grant("tenant-view", ("eve",), (), ("web",))),
        "7",
    )
    assert [(one["kind"], one["metadata"]) for one in found] == [
        ("ClusterRoleBinding", {"name": "vcproxy:grant:tenant-view", "resourceVersion": "7"}),
        ("RoleBinding", {"name": "vcproxy:grant:tenant-view", "namespace": "web", "resourceVersion": "7"}),
    ]
    assert [subject["name"] for subject in found[0]["subjects"]] == ["ann", "bob"]
    assert found[0]["subjects"][0]["apiGroup"] == found[0]["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("kind", "metadata", "reserved"),
    [
        ("ClusterRoleBinding", {"name": "vcproxy:grant:tenant-admin"}, True),
        ("RoleBinding", {"generateName": "vcproxy:grant:"}, True),
        ("RoleBinding", {"name": "vcproxy:granted"}, False),
        ("ClusterRole", {"name": "vcproxy:grant:tenant-admin"}, False),
    ],
)
def test_names_of_granted_bindings_are_reserved(kind: str, metadata: dict[str, str], reserved: bool) -> None:
    assert grants.reserved({"kind": kind, "metadata": metadata}) is reserved
