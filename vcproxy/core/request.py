"""A request, parsed once: method, path and query become an ApiRequest, and the host's request is rendered from that.

The rules are those of k8s.io/apiserver/pkg/endpoints/request/requestinfo.go, but what is not canonical is refused
(400) where the API server would clean it up: two readers of one path must never see two objects.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from vcproxy.core.status import bad_request

PATH_LIMIT: Final = 4096
QUERY_LIMIT: Final = 16384
KEPT_TARGET: Final = 512
"""Bytes of a target whose reading is kept for the next time: with 4096 of them, a few MiB."""
TRUE: Final = "true"

_escape = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_raw_path = re.compile(rb"/[A-Za-z0-9\-._~!$&'()*+,=:@%/]*\Z")
_raw_query = re.compile(rb"[\x21-\x7e]*\Z")
REPEATED: Final = {
    "attach": frozenset({"command"}),
    "exec": frozenset({"command"}),
    "portforward": frozenset({"ports"}),
}
"""Query parameters that may stand more than once, by subresource."""
_VERBS: Final = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class ApiRequest(msgspec.Struct, frozen=True):
    """What is asked for. Of a path that names no resource only `path` and a lower-case `verb` are set.

    `verb` is a Kubernetes verb (get, list, watch, create, update, patch, delete, deletecollection); names are the
    tenant's. For the resource `namespaces` itself `namespace` is empty and `name` holds it. `tail` is the path behind
    the subresource `proxy`, rendered, with the slash that it begins with.
    """

    method: str
    verb: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    tail: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)

    def parameter(self, key: str) -> str | None:
        """The value of a query parameter, or None."""
        for known, value in self.query:
            if known == key:
                return value
        return None

    def flag(self, key: str) -> bool:
        """A query parameter as a bool, as apimachinery converts it: present and neither `false` nor `0`."""
        value = self.parameter(key)
        return value is not None and value.lower() not in ("false", "0")


def parse(method: str, target: bytes) -> ApiRequest:
    """The request of a request line. Raises ApiError 400 for a target that is not canonical, 405 for other methods."""
    return _parse(method, target) if len(target) <= KEPT_TARGET else _parse.__wrapped__(method, target)


@lru_cache(maxsize=4096)
def _parse(method: str, target: bytes) -> ApiRequest:
    """Clients ask the same again and again: what was read once is kept. Refusals are not."""
    raw_path, _, raw_query = target.partition(b"?")
    segments = _segments(raw_path)
    query = _query(raw_query)
    path = "/" + "/".join(segments)
    slash = raw_path.endswith(b"/")
    match segments:
        case ["api", version, *rest] if rest:
            return _resource(method, path, query, "", version, rest, slash=slash)
        case ["apis", group, version, *rest] if rest:
            return _resource(method, path, query, group, version, rest, slash=slash)
    _refuse_repeated(query)
    return ApiRequest(method, method.lower(), path, query)


def _segments(raw: bytes) -> list[str]:
    if len(raw) > PATH_LIMIT:
        raise bad_request("the path is too long")
    if not _raw_path.match(raw) or _escape.search(raw):
        raise bad_request("the path is not canonical")
    parts = raw[1:].split(b"/")
    if parts[-1] == b"":  # one slash at the end means nothing to the API server
        parts.pop()
    return [_segment(part) for part in parts]


def _segment(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw).decode() if b"%" in raw else raw.decode()
    except UnicodeDecodeError:
        raise bad_request("the path is not UTF-8") from None
    if text in ("", ".", "..") or not text.isprintable() or any(sign in text for sign in "/\\%;"):
        raise bad_request("the path is not canonical")
    return text


def _query(raw: bytes) -> tuple[tuple[str, str], ...]:
    if not raw:
        return ()
    if len(raw) > QUERY_LIMIT:
        raise bad_request("the query is too long")
    if b";" in raw or not _raw_query.match(raw) or _escape.search(raw):
        raise bad_request("the query is not canonical")
    pairs = [_pair(part) for part in raw.split(b"&") if part]
    return tuple(pairs)


def _refuse_repeated(query: tuple[tuple[str, str], ...], but: frozenset[str] = frozenset()) -> None:
    once = [key for key, _ in query if key not in but]
    if len(set(once)) != len(once):
        raise bad_request("a query parameter may stand once only")


def _pair(raw: bytes) -> tuple[str, str]:
    key, _, value = raw.replace(b"+", b" ").partition(b"=")
    try:
        return unquote_to_bytes(key).decode(), unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise bad_request("the query is not UTF-8") from None


def _resource(
    method: str,
    path: str,
    query: tuple[tuple[str, str], ...],
    group: str,
    version: str,
    rest: list[str],
    *,
    slash: bool,
) -> ApiRequest:
    watching = rest[0] == "watch" and len(rest) > 1  # the deprecated /watch/ prefix
    if watching:
        rest = rest[1:]
    namespace = ""
    match rest:
        case ["namespaces", name]:
            parts = ["namespaces", name]
        case ["namespaces", name, "status" | "finalize" as sub]:
            parts = ["namespaces", name, sub]
        case ["namespaces", name, *inner]:
            namespace, parts = name, inner
        case _:
            parts = rest
    resource, name, subresource = (*parts, "", "")[:3]
    tail = ""
    if subresource == "proxy":
        tail = "".join(f"/{segment(part)}" for part in parts[3:]) + ("/" if slash else "")
    else:
        subresource = "/".join(parts[2:])
        _refuse_repeated(query, REPEATED.get(subresource, frozenset()))
    request = ApiRequest(method, "", path, query, group, version, resource, subresource, namespace, name, tail)
    return msgspec.structs.replace(request, verb=_verb(request, watching))


def _verb(request: ApiRequest, watching: bool) -> str:
    verb = _VERBS.get(request.method, request.method.lower())
    if request.subresource == "proxy" and request.method == "HEAD":
        return "get"
    if watching and verb == "get":
        return "watch"
    if request.name:
        return verb
    if verb == "get":
        return "watch" if request.flag("watch") else "list"
    return "deletecollection" if verb == "delete" else verb


def resource_path(group: str, version: str, resource: str, namespace: str = "", name: str = "", sub: str = "") -> str:
    """The path of a resource, rendered; the names are those that shall stand in it."""
    start = f"/apis/{group}/{version}" if group else f"/api/{version}"
    parts = (start, f"namespaces/{segment(namespace)}" if namespace else "", resource, segment(name), sub)
    return "/".join(filter(None, parts))


_plain = re.compile(r"[-a-zA-Z0-9_.~]*").fullmatch


def segment(text: str) -> str:
    """A path segment, escaped (RFC 3986 3.3)."""
    if _plain(text):  # nearly every name: several times as fast
        return text
    return quote(text, safe=":@!$&'()*+,=-._~")


def render_query(pairs: list[tuple[str, str]]) -> str:
    """A query with its question mark, or nothing."""
    return "?" + "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs) if pairs else ""
