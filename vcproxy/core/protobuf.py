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

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from vcproxy.core.bodies import decode_json, encode_json
from vcproxy.core.media import PROTOBUF
from vcproxy.core.protobuf_schema import ENVELOPE, HIDDEN, Field, Form, Scalar, Schema, message_of, schema
from vcproxy.core.protobuf_wire import BYTES, VARINT, malformed, read_varint, record, records, varint
from vcproxy.core.status import ApiError, unsupported_media_type

MARKER: Final = b"k8s\0"
FIELD_LIMIT: Final = 400_000
"""How many fields a body may hold at all depths; each costs at most some 300 bytes of memory once decoded."""
DEPTH_LIMIT: Final = 64
"""How deep messages may nest. Only scheduling.k8s.io/v1alpha3 has one that contains itself; others stay below 20."""


class Opaque(msgspec.Struct, frozen=True):
    """A value that no rule looks into: its bytes on the wire."""

    raw: bytes


class Kept(msgspec.Struct, frozen=True):
    """The fields of a message that are unknown here: (number, whole record), in their order."""

    records: tuple[tuple[int, bytes], ...] = ()


class Envelope(msgspec.Struct, frozen=True):
    """What is around an object: the name of its message, and the fields of the runtime.Unknown."""

    message: str
    fields: dict[str, Any]


_NOTHING: Final = Kept()


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
        raise _send_json()
    content = fields.pop("raw", Opaque(b"")).raw
    document = {"apiVersion": api_version, "kind": kind, **reader.message(schema(name), content)}
    return document, Envelope(name, fields)


