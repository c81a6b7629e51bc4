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

from vcproxy.core.protobuf_scalars import READERS, WRITERS, Read, Scalar, Write, wire_of
from vcproxy.core.protobuf_wire import BYTES, key_of, varint

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


_SCALARS: Final = {scalar.value: scalar for scalar in Scalar}


class Field(msgspec.Struct, frozen=True):
    """A field. `message` names the message of its values unless they are scalars, which `read` and `write` know.

    `wire` is the wire type of one value, `key` and `head` what a record starts with: as a number, and as written.
    `plain` is whether it is one scalar, as most are.
    """

    number: int
    name: str
    form: Form
    message: str
    plain: bool
    wire: int
    key: int
    head: bytes
    read: Read | None
    write: Write | None


class Schema(msgspec.Struct, frozen=True):
    """A message. `by_key` finds the field of a record, `by_name` that of a key that is not of a merged message.

    `names` are the keys that a decoded message can have, those of its merged messages among them.
    """

    name: str
    by_key: dict[int, Field]
    by_number: dict[int, Field]
    by_name: dict[str, Field]
    inline: tuple[Field, ...]
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
    fields = [_field(*row) for row in table()["messages"][name]]
    return Schema(
        name,
        by_key={field.key: field for field in fields},
        by_number={field.number: field for field in fields},
        by_name={field.name: field for field in fields if field.form is not Form.INLINE},
        inline=tuple(field for field in fields if field.form is Form.INLINE),
        names=frozenset({HIDDEN, *(name for field in fields for name in _names(field))}),
    )


def _field(number: int, name: str, kind: str, label: str = "optional") -> Field:
    scalar = _SCALARS.get(kind)
    form = Form.JSON if kind == "json" else Form(label)
    message = "" if scalar or form is Form.JSON else kind
    wire, of_entry = wire_of(scalar), BYTES if form is Form.MAP else wire_of(scalar)
    key = key_of(number, of_entry)
    read, write = (READERS[scalar], WRITERS[scalar]) if scalar else (None, None)
    plain = scalar is not None and form is Form.SINGLE
    return Field(number, name, form, message, plain, wire, key, varint(key), read, write)


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
