"""OpenAPI version 2 as protobuf, filtered and renamed without decoding what stays as it is.

The messages are those of gnostic's openapi_v2 (the numbers are those of OpenAPIv2.proto). Each of Document's maps holds
named messages: NamedPathItem, NamedSchema and NamedParameter with name = 1, value = 2.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, Protocol

import yaml

from vcproxy.core import openapi
from vcproxy.core.openapi import GVK

PATHS, DEFINITIONS, _PARAMETERS = 8, 9, 10
"""The maps of a Document."""
_PATH_ITEM, _ADDITIONAL = 2, 1  # Paths.path; Definitions.additional_properties, ParameterDefinitions the same
_VALUE, _EXTENSION, _YAML = 2, 31, 2  # Named*.value; Schema.vendor_extension: NamedAny; Any.yaml
_METHODS: Final = {2: "get", 3: "put", 4: "post", 5: "delete", 6: "options", 7: "head", 8: "patch"}
"""The operations of a PathItem."""
_MESSAGES: Final[Mapping[str, Mapping[int, str]]] = {
    f"{PATHS}/{_PATH_ITEM}": {1: "of_path", 2: "PathItem"},
    "PathItem": {**dict.fromkeys(_METHODS, "Operation"), 9: "ParametersItem", 10: "NamedAny"},
    "Operation": {1: "of_operation", 5: "of_operation", 8: "ParametersItem", 9: "Responses", 13: "NamedAny"},
    "ParametersItem": {1: "Parameter"},
    "Parameter": {1: "BodyParameter"},
    "BodyParameter": {5: "Schema"},
    "Responses": {1: "NamedResponseValue"},
    "NamedResponseValue": {2: "ResponseValue"},
    "ResponseValue": {1: "Response"},
    "Response": {2: "SchemaItem"},
    "SchemaItem": {1: "Schema"},
    f"{DEFINITIONS}/{_ADDITIONAL}": {1: "of_schema", 2: "Schema"},
    "Schema": {1: "of_reference", 21: "SchemaItem", 23: "SchemaItem", 24: "Schema", 25: "Properties", 31: "NamedAny"},
    "Properties": {1: "NamedSchema"},
    "NamedSchema": {2: "Schema"},
    "NamedAny": {2: "Any"},
    "Any": {2: "of_yaml"},
}
"""What in a message names a group: by field number the message that it holds, or how its text is renamed."""


def filter_v2_protobuf(raw: bytes, paths: Mapping[str, Collection[str]], definitions: Collection[str]) -> bytes:
    """The host's own bytes with the paths, their methods and the definitions that are named: as in the filtered JSON.

    Raises ValueError for bytes that are not this message.
    """
    groups = openapi.groups_of(paths)
    kept = _rewritten(raw, PATHS, lambda body: _shown_paths(body, paths))
    shown = b"".join(body for number, _, body in fields(kept) if number == PATHS)
    kept = _rewritten(kept, _PARAMETERS, lambda body: _named(body, _ADDITIONAL, lambda name: _refers(shown, name)))

    def change(body: bytes) -> bytes:
        wanted = _named(body, _ADDITIONAL, definitions.__contains__)
        return _rewritten(wanted, _ADDITIONAL, lambda schema: _schema(schema, groups))

    return _rewritten(kept, DEFINITIONS, change)


def _shown_paths(raw: bytes, paths: Mapping[str, Collection[str]]) -> bytes:
    def item(named: bytes) -> bytes:
        methods = paths[_name(named)]
        return _rewritten(named, _VALUE, lambda body: _operations(body, methods))

    return _rewritten(_named(raw, _PATH_ITEM, paths.__contains__), _PATH_ITEM, item)


def _operations(raw: bytes, methods: Collection[str]) -> bytes:
    """A PathItem with these methods alone."""
    shown = (field for number, field, _ in fields(raw) if _METHODS.get(number) is None or _METHODS[number] in methods)
    return b"".join(shown)


class Renaming(Protocol):
    """How the forms of a name are written anew (core.openapi_own.Names)."""

    def of_path(self, text: str) -> str: ...

    def of_schema(self, text: str) -> str: ...

    def of_reference(self, text: str) -> str: ...

    def of_operation(self, text: str) -> str: ...

    def of_yaml(self, text: str) -> str: ...


def entries(raw: bytes, number: int) -> Iterator[tuple[int, str, bytes]]:
    """The named messages in one of Document's maps: field number, name, the whole entry."""
    wanted = _PATH_ITEM if number == PATHS else _ADDITIONAL
    for found, _, body in fields(raw):
        if found == number:
            yield from ((inner, _name(entry), entry) for inner, _, entry in fields(body) if inner == wanted)


def renamed_message(kind: str, raw: bytes, names: Renaming) -> bytes:
    """A message with all names in it written anew; `kind` is one of those above, `8/2` an entry of Document's map 8."""
    rows, made = _MESSAGES[kind], []
    for number, field, body in fields(raw):
        what = rows.get(number)
        if what is None:
            made.append(field)
        elif what in _MESSAGES:
            made.append(message(number, renamed_message(what, body, names)))
        else:
            made.append(message(number, getattr(names, what)(body.decode()).encode()))
    return b"".join(made)


def _refers(paths: bytes, parameter: str) -> bool:
    """Whether paths hold a JsonReference (_ref = 1) to a shared parameter."""
    return message(1, f"{openapi.PARAMETER}{parameter}".encode()) in paths


def _schema(raw: bytes, groups: frozenset[str]) -> bytes:
    """A NamedSchema without the group version kinds that are hidden."""
    if GVK.encode() not in raw:
        return raw
    return _rewritten(
        raw, _VALUE, lambda schema: _rewritten(schema, _EXTENSION, lambda named: _extension(named, groups))
    )


def _extension(raw: bytes, groups: frozenset[str]) -> bytes:
    if _name(raw) != GVK:
        return raw
    return _rewritten(raw, _VALUE, lambda any_: _rewritten(any_, _YAML, lambda text: _kinds_text(text, groups)))


def _kinds_text(text: bytes, groups: frozenset[str]) -> bytes:
    """A list of group version kinds as YAML, as gnostic writes vendor extensions."""
    try:
        named = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("a vendor extension that is not YAML") from None
    shown = openapi.shown_kinds(named, groups)
    return text if shown == named else yaml.safe_dump(shown).encode()


def _named(raw: bytes, wanted: int, keep: Callable[[str], bool]) -> bytes:
    return b"".join(field for number, field, body in fields(raw) if number != wanted or keep(_name(body)))


def _name(raw: bytes) -> str:
    return next((body.decode() for number, _, body in fields(raw) if number == 1), "")


def _rewritten(raw: bytes, wanted: int, change: Callable[[bytes], bytes]) -> bytes:
    """A message with what each field of a number holds changed; all else stays as it is."""
    return b"".join(message(number, change(body)) if number == wanted else field for number, field, body in fields(raw))


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


def message(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return _encoded(number << 3 | 2) + _encoded(len(body)) + body


def _encoded(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
