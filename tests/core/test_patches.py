"""Patches: rewritten only where patch-then-up equals up-then-patch."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.objects_strategies import extras, scope, views
from vcproxy.core import objects, patches
from vcproxy.core.objects import Direction, rewrite, tree_of
from vcproxy.core.patches import PatchType
from vcproxy.core.status import ApiError

KINDS = [("", "Namespace"), ("", "Pod"), ("", "Event"), ("apps", "Deployment"), ("networking.k8s.io", "NetworkPolicy")]
KINDS += [
    ("", "ResourceQuota"),
    ("", "PersistentVolumeClaim"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("batch", "CronJob"),
]


def up(document: Any, group: str, kind: str) -> Any:
    return objects.to_host(copy.deepcopy(document), group, kind, scope())


def seen(host: Any, group: str, kind: str) -> Any:
    return pruned(rewrite(tree_of(group, kind), copy.deepcopy(host), Direction.DOWN, scope()))


def pruned(value: Any) -> Any:
    if isinstance(value, dict):
        made = {key: pruned(inner) for key, inner in value.items()}
        return {key: inner for key, inner in made.items() if inner not in ({}, [], None)}
    return [pruned(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda value: str(value))
@given(data=st.data())
def test_a_merge_patch_that_is_rewritten_does_on_the_host_what_it_does_in_the_view(
    group: str, kind: str, data: st.DataObject
) -> None:
    node = tree_of(group, kind)
    view, patch = data.draw(views(node)), data.draw(st.one_of(views(node), extras))
    sent = patches.rewrite_patch(copy.deepcopy(patch), PatchType.MERGE, group, kind, scope())
    if sent is None:
        return
    on_host = patches.merge(up(view, group, kind), sent)
    assert seen(on_host, group, kind) == pruned(patches.merge(seen(up(view, group, kind), group, kind), patch))


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda value: str(value))
@given(data=st.data())
def test_a_json_patch_that_is_rewritten_does_on_the_host_what_it_does_in_the_view(
    group: str, kind: str, data: st.DataObject
) -> None:
    view = data.draw(views(tree_of(group, kind)))
    if not isinstance(view, dict) or not view:
        return
    key = data.draw(st.sampled_from(sorted(view)))
    patch = [{"op": data.draw(st.sampled_from(["replace", "remove", "test"])), "path": f"/{key}", "value": view[key]}]
    sent = patches.rewrite_patch(copy.deepcopy(patch), PatchType.JSON, group, kind, scope())
    if sent is None:
        return
    on_host = patches.apply(up(view, group, kind), sent, PatchType.JSON)
    assert seen(on_host, group, kind) == pruned(patches.apply(view, patch, PatchType.JSON))


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (PatchType.MERGE, {"metadata": {"labels": None}}),
        (PatchType.MERGE, {"metadata": None}),
        (PatchType.STRATEGIC, {"metadata": {"labels": {"$patch": "replace"}}}),
        (PatchType.STRATEGIC, {"metadata": {"$retainKeys": ["name"]}}),
        (PatchType.STRATEGIC, {"$patch": "replace", "metadata": {"name": "web"}}),
        (PatchType.JSON, [{"op": "remove", "path": "/metadata/labels"}]),
        (PatchType.JSON, [{"op": "replace", "path": "/metadata", "value": {}}]),
        (PatchType.JSON, [{"op": "replace", "path": "", "value": {}}]),
        (PatchType.JSON, [{"op": "test", "path": "/metadata/labels", "value": {}}]),
        (PatchType.JSON, [{"op": "copy", "from": "/metadata/labels", "path": "/x"}]),
        (PatchType.JSON, [{"op": "move", "from": "/x", "path": "/metadata/name"}]),
    ],
)
def test_what_reaches_over_hidden_labels_is_not_sent_as_it_is(kind: PatchType, patch: Any) -> None:
    assert patches.rewrite_patch(patch, kind, "", "Namespace", scope()) is None


def test_nothing_reaches_into_a_selector() -> None:
    patch = [{"op": "replace", "path": "/spec/ingress/0/from/0/namespaceSelector/matchLabels", "value": {}}]
    assert patches.rewrite_patch(patch, PatchType.JSON, "networking.k8s.io", "NetworkPolicy", scope()) is None


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (PatchType.MERGE, {"metadata": {"labels": {"vcproxy.io/tenant": None}}}),
        (PatchType.JSON, [{"op": "remove", "path": "/metadata/labels/vcproxy.io~1tenant"}]),
        (PatchType.JSON, [{"op": "add", "path": "/metadata/annotations/vcproxy.io~1x", "value": "y"}]),
    ],
)
def test_reserved_keys_are_refused(kind: PatchType, patch: Any) -> None:
    with pytest.raises(ApiError) as refusal:
        patches.rewrite_patch(patch, kind, "", "Namespace", scope())
    assert refusal.value.status.code == 403


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({}, 400),
        ([1], 400),
        ([{"op": "add"}], 400),
        ([{"op": "add", "path": "x", "value": 1}], 400),
        ([{"op": "fly", "path": "/x"}], 400),
        ([{"op": "remove", "path": "/nope"}], 422),
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "add", "path": "/l/9", "value": 2}], 422),
        ([{"op": "add", "path": "/a", "value": 1}] * 10_001, 413),
    ],
)
def test_a_json_patch_that_cannot_be_is_refused_as_by_the_api_server(patch: Any, code: int) -> None:
    with pytest.raises(ApiError) as refusal:
        patches.apply({"a": 1, "l": []}, patch, PatchType.JSON)
    assert refusal.value.status.code == code


def test_copies_have_a_bound() -> None:
    document = {"a": ["x" * 1000]}
    patch = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    with pytest.raises(ApiError) as refusal:
        patches.apply(document, patch, PatchType.JSON)
    assert refusal.value.status.code == 413


def test_strategic_merge_of_what_vcproxy_holds() -> None:
    view = {
        "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x"]},
        "status": {"conditions": [{"type": "A", "v": 1}]},
    }
    patch = {
        "metadata": {"labels": {"a": None, "c": "3"}, "finalizers": ["y"]},
        "status": {"conditions": [{"type": "B"}, {"type": "A", "v": 2}]},
    }
    got = patches.apply(view, patch, PatchType.STRATEGIC)
    assert got["metadata"] == {"labels": {"b": "2", "c": "3"}, "finalizers": ["x", "y"]}
    assert got["status"]["conditions"] == [{"type": "A", "v": 2}, {"type": "B"}]


@pytest.mark.parametrize(
    "path", ["/spec/dnsPolicy", "/spec/containers/0/env/0/name", "/spec/volumes/0/projected/sources/0", "/spec"]
)
def test_a_test_of_what_a_pod_holds_otherwise_is_made_on_its_view(path: str) -> None:
    patch = [{"op": "test", "path": path, "value": "x"}]
    assert patches.rewrite_patch(patch, PatchType.JSON, "", "Pod", scope()) is None


def test_an_image_of_a_pod_is_set_by_the_patch_as_it_came() -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": "c"}], "containers": [{"name": "c", "image": "x"}]}}
    assert patches.rewrite_patch(copy.deepcopy(patch), PatchType.STRATEGIC, "", "Pod", scope()) == patch
