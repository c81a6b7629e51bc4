"""Properties of the rules, over objects that are generated from the rules themselves."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.objects_strategies import WHOLE, scope, views
from vcproxy.core import kinds, objects, partial, rules
from vcproxy.core.escape import escape
from vcproxy.core.fields_events import CLUSTER_EVENT
from vcproxy.core.fields_groups import DEFINITION
from vcproxy.core.kinds import TABLE
from vcproxy.core.names import TENANT_LABEL
from vcproxy.core.objects import Direction, Node, rewrite, tree_of
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError

KINDS = sorted({*rules.KINDS, ("policy", "PodDisruptionBudget"), ("example.com", "Widget")})


def documents(group: str, kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return views(tree_of(group, kind)).map(
        lambda made: {"metadata": {}, **made} if made.get("metadata") is None else made
    )


def up(document: Any, group: str, kind: str, by: Scope) -> Any:
    return objects.to_host(copy.deepcopy(document), group, kind, by)


def down(document: Any, group: str, kind: str, by: Scope) -> Any:
    return rewrite(tree_of(group, kind), copy.deepcopy(document), Direction.DOWN, by)


def pruned(value: Any) -> Any:
    """Without empty containers: an empty map and an absent one are the same to the API server."""
    if isinstance(value, dict):
        made = {key: pruned(inner) for key, inner in value.items()}
        return {key: inner for key, inner in made.items() if inner not in ({}, [], None)}
    return [pruned(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda value: str(value))
@given(data=st.data())
def test_down_undoes_up(group: str, kind: str, data: st.DataObject) -> None:
    document = data.draw(documents(group, kind))
    assert pruned(down(up(document, group, kind, scope()), group, kind, scope())) == pruned(document)


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda value: str(value))
@given(data=st.data())
def test_only_named_paths_change(group: str, kind: str, data: st.DataObject) -> None:
    document = data.draw(documents(group, kind))
    assert outside(tree_of(group, kind), up(document, group, kind, scope())) == outside(tree_of(group, kind), document)


def outside(node: Node, value: Any) -> Any:
    """What of a value no rule names."""
    if any(lens.name not in WHOLE for lens in node.lenses):
        return None
    if isinstance(value, dict):
        found = {k: outside(node.children[k], v) if k in node.children else v for k, v in value.items()}
        return {key: inner for key, inner in found.items() if inner not in (None, {}, [])}
    if isinstance(value, list) and "[]" in node.children:
        return [outside(node.children["[]"], inner) for inner in value]
    return value


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda value: str(value))
@given(data=st.data())
def test_two_tenants_never_share_a_host_name(group: str, kind: str, data: st.DataObject) -> None:
    document = data.draw(documents(group, kind))
    first, second = (up(document, group, kind, scope(tenant)) for tenant in ("ab", "abc"))
    for one, other in zip(rewritten(first, document), rewritten(second, document), strict=True):
        assert one != other


def rewritten(host: Any, view: Any) -> list[str]:
    """The texts of a host object that are others than in the view, in order."""
    if isinstance(host, dict) and isinstance(view, dict):
        keys = [key for key in host if key in view]
        return [text for key in keys for text in rewritten(host[key], view[key])]
    if isinstance(host, list) and isinstance(view, list):
        return [text for one, other in zip(host, view, strict=True) for text in rewritten(one, other)]
    same = ("HOST-CA", "shadow.vcproxy.io/v1", escape(str(view)))  # of one form for all tenants, in their namespaces
    kept = isinstance(host, str) and ".shadow.vcproxy.io/" in host
    return [host] if isinstance(host, str) and host != view and host not in same and not kept else []


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda value: str(value))
@given(data=st.data(), odd=st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists))
def test_an_odd_value_anywhere_never_fails_the_way_down(group: str, kind: str, data: st.DataObject, odd: Any) -> None:
    document = up(data.draw(documents(group, kind)), group, kind, scope())
    path = data.draw(st.sampled_from([path for path, _ in rules.rows(group, kind)]))
    damage(document, objects.parts(path), odd)
    down(document, group, kind, scope())


def damage(value: Any, path: tuple[str, ...], odd: Any) -> None:
    for part in path[:-1]:
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            break
    if isinstance(value, dict) and path:
        value[path[-1]] = odd


def test_a_reserved_label_is_refused_on_every_kind() -> None:
    for group, kind in KINDS:
        with pytest.raises(ApiError) as refusal:
            up({"metadata": {"labels": {"vcproxy.io/tenant": "x"}}}, group, kind, scope())
        assert refusal.value.status.code == 403


def test_a_namespace_gets_its_owner_and_loses_it_again() -> None:
    made = up({"metadata": {"name": "web"}}, "", "Namespace", scope())
    assert made["metadata"] == {"name": "acme-web", "labels": {TENANT_LABEL: "acme"}}
    assert down(made, "", "Namespace", scope()) == {"metadata": {"name": "web"}}


@pytest.mark.parametrize("label", ["pod-security.kubernetes.io/enforce", "resource.kubernetes.io/admin-access"])
def test_a_namespace_sets_no_label_that_the_host_trusts(label: str) -> None:
    with pytest.raises(ApiError):
        up({"metadata": {"name": "web", "labels": {label: "privileged"}}}, "", "Namespace", scope())


def test_an_event_about_a_namespace_stands_in_the_namespace_of_its_object_on_the_host() -> None:
    view = {"metadata": {"namespace": "default"}, "involvedObject": {"kind": "Namespace", "name": "web"}}
    host = up(view, "", "Event", scope())
    assert host["involvedObject"] == {"kind": "Namespace", "name": "acme-web", "namespace": "acme-default"}
    assert CLUSTER_EVENT in host["metadata"]["annotations"]
    assert down(host, "", "Event", scope()) == view


def test_managed_fields_come_back_clean() -> None:
    entries = [
        {
            "manager": "vcproxy-controller",
            "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:vcproxy.io/tenant": {}}}},
        },
        {"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:vcproxy.io/tenant": {}, "f:app": {}}}}},
    ]
    got = down({"metadata": {"managedFields": entries}}, "", "Namespace", scope())
    assert got["metadata"]["managedFields"] == [
        {"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}}}
    ]


def test_conditions_of_a_namespace_do_not_tell_of_what_goes_last() -> None:
    condition = {
        "type": "NamespaceContentRemaining",
        "status": "True",
        "reason": "SomeResourcesRemain",
        "message": "Some resources are remaining: pods. has 2 resource instances, "
        "rolebindings.rbac.authorization.k8s.io has 1 resource instances",
    }
    got = down({"status": {"conditions": [condition]}}, "", "Namespace", scope())["status"]["conditions"][0]
    assert got["message"] == "Some resources are remaining: pods. has 2 resource instances"
    condition["message"] = (
        "Some resources are remaining: rolebindings.rbac.authorization.k8s.io has 1 resource instances"
    )
    got = down({"status": {"conditions": [condition]}}, "", "Namespace", scope())["status"]["conditions"][0]
    assert (got["status"], got["reason"]) == ("False", "ContentRemoved")


@pytest.mark.parametrize(
    ("host", "view"),
    [
        ('namespaces "acme-web" not found', 'namespaces "web" not found'),
        ("acme-web.svc and acme-webx", "web.svc and acme-webx"),
        ("pod acme-webby in acme-db/x", "pod acme-webby in db/x"),
        ("xacme-web -acme-web acme-web-", "xacme-web -acme-web acme-web-"),
        ('User "vcproxy:tenant:acme" cannot get', 'User "ann" cannot get'),
        ("system:serviceaccount:acme-web:default", "system:serviceaccount:web:default"),
        ("in acme-vcproxy", "in unknown"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_free_text_is_mapped_token_by_token(host: str, view: str) -> None:
    document = {"kind": "Status", "apiVersion": "v1", "message": host}
    assert objects.to_view(document, kinds.TABLE["", "pods"], scope())["message"] == view


def test_a_class_that_was_met_is_mapped_in_free_text() -> None:
    by = scope()
    up({"spec": {"priorityClassName": "gold"}}, "", "Pod", by)
    document = {"kind": "Status", "apiVersion": "v1", "message": "no PriorityClass with name acme-gold was found"}
    assert (
        objects.to_view(document, kinds.TABLE["", "pods"], by)["message"] == "no PriorityClass with name gold was found"
    )


def test_a_list_is_rewritten_item_by_item_and_an_odd_item_passes() -> None:
    document = {"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"namespace": "acme-web"}}, 7, None]}
    got = objects.to_view(document, kinds.TABLE["", "pods"], scope())
    assert got["items"] == [{"metadata": {"namespace": "web"}}, 7, None]


def test_a_table_of_namespaces_shows_their_names_in_cells_and_objects() -> None:
    document = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "columnDefinitions": [{"name": "Name"}, {"name": "Status"}],
        "rows": [
            {
                "cells": ["acme-web", "Active"],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"name": "acme-web", "labels": {TENANT_LABEL: "acme"}},
                },
            }
        ],
    }
    got = objects.to_view(document, kinds.TABLE["", "namespaces"], scope())
    assert got["rows"][0]["cells"] == ["web", "Active"]
    assert got["rows"][0]["object"]["metadata"] == {"name": "web"}
    assert b"acme" not in msgspec.json.encode(got)


def test_what_the_host_wrote_as_last_applied_is_shown_in_the_tenants_names() -> None:
    inner = {"metadata": {"name": "api", "namespace": "acme-web"}, "spec": {"replicas": 1}}
    annotation = msgspec.json.encode(inner).decode() + "\n"
    host = {"metadata": {"namespace": "acme-web", "annotations": {objects.LAST_APPLIED: annotation}}}
    document = {"kind": "Deployment", "apiVersion": "apps/v1", **host}
    got = objects.to_view(copy.deepcopy(document), kinds.TABLE["apps", "deployments"], scope())
    shown = msgspec.json.decode(got["metadata"]["annotations"][objects.LAST_APPLIED])
    assert shown["metadata"] == {"name": "api", "namespace": "web"}


def test_what_the_tenant_wrote_as_last_applied_stays_as_it_is() -> None:
    annotation = '{"metadata":{"name":"api","namespace":"acme-web"}}'  # its namespace is acme-acme-web on the host
    host = {"metadata": {"namespace": "acme-acme-web", "annotations": {objects.LAST_APPLIED: annotation}}}
    document = {"kind": "Deployment", "apiVersion": "apps/v1", **host}
    got = objects.to_view(document, kinds.TABLE["apps", "deployments"], scope())
    assert got["metadata"]["annotations"][objects.LAST_APPLIED] == annotation


@pytest.mark.parametrize("group", ["example.com", "globex-example.com", "unheard.of"])
def test_a_group_that_is_not_built_in_is_the_tenants_own_wherever_it_is_named(group: str) -> None:
    known = scope()
    counts = {f"count/plans.{group}": "1", "count/jobs.batch": "1", "count/pods": 1}
    made: list[tuple[str, str, dict[str, Any]]] = [
        ("", "ResourceQuota", {"spec": {"hard": counts}}),
        ("autoscaling", "HorizontalPodAutoscaler", {"spec": {"scaleTargetRef": {"apiVersion": f"{group}/v1"}}}),
        ("", "ConfigMap", {"metadata": {"ownerReferences": [{"apiVersion": f"{group}/v1", "kind": "Plan"}]}}),
    ]
    for of, kind, document in made:
        host = up(document, of, kind, known)
        assert json.dumps(host) == json.dumps(document).replace(group, f"acme-{group}")
        assert down(host, of, kind, known) == document


def test_what_the_host_says_of_a_group_that_nobody_defined_is_in_the_tenants_words() -> None:
    target = {"apiVersion": "acme-unheard.of/v1", "kind": "Plan"}
    condition = {"message": 'no matches for kind "Plan" in group "acme-unheard.of"'}
    host = {"spec": {"scaleTargetRef": target}, "status": {"conditions": [condition]}}
    assert "acme" not in json.dumps(down(host, "autoscaling", "HorizontalPodAutoscaler", scope()))


def test_managed_fields_of_a_quota_hold_the_names_that_the_tenant_wrote() -> None:
    def entry(counted: str) -> dict[str, Any]:
        return {"f:spec": {"f:hard": {".": {}, f"f:count/plans.{counted}": {}, "f:count/pods": {}}}}

    def quota(counted: str) -> dict[str, Any]:
        return {"metadata": {"managedFields": [{"manager": "kubectl", "fieldsV1": entry(counted)}]}}

    assert down(quota("acme-example.com"), "", "ResourceQuota", scope()) == quota("example.com")
    assert up(quota("example.com"), "", "ResourceQuota", scope()) == quota("acme-example.com")


@pytest.mark.parametrize(
    ("name", "message"),
    [("plans.unheard.of", 'x "plans.acme-unheard.of" not found'), ("plans", 'x "acme-plans" not found')],
)
def test_a_refusal_about_a_definition_that_is_not_there_is_in_the_tenants_words(name: str, message: str) -> None:
    known = scope()
    host = DEFINITION.up(name, known)
    details = {"group": "apiextensions.k8s.io", "kind": "customresourcedefinitions", "name": host}
    view = objects.status_to_view({"kind": "Status", "message": message, "details": details}, known)
    assert view["message"] == f'x "{name}" not found'
    assert view["details"]["name"] == name


def test_columns_of_definitions_and_of_their_objects_show_no_host_names() -> None:
    texts = ["Custom resource definition column (in JSONPath format): .metadata.namespace", "of its author", ""]
    texts.append("Custom resource definition column (in JSONPath format): .spec.owner")
    columns = [{"name": "Name", "format": "name"}, *({"name": "A", "description": text} for text in texts)]
    cells = ["acme-web", "acme-web", "acme-example.com/v1", '{"namespace":"acme-db"}', "acme-web"]
    table = {"kind": "Table", "columnDefinitions": columns, "rows": [{"cells": list(cells)}]}
    row = scope().apis.rows["example.com", "widgets"]
    seen = objects.to_view(table, row, scope())["rows"][0]["cells"]
    assert seen == ["acme-web", "web", "example.com/v1", '{"namespace":"db"}', "acme-web"]
    table["rows"] = [{"cells": cells}]
    quick = msgspec.json.decode(partial.view_bytes(msgspec.json.encode(table), row, scope()))
    assert quick["rows"][0]["cells"] == seen
    columns = [{"name": "Name", "format": "name"}, {"name": "Group", "description": "of the kind"}]
    table = {"kind": "Table", "columnDefinitions": columns, "rows": [{"cells": ["plans.acme-x.io", "acme-x.io"]}]}
    row = TABLE["apiextensions.k8s.io", "customresourcedefinitions"]
    assert objects.to_view(table, row, scope())["rows"][0]["cells"] == ["plans.x.io", "x.io"]


@pytest.mark.parametrize(
    "spec", [{"conversion": {"strategy": "Webhook"}}, {"group": "a.io", "conversion": {"strategy": 1}}]
)
def test_no_definition_converts_by_a_webhook_however_it_is_written(spec: Any) -> None:
    for full in (True, False):
        known = msgspec.structs.replace(scope(), full=full)
        with pytest.raises(ApiError, match="conversion webhooks"):
            up({"spec": spec}, "apiextensions.k8s.io", "CustomResourceDefinition", known)
