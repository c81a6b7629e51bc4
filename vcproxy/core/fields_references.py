"""Lenses of references to objects, and of the names of Private kinds, which references hold too."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from vcproxy.core.apis import definition_down, definition_up
from vcproxy.core.fields_classes import (
    ATTRIBUTES_CLASS,
    DEVICE_CLASS,
    INGRESS_CLASS,
    PRIORITY_CLASS,
    RUNTIME_CLASS,
    STORAGE_CLASS,
    VOLUME,
)
from vcproxy.core.fields_groups import version_down, version_up
from vcproxy.core.fields_names import NAMESPACE, OWN_NAME, namespace_down, namespace_up
from vcproxy.core.lens import ID, Inside, Lens, Way
from vcproxy.core.names import TenantId
from vcproxy.core.scope import Scope

NAMED: Final[Mapping[tuple[str, str], Lens]] = MappingProxyType(
    {
        ("", "Namespace"): NAMESPACE,
        ("", "PersistentVolume"): VOLUME,
        ("networking.k8s.io", "IngressClass"): INGRESS_CLASS,
        ("node.k8s.io", "RuntimeClass"): RUNTIME_CLASS,
        ("resource.k8s.io", "DeviceClass"): DEVICE_CLASS,
        ("scheduling.k8s.io", "PriorityClass"): PRIORITY_CLASS,
        ("storage.k8s.io", "CSIDriver"): OWN_NAME,
        ("storage.k8s.io", "StorageClass"): STORAGE_CLASS,
        ("storage.k8s.io", "VolumeAttachment"): OWN_NAME,
        ("storage.k8s.io", "VolumeAttributesClass"): ATTRIBUTES_CLASS,
    }
)
"""Private kinds by (group, kind): the lens of their names."""
_NAMED_KINDS: Final = frozenset(kind for _, kind in NAMED)


def _reference(
    direction: Callable[[str, Scope], str],
    version: Callable[[str, Scope], str],
    definition: Callable[[TenantId, str], str],
) -> Way:
    def rewrite(value: Any, scope: Scope) -> Any:
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("apiVersion"), str):
            value["apiVersion"] = version(value["apiVersion"], scope)
        if value.get("kind") == "CustomResourceDefinition" and isinstance(value.get("name"), str):
            value["name"] = definition(scope.tenant, value["name"])
        if isinstance(value.get("namespace"), str) and value["namespace"]:
            value["namespace"] = direction(value["namespace"], scope)
        lens = _name_of(value)
        if lens is not None and isinstance(value.get("name"), str) and value["name"]:
            value["name"] = (lens.up if direction is namespace_up else lens.down)(value["name"], scope)
        return value

    return rewrite


def _name_of(reference: dict[str, Any]) -> Lens | None:
    """The lens of the name in a reference (dict with apiVersion and kind) to an object of cluster scope."""
    kind = reference.get("kind")
    if kind not in _NAMED_KINDS:
        return None
    if kind == "Namespace":
        return NAMESPACE if reference.get("apiVersion") in ("v1", "", None) else None
    version = reference.get("apiVersion")
    group = version.rpartition("/")[0] if isinstance(version, str) else ""
    return NAMED.get((group, str(kind)))


REFERENCE: Final = Lens(
    "REFERENCE",
    _reference(namespace_up, version_up, definition_up),
    _reference(namespace_down, version_down, definition_down),
    Inside.CLOSED,
    wakes=("amespace", ID),  # the key `namespace`, or the kind Namespace; a group of the tenant's
)
