"""Lenses of ResourceQuotas: names of counted resources, as keys and in managed fields, and scopes."""

from collections.abc import Callable
from typing import Any, Final

from vcproxy.core.fields_classes import ATTRIBUTES_CLASS, DEVICE_CLASS, PRIORITY_CLASS, STORAGE_CLASS
from vcproxy.core.fields_groups import group_down, group_up
from vcproxy.core.fields_managed import managed_down, managed_up
from vcproxy.core.lens import ID, OURS, Inside, Lens, Way
from vcproxy.core.scope import Scope


def _resource_keys(direction: Callable[[Lens], Way], group: Callable[[str, Scope], str]) -> Way:
    def rewrite(value: Any, scope: Scope) -> Any:
        if not isinstance(value, dict):
            return value
        return {_resource_key(key, direction, group, scope): inner for key, inner in value.items()}

    return rewrite


_COUNT: Final = "count/"
"""Begins the name of a count of objects: `count/widgets.example.com`."""
_CLASS_RESOURCES: Final = (
    (".storageclass.storage.k8s.io/", STORAGE_CLASS),
    (".deviceclass.resource.k8s.io/", DEVICE_CLASS),
)


def _resource_key(
    key: str, direction: Callable[[Lens], Way], of_group: Callable[[str, Scope], str], scope: Scope
) -> str:
    resource, dot, group = key.partition(".")
    if resource.startswith(_COUNT) and group:
        return f"{resource}{dot}{of_group(group, scope)}"
    for mark, lens in _CLASS_RESOURCES:
        name, found, rest = key.partition(mark)
        if found:
            return f"{direction(lens)(name, scope)}{mark}{rest}"
    return key


RESOURCE_KEYS: Final = Lens(
    "RESOURCE_KEYS",
    _resource_keys(lambda lens: lens.up, group_up),
    _resource_keys(lambda lens: lens.down, group_down),
    Inside.FIELDS,
    wakes=(ID,),
)
"""Names of counted resources that hold a class (`gold.storageclass.storage.k8s.io/requests.storage`) or a group."""


def _quota_managed(managed: Way, direction: Callable[[Lens], Way], group: Callable[[str, Scope], str]) -> Way:
    """Managed fields of a ResourceQuota: names of counted resources are keys in them, too."""

    def named(fields: Any, depth: int, scope: Scope) -> Any:
        if not isinstance(fields, dict):
            return fields
        if depth == 0:
            return {_field(key, scope): inner for key, inner in fields.items()}
        found = _QUOTA_FIELDS[-depth]
        return {key: named(inner, depth - 1, scope) if key in found else inner for key, inner in fields.items()}

    def _field(key: str, scope: Scope) -> str:
        return f"f:{_resource_key(key[2:], direction, group, scope)}" if key.startswith("f:") else key

    def rewrite(value: Any, scope: Scope) -> Any:
        entries = managed(value, scope)
        if not isinstance(entries, list):
            return entries
        return [
            {**entry, "fieldsV1": named(entry["fieldsV1"], len(_QUOTA_FIELDS), scope)}
            if isinstance(entry, dict) and "fieldsV1" in entry
            else entry
            for entry in entries
        ]

    return rewrite


_QUOTA_FIELDS: Final = (("f:spec", "f:status"), ("f:hard", "f:used"))
"""Where the names of counted resources stand."""
QUOTA_MANAGED_FIELDS: Final = Lens(
    "MANAGED_FIELDS",
    _quota_managed(managed_up, lambda lens: lens.up, group_up),
    _quota_managed(managed_down, lambda lens: lens.down, group_down),
    Inside.CLOSED,
    wakes=(OURS, ID),
)


def _scope_selector(direction: Callable[[Lens], Way]) -> Way:
    def rewrite(value: Any, scope: Scope) -> Any:
        lens = {"PriorityClass": PRIORITY_CLASS, "VolumeAttributesClass": ATTRIBUTES_CLASS}
        if isinstance(value, dict) and value.get("scopeName") in lens and isinstance(value.get("values"), list):
            way = direction(lens[value["scopeName"]])
            value["values"] = [way(item, scope) for item in value["values"]]
        return value

    return rewrite


SCOPE_SELECTOR: Final = Lens(
    "SCOPE_SELECTOR",
    _scope_selector(lambda lens: lens.up),
    _scope_selector(lambda lens: lens.down),
    Inside.CLOSED,
    wakes=(ID,),
)
