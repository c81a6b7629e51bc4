"""OpenAPI, filtered to what a tenant may see: version 2 (protobuf: core.openapi_protobuf), version 3 by group version.

A path is kept if its resource is visible, an operation if its verb is; a parameter if a kept path refers to it; a
definition if a kept path, a kept parameter or a visible kind reaches it.
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from vcproxy.core import media
from vcproxy.core.discovery import Visibility
from vcproxy.core.status import not_acceptable

V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""How client-go asks for version 2; the answer's type is spelled with a dot (V2_PROTOBUF_ANSWER)."""
V2_PROTOBUF_ANSWER: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ALWAYS: Final = frozenset({"/api/", "/apis/", "/version/"})
GVK: Final = "x-kubernetes-group-version-kind"
_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})
VERBS: Final = {
    "get": "get",
    "list": "list",
    "watch": "watch",
    "watchlist": "watch",
    "post": "create",
    "put": "update",
    "patch": "patch",
    "delete": "delete",
    "deletecollection": "deletecollection",
}
"""The verb of an operation by its `x-kubernetes-action`; `connect` has none of its own: it goes with its path."""
_DEFINITION: Final = "#/definitions/"
PARAMETER: Final = "#/parameters/"
_SCHEMA: Final = "#/components/schemas/"

Document = dict[str, Any]


def negotiated(path: str, accept: str | None) -> str:
    """How a document is answered: JSON, or V2_PROTOBUF_ANSWER for version 2. Raises ApiError 406 for anything else.

    The index of version 3 is JSON whatever is asked for, as on the API server. No client of ours asks for version 3 as
    protobuf (client-go names the type and uses it in its tests alone).
    """
    offered = {media.JSON: media.JSON, "*/*": media.JSON, "application/*": media.JSON}
    if path == "/openapi/v2":
        offered |= {V2_PROTOBUF: V2_PROTOBUF_ANSWER, V2_PROTOBUF_ANSWER: V2_PROTOBUF_ANSWER}
    if path == "/openapi/v3" or not (accept or "").strip():
        return media.JSON
    for clause in media.clauses(accept or ""):
        if clause.media in offered:
            return offered[clause.media]
    raise not_acceptable(", ".join(dict.fromkeys(offered.values())))


def path_visible(path: str, visible: Visibility, groups: frozenset[str]) -> bool:
    """Whether a path template (`/apis/apps/v1/namespaces/{namespace}/deployments/{name}`) may be shown."""
    if path in _ALWAYS:
        return True
    target = _target(path)
    if target is None or not (path.startswith("/api/v1/") or (target[0] and target[0] in groups)):
        return False
    group, resource, subresource = target
    return not resource or (
        visible.resource(group, resource) and (not subresource or visible.subresource(group, resource, subresource))
    )


def _target(path: str) -> tuple[str, str, str] | None:
    """Group, resource and subresource that a path template is of; no resource in that of a group (version)."""
    match _parts(path):
        case ["api", _, *rest]:
            return "", *_resource(rest)
        case ["apis", group, *rest] if group:
            return group, *_resource(rest[1:])
    return None


def _resource(rest: list[str]) -> tuple[str, str]:
    """Resource and subresource in what follows the version."""
    if rest[:1] == ["watch"]:
        rest = rest[1:]
    if rest[:2] == ["namespaces", "{namespace}"]:
        rest = rest[2:]
    return rest[0] if rest else "", rest[2] if len(rest) > 2 else ""


def _shown_paths(paths: Document, visible: Visibility, groups: frozenset[str]) -> Document:
    """The visible paths with their visible operations; that of a group version without a resource left goes too."""
    known = ((path, item) for path, item in paths.items() if path_visible(path, visible, groups))
    kept = {path: _shown_item(path, item, visible) for path, item in known}
    kept = {path: item for path, item in kept.items() if _METHODS & item.keys()}
    served = {_version(parts) for parts in map(_parts, kept) if parts != _version(parts)}
    return {path: item for path, item in kept.items() if _is_above_versions(path) or _version(_parts(path)) in served}


def _shown_item(path: str, item: Document, visible: Visibility) -> Document:
    """What may be done at a path: the operations whose verbs discovery shows as well."""
    group, resource, subresource = _target(path) or ("", "", "")

    def shown(operation: Document) -> bool:
        verb = VERBS.get(operation.get("x-kubernetes-action", ""), "")
        return not (verb and resource) or bool(visible.verbs(group, resource, subresource, [verb]))

    return {key: value for key, value in item.items() if key not in _METHODS or shown(value)}


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


