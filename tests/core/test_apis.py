"""A tenant's own kinds: what a definition on the host adds to its cluster."""

import copy
from typing import Any

import pytest

from vcproxy.core import apis, decision, discovery, guard, objects, openapi_own, plan
from vcproxy.core.apis import NONE, collect, definition_down, definition_up, group_discovery, parse
from vcproxy.core.kinds import TABLE, Kind
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.plan import Deny, Forward, Identity, Watch
from vcproxy.core.request import parse as asked
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError

ACME = TenantId("acme")


def definition(group: str = "acme-example.com", scoped: str = "Namespaced", established: bool = True) -> dict[str, Any]:
    names = {"plural": "widgets", "kind": "Widget", "singular": "widget", "shortNames": ["wd"]}
    versions = [
        {"name": "v1alpha1", "served": True},
        {"name": "v2", "served": True, "subresources": {"status": {}, "scale": {}}},
        {"name": "v1", "served": True},
        {"name": "v3", "served": False},
    ]
    condition = {"type": "Established", "status": "True" if established else "False"}
    return {
        "spec": {"group": group, "scope": scoped, "names": names, "versions": versions},
        "status": {"acceptedNames": names, "conditions": [condition]},
    }


def own(**options: Any) -> Scope:
    api = parse(definition(**options), ACME, 1.0)
    assert api is not None
    return Scope(
        ACME, "ann", apis=collect([api], "1", ["widgets.example.com"]), namespaces=frozenset({VirtualName("web")})
    )


def test_a_definition_is_a_row_with_the_group_of_the_tenant() -> None:
    apis = own().apis
    row = apis.find("example.com", "widgets")
    assert row is not None
    assert (row.kind, row.namespaced, sorted(row.subresources)) == ("Widget", True, ["scale", "status"])
    assert apis.versions == {("example.com", version) for version in ("v1", "v2", "v1alpha1")}
    assert apis.find("acme-example.com", "widgets") is None


@pytest.mark.parametrize("group", ["globex-example.com", "example.com", "acme-apps", "acme-vcproxy.io", "acme"])
def test_foreign_groups_and_those_of_the_host_are_none_of_the_tenants(group: str) -> None:
    assert parse(definition(group), ACME, 1.0) is None


def test_what_is_not_established_is_not_served() -> None:
    assert parse(definition(established=False), ACME, 1.0) is None


def test_names_of_definitions_carry_the_prefix_before_the_group() -> None:
    assert definition_up(ACME, "widgets.example.com") == "widgets.acme-example.com"
    assert definition_down(ACME, "widgets.acme-example.com") == "widgets.example.com"
    assert definition_down(ACME, "widgets.globex-example.com") == "widgets.globex-example.com"


def test_discovery_lists_versions_in_their_order_and_subresources_where_they_are() -> None:
    groups = {"items": group_discovery(own().apis)}
    assert [one["version"] for one in groups["items"][0]["versions"]] == ["v2", "v1", "v1alpha1"]
    found = discovery.api_resource_list(groups, "example.com", "v2")
    assert found is not None
    assert [one["name"] for one in found["resources"]] == ["widgets", "widgets/scale", "widgets/status"]
    plain = discovery.api_resource_list(groups, "example.com", "v1")
    assert plain is not None
    assert [one["name"] for one in plain["resources"]] == ["widgets"]


def decided(method: str, target: str, by: Scope) -> plan.Plan:
    return decision.decide(asked(method, target.encode()), by, versions=frozenset({("apiextensions.k8s.io", "v1")}))


def test_custom_resources_keep_their_names_in_a_group_of_the_tenant() -> None:
    found = decided("GET", "/apis/example.com/v1/namespaces/web/widgets/w", own())
    assert isinstance(found, Forward)
    assert found.path == "/apis/acme-example.com/v1/namespaces/acme-web/widgets/w"
    assert found.identity is Identity.TENANT


def test_those_of_cluster_scope_too() -> None:
    by = own(scoped="Cluster")
    found = decided("GET", "/apis/example.com/v1/widgets/w", by)
    assert isinstance(found, Forward)
    assert (found.path, found.identity) == ("/apis/acme-example.com/v1/widgets/w", Identity.TENANT)
    listed = decided("GET", "/apis/example.com/v1/widgets", by)
    assert isinstance(listed, Forward)
    assert dict(listed.query)["labelSelector"] == "!vcproxy.io/hidden"
    assert isinstance(decided("GET", "/apis/example.com/v1/widgets?watch=1", by), Watch)


def test_over_all_namespaces_they_are_one_look_since_nobody_else_has_the_group() -> None:
    listed = decided("GET", "/apis/example.com/v1/widgets?limit=5", own())
    assert isinstance(listed, Forward)
    assert listed.target.startswith("/apis/acme-example.com/v1/widgets?limit=5&")
    watched = decided("GET", "/apis/example.com/v1/widgets?watch=1", own())
    assert isinstance(watched, Watch)
    assert watched.namespaces == ()
    one = decided("GET", "/apis/example.com/v1/namespaces/web/widgets?watch=1", own())
    assert isinstance(one, Watch)
    assert one.namespaces == ("web",)


@pytest.mark.parametrize(
    ("namespace", "seen"), [("acme-web", True), ("acme-vcproxy", False), ("globex-web", False), ("kube-system", False)]
)
def test_what_stands_in_a_namespace_of_others_is_not_seen(namespace: str, seen: bool) -> None:
    assert apis.stands(ACME, namespace) is seen


