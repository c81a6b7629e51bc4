"""Rules: where names stand in objects. A row is (path, lens); both directions come from the one row.

Paths are written as in the API reference (https://kubernetes.io/docs/reference/kubernetes-api/): `.` between fields,
`[]` for each item of a list, quotes around keys that hold dots. Rows of a kind are its own plus the common ones.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vcproxy.core import fields
from vcproxy.core.fields import Lens

Row = tuple[str, Lens]

COMMON: Final[tuple[Row, ...]] = (
    ("metadata.namespace", fields.NAMESPACE),
    ("metadata.labels", fields.HIDDEN_LABELS),
    ("metadata.annotations", fields.HIDDEN_ANNOTATIONS),
    ("metadata.ownerReferences[]", fields.REFERENCE),
    ("metadata.managedFields", fields.MANAGED_FIELDS),
    ("status.conditions[].message", fields.TEXT),
)


def _claim_spec(at: str) -> tuple[Row, ...]:
    """A PersistentVolumeClaimSpec."""
    return (
        (f"{at}.storageClassName", fields.STORAGE_CLASS),
        (f"{at}.volumeAttributesClassName", fields.ATTRIBUTES_CLASS),
        (f"{at}.volumeName", fields.VOLUME),
        (f"{at}.dataSourceRef.namespace", fields.NAMESPACE),
    )


def _affinity_terms(at: str) -> tuple[Row, ...]:
    """PodAffinityTerms of one affinity: the required ones and the preferred ones."""
    starts = (
        f"{at}.requiredDuringSchedulingIgnoredDuringExecution[]",
        f"{at}.preferredDuringSchedulingIgnoredDuringExecution[].podAffinityTerm",
    )
    return tuple(
        row
        for start in starts
        for row in (
            (f"{start}.namespaces[]", fields.NAMESPACE),
            (f"{start}.namespaceSelector", fields.NAMESPACE_SELECTOR),
        )
    )


def _pod_spec(at: str) -> tuple[Row, ...]:
    return (
        (f"{at}.priorityClassName", fields.PRIORITY_CLASS),
        (f"{at}.runtimeClassName", fields.RUNTIME_CLASS),
        *_affinity_terms(f"{at}.affinity.podAffinity"),
        *_affinity_terms(f"{at}.affinity.podAntiAffinity"),
        *_claim_spec(f"{at}.volumes[].ephemeral.volumeClaimTemplate.spec"),
    )


def _template(at: str) -> tuple[Row, ...]:
    """A PodTemplateSpec: its own metadata holds labels and annotations of pods to come."""
    return (
        (f"{at}.metadata.labels", fields.HIDDEN_LABELS),
        (f"{at}.metadata.annotations", fields.HIDDEN_ANNOTATIONS),
        (f"{at}.metadata.namespace", fields.NAMESPACE),
        *_pod_spec(f"{at}.spec"),
    )


def _device_requests(at: str) -> tuple[Row, ...]:
    """The requests of a ResourceClaimSpec (resource.k8s.io/v1)."""
    return (
        (f"{at}.devices.requests[].exactly.deviceClassName", fields.DEVICE_CLASS),
        (f"{at}.devices.requests[].deviceClassName", fields.DEVICE_CLASS),
        (f"{at}.devices.requests[].firstAvailable[].deviceClassName", fields.DEVICE_CLASS),
    )


_EVENT: Final[tuple[Row, ...]] = (
    ("", fields.CLUSTER_SCOPED_EVENT),
    ("metadata.annotations", fields.EVENT_ANNOTATIONS),
    ("involvedObject", fields.REFERENCE),
    ("regarding", fields.REFERENCE),
    ("related", fields.REFERENCE),
    ("message", fields.TEXT),
    ("note", fields.TEXT),
)

_KINDS: Final[Mapping[tuple[str, str], tuple[Row, ...]]] = {
    ("", "Namespace"): (
        ("metadata.name", fields.NAMESPACE),
        ("metadata.generateName", fields.NAMESPACE),
        ("metadata.labels", fields.OWNER_LABEL),
        (f"metadata.labels.'{fields.NAME_LABEL}'", fields.NAMESPACE),
        ("status.conditions[]", fields.NAMESPACE_CONDITION),
    ),
    ("", "Pod"): (*_pod_spec("spec"), ("status.message", fields.TEXT)),
    ("", "PodTemplate"): _template("template"),
    ("", "ReplicationController"): _template("spec.template"),
    ("", "ConfigMap"): (("data.'ca.crt'", fields.ROOT_CA),),
    ("", "ServiceAccount"): (("secrets[].namespace", fields.NAMESPACE),),
    ("", "Endpoints"): (
        ("subsets[].addresses[].targetRef", fields.REFERENCE),
        ("subsets[].notReadyAddresses[].targetRef", fields.REFERENCE),
    ),
    ("", "PersistentVolumeClaim"): (
        *_claim_spec("spec"),
        ("status.currentVolumeAttributesClassName", fields.ATTRIBUTES_CLASS),
        ("status.modifyVolumeStatus.targetVolumeAttributesClassName", fields.ATTRIBUTES_CLASS),
    ),
    ("", "ResourceQuota"): (
        ("spec.hard", fields.RESOURCE_KEYS),
        ("spec.scopeSelector.matchExpressions[]", fields.SCOPE_SELECTOR),
        ("status.hard", fields.RESOURCE_KEYS),
        ("status.used", fields.RESOURCE_KEYS),
    ),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
    ("", "Binding"): (("target", fields.REFERENCE),),
    ("apps", "Deployment"): _template("spec.template"),
    ("apps", "ReplicaSet"): _template("spec.template"),
    ("apps", "DaemonSet"): _template("spec.template"),
    ("apps", "StatefulSet"): (
        *_template("spec.template"),
        *_claim_spec("spec.volumeClaimTemplates[].spec"),
        ("spec.volumeClaimTemplates[].metadata.labels", fields.HIDDEN_LABELS),
        ("spec.volumeClaimTemplates[].metadata.annotations", fields.HIDDEN_ANNOTATIONS),
    ),
    ("apps", "ControllerRevision"): (
        *_template("data.spec.template"),
        *_claim_spec("data.spec.volumeClaimTemplates[].spec"),
    ),
    ("batch", "Job"): _template("spec.template"),
    ("batch", "CronJob"): (
        *_template("spec.jobTemplate.spec.template"),
        ("spec.jobTemplate.metadata.labels", fields.HIDDEN_LABELS),
        ("spec.jobTemplate.metadata.annotations", fields.HIDDEN_ANNOTATIONS),
        ("status.active[]", fields.REFERENCE),
    ),
    ("discovery.k8s.io", "EndpointSlice"): (("endpoints[].targetRef", fields.REFERENCE),),
    ("networking.k8s.io", "Ingress"): (
        ("spec.ingressClassName", fields.INGRESS_CLASS),
        ("metadata.annotations.'kubernetes.io/ingress.class'", fields.INGRESS_CLASS),
    ),
    ("networking.k8s.io", "NetworkPolicy"): (
        ("spec.ingress[].from[].namespaceSelector", fields.NAMESPACE_SELECTOR),
        ("spec.egress[].to[].namespaceSelector", fields.NAMESPACE_SELECTOR),
    ),
    ("resource.k8s.io", "ResourceClaim"): _device_requests("spec"),
    ("resource.k8s.io", "ResourceClaimTemplate"): _device_requests("spec.spec"),
    ("storage.k8s.io", "CSIStorageCapacity"): (("storageClassName", fields.STORAGE_CLASS),),
}


def rows(group: str, kind: str) -> tuple[Row, ...]:
    """The rows of a kind, its own first; a path that it names itself replaces the common row of that path."""
    own = _KINDS.get((group, kind), ())
    named = {path for path, _ in own}
    return own + tuple(row for row in COMMON if row[0] not in named)


KINDS: Final = MappingProxyType(_KINDS)
"""Rows by (group, kind), without the common ones."""
