"""The discovery filter, against recorded documents of a host."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core import discovery, kinds
from vcproxy.core.discovery import AGGREGATED, Document

FIXTURES = Path(__file__).parent.parent / "fixtures" / "discovery"
CORE, GROUPS = (json.loads((FIXTURES / f"{name}.json").read_text()) for name in ("api", "apis"))
KEYS = sorted(
    (group["metadata"].get("name", ""), resource["resource"])
    for document in (CORE, GROUPS)
    for group in document["items"]
    for version in group["versions"]
    for resource in version["resources"]
)
BETA = AGGREGATED.replace("v=v2;", "v=v2beta1;")


def plain(name: str) -> Document:
    document: Document = json.loads((FIXTURES / f"plain-{name}.json").read_text())
    return document


class Everything:
    """A tenant that may see all."""

    def resource(self, group: str, resource: str) -> bool:
        return True

    def subresource(self, group: str, resource: str, sub: str) -> bool:
        return True

    def verbs(self, group: str, resource: str, subresource: str, verbs: list[str]) -> list[str]:
        return verbs


class Only(Everything):
    """A tenant that may see some resources, without their subresources, and read them."""

    def __init__(self, keys: frozenset[tuple[str, str]]) -> None:
        self._keys = keys

    def resource(self, group: str, resource: str) -> bool:
        return (group, resource) in self._keys

    def subresource(self, group: str, resource: str, sub: str) -> bool:
        return False

    def verbs(self, group: str, resource: str, subresource: str, verbs: list[str]) -> list[str]:
        return [verb for verb in verbs if verb in ("get", "list", "watch")]


def shown(document: Document) -> set[tuple[str, str]]:
    return {
        (group["metadata"].get("name", ""), resource["resource"])
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }


def resource(document: Document, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in document["items"][0]["versions"][0]["resources"] if one["resource"] == name
    )
    return found


# Aggregated ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [CORE, GROUPS], ids=["api", "apis"])
def test_who_may_see_all_gets_the_hosts_own_document(document: Document) -> None:
    assert discovery.filtered(document, Everything()) == document


@given(st.frozensets(st.sampled_from(KEYS)))
def test_exactly_what_is_visible_is_left_and_no_empty_group_or_version(keys: frozenset[tuple[str, str]]) -> None:
    for document in (CORE, GROUPS):
        left = discovery.filtered(document, Only(keys))
        assert shown(left) == keys & shown(document)
        assert all(group["versions"] for group in left["items"])
        assert all(version["resources"] for group in left["items"] for version in group["versions"])


@given(st.frozensets(st.sampled_from(KEYS)))
def test_filtering_twice_changes_nothing_and_the_input_stays_as_it_was(keys: frozenset[tuple[str, str]]) -> None:
    before = copy.deepcopy(GROUPS)
    once = discovery.filtered(GROUPS, Only(keys))
    assert discovery.filtered(once, Only(keys)) == once
    assert before == GROUPS


def test_groups_keep_the_order_of_the_host() -> None:
    names = [group["metadata"]["name"] for group in GROUPS["items"]]
    left = [group["metadata"]["name"] for group in discovery.filtered(GROUPS, kinds.Served())["items"]]
    assert left == [name for name in names if name in left]


def test_what_a_tenant_sees_of_the_host_is_the_served_rows_of_the_table() -> None:
    left = [discovery.filtered(document, kinds.Served()) for document in (CORE, GROUPS)]
    assert shown(left[0]) | shown(left[1]) == {row.key for row in kinds.served()}


@pytest.mark.parametrize("group", ["metrics.k8s.io", "vcproxy.io", "gateway.networking.k8s.io"])
def test_groups_of_custom_resources_and_aggregated_servers_vanish(group: str) -> None:
    foreign = copy.deepcopy(GROUPS["items"][0]) | {"metadata": {"name": group}}
    document = {**GROUPS, "items": [foreign, *GROUPS["items"]]}
    assert discovery.filtered(document, kinds.Served()) == discovery.filtered(GROUPS, kinds.Served())


def test_a_custom_resource_in_a_built_in_group_vanishes() -> None:
    widget = {"resource": "widgets", "responseKind": {"kind": "Widget"}, "scope": "Namespaced", "verbs": ["get"]}
    document = copy.deepcopy(GROUPS)
    for group in document["items"]:
        group["versions"][0]["resources"].append(widget)
    assert discovery.filtered(document, kinds.Served()) == discovery.filtered(GROUPS, kinds.Served())


def test_hidden_subresources_are_gone_and_the_others_keep_their_verbs() -> None:
    pods = resource(discovery.filtered(CORE, kinds.Served()), "pods")
    subresources = {sub["subresource"]: sub["verbs"] for sub in pods["subresources"]}
    tunnels = {"attach", "exec", "portforward", "proxy"}
    assert set(subresources) == {"binding", "ephemeralcontainers", "eviction", "log", "resize", "status"} | tunnels
    accounts = resource(discovery.filtered(CORE, kinds.Served()), "serviceaccounts")
    assert [(sub["subresource"], sub["verbs"]) for sub in accounts["subresources"]] == [("token", ["create"])]
    assert subresources["log"] == ["get"]


def test_a_resource_without_visible_subresources_names_none() -> None:
    assert "subresources" not in resource(discovery.filtered(CORE, Only(frozenset({("", "pods")}))), "pods")


def test_group_versions_are_those_of_both_documents() -> None:
    left = [discovery.filtered(document, kinds.Served()) for document in (CORE, GROUPS)]
    versions = discovery.group_versions(*left)
    assert {("", "v1"), ("apps", "v1"), ("autoscaling", "v2")} <= versions
    assert ("certificates.k8s.io", "v1") not in versions


# Plain ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "group", "version", "name"),
    [
        (CORE, "", "v1", "api-v1"),
        (GROUPS, "apps", "v1", "apis-apps-v1"),
        (GROUPS, "resource.k8s.io", "v1", "apis-resource.k8s.io-v1"),
    ],
    ids=["core", "apps", "resource.k8s.io"],
)
def test_plain_resources_made_of_the_aggregated_are_the_hosts(
    document: Document, group: str, version: str, name: str
) -> None:
    host = plain(name)
    made = discovery.api_resource_list(document, group, version, discovery.storage_hashes(host))
    assert made == host


def test_without_hashes_only_the_hashes_are_missing() -> None:
    made = discovery.api_resource_list(GROUPS, "apps", "v1")
    assert made is not None
    host = [{key: one[key] for key in one if key != "storageVersionHash"} for one in plain("apis-apps-v1")["resources"]]
    assert made["resources"] == host


def test_plain_groups_made_of_the_aggregated_are_the_hosts() -> None:
    assert discovery.api_group_list(GROUPS) == plain("apis")
    assert discovery.api_group(GROUPS, "apps") == plain("apis-apps")


def test_the_address_shown_is_the_one_given() -> None:
    made = discovery.api_versions(CORE, "proxy.test:8443")
    assert made["versions"] == ["v1"]
    assert made["serverAddressByClientCIDRs"] == [{"clientCIDR": "0.0.0.0/0", "serverAddress": "proxy.test:8443"}]


def test_what_is_not_left_has_no_plain_document() -> None:
    left = discovery.filtered(GROUPS, kinds.Served())
    assert discovery.api_group(left, "certificates.k8s.io") is None
    assert discovery.api_resource_list(left, "certificates.k8s.io", "v1") is None
    assert discovery.api_resource_list(left, "apps", "v1beta1") is None


# What clients ask for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "aggregated"),
    [
        (f"{AGGREGATED},application/json", True),
        (f"{AGGREGATED},{BETA},application/json", True),
        (f"{BETA},{AGGREGATED},application/json", True),
        (f"{AGGREGATED};profile=nopeer", True),
        (f"application/yaml,{AGGREGATED}", True),
        (f"application/json;q=0.5,{AGGREGATED};q=0.4", True),
        (f"{BETA},application/json", False),
        (f"{AGGREGATED.replace('json', 'vnd.kubernetes.protobuf')},application/json", False),
        (f"{AGGREGATED};q=0,application/json", False),
        ("application/json;as=APIGroupDiscoveryList,application/json", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
        (None, False),
    ],
)
def test_a_client_gets_aggregated_discovery_where_the_api_server_would_give_it(
    accept: str | None, aggregated: bool
) -> None:
    assert discovery.wants_aggregated(accept) is aggregated
