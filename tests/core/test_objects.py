"""Properties of the rules, over objects that are generated from the rules themselves."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.objects_strategies import scope, views
from vcproxy.core import kinds, objects, rules
from vcproxy.core.fields import CLUSTER_EVENT, Scope
from vcproxy.core.names import TENANT_LABEL
from vcproxy.core.objects import Direction, Node, rewrite, tree_of
from vcproxy.core.status import ApiError

KINDS = sorted({*rules.KINDS, ("policy", "PodDisruptionBudget")})


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
    if any(lens.name != "CLUSTER_SCOPED_EVENT" for lens in node.lenses):
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
    return [host] if isinstance(host, str) and host != view and host != "HOST-CA" else []


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
