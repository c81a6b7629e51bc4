"""Protobuf bodies: an object in the shape of its JSON, so that rules written for JSON hold for it, and back to bytes.

https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding: the marker `k8s\\0`, then a
runtime.Unknown that says what the object is and holds it. In the result

- fields have their JSON names; messages that Go embeds (`json:",inline"`) stand among the fields of their parent,
- values whose JSON form is not that of their fields (Time, Quantity, IntOrString, bytes ...) are `Opaque`,
- what is JSON text on the wire (RawExtension, FieldsV1) is the decoded JSON, and written as it came if unchanged,
- what has no JSON form (fields unknown here, whether a merged message was there) stands under keys that start with
  HIDDEN, so that it goes wherever its object goes.

Stricter than the API server, as bodies.py is: a field or a key of a map that stands twice, text that is not UTF-8 and
groups are refused. What an entry of a map holds besides key and value is dropped: the format has no such fields.
"""

from operator import itemgetter
from typing import Any, Final

import msgspec

from vcproxy.core.bodies import decode_json, encode_json
from vcproxy.core.media import PROTOBUF
from vcproxy.core.protobuf_scalars import Opaque, not_protobuf, read_text
from vcproxy.core.protobuf_schema import ENVELOPE, HIDDEN, Field, Form, Schema, message_of, schema
from vcproxy.core.protobuf_wire import (
    BYTES,
    VARINT,
    key_of,
    malformed,
    number_of,
    read_varint,
    record,
    records,
    sized,
    wire_of,
)
from vcproxy.core.status import ApiError

MARKER: Final = b"k8s\0"
FIELD_LIMIT: Final = 200_000
"""How many fields a body may hold at all depths; decoded, each costs some 3 us and 130 bytes on the average."""
DEPTH_LIMIT: Final = 64
"""How deep messages may nest. Only scheduling.k8s.io/v1alpha3 has one that contains itself; others stay below 20."""


class Kept(msgspec.Struct, frozen=True):
    """The fields of a message that are unknown here: (number, whole record), in their order."""

    records: tuple[tuple[int, bytes], ...] = ()


class Envelope(msgspec.Struct, frozen=True):
    """What is around an object: the name of its message, and the fields of the runtime.Unknown."""

    message: str
    fields: dict[str, Any]


_NOTHING: Final = Kept()
_ENTRY_KEY: Final = key_of(1, BYTES)
_SINGLE, _REPEATED, _MAP, _INLINE, _JSON = Form.SINGLE, Form.REPEATED, Form.MAP, Form.INLINE, Form.JSON
_number: Final = itemgetter(0)


def decode(raw: bytes) -> tuple[dict[str, Any], Envelope]:
    """The object in a body, and what `encode` needs to write it again.

    Raises ApiError: 400 for what is malformed, 415 for an object that has no table here.
    """
    if not raw.startswith(MARKER):
        raise malformed("it does not start with the marker of Kubernetes")
    reader = _Reader()
    fields = reader.message(schema(ENVELOPE), raw[len(MARKER) :])
    api_version, kind = fields.get("apiVersion", ""), fields.get("kind", "")
    name = message_of(api_version, kind)
    if name is None or fields.get("ContentEncoding") or fields.get("ContentType") not in (None, "", PROTOBUF):
        raise not_protobuf()
    content = fields.pop("raw", Opaque(b"")).raw
    document = {"apiVersion": api_version, "kind": kind, **reader.message(schema(name), content)}
    return document, Envelope(name, fields)


