"""The wire format of protobuf: varints and records, with no knowledge of messages.

Read as strictly as the API server's generated code, or more: what two readers could read in two ways is refused (400).
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import Final

from vcproxy.core.status import ApiError, bad_request

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
MAX_NUMBER: Final = (1 << 29) - 1
"""The greatest field number. The API server cuts numbers to 32 bits, so a greater one would be another field to it."""

_ONE: Final = tuple(bytes((value,)) for value in range(0x80))

Record = tuple[int, int, int | bytes, int, int]
"""Field number, wire type, value (int for varints, else bytes), and where the record starts and ends in the message."""


def malformed(what: str) -> ApiError:
    return bad_request(f"the body is not valid protobuf: {what}")


def records(data: bytes) -> Iterator[Record]:
    """The records of a message in their order. Raises ApiError 400 for what is cut off or no protobuf."""
    at, end = 0, len(data)
    while at < end:
        start = at
        key, at = read_varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number <= MAX_NUMBER:
            raise malformed("a field number is out of range")
        value, at = _value(wire, data, at)
        yield number, wire, value, start, at


def _value(wire: int, data: bytes, at: int) -> tuple[int | bytes, int]:
    if wire == BYTES:
        length, at = read_varint(data, at)
        return _cut(data, at, length), at + length
    if wire == VARINT:
        return read_varint(data, at)
    if wire in (FIXED64, FIXED32):
        length = 8 if wire == FIXED64 else 4
        return _cut(data, at, length), at + length
    raise malformed("a field has a wire type that is not supported")  # groups (3, 4) and what does not exist (6, 7)


def _cut(data: bytes, at: int, length: int) -> bytes:
    if length > len(data) - at:
        raise malformed("a field is longer than its message")
    return data[at : at + length]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits, and the offset after it."""
    if at < len(data) and data[at] < 0x80:  # nearly all of them
        return data[at], at + 1
    value = shift = 0
    for offset in range(at, min(at + 10, len(data))):
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, offset + 1
        shift += 7
    raise malformed("a number is cut off or longer than 64 bits")


def varint(value: int) -> bytes:
    """A number from 0 up; a negative one as the 64 bits of its two's complement."""
    if 0 <= value < 0x80:
        return _ONE[value]
    value &= (1 << 64) - 1
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def record(number: int, wire: int, payload: bytes) -> bytes:
    """One record; `payload` is the value as written, for BYTES without its length."""
    key = varint(number << 3 | wire)
    return b"".join((key, varint(len(payload)), payload)) if wire == BYTES else key + payload
