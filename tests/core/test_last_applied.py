"""kubectl's annotation on its way: the host writes it in its own names, and compares it byte by byte."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.objects_strategies import scope, views
from vcproxy.core import gojson, kinds, objects, patches, rules, shadow
from vcproxy.core.objects import LAST_APPLIED, Direction, rewrite, tree_of
from vcproxy.core.patches import PatchType

KINDS = sorted({*rules.KINDS, ("example.com", "Widget")})
CLUSTER = {(row.group, row.kind) for row in kinds.TABLE.values() if not row.namespaced}
SPACES = ("web", "acme-web", "a")


def patch(text: str, space: str | None = "web", name: str = "api") -> dict[str, Any]:
    """What kubectl sends after its first server-side apply."""
    place = {"name": name} | ({"namespace": space} if space else {})
    return {"apiVersion": "v1", "kind": "Any", "metadata": {**place, "annotations": {LAST_APPLIED: text}}}


def sent(document: dict[str, Any], group: str, kind: str) -> Any:
    return patches.rewrite_patch(copy.deepcopy(document), PatchType.APPLY, group, kind, scope())


def shown(document: Any, group: str, kind: str) -> Any:
    return objects.object_down(tree_of(group, kind), copy.deepcopy(document), scope())


def text_of(document: Any) -> str:
    return str(document["metadata"]["annotations"][LAST_APPLIED])


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda value: str(value))
@given(data=st.data())
def test_what_the_host_wrote_is_sent_back_to_it_byte_by_byte(group: str, kind: str, data: st.DataObject) -> None:
    """What was applied is stored in the host's names, the host writes the text of it, kubectl sends what it sees."""
    applied = data.draw(views(tree_of(group, kind)))
    metadata = applied.get("metadata") if isinstance(applied.get("metadata"), dict) else {}
    space = None if (group, kind) in CLUSTER else data.draw(st.sampled_from(SPACES))
    name = data.draw(st.sampled_from(SPACES))
    place = {"name": name} | ({"namespace": space} if space else {})
    applied = {**applied, "metadata": {**{k: v for k, v in metadata.items() if k != "namespace"}, **place}}
    host = rewrite(tree_of(group, kind), copy.deepcopy(applied), Direction.UP, scope())
    written = gojson.encode(host) + "\n"
    stored = {"metadata": {**host["metadata"], "annotations": {LAST_APPLIED: written}}}
    seen = text_of(shown(stored, group, kind))
    again = text_of(sent(patch(seen, space, name), group, kind))
    view = gojson.encode(rewrite(tree_of(group, kind), copy.deepcopy(host), Direction.DOWN, scope())) + "\n"
    if gojson.encode(rewrite(tree_of(group, kind), json.loads(view), Direction.UP, scope())) + "\n" == written:
        assert again == written  # but for what a view does not hold at all
    back = {"metadata": {**stored["metadata"], "annotations": {LAST_APPLIED: again}}}
    assert text_of(shown(back, group, kind)) == seen


@given(st.text() | st.builds(json.dumps, st.recursive(st.none() | st.text() | st.floats(), st.lists, max_leaves=4)))
def test_a_text_that_is_no_object_stays_as_it_is(text: str) -> None:
    assert text_of(sent(patch(text), "", "ConfigMap")) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"metadata":{"name":"api","namespace":"other"}}\n',
        '{"metadata":{"name":"api"}}\n',
        '{"metadata":{"name":"other","namespace":"web"}}\n',
        '{"metadata":{"namespace":"web","name":"api"}}\n',
        '{"metadata": {"name":"api","namespace":"web"}}\n',
        '{"metadata":{"name":"api<","namespace":"web"}}\n',
        '{"metadata":{"labels":{"vcproxy.io/tenant":"x"},"name":"api","namespace":"web"}}\n',
        '{"metadata":"web"}',
        '{"metadata":{"name":"api","namespace":7}}',
    ],
    ids=range(9),
)
def test_a_text_that_would_not_come_back_stays_as_it_is(text: str) -> None:
    assert text_of(sent(patch(text), "", "ConfigMap")) == text


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_end_of_the_line_stays(end: str) -> None:
    text = '{"metadata":{"name":"api","namespace":"web"}}' + end
    assert text_of(sent(patch(text), "", "ConfigMap")) == '{"metadata":{"name":"api","namespace":"acme-web"}}' + end


def test_what_nobody_applied_is_not_shown_as_applied() -> None:
    """The class that the proxy adds to a claim of none."""
    view = '{"metadata":{"name":"api","namespace":"web"},"spec":{"accessModes":[]}}\n'
    host = rewrite(tree_of("", "PersistentVolumeClaim"), json.loads(view), Direction.UP, scope())
    written = gojson.encode(host) + "\n"
    assert "storageClassName" in written
    stored = {"metadata": {**host["metadata"], "annotations": {LAST_APPLIED: written}}}
    assert text_of(shown(stored, "", "PersistentVolumeClaim")) == view
    assert text_of(sent(patch(view), "", "PersistentVolumeClaim")) == written


def test_signs_are_shown_as_kubectl_writes_them() -> None:
    written = '{"data":{"a":"\\u003cb\\u003e"},"metadata":{"name":"api","namespace":"acme-web"}}\n'
    stored = {"metadata": {"name": "api", "namespace": "acme-web", "annotations": {LAST_APPLIED: written}}}
    assert text_of(shown(stored, "", "ConfigMap")) == written.replace("acme-web", "web")


ROLE = kinds.TABLE["rbac.authorization.k8s.io", "clusterroles"]
STORED = (
    '{"apiVersion":"shadow.vcproxy.io/v1","kind":"ClusterRole",'
    '"metadata":{"name":"a","resourceVersion":"7"},"rules":[]}\n'
)


def stored_role() -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "acme-vcproxy", "annotations": {LAST_APPLIED: STORED}}
    return {"apiVersion": "shadow.vcproxy.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": []}


def test_a_shadow_object_never_tells_what_it_is_on_the_host() -> None:
    view = shadow.to_view(stored_role(), ROLE, scope())
    expected = '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"a"},"rules":[]}\n'
    assert text_of(view) == expected


def test_what_was_shown_of_a_shadow_object_is_sent_as_it_is_stored() -> None:
    view = shadow.to_view(stored_role(), ROLE, scope())
    made = shadow.patch_up(patch(text_of(view), None, "a"), ROLE, scope())
    shadow.keep_applied(made, stored_role(), ROLE, scope())
    assert text_of(made) == STORED
    other = shadow.patch_up(patch("{}", None, "a"), ROLE, scope())
    shadow.keep_applied(other, stored_role(), ROLE, scope())
    assert text_of(other) == "{}"
