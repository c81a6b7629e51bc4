"""What messages look like: the table of fields, written by scripts/generate_protobuf.py.

The table (protobuf_fields.json) has three parts: `source`, the modules it was made from; `kinds`, apiVersion to kind to
message; `messages`, message to rows [number, JSON name, type, label]. A type is a scalar, the name of a message, `json`
(a message whose one field holds JSON text) or `opaque` (a message whose JSON form is not that of its fields). A label
is repeated, map, or inline (a message whose fields stand among those of its parent in JSON); none means optional.
"""

from enum import Enum
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import msgspec

from vcproxy.core.protobuf_wire import BYTES, VARINT

ENVELOPE: Final = "runtime.Unknown"
DELETE_OPTIONS: Final = "meta.v1.DeleteOptions"
HIDDEN: Final = "\0"
"""Starts the keys under which a decoded message keeps what has no JSON name. No field has such a name."""


class Form(Enum):
    """How a field stands in its message."""

    SINGLE = "optional"
    REPEATED = "repeated"
    MAP = "map"
    INLINE = "inline"
    JSON = "json"


class Scalar(Enum):
    """A type that is no message. OPAQUE is a message that is kept as its bytes."""

    STRING = "string"
    BYTES = "bytes"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    OPAQUE = "opaque"


_SCALARS: Final = {scalar.value: scalar for scalar in Scalar}
_NUMBERS: Final = (Scalar.BOOL, Scalar.INT32, Scalar.INT64)


class Field(msgspec.Struct, frozen=True):
    """A field. `message` names the message of its values unless they are scalars; `wire` is their wire type."""

    number: int
    name: str
    form: Form
    scalar: Scalar | None
    message: str
    wire: int


class Schema(msgspec.Struct, frozen=True):
    """A message: its fields in the order of their numbers. `names` are the keys that a decoded one can have."""

    name: str
    fields: tuple[Field, ...]
    by_number: dict[int, Field]
    names: frozenset[str]


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The table, read once: it is part of the package."""
    text = resources.files("vcproxy.core").joinpath("protobuf_fields.json").read_bytes()
    content: dict[str, Any] = msgspec.json.decode(text)
    return content


def message_of(api_version: str, kind: str) -> str | None:
    """The message of an object; DeleteOptions are of every apiVersion (metav1.AddToGroupVersion)."""
    if kind == "DeleteOptions":
        return DELETE_OPTIONS
    name: str | None = table()["kinds"].get(api_version, {}).get(kind)
    return name


@lru_cache(maxsize=4096)
def schema(name: str) -> Schema:
    """The schema of a message of the table."""
    fields = tuple(_field(*row) for row in table()["messages"][name])
    names = {HIDDEN, *(name for field in fields for name in _names(field))}
    return Schema(name, fields, {field.number: field for field in fields}, frozenset(names))


def _field(number: int, name: str, kind: str, label: str = "optional") -> Field:
    scalar = _SCALARS.get(kind)
    form = Form.JSON if kind == "json" else Form(label)
    wire = VARINT if scalar in _NUMBERS else BYTES
    return Field(number, name, form, scalar, "" if scalar or form is Form.JSON else kind, wire)


def _names(field: Field) -> set[str]:
    hidden = HIDDEN + field.name
    if field.form is Form.INLINE:
        return {_below(hidden, name) for name in schema(field.message).names}
    return {field.name, hidden} if field.form is Form.JSON else {field.name}


def _below(hidden: str, name: str) -> str:
    """The key, in the parent, of a key of a merged message: hidden ones are led by the name of the field."""
    if not name.startswith(HIDDEN):
        return name
    return hidden if name == HIDDEN else hidden + name