def encode(document: dict[str, Any], envelope: Envelope) -> bytes:
    """The body of an object, fields in the order of their numbers. Raises ApiError 415 for what has no such form."""
    fields = {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
    content = Opaque(_message(schema(envelope.message), fields))
    return MARKER + _message(schema(ENVELOPE), {**envelope.fields, "raw": content})


# Reading -------------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads one body; counts what it reads."""

    def __init__(self) -> None:
        self._left = FIELD_LIMIT
        self._depth = 0

    def message(self, shape: Schema, data: bytes) -> dict[str, Any]:
        into: dict[str, Any] = {}
        self._fill(shape, data, into, "")
        return into

    def _fill(self, shape: Schema, data: bytes, into: dict[str, Any], at: str) -> None:
        """Read a message into a dict; `at` is the hidden key of a merged message, empty for one of its own."""
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise malformed(f"it nests deeper than {DEPTH_LIMIT} messages")
        by_key, unknown = shape.by_key, []
        for key, value, start, end in records(data):
            self._count()
            field = by_key.get(key)
            if field is None:
                if not self._is_packed(shape, key, value, into):
                    unknown.append((number_of(key), data[start:end]))
            elif field.plain and field.name not in into:
                into[field.name] = field.read(value)  # type: ignore[misc]  # a scalar, so it is there
            else:
                self._read(field, value, into, at)
        if unknown:
            into[at or HIDDEN] = Kept(tuple(unknown))
        self._depth -= 1

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise malformed(f"it has more than {FIELD_LIMIT} fields")

    def _read(self, field: Field, value: Any, into: dict[str, Any], at: str) -> None:
        """Take up a record of the field's own wire type."""
        form = field.form
        if form is _SINGLE:
            _put(into, field.name, self._value(field, value))
        elif form is _REPEATED:
            into.setdefault(field.name, []).append(self._value(field, value))
        elif form is _MAP:
            self._entry(field, value, into.setdefault(field.name, {}))
        elif form is _INLINE:
            _put(into, at + HIDDEN + field.name, _NOTHING)
            self._fill(schema(field.message), value, into, at + HIDDEN + field.name)
        else:
            _put_json(field, value, into, at + HIDDEN + field.name)

    def _value(self, field: Field, value: Any) -> Any:
        return field.read(value) if field.read is not None else self.message(schema(field.message), value)

    def _is_packed(self, shape: Schema, key: int, value: Any, into: dict[str, Any]) -> bool:
        """Whether a record holds many numbers of a list; they are taken up. False if its field is unknown."""
        field = shape.by_number.get(number_of(key))
        if field is None:
            return False
        if field.form is not _REPEATED or field.wire != VARINT or wire_of(key) != BYTES:
            raise _wrong_type()
        items, at = into.setdefault(field.name, []), 0
        while at < len(value):
            self._count()
            number, at = read_varint(value, at)
            items.append(self._value(field, number))
        return True

    def _entry(self, field: Field, data: bytes, into: dict[str, Any]) -> None:
        """One entry of a map: a message with key 1 and value 2; what is not there is empty."""
        entry: dict[int, Any] = {}
        for key, value, _, _ in records(data):
            self._count()
            if key == _ENTRY_KEY:
                _put(entry, 1, read_text(value))  # type: ignore[arg-type]  # bytes, by its key
            elif key == key_of(2, field.wire):
                _put(entry, 2, self._value(field, value))
            elif number_of(key) <= 2:
                raise _wrong_type()
        if 2 not in entry:
            entry[2] = self._value(field, 0 if field.wire == VARINT else b"")
        _put(into, entry.get(1, ""), entry[2])


def _put(into: dict[Any, Any], key: Any, value: Any) -> None:
    if key in into:
        raise malformed("a field that is no list, or a key of a map, stands twice")
    into[key] = value


def _wrong_type() -> ApiError:
    return malformed("a field has the wrong wire type")


def _put_json(field: Field, data: bytes, into: dict[str, Any], hidden: str) -> None:
    text = _json_text(data)
    body = decode_json(text) if text else None
    if body is not None and body.duplicates:
        raise malformed("a key of the JSON in it stands twice")
    if body is None or body.document is None:
        _put(into, field.name, Opaque(data))
    else:
        _put(into, field.name, body.document)
        into[hidden] = Opaque(data)


def _json_text(data: bytes) -> bytes:
    """The JSON text of a RawExtension or FieldsV1, its only field."""
    found: dict[int, Any] = {}
    for key, value, _, _ in records(data):
        if number_of(key) == 1:
            if wire_of(key) != BYTES:
                raise _wrong_type()
            _put(found, 1, value)
    text: bytes = found.get(1, b"")
    return text


# Writing -------------------------------------------------------------------------------------------------------------


def _message(shape: Schema, value: Any) -> bytes:
    if not isinstance(value, dict) or not value.keys() <= shape.names:
        raise not_protobuf()  # a rule that sets what the tables do not know: nothing is left out silently
    return _fields(shape, value, "")


def _fields(shape: Schema, value: dict[str, Any], at: str) -> bytes:
    """A message whose fields stand in `value`, among others if it is merged there."""
    by_name = shape.by_name
    chunks = [
        (field.number, field.head + _payload(field, inner) if field.plain else _records(field, inner, value, at))
        for name, inner in value.items()
        if inner is not None and (field := by_name.get(name)) is not None
    ]
    for field in shape.inline:
        chunks.append((field.number, _inline(field, value, at + HIDDEN + field.name)))
    kept = value.get(at or HIDDEN)
    if kept is not None:
        chunks += kept.records
    chunks.sort(key=_number)
    return b"".join([chunk for _, chunk in chunks])


def _inline(field: Field, parent: dict[str, Any], at: str) -> bytes:
    payload = _fields(schema(field.message), parent, at)
    return field.head + sized(payload) if payload or at in parent else b""


def _records(field: Field, value: Any, parent: dict[str, Any], at: str) -> bytes:
    """The records of one field of a message; those of a map by key, the order of the API server's own encoder."""
    form = field.form
    if form is _SINGLE:
        return field.head + _payload(field, value)
    if form is _REPEATED and isinstance(value, list):
        return b"".join([field.head + _payload(field, item) for item in value])
    if form is _MAP and isinstance(value, dict):
        return b"".join([field.head + _written_entry(field, *entry) for entry in sorted(value.items())])
    if form is _JSON:
        return field.head + sized(_raw_json(value, parent.get(at + HIDDEN + field.name)))
    raise not_protobuf()


def _payload(field: Field, value: Any) -> bytes:
    """What follows the key of a record."""
    return field.write(value) if field.write is not None else sized(_message(schema(field.message), value))


def _written_entry(field: Field, key: str, value: Any) -> bytes:
    return sized(record(1, BYTES, sized(key.encode())) + record(2, field.wire, _payload(field, value)))


def _raw_json(value: Any, before: Opaque | None) -> bytes:
    """A RawExtension or FieldsV1: as it came if its value is what it was, else with the JSON of the new one."""
    if isinstance(value, Opaque):
        return value.raw
    text = encode_json(value)
    if before is None:
        return record(1, BYTES, sized(text))
    if encode_json(decode_json(_json_text(before.raw)).document) == text:
        return before.raw
    others = [before.raw[start:end] for key, _, start, end in records(before.raw) if number_of(key) != 1]
    return record(1, BYTES, sized(text)) + b"".join(others)
