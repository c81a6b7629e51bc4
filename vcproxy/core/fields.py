"""Lenses: pairs (up, down) for one sort of value each.

`up` turns what a tenant wrote into what is stored, `down` turns what is stored into what the tenant sees, and for
every value that a tenant can write `down(up(value)) == value`. A value of another type than expected passes unchanged:
one odd object never fails a list. Lenses hold no paths; the rows in core.rules say where each stands.
"""

import re
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vcproxy.core.apis import BUILT_IN, NONE, OwnApis, definition_down, definition_up
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.names import (
    RESERVED_PREFIX,
    TENANT_LABEL,
    HostName,
    TenantId,
    VirtualName,
    down,
    host_user,
    system_namespace,
    up,
)
from vcproxy.core.nodes import Sight
from vcproxy.core.status import forbidden
from vcproxy.core.view import ClassLists, Defaults

NAME_LABEL: Final = "kubernetes.io/metadata.name"
CLUSTER_EVENT: Final = "vcproxy.io/cluster-scoped-event"
UNKNOWN: Final = "unknown"
"""Stands for a host name that is none of the tenant's: what it is stays with the host."""
CONTROLLER: Final = "vcproxy-controller"
HOST_LABEL_PREFIXES: Final = ("pod-security.kubernetes.io/", "resource.kubernetes.io/admin-access")
"""Labels of a namespace that the host trusts; a tenant does not set them (docs/architecture.md, "Two walls")."""


class Scope(msgspec.Struct, frozen=True):
    """What lenses know of a tenant. `learned` takes up host names that were met, so that free text can be mapped.

    `full` is False while a patch is rewritten: then nothing is added that the patch does not name. `apis` are the
    kinds that the tenant defined, `nodes` what it may see of the provider's, `writable` the kinds of
    `core.kinds.GUARDED` that it may write.
    """

    tenant: TenantId
    user: str = ""
    classes: ClassLists = ClassLists()
    namespaces: Collection[VirtualName] = frozenset()
    learned: set[str] = msgspec.field(default_factory=set)
    host_ca: str = ""
    tenant_ca: str = ""
    full: bool = True
    apis: OwnApis = NONE
    host_audiences: frozenset[str] = frozenset()
    exports: Exports = NOTHING
    nodes: Sight = Sight()
    writable: frozenset[str] = frozenset()
    defaults: Defaults = Defaults()


Way = Callable[[Any, Scope], Any]


class Inside(Enum):
    """What a patch may do below the place of a lens, going to the host as what it is."""

    NOTHING = "a plain value: nothing stands below it"
    FIELDS = "fields are rewritten one by one"
    CLOSED = "only the whole value can be rewritten"


ID: Final = ""
"""Stands for the tenant's id among the texts of `Lens.wakes`."""
_OURS: Final = "vcproxy"


class Lens(msgspec.Struct, frozen=True):
    """A named pair. `adds`: `up` adds something, to an absent container too. `hides`: `down` takes something off.

    Where a lens hides something, a patch must not replace or remove the whole container on the host.

    `wakes` is a promise about `down`: it gives back a value as it is, unless at least one of these texts stands in the
    JSON of that value. None promises nothing: `down` has to be asked for every value.

    `members`: of an object the lens looks at these members alone, and changes no other. Empty: at all of the value.
    """

    name: str
    up: Way
    down: Way
    inside: Inside = Inside.NOTHING
    adds: bool = False
    hides: bool = False
    wakes: tuple[str, ...] | None = None
    members: tuple[str, ...] = ()


def _text(function: Callable[[str, Scope], str]) -> Way:
    return lambda value, scope: function(value, scope) if isinstance(value, str) and value else value


def _same(value: Any, scope: Scope) -> Any:
    return value


def namespace_up(value: str, scope: Scope) -> str:
    host = up(scope.tenant, VirtualName(value))
    scope.learned.add(host)  # the host may name it in a refusal, whether it exists or not
    return host


def namespace_down(value: str, scope: Scope) -> str:
    return down(scope.tenant, HostName(value)) or UNKNOWN


NAMESPACE: Final = Lens("NAMESPACE", _text(namespace_up), _text(namespace_down))


