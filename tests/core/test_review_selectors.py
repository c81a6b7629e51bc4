"""Selectors of access reviews; the words were recorded from an API server (e2e/test_reviews.py)."""

from typing import Any

import pytest

from vcproxy.core.review_selectors import (
    field_requirement,
    label_requirement,
    selector_errors,
    unread_fields,
    unread_labels,
)

BOTH = {"rawSelector": "a", "requirements": [{"key": "a", "operator": "Exists"}]}


def test_a_selector_is_written_in_one_of_two_ways() -> None:
    (one,) = selector_errors(BOTH, "at", label_requirement)
    assert one == (
        "at.rawSelector",
        "FieldValueInvalid",
        'Invalid value: "a": may not specified at the same time as requirements',
    )
    (one,) = selector_errors({}, "at", label_requirement)
    said = "Required value: when at is specified, requirements or rawSelector is required"
    assert one == ("at.requirements", "FieldValueRequired", said)


@pytest.mark.parametrize(
    ("item", "field", "words"),
    [
        (
            {"key": "a", "operator": "In"},
            "x.values",
            "Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            {"key": "a", "operator": "Exists", "values": ["b"]},
            "x.values",
            "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        ({"key": "a b"}, "x.key", 'Invalid value: "a b": name part must consist of'),
        ({"key": "a" * 64}, "x.key", "name part must be no more than 63 bytes"),
        ({"key": "A_/b"}, "x.key", "prefix part must be a DNS subdomain"),
        ({"key": "/b"}, "x.key", "prefix part must be non-empty"),
        ({"key": "a/b/c"}, "x.key", "a valid label key must consist of"),
        (
            {"key": "a", "operator": "In", "values": ["", "b c"]},
            "x.values[1]",
            'Invalid value: "b c": a valid label must be',
        ),
        ({"key": "a", "operator": "In", "values": ["b" * 64]}, "x.values[0]", "must be no more than 63 bytes"),
    ],
)
def test_what_is_wrong_with_a_requirement_of_labels(item: dict[str, Any], field: str, words: str) -> None:
    (found,) = label_requirement(item, "x")
    assert found.field == field
    assert words in found.message


def test_a_good_requirement_and_one_of_a_newer_client_are_left_alone() -> None:
    assert not list(label_requirement({"key": "x.org/a", "operator": "In", "values": ["", "b_C.d"]}, "x"))
    assert not list(label_requirement({"key": "a", "operator": "Newer"}, "x"))
    assert not list(field_requirement({"key": "a b", "operator": "Newer"}, "x"))


def test_a_requirement_of_fields_needs_a_key() -> None:
    assert [one.message for one in field_requirement({"operator": "Exists"}, "x")] == [
        "Required value: must be specified"
    ]


@pytest.mark.parametrize(
    ("selector", "fields", "labels"),
    [
        ({}, None, None),
        ({"rawSelector": "a=b"}, None, None),
        ({"rawSelector": "a=b=c"}, False, False),
        ({"rawSelector": "a in (b)"}, False, None),
        ({"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}, None, None),
        ({"requirements": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, False, None),
        (
            {"requirements": [{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "In", "values": ["b"]}]},
            True,
            None,
        ),
        ({"requirements": [{"key": "a", "operator": "Newer"}]}, False, False),
    ],
)
def test_what_cannot_be_read_is_told_in_whole_or_in_part(
    selector: Any, fields: bool | None, labels: bool | None
) -> None:
    assert (unread_fields(selector), unread_labels(selector)) == (fields, labels)
