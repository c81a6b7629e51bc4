"""Access reviews: what a user may do, answered from the same policy that is enforced.

https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/ ; validation is that of
k8s.io/kubernetes/pkg/apis/authorization/validation, attributes are those of pkg/registry/authorization/util.
"""

from collections.abc import Iterator
from typing import Any, Final

from vcproxy.core import status
from vcproxy.core.rbac import Attributes, Rule, User
from vcproxy.core.rbac_policy import Policy
from vcproxy.core.review_forms import Form
from vcproxy.core.review_selectors import (
    Problem,
    field_requirement,
    invalid,
    label_requirement,
    selector_errors,
    unread_fields,
    unread_labels,
)
from vcproxy.core.status import ApiError, Status

GROUP: Final = "authorization.k8s.io"
VERSION: Final = f"{GROUP}/v1"
Object = dict[str, Any]
NO_RESOURCE: Final = ("verb", "group", "resource", "subresource", "namespace", "name")
_RESOURCE: Final = ("verb", "group", "resource", "subresource", "namespace", "name")
_ONE: Final = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def review(kind: str, form: Form, namespace: str, user: User, policy: Policy) -> Object:
    """The answer to a review by `user`. `namespace` is that of the path. Raises ApiError 400 or 422."""
    if kind == "SelfSubjectRulesReview":
        return {"kind": kind, "apiVersion": VERSION, "metadata": {}, "spec": {}, "status": _rules(form, user, policy)}
    local = kind == "LocalSubjectAccessReview"
    if local and form.metadata.get("namespace", namespace) != namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    _refuse([*_spec_errors(kind, form.spec), *_errors(form, namespace if local else None)])
    subject = user if kind == "SelfSubjectAccessReview" else _subject(form.spec)
    found = _status(policy, subject, _attributes(form.spec)) | _unread(form.spec)
    metadata = {"namespace": namespace} if local else {}
    return {"kind": kind, "apiVersion": VERSION, "metadata": metadata, "spec": form.spec, "status": found}


def _spec_errors(kind: str, spec: Object) -> Iterator[Problem]:
    path = spec.get("nonResourceAttributes")
    if ("resourceAttributes" in spec) is (path is not None):
        yield invalid("spec", _path_value(path), _ONE)
    if kind != "SelfSubjectAccessReview" and not (spec.get("user") or spec.get("groups")):
        yield invalid("spec.user", "", "at least one of user or group must be specified")
    about = spec.get("resourceAttributes") or {}
    for name, requirement in (("fieldSelector", field_requirement), ("labelSelector", label_requirement)):
        if name in about:
            yield from selector_errors(about[name], f"spec.resourceAttributes.{name}", requirement)


def _errors(form: Form, namespace: str | None) -> Iterator[Problem]:
    """What is wrong beside the spec; `namespace` is that of a local review."""
    given = {key: one for key, one in form.metadata.items() if key not in ("namespace", "managedFields")}
    if given or (namespace is None and form.metadata.get("namespace")):
        shown = {key: one for key, one in form.metadata.items() if key != "managedFields"}
        yield invalid("metadata", shown, "must be empty" if namespace is None else "must be empty except for namespace")
    if namespace is None:
        return
    about = form.spec.get("resourceAttributes")
    if about is not None and about.get("namespace", "") != namespace:
        where = "spec.resourceAttributes.namespace"
        yield invalid(where, about.get("namespace", ""), "must match metadata.namespace")
    if "nonResourceAttributes" in form.spec:
        value = _path_value(form.spec["nonResourceAttributes"])
        yield invalid("spec.nonResourceAttributes", value, "disallowed on this kind of request")


def _path_value(path: Object | None) -> Object | None:
    """As Go prints it: the internal type has no names for JSON."""
    return None if path is None else {"Path": path.get("path", ""), "Verb": path.get("verb", "")}


def _refuse(problems: list[Problem]) -> None:
    """Raises ApiError 422 with all of them (apierrors.NewInvalid; a review has no name, and its kind is not told)."""
    if problems:
        causes = [{"reason": one.reason, "message": one.message, "field": one.field} for one in problems]
        texts = [f"{one.field}: {one.message}" for one in problems]
        said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        details = {"group": GROUP, "causes": causes}
        raise ApiError(Status(422, "Invalid", f'.{GROUP} "" is invalid: {said}', details))


def _unread(spec: Object) -> Object:
    """What is told of selectors that are not understood: they are left out, so more is asked for."""
    about = spec.get("resourceAttributes") or {}
    found = [
        f"spec.resourceAttributes.{name} {'partially ' if part else ''}ignored due to parse error"
        for name, read in (("fieldSelector", unread_fields), ("labelSelector", unread_labels))
        if (part := read(about.get(name) or {})) is not None
    ]
    return {"evaluationError": "; ".join(found)} if found else {}


def _subject(spec: Object) -> User:
    """Whom a review is about: only the groups that it names."""
    return User(spec.get("user", ""), tuple(spec.get("groups", ())))


def _attributes(spec: Object) -> Attributes:
    about = spec.get("resourceAttributes")
    if about is not None:
        values = {key: about.get(key, "") for key in _RESOURCE}
        return Attributes(**{**values, "resource": values["resource"] or NO_RESOURCE})
    path = spec.get("nonResourceAttributes") or {}
    return Attributes(verb=path.get("verb", ""), path=path.get("path", ""))


def _status(policy: Policy, user: User, asked: Attributes) -> Object:
    decision = policy.decide(user, asked)
    return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})


def _rules(form: Form, user: User, policy: Policy) -> Object:
    namespace = form.spec.get("namespace", "")
    if not namespace:
        raise status.bad_request("no namespace on request")
    rules = policy.rules_for(user, namespace)
    return {
        "resourceRules": [_shown(rule, "resources") for rule in rules if rule.resources],
        "nonResourceRules": [_shown(rule, "urls") for rule in rules if rule.urls],
        "incomplete": False,
    }


def _shown(rule: Rule, part: str) -> Object:
    document = rule.document()
    keys = ("verbs", "nonResourceURLs") if part == "urls" else ("verbs", "apiGroups", "resources", "resourceNames")
    return {key: document[key] for key in keys if key in document}
