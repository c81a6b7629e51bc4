"""Bodies for tests of the protobuf codec: random documents made from its tables, and marks in messages of any depth."""

from typing import Any

from hypothesis import strategies as st

from vcproxy.core.protobuf import MARKER
from vcproxy.core.protobuf_scalars import Opaque
from vcproxy.core.protobuf_schema import ENVELOPE, HIDDEN, Field, Form, Schema, message_of, schema, table
from vcproxy.core.protobuf_wire import BYTES, VARINT, number_of, record, records, sized, varint, wire_of

KINDS = [(version, kind) for version, kinds in table()["kinds"].items() for kind in kinds]
UNKNOWN = 5000
"""A field number that no message has."""
MARK = record(UNKNOWN, BYTES, sized(b"kept")) + record(UNKNOWN + 1, VARINT, varint(300))

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=HIDDEN), max_size=12)
_opaque = st.binary(max_size=12).map(Opaque)
_json = st.dictionaries(texts, st.one_of(texts, st.booleans(), st.none(), st.lists(texts, max_size=2)), max_size=2)
_scalars: dict[str, st.SearchStrategy[Any]] = {
    "string": texts,
    "bytes": _opaque,
    "opaque": _opaque,
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "json": _json,
}


@st.composite
def documents(draw: st.DrawFn, kind: tuple[str, str]) -> dict[str, Any]:
    """Objects of a kind in the shape of their JSON, with some fields of some messages."""
    name = message_of(*kind)
    assert name is not None
    return {"apiVersion": kind[0], "kind": kind[1], **draw(_message(name, 5))}


@st.composite
def _message(draw: st.DrawFn, name: str, depth: int) -> dict[str, Any]:
    rows = table()["messages"][name]
    if not rows:
        return {}
    made: dict[str, Any] = {}
    for _, key, kind, *label in draw(st.lists(st.sampled_from(rows), max_size=3, unique_by=lambda row: row[0])):
        value = _message(kind, depth - 1) if kind not in _scalars else _scalars[kind]
        if label == ["inline"]:
            made |= draw(value)
        elif kind in _scalars or depth:
            made[key] = draw(_in_form(value, label))
    return made


def _in_form(value: st.SearchStrategy[Any], label: list[str]) -> st.SearchStrategy[Any]:
    if label == ["repeated"]:
        return st.lists(value, min_size=1, max_size=3)
    return st.dictionaries(texts, value, min_size=1, max_size=3) if label == ["map"] else value


def body(api_version: str, kind: str, raw: bytes, **fields: bytes) -> bytes:
    """A body with this object; `fields` replace contentEncoding (3) and contentType (4)."""
    identity = record(1, BYTES, sized(api_version.encode())) + record(2, BYTES, sized(kind.encode()))
    parts = {1: identity, 2: raw, 3: fields.get("encoding", b""), 4: fields.get("media", b"")}
    return MARKER + b"".join(record(number, BYTES, sized(part)) for number, part in parts.items())


def marked(raw: bytes, api_version: str, kind: str) -> bytes:
    """A body with a field that is unknown at the end of each message in it, the envelope included."""
    name = message_of(api_version, kind)
    assert name is not None
    return MARKER + _marked(schema(ENVELOPE), raw[len(MARKER) :], {2: schema(name)})


def _marked(shape: Schema, data: bytes, inside: dict[int, Schema] | None = None) -> bytes:
    made = b""
    for key, value, start, end in records(data):
        field = shape.by_key[key]
        below = (inside or {}).get(field.number) or (schema(field.message) if field.message else None)
        if below is None or not isinstance(value, bytes):
            made += data[start:end]
        else:
            made += record(field.number, BYTES, sized(_marked_value(field, below, value)))
    return made + MARK


def _marked_value(field: Field, below: Schema, value: bytes) -> bytes:
    if field.form is not Form.MAP:
        return _marked(below, value)
    made = b""
    for key, inner, start, end in records(value):
        is_value = number_of(key) == 2 and wire_of(key) == BYTES and isinstance(inner, bytes)
        made += record(2, BYTES, sized(_marked(below, bytes(inner)))) if is_value else value[start:end]
    return made