def _own_up(value: str, scope: Scope) -> str:
    host = up(scope.tenant, VirtualName(value))
    scope.learned.add(host)
    return host


def _own_down(value: str, scope: Scope) -> str:
    own = down(scope.tenant, HostName(value))
    if own is None:
        return value
    scope.learned.add(value)
    return own


# Groups --------------------------------------------------------------------------------------------------------------


def group_up(group: str, scope: Scope) -> str:
    """A group in a reference: all but the built-in and the exported ones carry the prefix, defined or not.

    Whether the host or another tenant has a group shows in what the host's controllers make of it: the garbage
    collector, the autoscaler and the quota of objects.
    """
    if group in BUILT_IN or group in scope.exports.groups:
        return group
    return up(scope.tenant, VirtualName(group)) if group in scope.apis.groups else _own_up(group, scope)


def group_down(group: str, scope: Scope) -> str:
    """The same of the host; no other group begins with a tenant's prefix (docs/architecture.md, "Names")."""
    own = down(scope.tenant, HostName(group))
    return own if own in scope.apis.groups else _own_down(group, scope)


def version_up(value: str, scope: Scope) -> str:
    """An apiVersion; one without a group is of the core."""
    group, slash, version = value.partition("/")
    return f"{group_up(group, scope)}/{version}" if slash and group else value


def version_down(value: str, scope: Scope) -> str:
    group, slash, version = value.partition("/")
    return f"{group_down(group, scope)}/{version}" if slash else value


API_VERSION: Final = Lens("API_VERSION", _text(version_up), _text(version_down), wakes=(ID,))


def _definition_up(value: str, scope: Scope) -> str:
    """The name of a definition. The host may name its group in a refusal, before it is defined."""
    plural, dot, group = value.partition(".")
    return f"{plural}.{_own_up(group, scope)}" if dot else _own_up(value, scope)


GROUP: Final = Lens(
    "GROUP",
    _text(_own_up),
    _text(lambda value, scope: down(scope.tenant, HostName(value)) or value),
    wakes=(ID,),
)
"""The group of a definition: always the tenant's own."""
DEFINITION: Final = Lens(
    "DEFINITION",
    _text(_definition_up),
    _text(lambda value, scope: definition_down(scope.tenant, value)),
    wakes=(ID,),
)
"""The name of a definition."""


def _conversion_up(value: Any, scope: Scope) -> Any:
    if isinstance(value, dict) and (value.get("strategy") or "None") != "None":
        raise forbidden("conversion webhooks are not supported yet: use the strategy None")
    return value


CONVERSION: Final = Lens("CONVERSION", _conversion_up, _same, Inside.CLOSED, wakes=())
"""How a definition converts between its versions: whatever way it is written."""


# Classes -------------------------------------------------------------------------------------------------------------


def unclassed(tenant: TenantId) -> str:
    """What the class `""` is on the host: a name that no tenant can define, since it lacks the hyphen of a prefix."""
    return f"{tenant}.none"


def _class(allowed: Callable[[ClassLists], frozenset[str]], *, empty: bool = False) -> Lens:
    def class_up(value: Any, scope: Scope) -> Any:
        if not isinstance(value, str) or value in allowed(scope.classes):
            return value
        if not value:
            return unclassed(scope.tenant) if empty else value
        host = up(scope.tenant, VirtualName(value))
        scope.learned.add(host)
        return host

    def class_down(value: Any, scope: Scope) -> Any:
        if not isinstance(value, str) or value in allowed(scope.classes):
            return value
        if value == unclassed(scope.tenant):
            return ""
        own = down(scope.tenant, HostName(value))
        if own is not None:
            scope.learned.add(value)
        return value if own is None else own

    return Lens("CLASS", class_up, class_down, wakes=(ID,))


STORAGE_CLASS: Final = _class(lambda classes: classes.storage, empty=True)
INGRESS_CLASS: Final = _class(lambda classes: classes.ingress)
RUNTIME_CLASS: Final = _class(lambda classes: classes.runtime)
PRIORITY_CLASS: Final = _class(lambda classes: classes.priority)
DEVICE_CLASS: Final = _class(lambda classes: classes.device)
ATTRIBUTES_CLASS: Final = _class(lambda classes: classes.volume_attributes)

