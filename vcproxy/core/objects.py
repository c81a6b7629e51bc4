"""Objects on their way: the rules of a kind as a tree, walked once over a decoded object.

Only branches that the tree names are looked at, so whatever else an object holds passes untouched. On the way up the
children of a node go before its own lens, on the way down after it: the two ways are exact mirrors of each other.
"""

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import msgspec

from vcproxy.core import gojson, tables
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.fields_groups import DEFINITION, version_down
from vcproxy.core.fields_names import UNKNOWN
from vcproxy.core.fields_references import NAMED
from vcproxy.core.fields_texts import text_down
from vcproxy.core.kinds import TABLE, Kind
from vcproxy.core.lens import Inside, Lens
from vcproxy.core.names import RESERVED_PREFIX, HostName, down
from vcproxy.core.rules import Row, rows
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError

ITEMS: Final = "[]"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_part = re.compile(r"'([^']*)'|([^.'\[\]]+)|(\[\])")


class Direction(Enum):
    UP = "up"
    DOWN = "down"


class Node(msgspec.Struct):
    """A place in a kind: the lenses that stand there, and the fields below it (`[]` for the items of a list)."""

    lenses: list[Lens] = msgspec.field(default_factory=list)
    children: dict[str, "Node"] = msgspec.field(default_factory=dict)


def parts(path: str) -> tuple[str, ...]:
    """The segments of a rule's path: `a.b[].'c.d'` is (a, b, [], c.d)."""
    return tuple(quoted or plain or items for quoted, plain, items in _part.findall(path))


def tree(table: Iterable[Row]) -> Node:
    """Rows as a tree."""
    root = Node()
    for path, lens in table:
        node = root
        for part in parts(path):
            node = node.children.setdefault(part, Node())
        node.lenses.append(lens)
    return root


@lru_cache(maxsize=1024)
def tree_of(group: str, kind: str, exports: Exports = NOTHING) -> Node:
    return tree(rows(group, kind, exports))


def rewrite(node: Node, value: Any, direction: Direction, scope: Scope) -> Any:
    """`value` with the lenses of `node` and below applied; containers are changed in place where they can be."""
    if direction is Direction.DOWN:
        for lens in node.lenses:
            value = lens.down(value, scope)
        _descend(node, value, direction, scope)
    else:
        _descend(node, value, direction, scope)
        for lens in reversed(node.lenses):
            value = lens.up(value, scope)
    return value


def _descend(node: Node, value: Any, direction: Direction, scope: Scope) -> None:
    if isinstance(value, dict):
        for key, child in node.children.items():
            if key in value:
                _set(value, key, rewrite(child, value[key], direction, scope))
            elif direction is Direction.UP and scope.full and _adds(child):
                _set(value, key, rewrite(child, None, direction, scope))
    elif isinstance(value, list) and ITEMS in node.children:
        child = node.children[ITEMS]
        for index, item in enumerate(value):
            value[index] = rewrite(child, item, direction, scope)


def _adds(node: Node) -> bool:
    return any(lens.adds for lens in node.lenses)


def _set(container: dict[str, Any], key: str, value: Any) -> None:
    if value is None and container.get(key) is not None:
        del container[key]  # a lens that leaves nothing of a container leaves out the field itself
    else:
        container[key] = value


def on_rule(node: Node, path: Iterable[str]) -> bool:
    """Whether a path (`[]` for items) stands at or above the place of a rule, or inside the value of a lens."""
    for part in path:
        below = node.children.get(part)
        if below is None:
            return any(lens.inside is Inside.CLOSED for lens in node.lenses)
        node = below
    return True


def group_of(api_version: str) -> str:
    """The group of an apiVersion: `apps` of `apps/v1`, empty for `v1`."""
    return api_version.rpartition("/")[0]


