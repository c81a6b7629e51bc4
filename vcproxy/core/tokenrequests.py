"""TokenRequests of a tenant: the host's audience is the tenant's, both ways.

A token with the host's own audience would open the host's API. So where a request names none, or one of the host's, the
token gets the tenant's, with which it counts before the proxy alone; the answer says what was asked for.
https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from vcproxy.core import status
from vcproxy.core.audience import audience
from vcproxy.core.names import TenantId

GROUP: Final = "authentication.k8s.io"
KIND: Final = (GROUP, "TokenRequest")
BOUND: Final = frozenset({("v1", "Pod"), ("v1", "Secret"), ("v1", "Node")})
"""What a tenant's token may be bound to; the host knows more, none of which is a tenant's."""

Object = dict[str, Any]


def up(request: Object, tenant: TenantId, host: Collection[str]) -> tuple[Object, tuple[str, ...]]:
    """The request for the host, and the audiences for the answer. `host` are the host's own. Raises ApiError 400."""
    spec = request.get("spec") or {}
    if not isinstance(spec, dict):
        raise status.bad_request("the spec of a TokenRequest must be an object")
    written = spec.get("audiences") or []
    if not isinstance(written, list) or not all(isinstance(one, str) for one in written):
        raise status.bad_request("spec.audiences must be a list of texts")
    _check_bound(spec.get("boundObjectRef"))
    own = audience(tenant)
    stored = [own if one in host else one for one in written] or [own]
    rest = {key: value for key, value in request.items() if key != "status"}  # the host makes it
    sent = {**rest, "spec": {**spec, "audiences": list(dict.fromkeys(stored))}}
    return sent, tuple(written) or (own,)


def _check_bound(reference: Any) -> None:
    if reference is None:
        return
    if not isinstance(reference, dict):
        raise status.bad_request("spec.boundObjectRef must be an object")
    version, kind = reference.get("apiVersion"), reference.get("kind")
    if (version, kind) not in BOUND:
        group, _, version = str(version or "").rpartition("/")
        raise status.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind or ''}")


def answered(raw: bytes, audiences: tuple[str, ...]) -> bytes:
    """The view of an answer (JSON), with the audiences that were asked for."""
    document = msgspec.json.decode(raw)
    if isinstance(document.get("spec"), dict):
        document["spec"]["audiences"] = list(audiences)
    return msgspec.json.encode(document)
