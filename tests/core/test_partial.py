"""Partial decoding gives what decoding whole gives: one property, over all kinds, forms and odd values."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.objects_strategies import labels, scope, views
from tests.core.test_objects import KINDS, damage, documents
from vcproxy.core import kinds, objects, partial, rules, tables
from vcproxy.core.bodies import encode_json
from vcproxy.core.fields_names import NAMESPACE
from vcproxy.core.fields_texts import ROOT_CA
from vcproxy.core.kinds import Exposure, Kind
from vcproxy.core.objects import Node, tree_of

odd_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("acme-x"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def row_of(group: str, kind: str) -> Kind:
    found = (row for row in kinds.TABLE.values() if (row.group, row.kind) == (group, kind))
    return next(found, Kind(group, "things", kind, True, Exposure.NAMESPACED, frozenset(), {}, frozenset(), True))


def named(document: Any, group: str, kind: str) -> Any:
    return {"kind": kind, "apiVersion": f"{group}/v1" if group else "v1", **document}


def same(document: Any, row: Kind) -> None:
    raw = encode_json(document)
    expected = objects.to_view(copy.deepcopy(document), row, scope())
    assert json.loads(partial.view_bytes(raw, row, scope())) == json.loads(encode_json(expected))


def stored(data: st.DataObject, group: str, kind: str) -> Any:
    """An object as the host has it, at times with an odd value somewhere on the path of a rule."""
    host = objects.to_host(copy.deepcopy(data.draw(documents(group, kind))), group, kind, scope())
    if data.draw(st.booleans()):
        path = data.draw(st.sampled_from([path for path, _ in rules.rows(group, kind)]))
        damage(host, objects.parts(path), data.draw(odd_values))
    return host


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=str)
@settings(max_examples=15)
@given(data=st.data())
def test_an_object_is_what_decoding_it_whole_makes_of_it(group: str, kind: str, data: st.DataObject) -> None:
    same(named(stored(data, group, kind), group, kind), row_of(group, kind))


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=str)
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_foreign_to_the_tenant_is_treated_alike(group: str, kind: str, data: st.DataObject) -> None:
    view = data.draw(documents(group, kind))
    other = objects.to_host(copy.deepcopy(view), group, kind, scope("globex"))
    same(named(other, group, kind), row_of(group, kind))
    same(named(view, group, kind), row_of(group, kind))


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=str)
@settings(max_examples=15)
@given(data=st.data())
def test_a_list_is_what_decoding_it_whole_makes_of_it(group: str, kind: str, data: st.DataObject) -> None:
    items = [stored(data, group, kind) for _ in range(data.draw(st.integers(0, 3)))]
    if data.draw(st.booleans()):
        items.append(data.draw(odd_values))
    head = {"metadata": {"resourceVersion": "7", "continue": "abc"}}
    same(named({**head, "items": items}, group, kind + "List"), row_of(group, kind))
    same(named({"items": items, **head}, group, kind + "List"), row_of(group, kind))


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=str)
@settings(max_examples=15)
@given(data=st.data())
def test_metadata_alone_is_rewritten_by_the_kind_that_was_asked_for(group: str, kind: str, data: st.DataObject) -> None:
    metadata = {"metadata": stored(data, group, kind).get("metadata")}
    whole = named(metadata, "meta.k8s.io", "PartialObjectMetadata")
    same(whole, row_of(group, kind))
    same(named({"metadata": {}, "items": [whole]}, "meta.k8s.io", "PartialObjectMetadataList"), row_of(group, kind))


@pytest.mark.parametrize(("group", "kind"), sorted({*tables.CELLS, ("", "Pod")}), ids=str)
@settings(max_examples=15)
@given(data=st.data())
def test_a_table_is_what_decoding_it_whole_makes_of_it(group: str, kind: str, data: st.DataObject) -> None:
    names = ["Age", *tables.CELLS.get((group, kind), {})]
    cell = st.one_of(labels.map("acme-{}".format), labels, st.just("namespace/acme-web"), st.integers(), st.none())
    rows = [
        {
            "cells": data.draw(st.lists(cell, min_size=len(names), max_size=len(names))),
            "object": named(
                {"metadata": stored(data, group, kind).get("metadata")}, "meta.k8s.io", "PartialObjectMetadata"
            ),
        }
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    columns = [{"name": name, "type": "string"} for name in names]
    table = {"metadata": {}, "columnDefinitions": columns, "rows": rows}
    same(named(table, "meta.k8s.io", "Table"), row_of(group, kind))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": 7, "apiVersion": None},
        {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": None},
        {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": "x"},
        {"kind": "PodList", "apiVersion": "v1", "items": [None, 3, "x", [], {"metadata": None}]},
        {"kind": "Pod", "apiVersion": "v1", "metadata": None, "spec": [1], "status": "acme-web"},
        {"kind": "Pod", "apiVersion": "v1", "metadata": {"namespace": "", "labels": {}, "managedFields": []}},
        {"kind": "Status", "apiVersion": "v1", "message": 'pods "acme-web" not found', "details": {"name": "x"}},
        {"kind": "Status", "apiVersion": "v1", "items": [{"metadata": {"namespace": "acme-web"}}]},
        {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": None},
        {"kind": "Pod", "apiVersion": "v1", "metadata": {"managedFields": [{"fieldsV1": {}}, None, 3]}},
    ],
    ids=str,
)
def test_odd_answers_are_treated_alike(document: Any) -> None:
    same(document, kinds.TABLE["", "pods"])


def test_what_no_rule_names_keeps_its_bytes() -> None:
    raw = (
        b'{"kind":"ConfigMap","apiVersion":"v1","x":1.0,"metadata":{"z":1E2,"namespace":"acme-web","a":"\\u003c"},'
        b'"data":{"n":"acme-web"},"y":123456789012345678901234567890}'
    )
    got = partial.view_bytes(raw, kinds.TABLE["", "configmaps"], scope())
    assert got == raw.replace(b'"namespace":"acme-web"', b'"namespace":"web"')


def test_a_long_number_beside_a_changed_value_stays() -> None:
    raw = b'{"kind":"Event","apiVersion":"v1","count":123456789012345678901234567890,"message":"in acme-web"}'
    got = partial.view_bytes(raw, kinds.TABLE["", "events"], scope())
    assert got == raw.replace(b"acme-web", b"web")


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b"{", b'{"a":}', b"null"])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        partial.read(raw)


def test_what_the_host_wrote_as_last_applied_is_shown_in_the_tenants_names() -> None:
    inner = {"metadata": {"name": "api", "namespace": "acme-web"}, "spec": {"replicas": 1}}
    annotations = {"a": "b", objects.LAST_APPLIED: json.dumps(inner) + "\n"}
    document = {"metadata": {"namespace": "acme-web", "annotations": annotations}}
    raw = encode_json(named(document, "apps", "Deployment"))
    assert b"acme" not in partial.view_bytes(raw, kinds.TABLE["apps", "deployments"], scope())
    same(named(document, "apps", "Deployment"), kinds.TABLE["apps", "deployments"])


def test_labels_are_read_of_objects_and_of_rows() -> None:
    thing = {"metadata": {"labels": {"a": "b"}}}
    answer = partial.read(encode_json({"kind": "PodList", "items": [thing, {"object": thing}, {"metadata": None}, 3]}))
    assert [partial.labels(entry) for entry in answer.entries or ()] == [{"a": "b"}, {"a": "b"}, {}, {}]


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=str)
@settings(max_examples=15)
@given(data=st.data())
def test_a_lens_keeps_its_promise_to_change_nothing_without_the_texts_that_wake_it(
    group: str, kind: str, data: st.DataObject
) -> None:
    check(tree_of(group, kind), data)


def check(node: Node, data: st.DataObject) -> None:
    """Values as a tenant of another name stored them hold the id of `acme` only by chance."""
    for lens in node.lenses:
        if lens.wakes is not None:
            by = scope("globex")
            view = data.draw(st.one_of(views(node), odd_values))
            text = encode_json(view).decode()
            if not any((wake or "globex") in text for wake in lens.wakes):
                assert lens.down(copy.deepcopy(view), by) == view, lens.name
    for child in node.children.values():
        check(child, data)


def test_every_lens_that_promises_nothing_is_known() -> None:
    unsure = {lens.name for rows in rules.KINDS.values() for _, lens in rows if lens.wakes is None}
    assert unsure == {NAMESPACE.name, ROOT_CA.name}
