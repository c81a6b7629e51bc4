"""Tables: cells that show names, by kind and column.

A Table (KEP-491) is what `kubectl get` prints; its rows hold an object, rewritten by the rules of its kind, and cells,
rewritten by these rows.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from vcproxy.core import fields
from vcproxy.core.fields import Lens, Scope


def _event_object_down(value: Any, scope: Scope) -> Any:
    """The Object cell of an Event: `namespace/<name>` holds a name that carries the prefix, `pod/<name>` does not."""
    if not isinstance(value, str):
        return value
    kind, slash, name = value.partition("/")
    return f"{kind}/{fields.namespace_down(name, scope)}" if slash and kind == "namespace" else value


_EVENT: Final = {
    "Object": Lens("EVENT_OBJECT", lambda value, scope: value, _event_object_down),
    "Message": fields.TEXT,
}

CELLS: Final[Mapping[tuple[str, str], Mapping[str, Lens]]] = MappingProxyType(
    {
        ("", "Namespace"): {"Name": fields.NAMESPACE},
        ("", "Event"): _EVENT,
        ("events.k8s.io", "Event"): _EVENT,
        ("", "PersistentVolumeClaim"): {
            "StorageClass": fields.STORAGE_CLASS,
            "Volume": fields.VOLUME,
            "VolumeAttributesClass": fields.ATTRIBUTES_CLASS,
        },
        ("networking.k8s.io", "Ingress"): {"Class": fields.INGRESS_CLASS},
        ("storage.k8s.io", "CSIStorageCapacity"): {"StorageClassName": fields.STORAGE_CLASS},
    }
)
"""Lens by column name, by (group, kind)."""


def columns(definitions: Any, group: str, kind: str) -> dict[int, Lens]:
    """Which cells of a row are rewritten, by index."""
    lenses = CELLS.get((group, kind))
    if not lenses or not isinstance(definitions, list):
        return {}
    return {
        index: lenses[column["name"]]
        for index, column in enumerate(definitions)
        if isinstance(column, dict) and column.get("name") in lenses
    }


def rewrite_cells(line: dict[str, Any], lenses: Mapping[int, Lens], scope: Scope) -> None:
    """Rewrite the cells of one row in place."""
    cells = line.get("cells")
    if not isinstance(cells, list):
        return
    for index, lens in lenses.items():
        if index < len(cells):
            cells[index] = lens.down(cells[index], scope)
