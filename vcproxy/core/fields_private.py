"""Lenses of Private kinds: default classes, what a volume and the parameters of a class name, whose a volume is."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from vcproxy.core.fields_classes import STORAGE_CLASS, unclassed
from vcproxy.core.fields_names import UNKNOWN, namespace_down, namespace_up
from vcproxy.core.fields_texts import text_down
from vcproxy.core.lens import ID, Inside, Lens, same
from vcproxy.core.names import TENANT_LABEL
from vcproxy.core.scope import Scope

# Default classes -----------------------------------------------------------------------------------------------------

_FLAG: Final = "/is-default-class"
_KEPT: Final = "vcproxy.io/default."
GLOBAL_DEFAULT: Final = f"{_KEPT}globalDefault"
"""Stands for `globalDefault: true` of a PriorityClass of a tenant."""


def _flags(rename: Callable[[str], str]) -> Callable[[Any, Scope], Any]:
    def rewrite(value: Any, scope: Scope) -> Any:
        return {rename(key): inner for key, inner in value.items()} if isinstance(value, dict) else value

    return rewrite


def _kept(key: str) -> str:
    return f"{_KEPT}{key.removesuffix(_FLAG)}" if key.endswith(f".kubernetes.io{_FLAG}") else key


def _shown(key: str) -> str:
    return f"{key.removeprefix(_KEPT)}{_FLAG}" if key.startswith(_KEPT) and key != GLOBAL_DEFAULT else key


DEFAULT_FLAGS: Final = Lens("DEFAULT_FLAGS", _flags(_kept), _flags(_shown), Inside.CLOSED, wakes=(_KEPT,))
"""Annotations `*.kubernetes.io/is-default-class`: the host must not take a tenant's class for everybody's default."""


def is_default(annotations: Mapping[str, Any], domain: str) -> bool:
    """Whether a tenant's class is marked as its default; `domain` as `storageclass.kubernetes.io`, or globalDefault."""
    return str(annotations.get(f"{_KEPT}{domain}", "")).lower() == "true"


def _global_up(value: Any, scope: Scope) -> Any:
    if isinstance(value, dict) and value.get("globalDefault") is True:
        metadata: dict[str, Any] = value.get("metadata") or {}
        annotations = {**(metadata.get("annotations") or {}), GLOBAL_DEFAULT: "true"}
        value["metadata"] = {**metadata, "annotations": annotations}
        del value["globalDefault"]
    return value


def _global_down(value: Any, scope: Scope) -> Any:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    shown = value.get("kind", "PriorityClass") if isinstance(value, dict) else ""  # an item of a list leaves it out
    if isinstance(annotations, dict) and GLOBAL_DEFAULT in annotations and shown == "PriorityClass":
        value["globalDefault"] = True
    return value


DEFAULT_PRIORITY: Final = Lens("DEFAULT_PRIORITY", _global_up, _global_down, Inside.CLOSED, wakes=(GLOBAL_DEFAULT,))
"""`globalDefault` of a PriorityClass: hidden from the host in the same way."""


def _class_or(default: Callable[[Scope], str]) -> Callable[[Any, Scope], Any]:
    def class_up(value: Any, scope: Scope) -> Any:
        if value is None and scope.full:
            return default(scope)
        return STORAGE_CLASS.up(value, scope)

    return class_up


CLAIM_CLASS: Final = Lens(
    "CLAIM_CLASS",
    _class_or(lambda scope: scope.defaults.storage or unclassed(scope.tenant)),
    STORAGE_CLASS.down,
    adds=True,
    wakes=(ID,),
)
"""The class of a claim: that of the tenant's default where it names none, so that the host's default never counts."""
VOLUME_CLASS: Final = Lens(
    "VOLUME_CLASS",
    _class_or(lambda scope: unclassed(scope.tenant)),
    lambda value, scope: None if value == unclassed(scope.tenant) else STORAGE_CLASS.down(value, scope),
    adds=True,
    wakes=(ID,),
)
"""The class of a volume; one of none must not be bound by another tenant's claim of none."""

