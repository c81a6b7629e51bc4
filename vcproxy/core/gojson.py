"""JSON as Go's encoding/json writes it of a map: keys in order, and three signs escaped for pages that might hold it.

So the API server and kubectl write the annotation kubectl.kubernetes.io/last-applied-configuration, which is compared
byte by byte.
"""

import re
from decimal import Decimal
from typing import Any, Final

import msgspec

_SIGNS: Final = {sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
_signs = re.compile("[<>&\u2028\u2029]")
_fraction = re.compile(r"[0-9](?:\.[0-9]|[eE])")
_encoder = msgspec.json.Encoder(order="sorted")
_as_it_is = msgspec.json.Encoder()


def encode(value: Any) -> str:
    return _encoded(value, _encoder)


def written(value: Any) -> str:
    """The same of a struct: members stay in their order."""
    return _encoded(value, _as_it_is)


def _encoded(value: Any, encoder: msgspec.json.Encoder) -> str:
    text = encoder.encode(value).decode()
    if _fraction.search(text):  # seldom a number: most are versions in texts
        text = encoder.encode(_with_numbers(value)).decode()
    return _signs.sub(lambda match: _SIGNS[match[0]], text)


def _with_numbers(value: Any) -> Any:
    """A copy whose fractions stand as Go writes them."""
    if isinstance(value, dict):
        return {key: _with_numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_numbers(one) for one in value]
    return msgspec.Raw(number(value).encode()) if isinstance(value, float) else value


def number(value: float) -> str:
    """encoding/json: floatEncoder. Without an exponent from 1e-6 up to 1e21."""
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return re.sub(r"e-0(?=\d$)", "e-", repr(value))
