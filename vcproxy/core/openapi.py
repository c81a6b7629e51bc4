"""OpenAPI, filtered to what a tenant may see: version 2 as JSON and as protobuf, version 3 by group version.

A path is kept if its resource is visible; a parameter if a kept path refers to it; a definition if a kept path, a kept
parameter or a visible kind reaches it. https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import yaml

from vcproxy.core import media
from vcproxy.core.discovery import Visibility
from vcproxy.core.status import not_acceptable

V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""How client-go asks for version 2; the answer's type is spelled with a dot (V2_PROTOBUF_ANSWER)."""
V2_PROTOBUF_ANSWER: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ALWAYS: Final = frozenset({"/api/", "/apis/", "/version/"})
_GVK: Final = "x-kubernetes-group-version-kind"
_DEFINITION: Final = "#/definitions/"
_PARAMETER: Final = "#/parameters/"
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
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api", "v1", *rest]:
            return _resource_visible("", rest, visible)
        case ["apis", group, *rest] if group in groups:
            return _resource_visible(group, rest[1:], visible)
    return False


def _resource_visible(group: str, rest: list[str], visible: Visibility) -> bool:
    """`rest` is what follows the version: nothing for the path of a group version itself."""
    if rest[:1] == ["watch"]:
        rest = rest[1:]
    if rest[:2] == ["namespaces", "{namespace}"]:
        rest = rest[2:]
    if not rest:
        return True
    resource, subresource = rest[0], rest[2] if len(rest) > 2 else ""
    if not visible.resource(group, resource):
        return False
    return not subresource or visible.subresource(group, resource, subresource)


def _shown_paths(paths: Document, visible: Visibility, groups: frozenset[str]) -> Document:
    """The visible paths; that of a group version of which no resource is left goes too."""
    kept = {path: item for path, item in paths.items() if path_visible(path, visible, groups)}
    served = {_version(parts) for parts in map(_parts, kept) if parts != _version(parts)}
    return {path: item for path, item in kept.items() if _is_above_versions(path) or _version(_parts(path)) in served}


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
    used = frozenset(_references(_PARAMETER, [paths]))
    parameters = {name: value for name, value in (document.get("parameters") or {}).items() if name in used}
    definitions = document.get("definitions") or {}
    kept = reachable(definitions, _references(_DEFINITION, [paths, parameters]), kinds, _DEFINITION)
    shown = _shown_definitions(definitions, kept, _groups(paths))
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


def _groups(paths: Iterable[str]) -> frozenset[str]:
    """The groups that a set of paths is of."""
    return frozenset(parts[1] for parts in map(_parts, paths) if parts[0] == "apis" and len(parts) > 1)


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
    named = schema.get(_GVK) or []
    return len(named) == 1 and (named[0].get("group", ""), named[0].get("kind")) in kinds


def _without_hidden_kinds(schema: Document, groups: frozenset[str]) -> Document:
    named = schema.get(_GVK)
    return {**schema, _GVK: _shown_kinds(named, groups)} if named else schema


def _shown_kinds(named: list[Document], groups: frozenset[str]) -> list[Document]:
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


# Version 2 as protobuf -----------------------------------------------------------------------------------------------
# The messages of gnostic's openapi_v2 (the numbers are those of OpenAPIv2.proto). Each of Document's maps holds named
# messages: NamedPathItem, NamedSchema and NamedParameter with name = 1, value = 2.

_PATHS, _DEFINITIONS, _PARAMETERS = 8, 9, 10
_PATH_ITEM, _ADDITIONAL = 2, 1  # Paths.path; Definitions.additional_properties, ParameterDefinitions the same
_VALUE, _EXTENSION, _YAML = 2, 31, 2  # Named*.value; Schema.vendor_extension: NamedAny; Any.yaml


def filter_v2_protobuf(raw: bytes, paths: frozenset[str], definitions: frozenset[str]) -> bytes:
    """The host's own bytes with the paths and definitions that are named: those of the filtered JSON (`filter_v2`).

    Raises ValueError for bytes that are not this message.
    """
    groups = _groups(paths)
    kept = _rewritten(raw, _PATHS, lambda body: _named(body, _PATH_ITEM, paths.__contains__))
    shown = b"".join(body for number, _, body in fields(kept) if number == _PATHS)
    kept = _rewritten(kept, _PARAMETERS, lambda body: _named(body, _ADDITIONAL, lambda name: _refers(shown, name)))

    def change(body: bytes) -> bytes:
        wanted = _named(body, _ADDITIONAL, definitions.__contains__)
        return _rewritten(wanted, _ADDITIONAL, lambda schema: _schema(schema, groups))

    return _rewritten(kept, _DEFINITIONS, change)


def _refers(paths: bytes, parameter: str) -> bool:
    """Whether paths hold a JsonReference (_ref = 1) to a shared parameter."""
    return _message(1, f"{_PARAMETER}{parameter}".encode()) in paths


def _schema(raw: bytes, groups: frozenset[str]) -> bytes:
    """A NamedSchema without the group version kinds that are hidden."""
    if _GVK.encode() not in raw:
        return raw
    return _rewritten(
        raw, _VALUE, lambda schema: _rewritten(schema, _EXTENSION, lambda named: _extension(named, groups))
    )


def _extension(raw: bytes, groups: frozenset[str]) -> bytes:
    if _name(raw) != _GVK:
        return raw
    return _rewritten(raw, _VALUE, lambda any_: _rewritten(any_, _YAML, lambda text: _kinds_text(text, groups)))


def _kinds_text(text: bytes, groups: frozenset[str]) -> bytes:
    """A list of group version kinds as YAML, as gnostic writes vendor extensions."""
    try:
        named = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("a vendor extension that is not YAML") from None
    shown = _shown_kinds(named, groups)
    return text if shown == named else yaml.safe_dump(shown).encode()


def _named(raw: bytes, wanted: int, keep: Callable[[str], bool]) -> bytes:
    return b"".join(field for number, field, body in fields(raw) if number != wanted or keep(_name(body)))


def _name(raw: bytes) -> str:
    return next((body.decode() for number, _, body in fields(raw) if number == 1), "")


def _rewritten(raw: bytes, wanted: int, change: Callable[[bytes], bytes]) -> bytes:
    """A message with what each field of a number holds changed; all else stays as it is."""
    return b"".join(
        _message(number, change(body)) if number == wanted else field for number, field, body in fields(raw)
    )


def fields(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The fields of a message: number, the whole field, and what a length-delimited one holds (else empty)."""
    at = 0
    while at < len(raw):
        start = at
        key, at = _varint(raw, at)
        body = b""
        match key & 7:
            case 0:
                _, at = _varint(raw, at)
            case 1:
                at += 8
            case 2:
                size, at = _varint(raw, at)
                body, at = raw[at : at + size], at + size
            case 5:
                at += 4
            case _:
                raise ValueError("not a protobuf message")
        if at > len(raw):
            raise ValueError("a protobuf message that breaks off")
        yield key >> 3, raw[start:at], body


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw) and shift < 64:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    raise ValueError("a protobuf message that breaks off")


def _message(number: int, body: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(body)) + body


def _encoded(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
