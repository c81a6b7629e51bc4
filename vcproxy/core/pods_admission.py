"""What the host's mutating webhook makes of a Pod of a tenant.

At creation the Pod gets what core.pods says. At an update it keeps it: a tenant writes what its view shows, so every
part that looks to the tenant as before becomes what is stored, and the host sees no change of what may not change.
"""

import copy
from typing import Any

from vcproxy.core import pods
from vcproxy.core.names import RESERVED_PREFIX, TenantId, VirtualName
from vcproxy.core.pods import Facts, Object

# A new Pod -----------------------------------------------------------------------------------------------------------


def created(pod: Object, tenant: TenantId, namespace: VirtualName, facts: Facts) -> Object:
    """A copy of a new Pod with all edits; a second time changes nothing. Raises ApiError 403 for what no Pod gets."""
    made = copy.deepcopy(pod)
    metadata, spec = made["metadata"], made["spec"]
    own = facts.annotations(namespace)
    metadata["annotations"] = {**_others(metadata.get("annotations")), **own}
    for container in _containers(spec):
        _set(container, "env", pods.env_up(container.get("env"), api=bool(facts.host)))
    for volume in _dicts(spec.get("volumes")):
        pods.check_certificates(volume.get("projected"), facts.signers)
        pods.projected_up(volume.get("projected"), tenant, facts.audiences)
        pods.config_map(volume.get("configMap"), up=True)
        pods.field_references((volume.get("downwardAPI") or {}).get("items"), up=True)
    made["spec"] = pods.dns_up(spec, tenant, namespace, facts.nameserver)
    return made


def _others(annotations: Any) -> dict[str, Any]:
    """Annotations without reserved ones."""
    found = annotations if isinstance(annotations, dict) else {}
    return {key: value for key, value in found.items() if not key.startswith(RESERVED_PREFIX)}


def _containers(spec: Object) -> list[Object]:
    return [one for kind in pods.CONTAINERS for one in spec.get(kind) or () if isinstance(one, dict)]


def _dicts(items: Any) -> list[Object]:
    return [one for one in items or () if isinstance(one, dict)]


def _named(items: Any) -> dict[str, Object]:
    return {str(one.get("name")): one for one in _dicts(items)}


def _set(container: Object, key: str, value: Any) -> None:
    if value is not None:
        container[key] = value
    else:
        container.pop(key, None)


# A Pod that changes --------------------------------------------------------------------------------------------------


def updated(pod: Object, old: Object, tenant: TenantId) -> Object:
    """A copy of a changed Pod that keeps the edits of the old one. A Pod that was made without them stays without."""
    annotations = (old.get("metadata") or {}).get("annotations") or {}
    if pods.NAMESPACE not in annotations:
        return pod
    made = copy.deepcopy(pod)
    metadata, spec, before = made["metadata"], made["spec"], old.get("spec") or {}
    reserved = {key: value for key, value in annotations.items() if key.startswith(RESERVED_PREFIX)}
    metadata["annotations"] = {**_others(metadata.get("annotations")), **reserved}
    known = _named(_containers(before))
    for container in _containers(spec):
        _keep_env(container, known.get(str(container.get("name"))), api=pods.HOST in annotations)
    _keep_volumes(spec, before, tenant)
    made["spec"] = _keep_dns(spec, before, tenant)
    return made


def _keep_env(container: Object, before: Object | None, *, api: bool) -> None:
    """The old variables where the tenant sees no difference; a new container (an ephemeral one) gets its own."""
    env = container.get("env")
    if before is None:
        _set(container, "env", pods.env_up(env, api=api))
    elif _seen_env(env) == _seen_env(before.get("env")):
        _set(container, "env", before.get("env"))


def _seen_env(env: Any) -> Any:
    return pods.env_down(copy.deepcopy(env)) or None


def _keep_volumes(spec: Object, before: Object, tenant: TenantId) -> None:
    known = _named(before.get("volumes"))
    for index, volume in enumerate(spec.get("volumes") or ()):
        old = known.get(str(volume.get("name"))) if isinstance(volume, dict) else None
        if old is not None and _seen_volume(volume, tenant) == _seen_volume(old, tenant):
            spec["volumes"][index] = old


def _seen_volume(volume: Object, tenant: TenantId) -> Object:
    seen = copy.deepcopy(volume)
    pods.projected_down(seen.get("projected"), tenant)
    pods.config_map(seen.get("configMap"), up=False)
    pods.field_references((seen.get("downwardAPI") or {}).get("items"), up=False)
    return seen


def _keep_dns(spec: Object, before: Object, tenant: TenantId) -> Object:
    """The old DNS where each part of it is what the tenant sees, or what is stored: an apply merges the two."""
    seen = pods.dns_down(before, tenant)
    if seen is before or spec.get("dnsPolicy") not in (seen["dnsPolicy"], "None"):
        return spec
    stored, shown, new = before["dnsConfig"], seen.get("dnsConfig") or {}, spec.get("dnsConfig") or {}
    if any(new.get(key, []) not in (stored.get(key, []), shown.get(key, [])) for key in {*stored, *new}):
        return spec
    return {**spec, "dnsPolicy": before["dnsPolicy"], "dnsConfig": stored}