def to_host(document: dict[str, Any], group: str, kind: str, scope: Scope) -> dict[str, Any]:
    """An object of a tenant as it is stored. Raises ApiError 403 for labels that are reserved."""
    result: dict[str, Any] = rewrite(tree_of(group, kind, scope.exports), document, Direction.UP, scope)
    return result


def to_view(
    document: dict[str, Any], row: Kind, scope: Scope, columns: dict[int, Lens] | None = None
) -> dict[str, Any]:
    """An answer of the host as the tenant sees it, by what the answer itself says it is.

    `row` is the kind that was asked for: it names what a PartialObjectMetadata or a Table row stands for. `columns` is
    the memory of a watch: of its Tables only the first has column definitions.
    """
    kind, group = str(document.get("kind", "")), group_of(str(document.get("apiVersion", "")))
    if kind == "Status":
        return status_to_view(document, scope)
    if kind == "Table":
        return _table_to_view(document, row, scope, {} if columns is None else columns)
    if isinstance(document.get("items"), list):
        item = tree_of(*item_kind(group, kind, row), scope.exports)
        document["items"] = [object_down(item, one, scope) for one in document["items"]]
        if isinstance(document.get("apiVersion"), str):
            document["apiVersion"] = version_down(document["apiVersion"], scope)
        return document
    result: dict[str, Any] = object_down(tree_of(*own_kind(group, kind, row), scope.exports), document, scope)
    return result


def object_down(node: Node, document: Any, scope: Scope, group: str = "") -> Any:
    """One object as the tenant sees it; `group`: see last_applied_down."""
    last_applied_down(node, document, scope, group)
    return rewrite(node, document, Direction.DOWN, scope)