def _version(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The beginning of a path that names its group version: (api, v1) or (apis, apps, v1)."""
    return parts[: 2 if parts[0] == "api" else 3]


def _is_above_versions(path: str) -> bool:
    return path in _ALWAYS or (path.startswith("/apis/") and len(_parts(path)) == 2)


def filter_v2(
    document: Document, visible: Visibility, groups: frozenset[str], kinds: frozenset[tuple[str, str]]
) -> Document:
    """Version 2 as JSON. `groups` are the visible groups, `kinds` the visible (group, kind)s."""
    paths = _shown_paths(document["paths"], visible, groups)
    used = frozenset(_references(PARAMETER, [paths]))
    parameters = {name: value for name, value in (document.get("parameters") or {}).items() if name in used}
    definitions = document.get("definitions") or {}
    kept = reachable(definitions, _references(_DEFINITION, [paths, parameters]), kinds, _DEFINITION)
    shown = _shown_definitions(definitions, kept, groups_of(paths))
    replaced = {"paths": paths, "definitions": shown, "parameters": parameters}
    return {**document, **{key: value for key, value in replaced.items() if key in document}}


def filter_v3(
    document: Document, visible: Visibility, groups: frozenset[str], kinds: frozenset[tuple[str, str]]
) -> Document:
    """One document of version 3."""
    paths = _shown_paths(document.get("paths") or {}, visible, groups)
    components = document.get("components") or {}
    schemas = components.get("schemas") or {}
    kept = reachable(schemas, _references(_SCHEMA, [paths]), kinds, _SCHEMA)
    shown = {**components, "schemas": _shown_definitions(schemas, kept, groups)}
    return {**document, "paths": paths, **({"components": shown} if "components" in document else {})}


def _shown_definitions(definitions: Document, kept: frozenset[str], groups: frozenset[str]) -> Document:
    return {name: _without_hidden_kinds(schema, groups) for name, schema in definitions.items() if name in kept}


def groups_of(paths: Iterable[str]) -> frozenset[str]:
    """The groups that a set of paths is of."""
    return frozenset(parts[1] for parts in map(_parts, paths) if parts[0] == "apis" and len(parts) > 1)


def methods_of(paths: Document) -> dict[str, frozenset[str]]:
    """The methods of each path's operations."""
    return {path: _METHODS & item.keys() for path, item in paths.items()}


def reachable(
    definitions: Document, start: Iterable[str], kinds: frozenset[tuple[str, str]], prefix: str
) -> frozenset[str]:
    """The names of all definitions that `start` or a visible kind leads to, over any number of references."""
    queue = [*start, *(name for name, schema in definitions.items() if _is_kind(schema, kinds))]
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        if name not in seen and name in definitions:
            seen.add(name)
            queue.extend(_references(prefix, [definitions[name]]))
    return frozenset(seen)


def _is_kind(schema: Document, kinds: frozenset[tuple[str, str]]) -> bool:
    """Whether a schema is that of a visible kind; one shared by many groups (DeleteOptions) is found by reference."""
    named = schema.get(GVK) or []
    return len(named) == 1 and (named[0].get("group", ""), named[0].get("kind")) in kinds


def _without_hidden_kinds(schema: Document, groups: frozenset[str]) -> Document:
    named = schema.get(GVK)
    return {**schema, GVK: shown_kinds(named, groups)} if named else schema


def shown_kinds(named: list[Document], groups: frozenset[str]) -> list[Document]:
    """The group version kinds of a definition that are shown: those of DeleteOptions name every group of the host."""
    if len(named) == 1:
        return named
    return [kind for kind in named if not kind.get("group") or kind["group"] in groups]


def _references(prefix: str, values: Iterable[Any]) -> Iterator[str]:
    """The names behind all `$ref`s that begin with a prefix, at any depth."""
    queue = list(values)
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str) and reference.startswith(prefix):
                yield reference[len(prefix) :]
            queue.extend(inner for inner in value.values() if isinstance(inner, dict | list))
        elif isinstance(value, list):
            queue.extend(inner for inner in value if isinstance(inner, dict | list))


def index_v3(
    document: Document,
    visible: Visibility,
    groups: frozenset[str],
    seed: str,
    versions: frozenset[tuple[str, str]] | None = None,
) -> Document:
    """`/openapi/v3`: the group versions that are shown, each with a hash that changes when its document would.

    `seed` stands for the rules of visibility: another table, other hashes. `versions` are the visible (group,
    version)s; without them, a version of which nothing is left is still shown where its group is.
    """
    rules = f"{seed}:{sorted(groups)}"
    paths = {}
    for key, entry in (document.get("paths") or {}).items():
        if shown_v3(key, visible, groups, versions):
            base, _, digest = str(entry.get("serverRelativeURL", "")).partition("?hash=")
            own = hashlib.sha256(f"{rules}:{digest}".encode()).hexdigest().upper()
            paths[key] = {"serverRelativeURL": f"{base}?hash={own}"}
    return {"paths": paths}


def shown_v3(
    key: str,
    visible: Visibility,
    groups: frozenset[str],
    versions: frozenset[tuple[str, str]] | None = None,
) -> bool:
    """Whether a document of version 3 (`apis/apps/v1`, as the index names it) is shown; arguments as of `index_v3`."""
    if not path_visible(f"/{key}/", visible, groups):
        return False
    match key.split("/"):
        case ["api", version]:
            return versions is None or ("", version) in versions
        case ["apis", group, version]:
            return versions is None or (group, version) in versions
    return True