_provisioned = re.compile(r"(pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|local-pv-[0-9a-f]{1,16})\Z")


def provisioned(volume: str) -> bool:
    """Whether a PersistentVolume is called as the host's provisioners call theirs: such names are the host's."""
    return bool(_provisioned.match(volume))


def _volume_up(value: str, scope: Scope) -> str:
    return value if provisioned(value) or value in scope.classes.volumes else _own_up(value, scope)


def _volume_down(value: str, scope: Scope) -> str:
    return value if provisioned(value) or value in scope.classes.volumes else _own_down(value, scope)


OWN_NAME: Final = Lens("OWN_NAME", _text(_own_up), _text(_own_down), wakes=(ID,))
"""Names of objects of cluster scope that are the tenant's alone."""
VOLUME: Final = Lens("VOLUME", _text(_volume_up), _text(_volume_down), wakes=(ID,))
"""Names of PersistentVolumes: those of a provisioner, and those that the tenant may use, pass; others are prefixed."""


# References ----------------------------------------------------------------------------------------------------------

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


# Labels --------------------------------------------------------------------------------------------------------------


def reserved(key: str) -> bool:
    return key.startswith(RESERVED_PREFIX)


def _refuse_reserved(keys: Collection[Any], what: str) -> None:
    for key in keys:
        if isinstance(key, str) and reserved(key):
            raise forbidden(f"the {what} {key!r} is reserved: leave it out")


def _hidden(what: str, *, hides: bool = False) -> Lens:
    def hide_up(value: Any, scope: Scope) -> Any:
        if isinstance(value, dict):
            _refuse_reserved(value.keys(), what)
        return value

    return Lens("HIDDEN", hide_up, _without_reserved, Inside.FIELDS, hides=hides, wakes=(_OURS,))


def _without_reserved(value: Any, scope: Scope) -> Any:
    if not isinstance(value, dict) or not any(map(reserved, value)):
        return value
    return {key: inner for key, inner in value.items() if not reserved(key)} or None


HIDDEN_LABELS: Final = _hidden("label")
HIDDEN_ANNOTATIONS: Final = _hidden("annotation")
EVENT_ANNOTATIONS: Final = _hidden("annotation", hides=True)


def _owner_up(value: Any, scope: Scope) -> Any:
    if value is None and scope.full:
        value = {}
    if not isinstance(value, dict):
        return value
    _refuse_reserved(value.keys(), "label")
    for key in value:
        if isinstance(key, str) and key.startswith(HOST_LABEL_PREFIXES):
            raise forbidden(f"the label {key!r} of a namespace is set by the provider of this cluster: leave it out")
    return {**value, TENANT_LABEL: scope.tenant} if scope.full else value


