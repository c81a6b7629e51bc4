"""JSON as Go writes it; the expected texts were printed by encoding/json."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core import bodies, gojson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None], "B": {}}, '{"B":{},"a":[true,null],"b":1}'),
        ('<a href="x">&</a>', r'"\u003ca href=\"x\"\u003e\u0026\u003c/a\u003e"'),
        ("\u2028\u2029 ü \U0001f600 \x7f", '"\\u2028\\u2029 ü \U0001f600 \x7f"'),
        ("\b\f\n\r\t\x00\x1f\\/", r'"\b\f\n\r\t\u0000\u001f\\/"'),
        ([0.5, 1.0, 1e20, -2.5, 1e16], "[0.5,1,100000000000000000000,-2.5,10000000000000000]"),
        ([1e21, 1e30, 1e-6, 1e-7, 1.5e-10], "[1e+21,1e+30,0.000001,1e-7,1.5e-10]"),
        ({"image": "x:1.25", "n": 3.0}, '{"image":"x:1.25","n":3}'),
    ],
)
def test_values_are_written_as_go_writes_them(value: Any, text: str) -> None:
    assert gojson.encode(value) == text


@given(VALUES)
def test_what_is_written_is_read_as_it_was_and_written_again_alike(value: Any) -> None:
    text = gojson.encode(value)
    assert json.loads(text) == value
    assert gojson.encode(json.loads(text)) == text
    assert not set("<>&\u2028\u2029") & set(text)


@given(VALUES.map(lambda value: {"value": value}))
def test_an_apply_means_the_same_as_json_and_as_yaml(value: Any) -> None:
    raw = bodies.encode_apply(value)
    assert json.loads(raw) == value
    text = raw.decode()
    assert all(sign.isprintable() or sign == " " or ord(sign) > 0x9F for sign in text)
    assert not set("\u2028\u2029\ufeff\x85\x7f") & set(text)
