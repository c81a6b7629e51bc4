"""Which class counts for what the host's own controllers make in a tenant's namespaces: claims and Pods that name none.

What a tenant writes itself goes through the proxy, which knows what was written (core.fields_private). Here the host's
admission has put in its own default already (DefaultStorageClass, Priority), before webhooks are asked.
Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/.
"""

from typing import Any

import msgspec

from vcproxy.core.fields_classes import unclassed
from vcproxy.core.fields_private import LEGACY_STORAGE
from vcproxy.core.names import HostName, TenantId, down
from vcproxy.core.view import ClassLists, Defaults

Object = dict[str, Any]


class Classes(msgspec.Struct, frozen=True):
    """What a tenant may use of the host's classes, its defaults, and the defaults of the host; by their host names."""

    lent: ClassLists = ClassLists()
    defaults: Defaults = Defaults()
    host: Defaults = Defaults()


def claim(found: Object, tenant: TenantId, known: Classes) -> Object:
    """A PersistentVolumeClaim with the class that counts; one that nobody has where the tenant has no default."""
    annotations = found["metadata"].get("annotations") or {}
    if LEGACY_STORAGE in annotations:
        return _in_the_old_way(found, annotations, tenant, known)
    given = str(found["spec"].get("storageClassName") or "")
    if _named(given, tenant, known.lent.storage, known.host.storage if known.defaults.storage else ""):
        return found
    return {**found, "spec": {**found["spec"], "storageClassName": known.defaults.storage or unclassed(tenant)}}


def _in_the_old_way(found: Object, annotations: Object, tenant: TenantId, known: Classes) -> Object:
    """A claim whose annotation names its class: one that is neither lent nor the tenant's becomes one that nobody has.

    The proxy writes the tenant's names into templates of claims; this is for those that came past it.
    """
    given = str(annotations[LEGACY_STORAGE])
    if _named(given, tenant, known.lent.storage, ""):
        return found
    stays = {**annotations, LEGACY_STORAGE: unclassed(tenant)}
    return {**found, "metadata": {**found["metadata"], "annotations": stays}}


def pod(found: Object, tenant: TenantId, known: Classes) -> Object:
    """A Pod with the tenant's default priority, where it has one and the Pod names no class.

    The host computes priority and preemption anew, which it does after a webhook has changed a Pod.
    """
    default, given = known.defaults.priority, str(found["spec"].get("priorityClassName") or "")
    if not default or given == default or _named(given, tenant, known.lent.priority, known.host.priority):
        return found
    computed = ("priority", "preemptionPolicy")
    rest = {key: value for key, value in found["spec"].items() if key not in computed}
    return {**found, "spec": {**rest, "priorityClassName": default}}


def _named(given: str, tenant: TenantId, lent: frozenset[str], default_of_host: str) -> bool:
    """Whether the tenant named this class. Of the host's default, if it is lent, that cannot be told: it did not."""
    own = down(tenant, HostName(given)) is not None or given == unclassed(tenant)
    return own or (given in lent and given != default_of_host)