def last_applied_down(node: Node, document: Any, scope: Scope, group: str = "") -> None:
    """The object in kubectl's last-applied annotation, where the host itself wrote it.

    kubectl writes what the tenant wrote, which is stored as it is. After a server-side apply the API server writes the
    annotation anew (kube-apiserver: fieldmanager.lastAppliedUpdater), from the object as it is stored: one that names
    the very namespace, or for a Namespace the very name, that the object around it has on the host. `group` is one that
    nobody but the host names, where the object is of such a one.
    """
    metadata = document.get("metadata") if isinstance(document, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(annotations, dict):
        return
    text = annotations.get(LAST_APPLIED)
    if not isinstance(text, str) or not (f'"{scope.tenant}-' in text or (group and group in text)):
        return
    inner, named = _applied(text)
    key = "namespace" if metadata.get("namespace") else "name"
    if named and (named.get(key) == metadata.get(key) or (group and group_of(str(inner.get("apiVersion"))) == group)):
        view = rewrite(node, inner, Direction.DOWN, scope)
        _drop_added(node, view, msgspec.json.decode(text), scope)
        annotations[LAST_APPLIED] = _as_text(view, text)


def _drop_added(node: Node, view: Any, host: Any, scope: Scope) -> None:
    """Take out of the view of what was applied what nobody applied: kubectl would see that as taken out since then."""
    if isinstance(view, dict) and isinstance(host, dict):
        for key, child in node.children.items():
            if key in view and _adds(child) and host.get(key) == rewrite(child, None, Direction.UP, scope):
                del view[key]
            elif key in view:
                _drop_added(child, view[key], host.get(key), scope)
    elif isinstance(view, list) and isinstance(host, list) and len(view) == len(host) and ITEMS in node.children:
        for one, other in zip(view, host, strict=True):
            _drop_added(node.children[ITEMS], one, other, scope)


def last_applied_up(node: Node, patch: dict[str, Any], scope: Scope) -> None:
    """The other way round, in a server-side apply of the annotation itself, which is in the host's names but for it.

    kubectl makes one after its first server-side apply of an object, with the very text that it was shown: where the
    host is told other bytes than those that it wrote, it says that there is a conflict. A text that would not come
    back as it is stays as it is.
    """
    metadata = patch.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    text = annotations.get(LAST_APPLIED) if isinstance(annotations, dict) else None
    if not isinstance(metadata, dict) or not isinstance(annotations, dict) or not isinstance(text, str):
        return
    inner, named = _applied(text)
    if not named:
        return
    try:
        stored = _as_text(rewrite(node, inner, Direction.UP, scope), text)
    except ApiError:  # what was applied long ago need not be what may be applied
        return
    place = {key: metadata.get(key) for key in ("namespace", "name")}
    probe: Any = {"metadata": {**place, "annotations": {LAST_APPLIED: stored}}}
    last_applied_down(node, probe, scope)
    if probe["metadata"]["annotations"][LAST_APPLIED] == text and all(named.get(key) == place[key] for key in place):
        annotations[LAST_APPLIED] = stored


def _applied(text: str) -> tuple[Any, dict[str, Any]]:
    """The object in the annotation and its metadata, which is empty where the text is no such thing."""
    try:
        inner = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None, {}
    named = inner.get("metadata") if isinstance(inner, dict) else None
    return inner, named if isinstance(named, dict) else {}


def _as_text(document: Any, like: str) -> str:
    """As the API server and kubectl write it: one line, with its end where `like` has one."""
    return gojson.encode(document) + ("\n" if like.endswith("\n") else "")


def own_kind(group: str, kind: str, row: Kind) -> tuple[str, str]:
    return (row.group, row.kind) if kind.startswith("PartialObjectMetadata") else (group, kind)


def item_kind(group: str, kind: str, row: Kind) -> tuple[str, str]:
    return own_kind(group, kind.removesuffix("List"), row)


def _table_to_view(document: dict[str, Any], row: Kind, scope: Scope, columns: dict[int, Lens]) -> dict[str, Any]:
    if document.get("columnDefinitions"):
        columns.update(tables.columns(document["columnDefinitions"], row.group, row.kind))
    for line in document.get("rows") or ():
        known = line.get("object")
        annotations = _annotations(known)
        if isinstance(known, dict):
            kind = str(known.get("kind", ""))
            node = tree_of(*own_kind(group_of(str(known.get("apiVersion", ""))), kind, row), scope.exports)
            line["object"] = object_down(node, known, scope)
        tables.rewrite_cells(line, columns, scope, annotations)
    return document


def _annotations(document: Any) -> dict[str, Any]:
    """The annotations of an object; empty where they are odd."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return annotations if isinstance(annotations, dict) else {}


_DEFINITIONS: Final = ("apiextensions.k8s.io", "CustomResourceDefinition")


def _kind_of(details: dict[str, Any]) -> str:
    """The kind of the details of a Status, which name the kind or the resource."""
    named = str(details.get("kind") or "")
    row = TABLE.get((str(details.get("group") or ""), named))
    return row.kind if row is not None else named


_selector: Final = re.compile(r'(?<=label selector ")[^"]*')


def _own_terms(found: re.Match[str]) -> str:
    """The label selector that a refusal of the host repeats, without the terms that the proxy added to it."""
    return ",".join(term for term in found[0].split(",") if RESERVED_PREFIX not in term)


def status_to_view(document: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """A Status of the host in the tenant's words: its message, and the name and causes in its details."""
    if isinstance(document.get("message"), str):
        document["message"] = text_down(_selector.sub(_own_terms, document["message"]), scope)
    details = document.get("details")
    if isinstance(details, dict):
        named = str(details.get("group") or ""), _kind_of(details)
        lens = DEFINITION if named == _DEFINITIONS else NAMED.get(named)
        if lens is not None and details.get("name"):
            name = lens.down(str(details["name"]), scope)
            details["name"] = details["name"] if name == UNKNOWN else name
        if isinstance(details.get("group"), str):
            details["group"] = down(scope.tenant, HostName(details["group"])) or details["group"]
        for cause in details.get("causes") or ():
            if isinstance(cause, dict) and isinstance(cause.get("message"), str):
                cause["message"] = text_down(cause["message"], scope)
    return document