OWNER_LABEL: Final = Lens(
    "OWNER_LABEL", _owner_up, _without_reserved, Inside.FIELDS, adds=True, hides=True, wakes=(_OURS,)
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
    _refuse_reserved(labels or () if isinstance(labels, dict) else (), "label")
    _selector(namespace_up, value, scope)
    return {**value, "matchLabels": {**(labels if isinstance(labels, dict) else {}), TENANT_LABEL: scope.tenant}}


def _selector_down(value: Any, scope: Scope) -> Any:
    if not isinstance(value, dict):
        return value
    _selector(namespace_down, value, scope)
    labels = _without_reserved(value.get("matchLabels"), scope)
    if labels is None and value.get("matchLabels") is not None:
        return {key: inner for key, inner in value.items() if key != "matchLabels"}
    return {**value, "matchLabels": labels} if "matchLabels" in value else value


NAMESPACE_SELECTOR: Final = Lens(
    "NAMESPACE_SELECTOR", _selector_up, _selector_down, Inside.CLOSED, wakes=(_OURS, NAME_LABEL)
)
"""A label selector over namespaces: within the tenant's own ones. An empty one means all of them."""


# Managed fields ------------------------------------------------------------------------------------------------------


def _managed_down(value: Any, scope: Scope) -> Any:
    if not isinstance(value, list):
        return value
    entries = (_managed_entry(_versioned(entry, version_down, scope)) for entry in value)
    kept = [entry for entry, was in zip(entries, value, strict=True) if entry is not None or was is None]
    return kept if kept or not value else None


def _managed_up(value: Any, scope: Scope) -> Any:
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


MANAGED_FIELDS: Final = Lens("MANAGED_FIELDS", _managed_up, _managed_down, Inside.CLOSED, wakes=(_OURS, ID))


# Free text -----------------------------------------------------------------------------------------------------------


_kept = re.compile(r"\.(?:kept|held)\.shadow\.vcproxy\.io(?=/)")
"""What core.owners puts behind the group of an owner: the host's garbage collector tells of it in Events."""


def text_down(value: str, scope: Scope) -> str:
    """Free text in the tenant's words: a token that equals a known host name of the tenant is mapped, nothing else."""
    if scope.tenant not in value:
        return value
    value = value.replace(host_user(scope.tenant), scope.user or "system:anonymous")
    value = _kept.sub("", value).replace("shadow.vcproxy.io/", "rbac.authorization.k8s.io/")
    token = re.compile(rf"(?<![A-Za-z0-9-]){scope.tenant}[-.][a-z0-9](?:[-.a-z0-9]*[a-z0-9])?(?![A-Za-z0-9-])")
    return token.sub(lambda match: _token_down(match[0], scope), value)


def _token_down(token: str, scope: Scope) -> str:
    if token == unclassed(scope.tenant):
        return ""
    if token == system_namespace(scope.tenant):
        return UNKNOWN
    first, dot, rest = token.partition(".")
    own = down(scope.tenant, HostName(token))
    if own is not None and (own in scope.namespaces or own in scope.apis.groups or token in scope.learned):
        return own
    name = down(scope.tenant, HostName(first))
    return f"{name}{dot}{rest}" if name is not None and dot and name in scope.namespaces else token


TEXT: Final = Lens("TEXT", _same, _text(text_down), Inside.CLOSED, wakes=(ID,))


# Single rows ---------------------------------------------------------------------------------------------------------


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
    _quota_managed(_managed_up, lambda lens: lens.up, group_up),
    _quota_managed(_managed_down, lambda lens: lens.down, group_down),
    Inside.CLOSED,
    wakes=(_OURS, ID),
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


def _ca_up(value: Any, scope: Scope) -> Any:
    return scope.host_ca if scope.tenant_ca and value == scope.tenant_ca else value


def _ca_down(value: Any, scope: Scope) -> Any:
    return scope.tenant_ca if scope.host_ca and value == scope.host_ca else value


ROOT_CA: Final = Lens("ROOT_CA", _ca_up, _ca_down)
"""The host's CA certificate, shown as the proxy's: what clients of this cluster have to trust."""


def _event_up(value: Any, scope: Scope) -> Any:
    """An event about a cluster-scoped object has no namespace; on the host it must have that of its own object."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return value
    field = next((name for name in ("involvedObject", "regarding") if isinstance(value.get(name), dict)), None)
    namespace = value["metadata"].get("namespace")
    if field is None or not scope.full or value[field].get("namespace") or not namespace:
        return value
    value[field]["namespace"] = namespace
    value["metadata"]["annotations"] = {**(value["metadata"].get("annotations") or {}), CLUSTER_EVENT: field}
    return value


def _event_down(value: Any, scope: Scope) -> Any:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    field = annotations.get(CLUSTER_EVENT) if isinstance(annotations, dict) else None
    if isinstance(field, str) and isinstance(value.get(field), dict):
        value[field].pop("namespace", None)
    return value


CLUSTER_SCOPED_EVENT: Final = Lens(
    "CLUSTER_SCOPED_EVENT", _event_up, _event_down, Inside.FIELDS, wakes=(CLUSTER_EVENT,)
)


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


NAMESPACE_CONDITION: Final = Lens("NAMESPACE_CONDITION", _same, _condition_down, Inside.FIELDS, wakes=("Remaining",))
