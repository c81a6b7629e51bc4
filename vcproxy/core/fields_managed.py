"""Lenses of managed fields: who owns which field of an object (structured-merge-diff)."""

from collections.abc import Callable
from typing import Any, Final

from vcproxy.core.fields_groups import version_down, version_up
from vcproxy.core.lens import ID, OURS, Inside, Lens
from vcproxy.core.names import RESERVED_PREFIX
from vcproxy.core.scope import Scope

CONTROLLER: Final = "vcproxy-controller"
"""The field manager of what vcproxy itself writes on the host."""


def managed_down(value: Any, scope: Scope) -> Any:
    """`metadata.managedFields` (list of entries) in the tenant's names, without our own; None where none is left."""
    if not isinstance(value, list):
        return value
    entries = (_managed_entry(_versioned(entry, version_down, scope)) for entry in value)
    kept = [entry for entry, was in zip(entries, value, strict=True) if entry is not None or was is None]
    return kept if kept or not value else None


def managed_up(value: Any, scope: Scope) -> Any:
    """The same for the host: the versions in it are rewritten."""
    return [_versioned(entry, version_up, scope) for entry in value] if isinstance(value, list) else value


def _versioned(entry: Any, version: Callable[[str, Scope], str], scope: Scope) -> Any:
    """An entry that names the version of the tenant's own group that its fields are those of."""
    if not isinstance(entry, dict) or not isinstance(entry.get("apiVersion"), str):
        return entry
    named = version(entry["apiVersion"], scope)
    return entry if named == entry["apiVersion"] else {**entry, "apiVersion": named}


def _managed_entry(entry: Any) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("fieldsV1"), dict):
        return entry
    fields = _without_own_fields(entry["fieldsV1"])
    if not fields and entry["fieldsV1"]:
        return None
    manager = {"manager": "kube-apiserver"} if entry.get("manager") == CONTROLLER else {}
    return {**entry, **manager, "fieldsV1": fields}


def _without_own_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """A FieldsV1 set (structured-merge-diff) without our labels and annotations, and without what that leaves empty."""
    kept: dict[str, Any] = {}
    for key, inner in fields.items():
        if key.startswith(f"f:{RESERVED_PREFIX}") or key == f'v:"{RESERVED_PREFIX}last"':
            continue
        cleaned = _without_own_fields(inner) if isinstance(inner, dict) and inner else inner
        if cleaned or not inner:
            kept[key] = cleaned
    return {} if kept.keys() == {"."} and fields.keys() != {"."} else kept


MANAGED_FIELDS: Final = Lens("MANAGED_FIELDS", managed_up, managed_down, Inside.CLOSED, wakes=(OURS, ID))
