"""Query parameters: which of a tenant's reach the host, and its selectors in the host's names."""

from typing import Final

from vcproxy.core import kinds, private, requirements, selectors
from vcproxy.core.kinds import Kind
from vcproxy.core.request import ApiRequest
from vcproxy.core.scope import Scope

Pairs = tuple[tuple[str, str], ...]
"""A query: (key, value) pairs, in order."""

_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_LIST: Final = ("limit", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "includeObject")
_WATCH: Final = (*_LIST[1:], "allowWatchBookmarks", "sendInitialEvents")
DELETE: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
"""Query parameters of a deletion that pass."""
_LOG: Final = (
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "stream",
    "tailLines",
    "timestamps",
)
TUNNELS: Final = {
    "attach": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "portforward": ("ports",),
}
"""Subresources that switch protocols, with the query parameters that pass."""
PARAMETERS: Final = {
    "get": ("resourceVersion", "includeObject"),
    "list": _LIST,
    "watch": _WATCH,
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, "force"),
    "delete": DELETE,
    "deletecollection": (*DELETE, *_LIST),
}
"""Query parameters that pass, by verb; selectors and `continue` are rendered anew, everything else is dropped."""
SELECTORS: Final = ("fieldSelector", "labelSelector")
_SELECTING: Final = frozenset({"list", "watch", "deletecollection"})


def query_up(request: ApiRequest, row: Kind, scope: Scope) -> Pairs:
    """The query for the host: parameters of the verb that may pass, and the selectors, rewritten."""
    verb = request.verb
    allowed = _LOG if request.subresource == "log" else PARAMETERS[verb]
    pairs = [(key, value) for key, value in request.query if key in allowed]
    if row.exposure in (kinds.Exposure.PRIVATE, kinds.Exposure.OWN):  # rows are looked at once more by their metadata
        pairs = [pair for pair in pairs if pair[0] != "includeObject"]
    if verb in _SELECTING:
        fields = selectors.fields_up(_field_selector(request), row, scope)
        pairs.append(("labelSelector", selectors.labels_up(request.parameter("labelSelector"), row, scope)))
        pairs += [("fieldSelector", fields)] if fields else []
    if verb == "watch":
        pairs.append(("watch", "true"))
    return tuple(pairs)


def _field_selector(request: ApiRequest) -> str | None:
    """The field selector; the deprecated `/watch/.../<name>` path is a selector on the name."""
    text = request.parameter("fieldSelector")
    if request.verb == "watch" and request.name:
        named = requirements.FieldTerm("metadata.name", "=", request.name).render()
        return f"{text},{named}" if text else named
    return text


def chosen(request: ApiRequest) -> Pairs:
    """The selectors of a watch, as the tenant wrote them; an empty one is none."""
    pairs = ("labelSelector", request.parameter("labelSelector")), ("fieldSelector", _field_selector(request))
    return tuple((key, text) for key, text in pairs if text)


def beside(request: ApiRequest, row: Kind, scope: Scope, query: Pairs) -> tuple[Pairs, ...]:
    """The queries for what stands beside the tenant's own objects: each with the client's selectors."""
    rest = tuple(pair for pair in query if pair[0] not in SELECTORS)
    fields, found = dict(query).get("fieldSelector", ""), []
    for owner, named in private.beside(row, scope):
        labels = selectors.labels_up(request.parameter("labelSelector"), row, scope, owner)
        field = ",".join(one for one in (fields, named) if one)
        found.append((*rest, ("labelSelector", labels), *((("fieldSelector", field),) if field else ())))
    return tuple(found)