def encode(document: dict[str, Any], envelope: Envelope) -> bytes:
    """The body of an object, fields in the order of their numbers. Raises ApiError 415 for what has no such form."""
    fields = {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
    content = Opaque(_message(schema(envelope.message), fields))
    return MARKER + _message(schema(ENVELOPE), {**envelope.fields, "raw": content})


def _send_json() -> ApiError:
    return unsupported_media_type("objects of this kind are not accepted as protobuf: send application/json")


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
        unknown = []
        for number, wire, value, start, end in records(data):
            self._count()
            field = shape.by_number.get(number)
            if field is None:
                unknown.append((number, data[start:end]))
            else:
                self._read(field, wire, value, into, at)
        if unknown:
            into[at or HIDDEN] = Kept(tuple(unknown))
        self._depth -= 1

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise malformed(f"it has more than {FIELD_LIMIT} fields")

    def _read(self, field: Field, wire: int, value: int | bytes, into: dict[str, Any], at: str) -> None:
        if field.form is Form.SINGLE:
            _put(into, field.name, self._value(field, wire, value))
        elif field.form is Form.REPEATED:
            self._append(field, wire, value, into.setdefault(field.name, []))
        elif field.form is Form.MAP:
            self._entry(field, _bytes(wire, value), into.setdefault(field.name, {}))
        elif field.form is Form.INLINE:
            self._merge(field, _bytes(wire, value), into, at + HIDDEN + field.name)
        else:
            self._json(field, _bytes(wire, value), into, at + HIDDEN + field.name)

    def _value(self, field: Field, wire: int, value: int | bytes) -> Any:
        if wire != field.wire:
            raise malformed("a field has the wrong wire type")
        if field.scalar is not None:
            return _READERS[field.scalar](value)
        return self.message(schema(field.message), _bytes(wire, value))

    def _append(self, field: Field, wire: int, value: int | bytes, into: list[Any]) -> None:
        """One value of a list, or, for numbers, all of them in one record (packed)."""
        if field.wire == VARINT and isinstance(value, bytes) and wire == BYTES:
            at = 0
            while at < len(value):
                self._count()
                number, at = read_varint(value, at)
                into.append(self._value(field, VARINT, number))
        else:
            into.append(self._value(field, wire, value))

    def _entry(self, field: Field, data: bytes, into: dict[str, Any]) -> None:
        """One entry of a map: a message with key 1 and value 2; what is not there is empty."""
        entry: dict[str, Any] = {}
        for number, wire, value, _, _ in records(data):
            self._count()
            if number == 1:
                _put(entry, "key", _text(_bytes(wire, value)))
            elif number == 2:
                _put(entry, "value", self._value(field, wire, value))
        if "value" not in entry:
            entry["value"] = self._value(field, field.wire, 0 if field.wire == VARINT else b"")
        _put(into, entry.get("key", ""), entry["value"])

    def _merge(self, field: Field, data: bytes, into: dict[str, Any], at: str) -> None:
        _put(into, at, _NOTHING)
        self._fill(schema(field.message), data, into, at)

    def _json(self, field: Field, data: bytes, into: dict[str, Any], hidden: str) -> None:
        text = _json_text(data)
        body = decode_json(text) if text else None
        if body is not None and body.duplicates:
            raise malformed("a key of the JSON in it stands twice")
        if body is None or body.document is None:
            _put(into, field.name, Opaque(data))
        else:
            _put(into, field.name, body.document)
            into[hidden] = Opaque(data)


def _put(into: dict[str, Any], key: str, value: Any) -> None:
    if key in into:
        raise malformed("a field that is no list, or a key of a map, stands twice")
    into[key] = value


def _bytes(wire: int, value: int | bytes) -> bytes:
    if wire != BYTES or not isinstance(value, bytes):
        raise malformed("a field has the wrong wire type")
    return value


def _text(value: Any) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise malformed("a text is not UTF-8") from None


def _json_text(data: bytes) -> bytes:
    """The JSON text of a RawExtension or FieldsV1, its only field."""
    found: dict[str, Any] = {}
    for number, wire, value, _, _ in records(data):
        if number == 1:
            _put(found, "raw", _bytes(wire, value))
    text: bytes = found.get("raw", b"")
    return text


def _signed(bits: int) -> Callable[[Any], int]:
    """A number as Go converts it: the lowest bits of the varint, as two's complement."""
    sign, mask = 1 << (bits - 1), (1 << bits) - 1
    return lambda value: ((value & mask) ^ sign) - sign


_READERS: Final[dict[Scalar, Callable[[Any], Any]]] = {
    Scalar.STRING: _text,
    Scalar.BYTES: Opaque,
    Scalar.OPAQUE: Opaque,
    Scalar.BOOL: bool,
    Scalar.INT32: _signed(32),
    Scalar.INT64: _signed(64),
}


# Writing -------------------------------------------------------------------------------------------------------------


def _message(shape: Schema, value: Any, at: str = "") -> bytes:
    if not isinstance(value, dict) or not (at or value.keys() <= shape.names):
        raise _send_json()  # a rule that sets what the tables do not know: nothing is left out silently
    chunks = [(field.number, chunk) for field in shape.fields for chunk in _chunks(field, value, at)]
    kept = value.get(at or HIDDEN)
    if kept is not None and kept.records:
        chunks = sorted([*chunks, *kept.records], key=lambda chunk: chunk[0])
    return b"".join(chunk for _, chunk in chunks)


def _chunks(field: Field, parent: dict[str, Any], at: str) -> Iterator[bytes]:
    """The records of one field of a message."""
    if field.form is Form.INLINE:
        yield from _inline(field, parent, at + HIDDEN + field.name)
        return
    value = parent.get(field.name)
    if value is None:
        return
    if field.form is Form.SINGLE:
        yield record(field.number, field.wire, _payload(field, value))
    elif field.form is Form.JSON:
        yield record(field.number, BYTES, _raw_json(value, parent.get(at + HIDDEN + field.name)))
    else:
        yield from _items(field, value)


def _inline(field: Field, parent: dict[str, Any], at: str) -> Iterator[bytes]:
    payload = _message(schema(field.message), parent, at)
    if payload or at in parent:
        yield record(field.number, BYTES, payload)


def _items(field: Field, value: Any) -> Iterator[bytes]:
    """The records of a list, or of a map by key, the order of the API server's own encoder."""
    if field.form is Form.REPEATED and isinstance(value, list):
        for item in value:
            yield record(field.number, field.wire, _payload(field, item))
    elif field.form is Form.MAP and isinstance(value, dict):
        for key in sorted(value):
            entry = record(1, BYTES, key.encode()) + record(2, field.wire, _payload(field, value[key]))
            yield record(field.number, BYTES, entry)
    else:
        raise _send_json()


def _payload(field: Field, value: Any) -> bytes:
    if field.scalar is None:
        return _message(schema(field.message), value)
    expected, write = _WRITERS[field.scalar]
    if not isinstance(value, expected):
        raise _send_json()
    return write(value)


def _raw_json(value: Any, before: Opaque | None) -> bytes:
    """A RawExtension or FieldsV1: as it came if its value is what it was, else with the JSON of the new one."""
    if isinstance(value, Opaque):
        return value.raw
    text = encode_json(value)
    if before is None:
        return record(1, BYTES, text)
    if encode_json(decode_json(_json_text(before.raw)).document) == text:
        return before.raw
    others = [before.raw[start:end] for number, _, _, start, end in records(before.raw) if number != 1]
    return record(1, BYTES, text) + b"".join(others)


_WRITERS: Final[dict[Scalar, tuple[type, Callable[[Any], bytes]]]] = {
    Scalar.STRING: (str, str.encode),
    Scalar.BYTES: (Opaque, lambda value: value.raw),
    Scalar.OPAQUE: (Opaque, lambda value: value.raw),
    Scalar.BOOL: (bool, varint),
    Scalar.INT32: (int, varint),
    Scalar.INT64: (int, varint),
}
