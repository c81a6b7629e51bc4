"""Access reviews answer as the API server does."""

from typing import Any

import pytest

from vcproxy.core import rbac_defaults, review_forms
from vcproxy.core.access_reviews import review
from vcproxy.core.rbac import User
from vcproxy.core.rbac_policy import Policy
from vcproxy.core.status import ApiError

ANN = User("ann", ("tenant:admin", "system:authenticated"))
BOB = User("bob", ("system:authenticated",))
POLICY = Policy(rbac_defaults.policy())
PODS = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "web"}}
VERSION = "authorization.k8s.io/v1"


def ask(kind: str, spec: Any, user: User = BOB, **body: Any) -> dict[str, Any]:
    form = review_forms.read(kind, VERSION, {"kind": kind, "apiVersion": VERSION, "spec": spec, **body})
    return review(kind, form, "web", user, POLICY)


def test_one_asks_about_oneself() -> None:
    assert ask("SelfSubjectAccessReview", PODS)["status"] == {"allowed": False}
    bound = 'ClusterRoleBinding "vcproxy:tenant-admin" of ClusterRole "tenant-admin" to Group "tenant:admin"'
    reason = f"RBAC: allowed by {bound}"
    assert ask("SelfSubjectAccessReview", PODS, ANN)["status"] == {"allowed": True, "reason": reason}


def test_the_answer_holds_what_was_asked() -> None:
    found = ask("SelfSubjectAccessReview", {**PODS, "unknown": 1})
    assert (found["kind"], found["apiVersion"], found["metadata"]) == ("SelfSubjectAccessReview", VERSION, {})
    assert found["spec"] == PODS


def test_another_has_the_groups_that_are_named_and_no_others() -> None:
    path = {"nonResourceAttributes": {"verb": "get", "path": "/api"}}
    assert ask("SubjectAccessReview", {"user": "x", **path})["status"] == {"allowed": False}
    named = {"user": "x", "groups": ["system:authenticated"], **path}
    assert ask("SubjectAccessReview", named)["status"]["allowed"] is True
    assert ask("SubjectAccessReview", {"groups": ["system:masters"], **PODS})["status"] == {"allowed": True}


def test_a_local_review_is_about_its_namespace() -> None:
    found = ask("LocalSubjectAccessReview", {"user": "x", **PODS})
    assert (found["metadata"], found["status"]) == ({"namespace": "web"}, {"allowed": False})


def test_rules_are_listed() -> None:
    found = ask("SelfSubjectRulesReview", {"namespace": "web"})["status"]
    assert found["incomplete"] is False
    assert {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]} in found[
        "resourceRules"
    ]
    assert all("nonResourceURLs" in rule for rule in found["nonResourceRules"])


def test_a_review_without_a_resource_is_allowed_by_a_rule_for_all_only() -> None:
    asked = {"resourceAttributes": {"verb": "get"}}
    assert ask("SelfSubjectAccessReview", asked)["status"] == {"allowed": False}
    assert ask("SelfSubjectAccessReview", asked, ANN)["status"]["allowed"] is True


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        (
            "SubjectAccessReview",
            {},
            "[spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified, "
            'spec.user: Invalid value: "": at least one',
        ),
        ("SelfSubjectAccessReview", {}, "exactly one of nonResourceAttributes or resourceAttributes"),
        ("SelfSubjectAccessReview", {**PODS, "nonResourceAttributes": {"path": "/"}}, "exactly one of"),
        ("SubjectAccessReview", PODS, "at least one of user or group"),
        ("LocalSubjectAccessReview", {"user": "x", "nonResourceAttributes": {"path": "/"}}, "disallowed on this kind"),
        ("LocalSubjectAccessReview", {"user": "x", "resourceAttributes": {"verb": "get"}}, "must match"),
    ],
)
def test_what_is_wrong_is_invalid(kind: str, spec: Any, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        ask(kind, spec)
    assert caught.value.status.code == 422
    assert message in caught.value.status.message


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("SelfSubjectAccessReview", {"spec": 1}),
        ("SelfSubjectAccessReview", {"kind": "Pod"}),
        ("SelfSubjectAccessReview", {"apiVersion": "v2"}),
        ("SelfSubjectAccessReview", {"spec": {"resourceAttributes": 1}}),
        ("SubjectAccessReview", {"spec": {"user": 1, **PODS}}),
        ("SubjectAccessReview", {"spec": {"groups": [1], **PODS}}),
        ("LocalSubjectAccessReview", {"metadata": {"namespace": "other"}, "spec": {"user": "x", **PODS}}),
        ("SelfSubjectRulesReview", {"spec": {}}),
    ],
)
def test_what_is_no_review_is_a_bad_request(kind: str, body: Any) -> None:
    with pytest.raises(ApiError) as caught:
        review(kind, review_forms.read(kind, VERSION, body), "web", BOB, POLICY)
    assert caught.value.status.code == 400


def test_attributes_that_are_there_but_empty_are_asked_about() -> None:
    assert ask("SelfSubjectAccessReview", {"resourceAttributes": {}})["spec"] == {"resourceAttributes": {}}
    assert ask("SelfSubjectAccessReview", {"nonResourceAttributes": {}})["status"] == {"allowed": False}


def test_a_review_has_no_metadata_but_the_namespace_of_a_local_one() -> None:
    for kind, spec in (("SelfSubjectAccessReview", PODS), ("LocalSubjectAccessReview", {"user": "x", **PODS})):
        with pytest.raises(ApiError, match=r'metadata: Invalid value: \{"name":"x"\}: must be empty'):
            ask(kind, spec, metadata={"name": "x"})
    assert ask("LocalSubjectAccessReview", {"user": "x", **PODS}, metadata={"namespace": "web"})


def test_what_is_not_understood_of_selectors_is_told() -> None:
    labels = {"requirements": [{"key": "a", "operator": "Newer"}, {"key": "a", "operator": "Exists"}]}
    about = {**PODS["resourceAttributes"], "fieldSelector": {"rawSelector": "a=b=c"}, "labelSelector": labels}
    assert ask("SelfSubjectAccessReview", {"resourceAttributes": about})["status"] == {
        "allowed": False,
        "evaluationError": "spec.resourceAttributes.fieldSelector ignored due to parse error; "
        "spec.resourceAttributes.labelSelector partially ignored due to parse error",
    }
