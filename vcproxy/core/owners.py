"""Owner references, so that the host's garbage collector finds the owners that stand there, and deletes nothing else.

A Role or RoleBinding stands on the host as vcproxy's own kind, with the same uid, in the same namespace: a reference to
it is translated both ways, and what it owns is collected. An owner that the host would look for in the wrong place is
*kept*: the reference names a group that nobody serves, `<group>.kept.shadow.vcproxy.io`. For those the collector waits
(k8s.io/kubernetes/pkg/controller/garbagecollector: restMappingError) and never takes the owner for absent. The uid
stays, so that patches find the reference by it, and deleting the owner with `--cascade=orphan` takes it off. A kept
reference that blocks the deletion of its owner says so in its group (`held` for `kept`) and no more in its field: the
host would wait for a dependent that it does not delete.
"""

from typing import Any, Final

from vcproxy.core.escape import escape, unescape
from vcproxy.core.fields_references import REFERENCE
from vcproxy.core.fields_shadow import SHADOW, SHADOW_GROUP
from vcproxy.core.kinds import TABLE, Exposure
from vcproxy.core.lens import Inside, Lens
from vcproxy.core.scope import Scope
from vcproxy.core.status import forbidden

Reference = dict[str, Any]
KEPT: Final = f"kept.{SHADOW_GROUP}"
HELD: Final = f"held.{SHADOW_GROUP}"
_BLOCKS: Final = "blockOwnerDeletion"
_SHADOWS: Final = {row.kind: row for row in TABLE.values() if row.exposure is Exposure.SHADOW}
_NAMESPACED: Final = frozenset((row.group, row.kind) for row in TABLE.values() if row.namespaced)


def _shadow(reference: Reference, group: str) -> bool:
    """Whether the owner is a Shadow object, as the tenant names it."""
    row = _SHADOWS.get(str(reference.get("kind")))
    return row is not None and row.group == group


def _namespaced(reference: Reference, group: str, scope: Scope) -> bool:
    """Whether the owner is of a kind that has namespaces; kinds that nobody knows have none."""
    kind = str(reference.get("kind"))
    own = (row for row in scope.apis.rows.values() if (row.group, row.kind) == (group, kind))
    return (group, kind) in _NAMESPACED or any(row.namespaced for row in own)


def _up(reference: Any, scope: Scope, *, among_cluster: bool) -> Any:
    """`among_cluster`: the dependent is of cluster scope for the tenant, and stands in its system namespace."""
    version = reference.get("apiVersion") if isinstance(reference, dict) else None
    if not isinstance(version, str):
        return REFERENCE.up(reference, scope)
    group = version.rpartition("/")[0]
    if group == SHADOW_GROUP or group.endswith(f".{SHADOW_GROUP}"):
        raise forbidden(f"the group {group!r} of an owner is reserved: leave it out")
    spaced = _namespaced(reference, group, scope)
    if spaced if among_cluster else _shadow(reference, group) and not spaced:
        return _kept(reference, group, version)
    if _shadow(reference, group):
        reference["apiVersion"] = SHADOW
        if isinstance(reference.get("name"), str):
            reference["name"] = escape(reference["name"])
        return reference
    return REFERENCE.up(reference, scope)


def _kept(reference: Reference, group: str, version: str) -> Reference:
    mark = HELD if reference.get(_BLOCKS) is True else KEPT
    if mark is HELD:
        del reference[_BLOCKS]
    reference["apiVersion"] = f"{group}{'.' if group else ''}{mark}/{version.rpartition('/')[2]}"
    return reference


def _down(reference: Any, scope: Scope) -> Any:
    version = reference.get("apiVersion") if isinstance(reference, dict) else None
    if not isinstance(version, str) or SHADOW_GROUP not in version:
        return REFERENCE.down(reference, scope)
    if version == SHADOW:
        row = _SHADOWS.get(str(reference.get("kind")))
        reference["apiVersion"] = f"{row.group}/v1" if row is not None else version
        if isinstance(reference.get("name"), str):
            reference["name"] = unescape(reference["name"])
        return reference
    if f"{HELD}/" in version:
        reference[_BLOCKS] = True
    reference["apiVersion"] = version_down(version)
    return reference


def version_down(version: str) -> str:
    """The apiVersion of which a kept reference was made."""
    for mark in (KEPT, HELD):
        version = version.replace(f".{mark}/", "/").replace(f"{mark}/", "")
    return version


_WAKES: Final = (*(REFERENCE.wakes or ()), SHADOW_GROUP)
OWNER: Final = Lens(
    "OWNER", lambda value, scope: _up(value, scope, among_cluster=False), _down, Inside.CLOSED, wakes=_WAKES
)
CLUSTER_OWNER: Final = Lens(
    "OWNER", lambda value, scope: _up(value, scope, among_cluster=True), _down, Inside.CLOSED, wakes=_WAKES
)
"""The same for dependents that are Shadow objects of cluster scope: what has a namespace is in none of theirs."""
