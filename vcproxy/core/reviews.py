"""Reviews of who somebody is, answered by the proxy in the tenant's names."""

from typing import Any, Final

from vcproxy.core import status
from vcproxy.core.caller import Caller, all_groups
from vcproxy.core.review_forms import Form

INVALID: Final = "invalid bearer token"
"""What is said of every token that does not count, whatever the reason: nothing is told."""
VERSION: Final = "authentication.k8s.io/v1"

Object = dict[str, Any]


def self_subject_review(caller: Caller, now: str) -> Object:
    """The answer to a SelfSubjectReview (KEP-3325): who the caller is. `now` is RFC 3339."""
    head = {"kind": "SelfSubjectReview", "apiVersion": VERSION, "metadata": {"creationTimestamp": now}}
    return {**head, "status": {"userInfo": _user(caller)}}


def token_asked(form: Form) -> tuple[str, tuple[str, ...]]:
    """Token and audiences of a TokenReview (empty: those of the API itself). Raises ApiError 400."""
    token = form.spec.get("token", "")
    if not token:
        raise status.bad_request("token is required for TokenReview in authentication")
    return token, tuple(form.spec.get("audiences", ()))


def token_review(form: Form, caller: Caller | None, audiences: tuple[str, ...]) -> Object:
    """The answer to a TokenReview: whom the token is good for, and for which audiences; None for nobody."""
    if caller is None:
        found: Object = {"user": {}, "error": INVALID}
    else:
        found = {"authenticated": True, "user": _user(caller), "audiences": list(audiences)}
    head = {"kind": "TokenReview", "apiVersion": VERSION, "metadata": form.metadata}
    return {**head, "spec": form.spec, "status": found}


def _user(caller: Caller) -> Object:
    """A UserInfo."""
    user: Object = {"username": caller.user, "groups": list(all_groups(caller.user, caller.groups))}
    if caller.uid:
        user["uid"] = caller.uid
    if caller.extra:
        user["extra"] = {key: list(values) for key, values in caller.extra.items()}
    return user
