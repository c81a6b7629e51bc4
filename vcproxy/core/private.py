"""Private kinds: what of them a tenant sees, and which of them it may write.

Its own objects carry the owner's label, and their names the prefix. Beside them, read-only, stands what the provider
lends: objects of the host whose names the tenant's lists hold, and the volumes that are bound to its claims, which the
controller marks with a label. docs/architecture.md, "Kinds".
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from vcproxy.core import status
from vcproxy.core.fields_classes import provisioned
from vcproxy.core.fields_references import NAMED
from vcproxy.core.kinds import GUARDED, Exposure, Kind
from vcproxy.core.names import BOUND_LABEL, HIDDEN_LABEL, TENANT_LABEL, HostName, down
from vcproxy.core.scope import Scope
from vcproxy.core.view import ClassLists

VOLUMES: Final = ("", "persistentvolumes")
_LISTS: Final[Mapping[tuple[str, str], Callable[[ClassLists], frozenset[str]]]] = MappingProxyType(
    {
        VOLUMES: lambda classes: classes.volumes,
        ("networking.k8s.io", "ingressclasses"): lambda classes: classes.ingress,
        ("node.k8s.io", "runtimeclasses"): lambda classes: classes.runtime,
        ("resource.k8s.io", "deviceclasses"): lambda classes: classes.device,
        ("scheduling.k8s.io", "priorityclasses"): lambda classes: classes.priority,
        ("storage.k8s.io", "storageclasses"): lambda classes: classes.storage,
        ("storage.k8s.io", "volumeattributesclasses"): lambda classes: classes.volume_attributes,
    }
)
"""By (group, resource): which objects of the host a tenant may use under their own names."""

TENANTS_GROUP: Final = "vcproxy:tenants"
"""The group of all tenants' identities on the host."""


def write_group(row: Kind) -> str:
    """The group of those identities that may write a guarded kind: the host's policy asks for it."""
    return f"vcproxy:writes:{row.resource}"


def lent(row: Kind, scope: Scope) -> frozenset[str]:
    """The names of the provider's objects of a kind that the tenant may use."""
    find = _LISTS.get(row.key)
    return find(scope.classes) if find is not None else scope.exports.names.get(row.key, frozenset())


def host_name(row: Kind, scope: Scope, name: str) -> str:
    """The name that an object of a Private kind has on the host; "" stays."""
    lens = NAMED.get((row.group, row.kind))
    return str(lens.up(name, scope)) if lens is not None and name else name


def shown(row: Kind, scope: Scope, name: str, labels: Mapping[str, Any]) -> bool:
    """Whether an object of the host, by its name and labels there, is one that the tenant sees.

    One of its own whose name the provider lends since is hidden: what names it means the provider's.
    """
    if HIDDEN_LABEL in labels:
        return False
    owner, names = labels.get(TENANT_LABEL), lent(row, scope)
    if owner is not None:
        own = down(scope.tenant, HostName(name)) if names else None
        return owner == scope.tenant and (own is None or own not in names)
    return name in names or (row.key == VOLUMES and labels.get(BOUND_LABEL) == scope.tenant)


def beside(row: Kind, scope: Scope) -> tuple[tuple[str, str], ...]:
    """What else than the tenant's own objects is looked for: (label selector, field selector) of each look.

    One look for each name, so that what it costs grows with the tenant's lists and never with the host.
    """
    if row.exposure is not Exposure.PRIVATE:
        return ()
    looks = [(f"!{TENANT_LABEL}", f"metadata.name={name}") for name in sorted(lent(row, scope))]
    return (*looks, *([(f"{BOUND_LABEL}={scope.tenant}", "")] if row.key == VOLUMES else []))


def check_write(row: Kind, scope: Scope, verb: str, name: str) -> None:
    """Raises ApiError 403 or 409 for what is not the tenant's to write: lent objects, kinds that it may not make."""
    given = name in lent(row, scope)
    if name and (given or (row.key == VOLUMES and provisioned(name))):
        if verb == "create" and given:
            raise status.already_exists(row.group, row.resource, name)
        why = "it is the provider's of this cluster, to be read only"
        raise status.forbidden(_refusal(row, name, why), *row.key, name)
    if row.kind in GUARDED and row.kind not in scope.writable and verb not in ("delete", "deletecollection"):
        why = f"the provider of this cluster lets this tenant make none: ask for spec.clusterKinds with {row.kind}"
        raise status.forbidden(_refusal(row, name, why), *row.key, name)


def _refusal(row: Kind, name: str, why: str) -> str:
    subject = f'{status.qualified(*row.key)} "{name}"' if name else status.qualified(*row.key)
    return f"{subject} is forbidden: {why}"
