"""Objects that Go wrote (scripts/protobuf_fixtures), and how a decoded one is compared with its JSON."""

import json
from pathlib import Path
from typing import Any

from vcproxy.core.protobuf_scalars import Opaque
from vcproxy.core.protobuf_schema import HIDDEN

FOLDER = Path(__file__).parent.parent / "fixtures" / "protobuf"
NAMES = sorted(path.stem for path in FOLDER.glob("*.pb"))


def binary(name: str, folder: Path = FOLDER) -> bytes:
    return (folder / f"{name}.pb").read_bytes()


def text(name: str, folder: Path = FOLDER) -> Any:
    return json.loads((folder / f"{name}.json").read_text())


def differences(decoded: Any, expected: Any, at: str = "") -> list[str]:
    """Where a decoded value is not what its JSON says. Go leaves empty values out of JSON, not off the wire."""
    if isinstance(decoded, Opaque):
        return []
    if isinstance(decoded, dict) and isinstance(expected, dict):
        keys = sorted(key for key in {*decoded, *expected} if not key.startswith(HIDDEN))
        return [found for key in keys for found in _at_key(decoded, expected, key, f"{at}.{key}")]
    if isinstance(decoded, list) and isinstance(expected, list) and len(decoded) == len(expected):
        pairs = enumerate(zip(decoded, expected, strict=True))
        return [found for index, (one, other) in pairs for found in differences(one, other, f"{at}[{index}]")]
    return [] if decoded == expected else [at]


def _at_key(decoded: dict[str, Any], expected: dict[str, Any], key: str, at: str) -> list[str]:
    if key in decoded and key in expected:
        return differences(decoded[key], expected[key], at)
    if key in decoded:
        return [] if _empty(decoded[key]) else [at]
    return [] if expected[key] is None else [at]


def _empty(value: Any) -> bool:
    """Whether Go leaves a value out of JSON: a zero, or a struct of zeros."""
    if isinstance(value, Opaque):
        return not value.raw
    if isinstance(value, dict):
        return all(key.startswith(HIDDEN) or _empty(inner) for key, inner in value.items())
    return not value
