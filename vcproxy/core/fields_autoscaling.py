"""The lens of annotations that hold parts of a HorizontalPodAutoscaler as JSON: what autoscaling/v1 has no fields for.

The API server makes them of the fields of autoscaling/v2 when it shows an object as v1, and reads the fields out of
them when it is told one (k8s.io/kubernetes/pkg/apis/autoscaling/v1: conversion.go). So the rules of these fields hold
in them: groups in references to objects, and messages of conditions.
"""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from vcproxy.core import gojson
from vcproxy.core.fields_groups import version_down, version_up
from vcproxy.core.fields_texts import text_down
from vcproxy.core.lens import ID, Inside, Lens, text
from vcproxy.core.scope import Scope
from vcproxy.core.status import invalid

ANNOTATIONS: Final = tuple(
    f"autoscaling.alpha.kubernetes.io/{part}" for part in ("behavior", "conditions", "current-metrics", "metrics")
)
_FIELD: Final = "metadata.annotations[autoscaling.alpha.kubernetes.io]"
_UNREADABLE: Final = "must be JSON as the API server writes it: what it names cannot be told otherwise"
Rename = Callable[[str, Scope], str]


def _decoded(value: str) -> Any:
    """What the text holds, or None where it is no JSON (null names nothing either)."""
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return None


def _walked(value: Any, ways: dict[str, Rename], scope: Scope) -> Any:
    """A copy with each text that stands under one of these names, in any case: so encoding/json finds fields."""
    if isinstance(value, list):
        return [_walked(inner, ways, scope) for inner in value]
    if not isinstance(value, dict):
        return value
    return {key: _member(inner, ways.get(key.casefold()), ways, scope) for key, inner in value.items()}


def _member(value: Any, way: Rename | None, ways: dict[str, Rename], scope: Scope) -> Any:
    return way(value, scope) if way is not None and isinstance(value, str) else _walked(value, ways, scope)


def _up(value: str, scope: Scope) -> str:
    found = _decoded(value)
    if found is None and ("/" in value or "\\" in value):
        raise invalid("autoscaling", "HorizontalPodAutoscaler", "", _FIELD, _UNREADABLE)
    if found is not None and _repeats(
        value
    ):  # a reader that merges them, as encoding/json does, would find what was not looked at here
        raise invalid("autoscaling", "HorizontalPodAutoscaler", "", _FIELD, "must not name a field twice")
    return _written(value, found, _walked(found, {"apiversion": version_up}, scope))


def _repeats(value: str) -> bool:
    """Whether any object in a JSON text has a key twice, or a second reader finds it odd."""
    repeated = False

    def seen(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len({key for key, _ in pairs}) < len(pairs)

    try:
        json.loads(value, object_pairs_hook=seen)
    except (ValueError, RecursionError):
        return True
    return repeated


def _down(value: str, scope: Scope) -> str:
    found = _decoded(value)
    if found is None:
        return text_down(value, scope)
    return _written(value, found, _walked(found, {"apiversion": version_down, "message": text_down}, scope))


def _written(value: str, before: Any, after: Any) -> str:
    return value if after == before else gojson.written(after)


SCALING: Final = Lens("SCALING", text(_up), text(_down), Inside.CLOSED, wakes=(ID,))
"""Text that cannot be read is shown as free text, and refused on the way up where it could name a group."""
