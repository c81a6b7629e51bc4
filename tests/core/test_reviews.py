"""Reviews of who somebody is: the form of the API server, and nothing about whoever is nobody here."""

from typing import Any

import pytest

from vcproxy.core import review_forms, reviews
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

ROBOT = Caller(TenantId("acme"), "uid", "system:serviceaccount:a:b", ("g",), "u", {"k": ("v",)})


def form(body: Any) -> review_forms.Form:
    return review_forms.read("TokenReview", reviews.VERSION, body)


USER = {"username": ROBOT.user, "groups": ["g", "system:authenticated"], "uid": "u", "extra": {"k": ["v"]}}


def test_a_self_review_tells_uid_and_extra() -> None:
    found = reviews.self_subject_review(ROBOT, "2026-01-01T00:00:00Z")
    assert found["status"] == {"userInfo": USER}


def test_a_good_token_is_told_with_its_user_and_audiences() -> None:
    body = {"spec": {"token": "t", "audiences": ["a", "b"]}, "metadata": {"creationTimestamp": None}}
    found = reviews.token_review(form(body), ROBOT, ("a",))
    assert found["metadata"] == {}
    assert found["spec"] == {"token": "t", "audiences": ["a", "b"]}
    assert found["status"] == {"authenticated": True, "user": USER, "audiences": ["a"]}


def test_a_bad_token_is_told_in_the_same_words_whatever_the_reason() -> None:
    found = reviews.token_review(form({"spec": {"token": "t"}}), None, ())
    assert found["status"] == {"user": {}, "error": reviews.INVALID}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"spec": {}},
        {"spec": "x"},
        {"spec": {"token": 7}},
        {"spec": {"token": "t", "audiences": "a"}},
        {"spec": {"token": "t"}, "kind": "SelfSubjectReview"},
        {"spec": {"token": "t"}, "apiVersion": "v1"},
    ],
)
def test_what_is_no_token_review_is_refused(body: Any) -> None:
    with pytest.raises(ApiError) as caught:
        reviews.token_asked(form(body))
    assert caught.value.status.code == 400
