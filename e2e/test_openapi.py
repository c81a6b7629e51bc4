"""OpenAPI says what discovery says, and of a tenant's own kinds what a plain API server says of the same ones."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.scan import leaks
from vcproxy.core import openapi_protobuf
from vcproxy.core.discovery import AGGREGATED
from vcproxy.core.openapi import V2_PROTOBUF, VERBS

GROUP: Final = "shop.example.com"
PREFIXES: Final = (f"/apis/{GROUP}/", "com.example.shop.")
PUBLISHED: Final = 30.0
"""Seconds in which an API server has published a new definition."""
SCHEMA: Final = {
    "type": "object",
    "description": "Something to sell.",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["price"],
            "properties": {
                "price": {"type": "integer", "minimum": 1, "description": "In cents."},
                "tags": {"type": "array", "items": {"type": "string", "enum": ["new", "old"]}},
                "more": {
                    "type": "object",
                    "additionalProperties": {"type": "object", "properties": {"x": {"type": "string"}}},
                },
            },
            "x-kubernetes-validations": [{"rule": "self.price != 13", "message": "not thirteen"}],
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
DEFINITION: Final[dict[str, Any]] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"articles.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "articles", "singular": "article", "kind": "Article"},
        "versions": [
            {
                "name": name,
                "served": True,
                "storage": name == "v1",
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": SCHEMA},
            }
            for name in ("v1", "v1beta1")
        ],
    },
}


@pytest.fixture(scope="module")
def tenant(tenant_factory: Callable[..., TenantCluster]) -> Iterator[TenantCluster]:
    """A tenant that has defined articles."""
    found = tenant_factory()
    found.kubectl("create", "-f", "-", input=yaml.safe_dump(DEFINITION))
    found.kubectl("wait", "--for=condition=established", "--timeout=30s", f"crd/articles.{GROUP}")
    yield found
    assert leaks(found.received, [found.id]) == []


@pytest.fixture(scope="module")
def client(tenant: TenantCluster) -> Client:
    found = Client(tenant.kubeconfig)
    found.received = tenant.received
    return found


@pytest.fixture(scope="module")
def plain(host: Host, host_kubectl: Kubectl) -> Iterator[Client]:
    """The API server itself, where somebody has defined articles as well."""
    host_kubectl("create", "-f", "-", input=yaml.safe_dump(DEFINITION))
    yield Client(host.kubeconfig, certificate=True)
    host_kubectl("delete", "crd", f"articles.{GROUP}")


def published(client: Client, accept: str = "application/json", group: str = GROUP) -> bytes:
    """Version 2, once it holds the definition in both versions."""
    end = time.monotonic() + PUBLISHED
    while True:
        answer = client.call("GET", "/openapi/v2", headers={"Accept": accept})
        assert answer.code == 200, answer.body
        if all(f"/apis/{group}/{version}/".encode() in answer.body for version in ("v1", "v1beta1")):
            return answer.body
        assert time.monotonic() < end
        time.sleep(0.3)


def own(document: dict[str, Any]) -> dict[str, Any]:
    """What a document of version 2 says of the articles."""
    members = (document["paths"], document["definitions"])
    return {name: value for member in members for name, value in member.items() if name.startswith(PREFIXES)}


def test_version_2_says_of_an_own_kind_what_a_plain_api_server_says(client: Client, plain: Client) -> None:
    ours, theirs = (json.loads(published(one)) for one in (client, plain))
    assert own(ours) == own(theirs)
    assert len(own(ours)) == 12  # four paths and two definitions in each version


def test_version_2_as_protobuf_too(client: Client, plain: Client) -> None:
    found = []
    for one in (client, plain):
        raw = published(one, V2_PROTOBUF)
        numbers = (openapi_protobuf.PATHS, openapi_protobuf.DEFINITIONS)
        entries = (entry for number in numbers for entry in openapi_protobuf.entries(raw, number))
        found.append({name: body for _, name, body in entries if name.startswith(PREFIXES)})
    assert found[0] == found[1]
    assert len(found[0]) == 12


def test_no_reference_of_version_2_leads_nowhere(client: Client) -> None:
    document = json.loads(published(client))
    queue, seen = [document], set()
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            seen |= {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            queue.extend(value.values())
        elif isinstance(value, list):
            queue.extend(value)
    assert seen
    assert [one for one in seen if one.split("/")[2] not in document[one.split("/")[1]]] == []


def test_another_tenant_is_told_of_no_articles(tenant_factory: Callable[..., TenantCluster], client: Client) -> None:
    published(client)
    other = Client(tenant_factory().kubeconfig)
    for accept in ("application/json", V2_PROTOBUF):
        assert b"rticle" not in other.call("GET", "/openapi/v2", headers={"Accept": accept}).body


def in_group(group: str) -> dict[str, Any]:
    """The definition of articles in another group."""
    spec = {**DEFINITION["spec"], "group": group}
    return {**DEFINITION, "metadata": {"name": f"articles.{group}"}, "spec": spec}


def test_a_group_that_reads_like_anothers_backwards_is_shown_to_its_own_tenant_alone(
    tenant_factory: Callable[..., TenantCluster],
) -> None:
    """Definitions are named by reversed groups: `com.<first>-a.<second>-x.v1.Article` begins with the first's."""
    first, second = tenant_factory(), tenant_factory()
    groups = {first: "a.com", second: f"x.{first.id}-a.com"}
    clients = {tenant: Client(tenant.kubeconfig) for tenant in groups}
    for tenant, group in reversed(groups.items()):
        tenant.kubectl("create", "--validate=false", "-f", "-", input=yaml.safe_dump(in_group(group)))
        tenant.kubectl("wait", "--for=condition=established", "--timeout=30s", f"crd/articles.{group}")
        for accept in ("application/json", V2_PROTOBUF):  # the host has the second's before the first asks
            published(clients[tenant], accept, group)
    for tenant, definitions in ((first, "com.a."), (second, f"com.{first.id}-a.x.")):
        document = clients[tenant].call("GET", "/openapi/v2").document
        found = {name for name in document["definitions"] if "Article" in name}
        assert found == {f"{definitions}{name}" for name in ("v1.Article", "v1.ArticleList")} | {
            f"{definitions}{name}" for name in ("v1beta1.Article", "v1beta1.ArticleList")
        }
        index = clients[tenant].call("GET", "/openapi/v3").document["paths"]
        assert {name for name in index if "a.com" in name} == {f"apis/{groups[tenant]}/{v}" for v in ("v1", "v1beta1")}
        assert {key[0] for key in offered(clients[tenant]) if key[1] == "articles"} == {groups[tenant]}
        v3 = clients[tenant].call("GET", f"/openapi/v3/apis/{groups[tenant]}/v1")
        assert (v3.code, "Article" in v3.body.decode()) == (200, True)
        clients[tenant].call("GET", "/openapi/v2", headers={"Accept": V2_PROTOBUF})
    assert leaks(clients[first].received, [first.id, second.id]) == []
    assert leaks(clients[second].received, [second.id]) == []


