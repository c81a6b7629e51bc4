"""Reviews are read as the API server's decoder reads them; the words were recorded from one (e2e/test_reviews.py)."""

from typing import Any

import pytest

from vcproxy.core import review_forms
from vcproxy.core.review_forms import Form
from vcproxy.core.status import ApiError

VERSION = "authorization.k8s.io/v1"
KIND = "SubjectAccessReview"


def read(spec: Any, **body: Any) -> Form:
    return review_forms.read(KIND, VERSION, {"spec": spec, **body})


def test_what_is_empty_is_left_out_but_attributes() -> None:
    spec: Any = {
        "user": "",
        "groups": [],
        "extra": {},
        "uid": None,
        "resourceAttributes": {"verb": "", "fieldSelector": {}},
    }
    assert read(spec, metadata=None).spec == {"resourceAttributes": {"fieldSelector": {}}}
    assert read(None) == Form({}, {}, ())


def test_what_no_review_has_is_left_out_and_told_of() -> None:
    requirement = {"key": "a", "operator": "In", "values": ["b"], "more": 1}
    spec = {"User": "x", "resourceAttributes": {"odd": 1, "labelSelector": {"requirements": [requirement]}}}
    found = read(spec, metadata={"name": "x", "odd": 1}, odd={"a": 1}, status={"allowed": True})
    assert found.metadata == {"name": "x"}
    assert found.spec["resourceAttributes"]["labelSelector"]["requirements"] == [
        {"key": "a", "operator": "In", "values": ["b"]}
    ]
    assert set(found.unknown) == {
        "odd",
        "metadata.odd",
        "spec.User",
        "spec.resourceAttributes.odd",
        "spec.resourceAttributes.labelSelector.requirements[0].more",
    }


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("x", "string into Go struct field SubjectAccessReview.spec of type v1.SubjectAccessReviewSpec"),
        ({"user": 7}, "number into Go struct field SubjectAccessReviewSpec.spec.user of type string"),
        ({"user": True}, "bool into Go struct field SubjectAccessReviewSpec.spec.user of type string"),
        ({"groups": "a"}, "string into Go struct field SubjectAccessReviewSpec.spec.groups of type []string"),
        ({"groups": [1]}, "number into Go struct field SubjectAccessReviewSpec.spec.groups of type string"),
        ({"extra": {"a": "b"}}, "string into Go struct field SubjectAccessReviewSpec.spec.extra of type v1.ExtraValue"),
        (
            {"resourceAttributes": []},
            "array into Go struct field SubjectAccessReviewSpec.spec.resourceAttributes of type v1.ResourceAttributes",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_the_decoders_words(spec: Any, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(spec)
    said = f'{KIND} in version "v1" cannot be handled as a {KIND}: json: cannot unmarshal {words}'
    assert (caught.value.status.code, caught.value.status.message) == (400, said)


def test_unknown_fields_are_a_warning_or_a_refusal_or_nothing() -> None:
    form = Form({}, {}, ("a", 'spec.b"', "spec.c"))
    assert review_forms.warnings(KIND, VERSION, form, "Ignore") == ()
    assert review_forms.warnings(KIND, VERSION, form, None) == (
        ("Warning", '299 - "unknown field \\"a\\""'),
        ("Warning", '299 - "unknown field \\"spec.c\\""'),
    )
    with pytest.raises(ApiError, match='strict decoding error: unknown field "a", unknown field'):
        review_forms.warnings(KIND, VERSION, form, "Strict")
