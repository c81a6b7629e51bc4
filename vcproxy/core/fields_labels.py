"""Lenses of labels and annotations: what begins with `vcproxy.io/` is not a tenant's to write or to see."""

from collections.abc import Collection
from typing import Any, Final

from vcproxy.core.lens import OURS, Inside, Lens
from vcproxy.core.names import RESERVED_PREFIX
from vcproxy.core.scope import Scope
from vcproxy.core.status import forbidden


def reserved(key: str) -> bool:
    """Whether a label or annotation is vcproxy's own."""
    return key.startswith(RESERVED_PREFIX)


def refuse_reserved(keys: Collection[Any], what: str) -> None:
    """Raises ApiError 403 where one of the keys is reserved; `what` says what they are."""
    for key in keys:
        if isinstance(key, str) and reserved(key):
            raise forbidden(f"the {what} {key!r} is reserved: leave it out")


def _hidden(what: str, *, hides: bool = False) -> Lens:
    def hide_up(value: Any, scope: Scope) -> Any:
        if isinstance(value, dict):
            refuse_reserved(value.keys(), what)
        return value

    return Lens("HIDDEN", hide_up, without_reserved, Inside.FIELDS, hides=hides, wakes=(OURS,))


def without_reserved(value: Any, scope: Scope) -> Any:
    """Labels or annotations (dict) without the reserved ones, None where that leaves nothing."""
    if not isinstance(value, dict) or not any(map(reserved, value)):
        return value
    return {key: inner for key, inner in value.items() if not reserved(key)} or None


HIDDEN_LABELS: Final = _hidden("label")
HIDDEN_ANNOTATIONS: Final = _hidden("annotation")
EVENT_ANNOTATIONS: Final = _hidden("annotation", hides=True)