LEGACY_STORAGE: Final = "volume.beta.kubernetes.io/storage-class"
LEGACY_INGRESS: Final = "kubernetes.io/ingress.class"
"""Annotations that named the class before there was a field."""


def _ingress_up(value: Any, scope: Scope) -> Any:
    """The host's default would count for an Ingress without a class: it gets the tenant's, or one that nobody has."""
    spec, metadata = (value.get("spec"), value.get("metadata")) if isinstance(value, dict) else (None, None)
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(spec, dict) or not scope.full or spec.get("ingressClassName") is not None:
        return value
    if not isinstance(annotations, dict) or LEGACY_INGRESS not in annotations:
        value["spec"] = {**spec, "ingressClassName": scope.defaults.ingress or unclassed(scope.tenant)}
    return value


def _ingress_down(value: Any, scope: Scope) -> Any:
    spec = value.get("spec") if isinstance(value, dict) else None
    if isinstance(spec, dict) and spec.get("ingressClassName") == unclassed(scope.tenant):
        del spec["ingressClassName"]
    return value


DEFAULT_INGRESS: Final = Lens("DEFAULT_INGRESS", _ingress_up, _ingress_down, Inside.FIELDS, wakes=(ID,))

# References in volumes and classes -----------------------------------------------------------------------------------

_OF_CLAIM: Final = "${pvc.namespace}"
"""In parameters of a StorageClass: the namespace of the claim, which is the tenant's
(https://kubernetes-csi.github.io/docs/secrets-and-credentials-storage-class.html)."""


def _parameters(direction: Callable[[str, Scope], str]) -> Callable[[Any, Scope], Any]:
    def rewrite(value: Any, scope: Scope) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: direction(inner, scope) if isinstance(inner, str) and names_namespace(key, inner) else inner
            for key, inner in value.items()
        }

    return rewrite


def names_namespace(key: str, value: str) -> bool:
    """Whether a parameter names a namespace of its own: `csi.storage.k8s.io/provisioner-secret-namespace` and so on."""
    return key.lower().endswith("namespace") and bool(value) and not value.startswith(_OF_CLAIM)


PARAMETERS: Final = Lens(
    "PARAMETERS", _parameters(namespace_up), _parameters(namespace_down), Inside.CLOSED, wakes=("amespace",)
)
"""Parameters for a driver: those that name a namespace name one of the tenant."""


# Volumes of the host -------------------------------------------------------------------------------------------------

_COMMON: Final = frozenset(
    {"accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy"}
    | {"storageClassName", "volumeAttributesClassName", "volumeMode"}
)
"""Fields of a PersistentVolumeSpec beside its source."""


def _lent_down(value: Any, scope: Scope) -> Any:
    """Of a volume of the host the source and the annotations are its provisioner's words."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or (isinstance(labels, dict) and TENANT_LABEL in labels):
        return value
    if isinstance(metadata.get("annotations"), dict):
        metadata["annotations"] = _without_names(metadata["annotations"], scope)
    spec = value.get("spec")
    if isinstance(spec, dict):
        for key in spec.keys() - _COMMON:
            spec[key] = _without_names(spec[key], scope)
    return value


def _without_names(value: Any, scope: Scope) -> Any:
    if isinstance(value, dict):
        return {key: inner if _is_reference(key) else _without_names(inner, scope) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_names(inner, scope) for inner in value]
    if not isinstance(value, str) or f"{scope.tenant}-" not in value:
        return value
    text = text_down(value, scope)
    return UNKNOWN if re.search(rf"(?<![a-z0-9]){scope.tenant}-", text) else text


def _is_reference(key: str) -> bool:
    return key.lower().endswith("namespace")  # has a row of its own


LENT_VOLUME: Final = Lens("LENT_VOLUME", same, _lent_down, Inside.FIELDS, wakes=(ID,))
