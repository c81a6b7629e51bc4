"""Values of single fields of protobuf messages: how each type is read from its record and written again."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import msgspec

from vcproxy.core.protobuf_wire import BYTES, VARINT, malformed, sized, varint
from vcproxy.core.status import ApiError, unsupported_media_type


class Opaque(msgspec.Struct, frozen=True):
    """A value that no rule looks into: its bytes on the wire."""

    raw: bytes


class Scalar(Enum):
    """A type that is no message. OPAQUE is a message that is kept as its bytes."""

    STRING = "string"
    BYTES = "bytes"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    OPAQUE = "opaque"


NUMBERS: Final = (Scalar.BOOL, Scalar.INT32, Scalar.INT64)

Read = Callable[[Any], Any]
"""From the value of a record (int for VARINT, else bytes). Raises ApiError 400."""
Write = Callable[[Any], bytes]
"""To what follows the key of a record. Raises ApiError 415 for a value of another type: a rule made it, no client."""


def wire_of(scalar: Scalar | None) -> int:
    """The wire type of a scalar, or (None) of a message."""
    return VARINT if scalar in NUMBERS else BYTES


def not_protobuf() -> ApiError:
    return unsupported_media_type("objects of this kind are not accepted as protobuf: send application/json")


def read_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise malformed("a text is not UTF-8") from None


def _signed(bits: int) -> Read:
    """A number as Go converts it: the lowest bits of the varint, as two's complement."""
    sign, mask = 1 << (bits - 1), (1 << bits) - 1
    return lambda value: ((value & mask) ^ sign) - sign


def _write_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise not_protobuf()
    return sized(value.encode())


def _write_opaque(value: Any) -> bytes:
    if not isinstance(value, Opaque):
        raise not_protobuf()
    return sized(value.raw)


def _write_number(value: Any) -> bytes:
    if not isinstance(value, int):
        raise not_protobuf()
    return varint(value)


READERS: Final[dict[Scalar, Read]] = {
    Scalar.STRING: read_text,
    Scalar.BYTES: Opaque,
    Scalar.OPAQUE: Opaque,
    Scalar.BOOL: bool,
    Scalar.INT32: _signed(32),
    Scalar.INT64: _signed(64),
}
WRITERS: Final[dict[Scalar, Write]] = {
    Scalar.STRING: _write_text,
    Scalar.BYTES: _write_opaque,
    Scalar.OPAQUE: _write_opaque,
    Scalar.BOOL: _write_number,
    Scalar.INT32: _write_number,
    Scalar.INT64: _write_number,
}
