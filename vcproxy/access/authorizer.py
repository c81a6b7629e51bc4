"""May this user do this: the rule until tenants have RBAC of their own, and the words of a refusal.

Members of `tenant:admin` may do everything inside their tenant. Everybody else may do what Kubernetes grants every
authenticated user (ClusterRoles system:discovery, system:basic-user and system:public-info-viewer).
"""

from typing import Final

import msgspec

from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.request import ApiRequest

ADMIN_GROUP: Final = "tenant:admin"

_OPEN_PATHS: Final = frozenset({"/api", "/apis", "/healthz", "/livez", "/openapi", "/readyz", "/version"})
_OPEN_PREFIXES: Final = ("/api/", "/apis/", "/openapi/")
_OPEN_REVIEWS: Final = frozenset(
    {
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
    }
)
_CONNECTING: Final = frozenset({"attach", "exec", "portforward"})
"""Who may get a pod may not yet run something in it: these count as `create`, whatever the method (KEP-4006)."""
_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


class Attributes(msgspec.Struct, frozen=True):
    """What is asked about, as k8s.io/apiserver's authorizer.Attributes. Without `resource` only verb and path count."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def attributes(request: ApiRequest) -> Attributes:
    """The attributes of a request. As in Kubernetes, a request for one Namespace is one inside that namespace."""
    inside = request.name if (request.group, request.resource) == ("", "namespaces") else request.namespace
    verb = "create" if request.subresource in _CONNECTING else request.verb
    return Attributes(
        verb,
        request.group,
        request.resource,
        request.subresource,
        inside,
        request.name,
        request.path,
    )


def authorize(caller: Caller, asked: Attributes) -> None:
    """Nothing if the caller may; else raises ApiError 403 with the text of the API server."""
    if ADMIN_GROUP not in caller.groups and not _open_to_all(asked):
        raise denial(caller.user, asked)


def denial(user: str, asked: Attributes) -> status.ApiError:
    """The API server's 403 (k8s.io/apiserver: responsewriters.Forbidden, apierrors.NewForbidden)."""
    words = _words(user, asked).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if not asked.resource:
        return status.forbidden(f"forbidden: {words}")
    subject = status.qualified(asked.group, asked.resource)
    if asked.name:
        subject = f"{subject} {_quoted(asked.name)}"
    return status.forbidden(f"{subject} is forbidden: {words}", asked.group, asked.resource, asked.name)


def _open_to_all(asked: Attributes) -> bool:
    if asked.resource:
        return asked.verb == "create" and (asked.group, asked.resource) in _OPEN_REVIEWS and not asked.subresource
    return asked.verb == "get" and (asked.path in _OPEN_PATHS or asked.path.startswith(_OPEN_PREFIXES))


def _words(user: str, asked: Attributes) -> str:
    who = f"User {_quoted(user)} cannot {asked.verb}"
    if not asked.resource:
        return f"{who} path {_quoted(asked.path)}"
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f"in the namespace {_quoted(asked.namespace)}" if asked.namespace else "at the cluster scope"
    return f"{who} resource {_quoted(resource)} in API group {_quoted(asked.group)} {where}"


def _quoted(text: str) -> str:
    """A text as Go's %q writes it (strconv.Quote)."""
    return '"' + "".join(_ESCAPES.get(sign) or _sign(sign) for sign in text) + '"'


def _sign(sign: str) -> str:
    if sign.isprintable():
        return sign
    code = ord(sign)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
