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


def test_only_namespaced_kinds_namespaces_and_the_review_of_oneself_are_served() -> None:
    others = {row.key for row in kinds.served() if row.exposure is not Exposure.NAMESPACED}
    assert others == {("", "namespaces"), ("authentication.k8s.io", "selfsubjectreviews")}


def test_no_shadow_kind_and_no_kind_of_cluster_scope_but_namespaces_is_served() -> None:
    for row in kinds.TABLE.values():
        if row.exposure in (Exposure.SHADOW, Exposure.DENIED, Exposure.SHARED):
            assert kinds.find(*row.key) is None
        if not row.namespaced and row.served:
            assert row.exposure in (Exposure.PRIVATE, Exposure.VIRTUAL)


@pytest.mark.parametrize(
    ("resource", "sub"),
    [
        ("nodes", "proxy"),
        ("serviceaccounts", "token"),
        ("pods", "made-up"),
    ],
)
def test_nodes_and_tokens_are_hidden(resource: str, sub: str) -> None:
    assert not kinds.Served().subresource("", resource, sub)


def test_visible_verbs_are_those_of_the_table() -> None:
    assert kinds.Served().verbs("", "pods", "log", ["get", "create"]) == ["get"]
    assert kinds.Served().verbs("", "nodes", "", ["get"]) == []
