"""Tables: cells that show names, by kind and column.

A Table (KEP-491) is what `kubectl get` prints; its rows hold an object, rewritten by the rules of its kind, and cells,
rewritten by these rows. Cells are never written, and some are shown as they are.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from vcproxy.core import fields_private
from vcproxy.core.apis import BUILT_IN
from vcproxy.core.fields_classes import (
    ATTRIBUTES_CLASS,
    DEVICE_CLASS,
    INGRESS_CLASS,
    PRIORITY_CLASS,
    RUNTIME_CLASS,
    STORAGE_CLASS,
    VOLUME,
)
from vcproxy.core.fields_groups import DEFINITION, GROUP
from vcproxy.core.fields_names import NAMESPACE, OWN_NAME, namespace_down
from vcproxy.core.fields_texts import TEXT
from vcproxy.core.lens import Lens, same
from vcproxy.core.scope import Scope

NO_ANNOTATIONS: Final[Mapping[str, Any]] = MappingProxyType({})


def _event_object_down(value: Any, scope: Scope) -> Any:
    """The Object cell of an Event: `namespace/<name>` holds a name that carries the prefix, `pod/<name>` does not."""
    if not isinstance(value, str):
        return value
    kind, slash, name = value.partition("/")
    return f"{kind}/{namespace_down(name, scope)}" if slash and kind == "namespace" else value


def _claim_down(value: Any, scope: Scope) -> Any:
    """The Claim cell of a PersistentVolume: `<namespace>/<name>`."""
    namespace, slash, name = value.partition("/") if isinstance(value, str) else ("", "", "")
    return f"{namespace_down(namespace, scope)}/{name}" if slash else value


_DEFAULT_NAME: Final = Lens("DEFAULT_NAME", STORAGE_CLASS.up, STORAGE_CLASS.down)
_DEFAULT_CELL: Final = Lens("DEFAULT_CELL", same, same)
_DEFAULTS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = MappingProxyType(
    {
        "DEFAULT_NAME": ("storageclass.kubernetes.io", lambda cell: f"{cell} (default)"),
        "DEFAULT_CELL": ("globalDefault", lambda cell: True),
    }
)
"""Cells that tell of a tenant's default class, which the host does not know: what marks it, and what is shown then."""
_CLAIM: Final = Lens("CLAIM", same, _claim_down)
_EVENT: Final = {
    "Object": Lens("EVENT_OBJECT", same, _event_object_down),
    "Message": TEXT,
}

CELLS: Final[Mapping[tuple[str, str], Mapping[str, Lens]]] = MappingProxyType(
    {
        ("", "Namespace"): {"Name": NAMESPACE},
        ("apiextensions.k8s.io", "CustomResourceDefinition"): {"Name": DEFINITION, "Group": GROUP},
        ("", "Event"): _EVENT,
        ("events.k8s.io", "Event"): _EVENT,
        ("", "PersistentVolume"): {
            "Name": VOLUME,
            "Claim": _CLAIM,
            "StorageClass": STORAGE_CLASS,
            "VolumeAttributesClass": ATTRIBUTES_CLASS,
        },
        ("", "PersistentVolumeClaim"): {
            "StorageClass": STORAGE_CLASS,
            "Volume": VOLUME,
            "VolumeAttributesClass": ATTRIBUTES_CLASS,
        },
        ("networking.k8s.io", "Ingress"): {"Class": INGRESS_CLASS},
        ("networking.k8s.io", "IngressClass"): {"Name": INGRESS_CLASS},
        ("node.k8s.io", "RuntimeClass"): {"Name": RUNTIME_CLASS},
        ("resource.k8s.io", "DeviceClass"): {"Name": DEVICE_CLASS},
        ("scheduling.k8s.io", "PriorityClass"): {"Name": PRIORITY_CLASS, "Global-Default": _DEFAULT_CELL},
        ("storage.k8s.io", "CSIDriver"): {"Name": OWN_NAME},
        ("storage.k8s.io", "StorageClass"): {"Name": _DEFAULT_NAME},
        ("storage.k8s.io", "VolumeAttachment"): {"Name": OWN_NAME, "PV": VOLUME},
        ("storage.k8s.io", "VolumeAttributesClass"): {"Name": ATTRIBUTES_CLASS},
        ("storage.k8s.io", "CSIStorageCapacity"): {"StorageClassName": STORAGE_CLASS},
    }
)
"""Lens by column name, by (group, kind)."""


def has_names(group: str, kind: str) -> bool:
    """Whether a Table of a kind may have cells that show names of the host."""
    return group not in BUILT_IN or (group, kind) in CELLS


_PATH: Final = "Custom resource definition column (in JSONPath format): "
"""Begins the description of a column whose author wrote none (apiextensions-apiserver: tableconvertor)."""


def _may_hold_names(column: Any) -> bool:
    """Whether the author of a definition may have had a host name shown: metadata, apiVersion, or the whole object."""
    if not isinstance(column, dict) or column.get("format") == "name":
        return False
    path = str(column.get("description")).removeprefix(_PATH)
    return not path.startswith((".spec.", ".status."))


def columns(definitions: Any, group: str, kind: str) -> dict[int, Lens]:
    """Which cells of a row are rewritten, by index."""
    if not isinstance(definitions, list):
        return {}
    if group not in BUILT_IN:
        return {index: TEXT for index, column in enumerate(definitions) if _may_hold_names(column)}
    lenses = CELLS.get((group, kind), {})
    return {
        index: lenses[column["name"]]
        for index, column in enumerate(definitions)
        if isinstance(column, dict) and column.get("name") in lenses
    }


def rewrite_cells(
    line: dict[str, Any], lenses: Mapping[int, Lens], scope: Scope, annotations: Mapping[str, Any] = NO_ANNOTATIONS
) -> None:
    """Rewrite the cells of one row in place; `annotations` are those of its object on the host."""
    cells = line.get("cells")
    if not isinstance(cells, list):
        return
    for index, lens in lenses.items():
        if index < len(cells):
            cells[index] = lens.down(cells[index], scope)
            if lens.name in _DEFAULTS and fields_private.is_default(annotations, _DEFAULTS[lens.name][0]):
                cells[index] = _DEFAULTS[lens.name][1](cells[index])
