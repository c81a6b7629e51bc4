"""Exported kinds: what the configuration may say of them, and how they come to a tenant."""

import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.core.objects_strategies import scope
from vcproxy.core import decision, exports, guard, kinds, objects, partial, plan, private, request
from vcproxy.core.exported import Exports
from vcproxy.core.kinds import Exposure
from vcproxy.core.plan import Deny, Forward, Identity, List, Watch
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError
from vcproxy.tenants import wall

GROUP = "gateway.networking.k8s.io"
EXAMPLE = Path(__file__).parents[2] / "config" / "gateway-api.yaml"


def gateway_api() -> Exports:
    return exports.read(yaml.safe_load(EXAMPLE.read_text())["exports"])


KINDS = gateway_api()
BY: Scope = msgspec.structs.replace(scope(), exports=KINDS)
ENTRY: dict[str, Any] = {"group": "example.org", "resource": "things", "kind": "Thing"}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "is a list"),
        (["x"], "entry 0: is an object"),
        ([{**ENTRY, "namespaced": True}], "entry 0: namespaced is unknown"),
        ([{**ENTRY, "group": "apps"}], "entry 0: group is a group such as"),
        ([{**ENTRY, "group": "rbac.authorization.k8s.io"}], "is built in"),
        ([{**ENTRY, "resource": "Things"}], "entry 0: resource"),
        ([{**ENTRY, "kind": "thing"}], "entry 0: kind"),
        ([{**ENTRY, "version": "1"}], "entry 0: version"),
        ([{**ENTRY, "subresources": ["proxy"]}], "subresources are scale and status"),
        ([{**ENTRY, "names": "x"}], "entry 0: names is a list"),
        ([{**ENTRY, "rules": {}}], "entry 0: rules is a list"),
        ([{**ENTRY, "rules": [{"path": "a..b", "lens": "NAMESPACE"}]}], "is no path"),
        ([{**ENTRY, "rules": [{"path": "a.b", "lens": "NAME"}]}], "the lens is one of"),
        ([{**ENTRY, "rules": [{"path": "a.b", "lens": "LENT", "of": "classes"}]}], "of is the resource"),
        ([ENTRY, ENTRY], "names a kind twice"),
    ],
)
def test_what_is_wrong_is_said_with_the_entry(found: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        exports.read(found)


def test_they_go_to_another_process_as_they_were_read() -> None:
    again = pickle.loads(pickle.dumps(KINDS))
    assert again.rows == KINDS.rows
    assert objects.to_host(copied(ROUTE), GROUP, "HTTPRoute", msgspec.structs.replace(BY, exports=again))["spec"][
        "parentRefs"
    ][0] == {"name": "front", "namespace": "acme-default"}


def test_nothing_is_exported_unless_it_is_named() -> None:
    assert exports.read(None).rows == {}
    assert isinstance(decided("GET", f"/apis/{GROUP}/v1/gateways", scope()), Deny)


def decided(method: str, url: str, by: Scope = BY) -> plan.Plan:
    return decision.decide(request.parse(method, url.encode()), by, versions=frozenset({(GROUP, "v1")}))


def test_a_namespaced_kind_is_one_like_any_other() -> None:
    one = decided("GET", f"/apis/{GROUP}/v1/namespaces/web/gateways/front")
    assert isinstance(one, Forward)
    assert (one.path, one.identity) == (f"/apis/{GROUP}/v1/namespaces/acme-web/gateways/front", Identity.TENANT)
    assert isinstance(decided("GET", f"/apis/{GROUP}/v1/gateways"), List)
    assert isinstance(decided("GET", f"/apis/{GROUP}/v1/gateways?watch=1"), Watch)
    assert isinstance(decided("GET", f"/apis/{GROUP}/v1/namespaces/web/others/x"), Deny)


def test_of_a_kind_of_cluster_scope_the_named_objects_are_seen_and_none_is_written() -> None:
    row = KINDS.rows[GROUP, "gatewayclasses"]
    assert row.exposure is Exposure.PRIVATE
    one = decided("GET", f"/apis/{GROUP}/v1/gatewayclasses/public")
    assert isinstance(one, Forward)
    assert (one.path, one.identity) == (f"/apis/{GROUP}/v1/gatewayclasses/public", Identity.READER)
    assert private.shown(row, BY, "public", {})
    assert not private.shown(row, BY, "internal", {})
    for method, name in (("POST", ""), ("DELETE", "/public"), ("PUT", "/public")):
        refused = decided(method, f"/apis/{GROUP}/v1/gatewayclasses{name}")
        assert isinstance(refused, Deny)
        assert refused.status.code == 405


ROUTE = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "site", "namespace": "web"},
    "spec": {
        "parentRefs": [{"name": "front", "namespace": "default"}, {"name": "own"}],
        "rules": [{"backendRefs": [{"name": "shop", "namespace": "db", "port": 80}]}],
    },
    "status": {"parents": [{"parentRef": {"name": "front", "namespace": "default"}, "conditions": []}]},
}


def copied(document: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document))


def test_references_are_rewritten_by_the_rules_of_the_configuration_and_come_back() -> None:
    host = objects.to_host(copied(ROUTE), GROUP, "HTTPRoute", BY)
    assert host["spec"]["parentRefs"][0]["namespace"] == "acme-default"
    assert host["spec"]["rules"][0]["backendRefs"][0]["namespace"] == "acme-db"
    assert host["apiVersion"] == ROUTE["apiVersion"]
    row = KINDS.rows[GROUP, "httproutes"]
    assert objects.to_view(copied(host), row, BY) == ROUTE
    assert msgspec.json.decode(partial.view_bytes(msgspec.json.encode(host), row, BY)) == ROUTE


def test_a_class_that_is_not_lent_is_nobodys() -> None:
    for name, stored in (("public", "public"), ("internal", "acme-internal")):
        view = {"metadata": {"name": "front"}, "spec": {"gatewayClassName": name}}
        host = objects.to_host(copied(view), GROUP, "Gateway", BY)
        assert host["spec"]["gatewayClassName"] == stored
        document = {**host, "apiVersion": f"{GROUP}/v1", "kind": "Gateway"}
        assert objects.to_view(document, KINDS.rows[GROUP, "gateways"], BY)["spec"] == view["spec"]


def test_no_tenant_defines_a_kind_in_an_exported_group() -> None:
    row = kinds.TABLE["apiextensions.k8s.io", "customresourcedefinitions"]
    asked = request.parse("POST", b"/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    body = {"metadata": {"name": f"gateways.{GROUP}"}, "spec": {"group": GROUP}}
    guard.check(copied(body), asked, row, (row.group, row.kind), BY.tenant)
    with pytest.raises(ApiError, match="one of this cluster's own"):
        guard.check(body, asked, row, (row.group, row.kind), BY.tenant, KINDS.groups)


def test_the_second_wall_has_them_too() -> None:
    rows = KINDS.served()
    rights = {(rule["apiGroups"][0], rule["resources"][0]) for rule in wall.tenant_rules(rows) if "apiGroups" in rule}
    assert (GROUP, "gateways") in rights
    assert (GROUP, "gatewayclasses") not in rights
    assert f"'{GROUP}'" in wall.policy_variables(rows)["groups"]
    assert all(rule["verbs"] for rule in wall.cluster_rules(rows))
    readable = {(rule["apiGroups"][0], rule["resources"][0]) for rule in wall.reader_rules(rows)}
    assert {(GROUP, "gateways"), (GROUP, "gatewayclasses")} <= readable
