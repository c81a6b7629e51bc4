"""Tables as kubectl expects them."""

import pytest

from vcproxy.core.printers import Form, shown

BINDING = {
    "kind": "RoleBinding",
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "metadata": {"name": "b", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
    "subjects": [
        {"kind": "User", "name": "ann"},
        {"kind": "User", "name": "bob"},
        {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
    ],
}
NOW = 1767225600.0 + 61


def test_a_binding_shows_its_role_and_who_is_bound() -> None:
    table = shown(BINDING, "RoleBinding", Form("Table"), NOW)
    assert table["rows"][0]["cells"] == ["b", "Role/r", "61s", "ann, bob", "", "n/s"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert [one["priority"] for one in table["columnDefinitions"]] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("included", "kind"), [("Object", "RoleBinding"), ("Metadata", "PartialObjectMetadata")])
def test_rows_hold_what_was_asked_for(included: str, kind: str) -> None:
    row = shown(BINDING, "RoleBinding", Form("Table", "v1", included), NOW)["rows"][0]
    assert row["object"]["kind"] == kind


def test_rows_hold_nothing_where_nothing_was_asked_for() -> None:
    assert "object" not in shown(BINDING, "RoleBinding", Form("Table", "v1", "None"), NOW)["rows"][0]


def test_a_list_keeps_its_version_in_every_form() -> None:
    listed = {"kind": "RoleBindingList", "metadata": {"resourceVersion": "9"}, "items": [BINDING]}
    for name in ("", "Table", "PartialObjectMetadataList"):
        assert shown(listed, "RoleBinding", Form(name), NOW)["metadata"] == {"resourceVersion": "9"}


def test_metadata_alone_name_the_object_and_no_more() -> None:
    found = shown(BINDING, "RoleBinding", Form("PartialObjectMetadata"), NOW)
    assert found["metadata"] == BINDING["metadata"]
    assert "subjects" not in found


def test_a_later_event_of_a_watch_does_not_repeat_its_columns() -> None:
    assert shown(BINDING, "RoleBinding", Form("Table"), NOW, columns=False)["columnDefinitions"] is None


def test_an_object_without_a_time_has_an_unknown_age() -> None:
    odd = {**BINDING, "metadata": {"name": "b"}}
    assert shown(odd, "RoleBinding", Form("Table"), NOW)["rows"][0]["cells"][2] == "<unknown>"
