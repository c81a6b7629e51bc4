"""Reviews that the proxy answers by itself, in the tenant's names."""

from typing import Any, Final

from vcproxy.core import status
from vcproxy.core.caller import Caller

AUTHENTICATED: Final = "system:authenticated"
_KIND: Final = "SelfSubjectReview"
_VERSION: Final = "authentication.k8s.io/v1"


def self_subject_review(body: Any, caller: Caller, now: str) -> dict[str, Any]:
    """The answer to a SelfSubjectReview (KEP-3325): who the caller is. `now` is RFC 3339. Raises ApiError 400."""
    if not isinstance(body, dict) or body.get("kind", _KIND) != _KIND or body.get("apiVersion", _VERSION) != _VERSION:
        raise status.bad_request(f"the body must be one {_KIND} of {_VERSION}")
    groups = [*(group for group in caller.groups if group != AUTHENTICATED), AUTHENTICATED]
    user: dict[str, Any] = {"username": caller.user, "groups": groups}
    if caller.uid:
        user["uid"] = caller.uid
    if caller.extra:
        user["extra"] = {key: list(values) for key, values in caller.extra.items()}
    return {"kind": _KIND, "apiVersion": _VERSION, "metadata": {"creationTimestamp": now}, "status": {"userInfo": user}}
