"""OpenAPI, filtered to what a tenant may see: version 2 as JSON and as protobuf, version 3 by group version.

A path is kept if its resource is visible, a definition if a kept path or a visible kind reaches it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from vcproxy.core.discovery import Visibility

V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""How client-go asks for version 2; the answer's type is spelled with a dot (V2_PROTOBUF_ANSWER)."""
V2_PROTOBUF_ANSWER: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ALWAYS: Final = frozenset({"/api/", "/apis/", "/version/"})
_GVK: Final = "x-kubernetes-group-version-kind"

Document = dict[str, Any]


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


def filter_v2(
    document: Document, visible: Visibility, groups: frozenset[str], kinds: frozenset[tuple[str, str]]
) -> Document:
    """Version 2 as JSON. `groups` are the visible groups, `kinds` the visible (group, kind)s."""
    paths = {path: item for path, item in document["paths"].items() if path_visible(path, visible, groups)}
    definitions = document.get("definitions") or {}
    kept = reachable(
        definitions, _prefix("#/definitions/", [paths, document.get("parameters")]), kinds, "#/definitions/"
    )
    shown = {name: _without_hidden_kinds(schema, groups) for name, schema in definitions.items() if name in kept}
    return {**document, "paths": paths, "definitions": shown}


def filter_v3(
    document: Document, visible: Visibility, groups: frozenset[str], kinds: frozenset[tuple[str, str]]
) -> Document:
    """One document of version 3."""
    paths = {path: item for path, item in (document.get("paths") or {}).items() if path_visible(path, visible, groups)}
    components = document.get("components") or {}
    schemas = components.get("schemas") or {}
    kept = reachable(schemas, _prefix("#/components/schemas/", [paths]), kinds, "#/components/schemas/")
    shown = {name: _without_hidden_kinds(schema, groups) for name, schema in schemas.items() if name in kept}
    return {**document, "paths": paths, "components": {**components, "schemas": shown}}


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
            queue.extend(_prefix(prefix, [definitions[name]]))
    return frozenset(seen)


def _is_kind(schema: Document, kinds: frozenset[tuple[str, str]]) -> bool:
    """Whether a schema is that of a visible kind; one shared by many groups (DeleteOptions) is found by reference."""
    named = schema.get(_GVK) or []
    return len(named) == 1 and (named[0].get("group", ""), named[0].get("kind")) in kinds


def _without_hidden_kinds(schema: Document, groups: frozenset[str]) -> Document:
    named = schema.get(_GVK)
    if not named or len(named) == 1:
        return schema
    return {**schema, _GVK: [kind for kind in named if kind.get("group", "") in groups or not kind.get("group")]}


def _prefix(prefix: str, values: Iterable[Any]) -> Iterator[str]:
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


def index_v3(document: Document, visible: Visibility, groups: frozenset[str], seed: str) -> Document:
    """`/openapi/v3`: the group versions that are shown, each with a hash that changes when its document would.

    `seed` stands for the rules of visibility: another table, other hashes.
    """
    paths = {}
    for key, entry in (document.get("paths") or {}).items():
        if key == "version" or path_visible(f"/{key}/", visible, groups):
            base, _, digest = str(entry.get("serverRelativeURL", "")).partition("?hash=")
            own = hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest().upper()
            paths[key] = {"serverRelativeURL": f"{base}?hash={own}"}
    return {"paths": paths}


# Version 2 as protobuf -----------------------------------------------------------------------------------------------
# The messages of gnostic's openapi_v2: Document.paths = 8 (Paths.path = 2: NamedPathItem), Document.definitions = 9
# (Definitions.additional_properties = 1: NamedSchema); both named messages hold name = 1.

_PATHS, _DEFINITIONS = 8, 9


def filter_v2_protobuf(raw: bytes, paths: frozenset[str], definitions: frozenset[str]) -> bytes:
    """The host's own bytes without the paths and definitions that are not named. Raises ValueError for other bytes."""
    kept = bytearray()
    for number, field, body in fields(raw):
        if number == _PATHS:
            kept += _message(number, _named(body, 2, paths))
        elif number == _DEFINITIONS:
            kept += _message(number, _named(body, 1, definitions))
        else:
            kept += field
    return bytes(kept)


def _named(raw: bytes, wanted: int, names: frozenset[str]) -> bytes:
    return b"".join(field for number, field, body in fields(raw) if number != wanted or _name(body) in names)


def _name(raw: bytes) -> str:
    return next((body.decode() for number, _, body in fields(raw) if number == 1), "")


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