def test_a_client_that_has_it_already_is_told_so(client: Client) -> None:
    published(client)
    for accept in ("application/json", V2_PROTOBUF):
        first = client.call("GET", "/openapi/v2", headers={"Accept": accept})
        again = {"Accept": accept, "If-None-Match": first.headers["ETag"]}
        assert client.call("GET", "/openapi/v2", headers=again).code == 304


def test_kubectl_explains_an_own_kind_by_version_2(tenant: TenantCluster, client: Client) -> None:
    published(client, V2_PROTOBUF)
    said = tenant.kubectl("explain", "article.spec.price", "--output=plaintext-openapiv2").stdout
    assert "In cents." in said


def offered(client: Client) -> dict[tuple[str, str, str], set[str]]:
    """The verbs of discovery by group, resource and subresource, of all versions together."""
    verbs: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for path in ("/api", "/apis"):
        for group in client.call("GET", path, headers={"Accept": AGGREGATED}).document["items"]:
            name = group["metadata"].get("name", "")
            for resource in (one for version in group["versions"] for one in version["resources"]):
                verbs[name, resource["resource"], ""] |= set(resource["verbs"])
                for part in resource.get("subresources") or ():
                    verbs[name, resource["resource"], part["subresource"]] |= set(part["verbs"])
    return verbs


def operations(document: dict[str, Any]) -> dict[tuple[str, str, str], set[str]]:
    """The verbs of OpenAPI's operations, the same way; `connect` is none."""
    verbs: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for path, item in document["paths"].items():
        parts = path.strip("/").split("/")
        group, rest = ("", parts[2:]) if parts[0] == "api" else ("".join(parts[1:2]), parts[3:])
        rest = rest[1:] if rest[:1] == ["watch"] else rest
        rest = rest[2:] if rest[:2] == ["namespaces", "{namespace}"] else rest
        known = (VERBS.get(one.get("x-kubernetes-action", "")) for one in item.values() if isinstance(one, dict))
        for verb in (verb for verb in known if verb is not None):
            verbs[group, rest[0], rest[2] if len(rest) > 2 else ""].add(verb)
    return verbs


def test_operations_are_those_whose_verbs_discovery_names(client: Client) -> None:
    """But for `connect`, which has no verb of its own, and watches of custom resources, which have no path."""
    said, shown = offered(client), operations(json.loads(published(client)))
    assert {key: verbs - said[key] for key, verbs in shown.items() if verbs - said[key]} == {}
    lacking = {key: said[key] - verbs for key, verbs in shown.items() if said[key] - verbs}
    assert lacking == {(GROUP, "articles", ""): {"watch"}}
    assert shown["", "nodes", ""] == {"get", "list", "watch"}
