"""Lenses of Namespaces: whose one is, which ones a selector means, and what its conditions tell."""

from collections.abc import Callable
from typing import Any, Final

from vcproxy.core.fields_labels import refuse_reserved, without_reserved
from vcproxy.core.fields_names import namespace_down, namespace_up
from vcproxy.core.lens import OURS, Inside, Lens, same
from vcproxy.core.names import RESERVED_PREFIX, TENANT_LABEL
from vcproxy.core.scope import Scope
from vcproxy.core.status import forbidden

NAME_LABEL: Final = "kubernetes.io/metadata.name"
HOST_LABEL_PREFIXES: Final = ("pod-security.kubernetes.io/", "resource.kubernetes.io/admin-access")
"""Labels of a namespace that the host trusts; a tenant does not set them (docs/architecture.md, "Two walls")."""


def _owner_up(value: Any, scope: Scope) -> Any:
    if value is None and scope.full:
        value = {}
    if not isinstance(value, dict):
        return value
    refuse_reserved(value.keys(), "label")
    for key in value:
        if isinstance(key, str) and key.startswith(HOST_LABEL_PREFIXES):
            raise forbidden(f"the label {key!r} of a namespace is set by the provider of this cluster: leave it out")
    return {**value, TENANT_LABEL: scope.tenant} if scope.full else value


OWNER_LABEL: Final = Lens(
    "OWNER_LABEL", _owner_up, without_reserved, Inside.FIELDS, adds=True, hides=True, wakes=(OURS,)
)
"""Labels of a Namespace: the owner's label goes on on the way up and off on the way down."""


def _selector(direction: Callable[[str, Scope], str], value: Any, scope: Scope) -> Any:
    labels = value.get("matchLabels")
    if isinstance(labels, dict) and isinstance(labels.get(NAME_LABEL), str):
        labels[NAME_LABEL] = direction(labels[NAME_LABEL], scope)
    for requirement in value.get("matchExpressions") or ():
        if isinstance(requirement, dict) and requirement.get("key") == NAME_LABEL:
            values = requirement.get("values")
            if isinstance(values, list):
                requirement["values"] = [direction(v, scope) if isinstance(v, str) else v for v in values]
    return value


def _selector_up(value: Any, scope: Scope) -> Any:
    if not isinstance(value, dict):
        return value
    labels = value.get("matchLabels")
    refuse_reserved(labels or () if isinstance(labels, dict) else (), "label")
    _selector(namespace_up, value, scope)
    return {**value, "matchLabels": {**(labels if isinstance(labels, dict) else {}), TENANT_LABEL: scope.tenant}}


def _selector_down(value: Any, scope: Scope) -> Any:
    if not isinstance(value, dict):
        return value
    _selector(namespace_down, value, scope)
    labels = without_reserved(value.get("matchLabels"), scope)
    if labels is None and value.get("matchLabels") is not None:
        return {key: inner for key, inner in value.items() if key != "matchLabels"}
    return {**value, "matchLabels": labels} if "matchLabels" in value else value


NAMESPACE_SELECTOR: Final = Lens(
    "NAMESPACE_SELECTOR", _selector_up, _selector_down, Inside.CLOSED, wakes=(OURS, NAME_LABEL)
)
"""A label selector over namespaces: within the tenant's own ones. An empty one means all of them."""


_REMAINING: Final = {
    "NamespaceContentRemaining": (
        "rolebindings.rbac.authorization.k8s.io ",
        "ContentRemoved",
        "All content successfully removed",
    ),
    "NamespaceFinalizersRemaining": (
        f"{RESERVED_PREFIX}last ",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


def _condition_down(value: Any, scope: Scope) -> Any:
    """Our own RoleBinding goes last from a namespace: what conditions tell of it is taken out of their lists."""
    if not isinstance(value, dict) or value.get("type") not in _REMAINING or not isinstance(value.get("message"), str):
        return value
    own, reason, message = _REMAINING[value["type"]]
    head, separator, items = value["message"].partition(": ")
    kept = [item for item in items.split(", ") if not item.startswith(own)]
    if not separator or len(kept) == len(items.split(", ")):
        return value
    if kept:
        return {**value, "message": f"{head}: {', '.join(kept)}"}
    return {**value, "status": "False", "reason": reason, "message": message}


NAMESPACE_CONDITION: Final = Lens("NAMESPACE_CONDITION", same, _condition_down, Inside.FIELDS, wakes=("Remaining",))