@pytest.mark.parametrize("path", ["/apis/example.com/v9/widgets", "/apis/acme-example.com/v1/widgets"])
def test_other_versions_and_host_groups_are_not_there(path: str) -> None:
    found = decided("GET", path, own())
    assert isinstance(found, Deny)
    assert found.status.code == 404


def test_nobody_else_has_the_kind() -> None:
    assert isinstance(decided("GET", "/apis/example.com/v1/widgets", Scope(TenantId("globex"))), Deny)


def test_definitions_are_read_by_the_proxy_and_written_as_the_tenant() -> None:
    one = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
    read, written = decided("GET", one, own()), decided("DELETE", one, own())
    assert isinstance(read, Forward)
    assert isinstance(written, Forward)
    assert read.path == written.path == one.replace(".example", ".acme-example")
    assert (read.identity, written.identity) == (Identity.READER, Identity.TENANT)
    listed = decided("GET", one.rpartition("/")[0], own())
    assert isinstance(listed, Forward)
    assert dict(listed.query)["labelSelector"] == "vcproxy.io/tenant=acme,!vcproxy.io/hidden"


WIDGET = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {
        "name": "w",
        "managedFields": [{"manager": "m", "apiVersion": "example.com/v1", "fieldsV1": {"f:spec": {}}}],
        "ownerReferences": [{"apiVersion": "example.com/v1", "kind": "Widget", "name": "v", "uid": "1"}],
    },
}


def test_every_apiversion_of_an_object_names_the_group_of_its_side() -> None:
    by = own()
    stored = objects.to_host(copy.deepcopy(WIDGET), "example.com", "Widget", by)
    assert stored["apiVersion"] == "acme-example.com/v1"
    assert stored["metadata"]["managedFields"][0]["apiVersion"] == "acme-example.com/v1"
    assert stored["metadata"]["ownerReferences"][0]["apiVersion"] == "acme-example.com/v1"
    row = by.apis.find("example.com", "widgets")
    assert row is not None
    assert objects.to_view(stored, row, by) == WIDGET


def test_a_refusal_of_the_host_names_the_tenants_group() -> None:
    by = own()
    words = 'widgets.acme-example.com "w" not found'
    refusal = {"kind": "Status", "message": words, "details": {"group": "acme-example.com"}}
    found = objects.status_to_view(refusal, by)
    assert (found["message"], found["details"]["group"]) == ('widgets.example.com "w" not found', "example.com")


def row() -> Kind:
    return TABLE["apiextensions.k8s.io", "customresourcedefinitions"]


def checked(spec: dict[str, Any]) -> None:
    request = asked("POST", b"/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    document = {"kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"}, "spec": spec}
    guard.check(document, request, row(), (row().group, row().kind), ACME)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"group": "apps"}, "one of this cluster's own"),
        ({"group": "rbac.authorization.k8s.io"}, "one of this cluster's own"),
        ({"group": "example.com", "conversion": {"strategy": "Webhook"}}, "conversion webhooks"),
    ],
)
def test_what_a_tenant_may_not_define_is_refused_with_the_reason(spec: dict[str, Any], words: str) -> None:
    checked({"group": "example.com"})
    with pytest.raises(ApiError) as caught:
        checked(spec)
    assert caught.value.status.code == 403
    assert words in caught.value.status.message


def test_definitions_are_counted_and_one_that_is_there_may_change() -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    apis = own().apis
    guard.check_count(asked("POST", path.encode()), apis, 2)
    guard.check_count(asked("PATCH", f"{path}/widgets.example.com".encode()), apis, 1)
    guard.check_count(asked("GET", path.encode()), apis, 1)
    guard.check_count(asked("POST", b"/api/v1/namespaces/web/pods"), NONE, 0)
    for method, target in (("POST", path), ("PATCH", f"{path}/gadgets.example.com")):
        with pytest.raises(ApiError) as caught:
            guard.check_count(asked(method, target.encode()), apis, 1)
        assert caught.value.status.code == 403
        assert "may define 1 kinds and has 1" in caught.value.status.message


def test_openapi_of_a_group_of_the_tenant_names_the_host_nowhere() -> None:
    document = {
        "paths": {
            "/apis/acme-example.com/v1/widgets": {
                "get": {
                    "tags": ["acmeExampleCom_v1"],
                    "operationId": "listAcmeExampleComV1Widget",
                    "x-kubernetes-group-version-kind": {"group": "acme-example.com", "kind": "Widget", "version": "v1"},
                    "schema": {"$ref": "#/components/schemas/com.acme-example.v1.WidgetList"},
                }
            }
        },
        "components": {"schemas": {"com.acme-example.v1.WidgetList": {"description": "x"}}},
    }
    found = openapi_own.renamed(document, ACME, "example.com", "v1")
    assert "acme" not in str(found).lower()
    made = found["paths"]["/apis/example.com/v1/widgets"]["get"]
    assert (made["operationId"], made["tags"]) == ("listExampleComV1Widget", ["exampleCom_v1"])
    assert made["schema"] == {"$ref": "#/components/schemas/com.example.v1.WidgetList"}
    assert list(found["components"]["schemas"]) == ["com.example.v1.WidgetList"]
