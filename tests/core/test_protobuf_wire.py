"""The wire format: what is read, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core.protobuf_wire import (
    BYTES,
    FIXED32,
    FIXED64,
    MAX_NUMBER,
    VARINT,
    key_of,
    read_varint,
    record,
    sized,
    varint,
)
from vcproxy.core.protobuf_wire import records as read
from vcproxy.core.status import ApiError

numbers = st.integers(0, 2**64 - 1)


def refusal(data: bytes) -> str:
    with pytest.raises(ApiError) as caught:
        list(read(data))
    assert caught.value.status.code == 400
    return caught.value.status.message.removeprefix("the body is not valid protobuf: ")


@given(numbers)
def test_a_number_is_read_as_it_was_written(number: int) -> None:
    assert read_varint(varint(number), 0) == (number, len(varint(number)))


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (-1, b"\xff" * 9 + b"\x01")],
)
def test_numbers_are_written_as_the_format_says(number: int, written: bytes) -> None:
    assert varint(number) == written


@given(st.integers(1, MAX_NUMBER), st.one_of(numbers, st.binary(max_size=300)))
def test_a_record_is_read_as_it_was_written(number: int, value: int | bytes) -> None:
    wire = BYTES if isinstance(value, bytes) else VARINT
    data = record(number, wire, sized(value) if isinstance(value, bytes) else varint(value))
    assert list(read(data)) == [(key_of(number, wire), value, 0, len(data))]


def test_numbers_of_fixed_length_are_kept_as_their_bytes() -> None:
    data = b"\x0d" + b"abcd" + b"\x11" + b"abcdefgh"
    assert list(read(data)) == [(key_of(1, FIXED32), b"abcd", 0, 5), (key_of(2, FIXED64), b"abcdefgh", 5, 14)]


def test_a_number_longer_than_needed_is_read() -> None:
    assert list(read(b"\x88\x00\x81\x80\x00")) == [(key_of(1, VARINT), 1, 0, 5)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80", "a number is cut off or longer than 64 bits"),
        (b"\x08", "a number is cut off or longer than 64 bits"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "a number is cut off or longer than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "a number is cut off or longer than 64 bits"),
        (b"\x0a", "a number is cut off or longer than 64 bits"),
        (b"\x0a\x02a", "a field is longer than its message"),
        (b"\x0a" + varint(2**63) + b"a", "a field is longer than its message"),
        (b"\x0a" + varint(2**64 - 1) + b"a", "a field is longer than its message"),
        (b"\x0dabc", "a field is longer than its message"),
        (b"\x09abcdefg", "a field is longer than its message"),
        (b"\x02\x00", "a field number is out of range"),
        (varint(key_of(MAX_NUMBER + 1, VARINT)) + b"\x00", "a field number is out of range"),
        (b"\x0b\x0c", "a field has a wire type that is not supported"),
        (b"\x0e\x00", "a field has a wire type that is not supported"),
        (b"\x0f\x00", "a field has a wire type that is not supported"),
    ],
)
def test_what_is_no_protobuf_is_refused(data: bytes, message: str) -> None:
    assert refusal(data) == message


@given(st.binary(max_size=40))
def test_any_bytes_are_records_that_cover_them_or_refused(data: bytes) -> None:
    try:
        found = list(read(data))
    except ApiError as refused:
        code = refused.status.code
    else:
        code = 400
        assert b"".join(data[start:end] for _, _, start, end in found) == data
    assert code == 400
