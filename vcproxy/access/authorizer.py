"""What is asked of a tenant's rules about a request, and the words of a refusal."""

from typing import Final

from vcproxy.core import status
from vcproxy.core.rbac import Attributes
from vcproxy.core.request import ApiRequest

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


def denial(user: str, asked: Attributes) -> status.ApiError:
    """The API server's 403 (k8s.io/apiserver: responsewriters.Forbidden, apierrors.NewForbidden)."""
    words = _words(user, asked).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if not asked.resource:
        return status.forbidden(f"forbidden: {words}")
    subject = status.qualified(asked.group, asked.resource)
    if asked.name:
        subject = f"{subject} {_quoted(asked.name)}"
    return status.forbidden(f"{subject} is forbidden: {words}", asked.group, asked.resource, asked.name)


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
