"""Scalars: how their values are read and written."""

from typing import Any

import pytest

from vcproxy.core.protobuf_scalars import READERS, WRITERS, Opaque, Scalar
from vcproxy.core.protobuf_wire import varint
from vcproxy.core.status import ApiError

KEPT = [
    (Scalar.STRING, b"\xc3\xa9", "é", b"\x02\xc3\xa9"),
    (Scalar.STRING, b"", "", b"\0"),
    (Scalar.BYTES, b"\xff", Opaque(b"\xff"), b"\x01\xff"),
    (Scalar.OPAQUE, b"\x08\x01", Opaque(b"\x08\x01"), b"\x02\x08\x01"),
    (Scalar.BOOL, 1, True, b"\x01"),
    (Scalar.BOOL, 0, False, b"\0"),
    (Scalar.INT32, 2**64 - 1, -1, varint(-1)),
    (Scalar.INT32, 2**31 - 1, 2**31 - 1, varint(2**31 - 1)),
    (Scalar.INT64, 2**63, -(2**63), varint(2**63)),
]


@pytest.mark.parametrize(("scalar", "value", "read", "written"), KEPT)
def test_a_scalar_is_read_and_written(scalar: Scalar, value: Any, read: Any, written: bytes) -> None:
    assert READERS[scalar](value) == read
    assert type(READERS[scalar](value)) is type(read)
    assert WRITERS[scalar](read) == written


def test_a_number_is_cut_to_its_bits_as_the_api_server_does() -> None:
    assert READERS[Scalar.INT32](2**32 + 5) == 5
    assert READERS[Scalar.BOOL](2) is True


def test_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        READERS[Scalar.STRING](b"\xff")
    assert caught.value.status.code == 400


@pytest.mark.parametrize("scalar", list(Scalar))
def test_a_value_of_another_type_is_refused(scalar: Scalar) -> None:
    with pytest.raises(ApiError) as caught:
        WRITERS[scalar]([])
    assert caught.value.status.code == 415
