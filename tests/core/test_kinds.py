"""The kinds table against recorded discovery of a host."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcproxy.core import kinds
from vcproxy.core.kinds import Exposure

FIXTURES = Path(__file__).parent.parent / "fixtures" / "discovery"


def served_by_host() -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for name in ("api", "apis"):
        for group in json.loads((FIXTURES / f"{name}.json").read_text())["items"]:
            for version in group["versions"]:
                for resource in version["resources"]:
                    found[group["metadata"].get("name", ""), resource["resource"]] = resource
    return found


def test_every_kind_of_the_host_has_a_row_and_no_row_is_made_up() -> None:
    assert set(kinds.TABLE) == set(served_by_host())


@pytest.mark.parametrize("key", sorted(kinds.TABLE), ids="/".join)
def test_a_row_says_what_the_host_says(key: tuple[str, str]) -> None:
    row, host = kinds.TABLE[key], served_by_host()[key]
    assert row.kind == host["responseKind"]["kind"]
    assert row.namespaced == (host["scope"] == "Namespaced")
    assert row.verbs == set(host["verbs"])
    assert {name: set(verbs) for name, verbs in row.subresources.items()} == {
        sub["subresource"]: set(sub["verbs"]) for sub in host.get("subresources", ())
    }


def test_every_private_kind_is_served_and_of_the_shadow_ones_roles_and_bindings() -> None:
    others = {row.key for row in kinds.served() if row.exposure in (Exposure.SHADOW, Exposure.VIRTUAL)}
    shared = {("", "nodes"), ("storage.k8s.io", "csinodes"), ("resource.k8s.io", "resourceslices")}
    assert {row.key for row in kinds.served() if row.exposure is Exposure.SHARED} == shared
    roles = {
        ("rbac.authorization.k8s.io", name) for name in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
    }
    reviews = {
        ("authorization.k8s.io", f"{name}reviews")
        for name in ("localsubjectaccess", "selfsubjectaccess", "selfsubjectrules", "subjectaccess")
    }
    reviews |= {("authentication.k8s.io", name) for name in ("selfsubjectreviews", "tokenreviews")}
    assert others == {*roles, *reviews}
    assert all(row.served for row in kinds.TABLE.values() if row.exposure is Exposure.PRIVATE)


def test_every_guarded_kind_is_a_private_one() -> None:
    private = {row.kind for row in kinds.TABLE.values() if row.exposure is Exposure.PRIVATE}
    assert private > kinds.GUARDED


def test_what_is_denied_is_not_served() -> None:
    for row in kinds.TABLE.values():
        if row.exposure is Exposure.DENIED:
            assert kinds.find(*row.key) is None


def test_what_is_shared_is_only_read_and_has_no_parts() -> None:
    for row in kinds.TABLE.values():
        if row.exposure is Exposure.SHARED:
            assert row.offered == kinds.READ < row.verbs
            assert row.hidden_subresources == set(row.subresources)


@pytest.mark.parametrize(
    ("resource", "sub"),
    [
        ("nodes", "proxy"),
        ("nodes", "status"),
        ("pods", "made-up"),
    ],
)
def test_nodes_and_what_is_unknown_are_hidden(resource: str, sub: str) -> None:
    assert not kinds.Served().subresource("", resource, sub)


def test_visible_verbs_are_those_of_the_table() -> None:
    assert kinds.Served().verbs("", "pods", "log", ["get", "create"]) == ["get"]
    assert kinds.Served().verbs("", "nodes", "", ["get", "patch", "watch"]) == ["get", "watch"]
    assert kinds.Served().verbs("", "componentstatuses", "", ["get"]) == []
