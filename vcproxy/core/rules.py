"""Rules: where names stand in objects. A row is (path, lens); both directions come from the one row.

Paths are written as in the API reference (https://kubernetes.io/docs/reference/kubernetes-api/): `.` between fields,
`[]` for each item of a list, quotes around keys that hold dots. Rows of a kind are its own plus the common ones.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vcproxy.core import fields_autoscaling, fields_pods, fields_private, owners, pods
from vcproxy.core.apis import BUILT_IN
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.fields_classes import (
    ATTRIBUTES_CLASS,
    DEVICE_CLASS,
    INGRESS_CLASS,
    PRIORITY_CLASS,
    RUNTIME_CLASS,
    STORAGE_CLASS,
    VOLUME,
)
from vcproxy.core.fields_events import CLUSTER_SCOPED_EVENT
from vcproxy.core.fields_groups import API_GROUP, API_VERSION, CONVERSION, DEFINITION, GROUP
from vcproxy.core.fields_labels import EVENT_ANNOTATIONS, HIDDEN_ANNOTATIONS, HIDDEN_LABELS
from vcproxy.core.fields_managed import MANAGED_FIELDS
from vcproxy.core.fields_names import NAMESPACE, OWN_NAME
from vcproxy.core.fields_namespaces import NAME_LABEL, NAMESPACE_CONDITION, NAMESPACE_SELECTOR, OWNER_LABEL
from vcproxy.core.fields_quotas import QUOTA_MANAGED_FIELDS, RESOURCE_KEYS, SCOPE_SELECTOR
from vcproxy.core.fields_references import NAMED, REFERENCE
from vcproxy.core.fields_texts import ROOT_CA, TEXT
from vcproxy.core.lens import Lens

Row = tuple[str, Lens]

COMMON: Final[tuple[Row, ...]] = (
    ("metadata.namespace", NAMESPACE),
    ("metadata.labels", HIDDEN_LABELS),
    ("metadata.annotations", HIDDEN_ANNOTATIONS),
    ("metadata.ownerReferences[]", owners.OWNER),
    ("metadata.managedFields", MANAGED_FIELDS),
    ("status.conditions[].message", TEXT),
)


_OWN: Final[tuple[Row, ...]] = (("apiVersion", API_VERSION),)
"""Custom resources: whatever else they hold is their author's."""


def _private(kind: tuple[str, str]) -> tuple[Row, ...]:
    """What all Private kinds but Namespace and CustomResourceDefinition have in common."""
    return (
        ("metadata.name", NAMED[kind]),
        ("metadata.generateName", OWN_NAME),
        ("metadata.labels", OWNER_LABEL),
    )


_DEFAULT_CLASS: Final[tuple[Row, ...]] = (
    ("metadata.annotations", fields_private.DEFAULT_FLAGS),
    ("metadata.annotations", HIDDEN_ANNOTATIONS),
)
_LEGACY_CLASS: Final = f"metadata.annotations.'{fields_private.LEGACY_STORAGE}'"
_SECRETS: Final = (
    "azureFile.secretNamespace",
    "cephfs.secretRef.namespace",
    "cinder.secretRef.namespace",
    "csi.controllerExpandSecretRef.namespace",
    "csi.controllerPublishSecretRef.namespace",
    "csi.nodeExpandSecretRef.namespace",
    "csi.nodePublishSecretRef.namespace",
    "csi.nodeStageSecretRef.namespace",
    "flexVolume.secretRef.namespace",
    "glusterfs.endpointsNamespace",
    "iscsi.secretRef.namespace",
    "rbd.secretRef.namespace",
    "scaleIO.secretRef.namespace",
    "storageos.secretRef.namespace",
)
"""Where a PersistentVolumeSpec names the namespace of a Secret, or of Endpoints."""


def _volume_spec(at: str) -> tuple[Row, ...]:
    """A PersistentVolumeSpec."""
    return (
        (f"{at}.claimRef", REFERENCE),
        (f"{at}.volumeAttributesClassName", ATTRIBUTES_CLASS),
        (f"{at}.csi.volumeAttributes", fields_private.PARAMETERS),
        *((f"{at}.{path}", NAMESPACE) for path in _SECRETS),
    )


def _claim_spec(at: str) -> tuple[Row, ...]:
    """A PersistentVolumeClaimSpec."""
    return (
        (f"{at}.storageClassName", STORAGE_CLASS),
        (f"{at}.volumeAttributesClassName", ATTRIBUTES_CLASS),
        (f"{at}.volumeName", VOLUME),
        (f"{at}.dataSource.apiGroup", API_GROUP),
        (f"{at}.dataSourceRef.apiGroup", API_GROUP),
        (f"{at}.dataSourceRef.namespace", NAMESPACE),
    )


def _made_of(at: str) -> tuple[Row, ...]:
    """Labels and annotations that the host's controllers give to what they make of a template."""
    return (f"{at}.metadata.labels", HIDDEN_LABELS), (f"{at}.metadata.annotations", HIDDEN_ANNOTATIONS)


def _claim_template(at: str) -> tuple[Row, ...]:
    """A PersistentVolumeClaimTemplate: its annotations may name a class, which counts before the field."""
    return (
        *_made_of(at),
        (f"{at}.metadata.annotations.'{fields_private.LEGACY_STORAGE}'", STORAGE_CLASS),
        *_claim_spec(f"{at}.spec"),
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
            (f"{start}.namespaces[]", NAMESPACE),
            (f"{start}.namespaceSelector", NAMESPACE_SELECTOR),
        )
    )


def _pod_spec(at: str) -> tuple[Row, ...]:
    return (
        (f"{at}.priorityClassName", PRIORITY_CLASS),
        (f"{at}.runtimeClassName", RUNTIME_CLASS),
        *_affinity_terms(f"{at}.affinity.podAffinity"),
        *_affinity_terms(f"{at}.affinity.podAntiAffinity"),
        *_claim_template(f"{at}.volumes[].ephemeral.volumeClaimTemplate"),
    )


def _template(at: str) -> tuple[Row, ...]:
    """A PodTemplateSpec: its own metadata holds labels and annotations of pods to come."""
    return (
        *_made_of(at),
        (f"{at}.metadata.namespace", NAMESPACE),
        *_pod_spec(f"{at}.spec"),
    )


_POD_INSIDE: Final[tuple[Row, ...]] = (
    ("spec", fields_pods.DNS),
    *((f"spec.{containers}[].env", fields_pods.ENV) for containers in pods.CONTAINERS),
    ("spec.volumes[].projected", fields_pods.PROJECTED),
    ("spec.volumes[].downwardAPI.items", fields_pods.FIELDS),
    ("spec.volumes[].configMap", fields_pods.CONFIG_MAP),
)
"""What the host's webhook edits in a Pod. Templates stay as they were written."""


def _device_requests(at: str) -> tuple[Row, ...]:
    """The requests of a ResourceClaimSpec (resource.k8s.io/v1)."""
    return (
        (f"{at}.devices.requests[].exactly.deviceClassName", DEVICE_CLASS),
        (f"{at}.devices.requests[].deviceClassName", DEVICE_CLASS),
        (f"{at}.devices.requests[].firstAvailable[].deviceClassName", DEVICE_CLASS),
    )


_EVENT: Final[tuple[Row, ...]] = (
    ("", CLUSTER_SCOPED_EVENT),
    ("metadata.annotations", EVENT_ANNOTATIONS),
    ("involvedObject", REFERENCE),
    ("regarding", REFERENCE),
    ("related", REFERENCE),
    ("message", TEXT),
    ("note", TEXT),
)

_KINDS: Final[Mapping[tuple[str, str], tuple[Row, ...]]] = {
    ("", "Namespace"): (
        ("metadata.name", NAMESPACE),
        ("metadata.generateName", NAMESPACE),
        ("metadata.labels", OWNER_LABEL),
        (f"metadata.labels.'{NAME_LABEL}'", NAMESPACE),
        ("status.conditions[]", NAMESPACE_CONDITION),
    ),
    ("", "Pod"): (*_pod_spec("spec"), *_POD_INSIDE, ("status.message", TEXT)),
    ("", "PodTemplate"): _template("template"),
    ("", "ReplicationController"): _template("spec.template"),
    ("", "ConfigMap"): (("data.'ca.crt'", ROOT_CA),),
    ("", "ServiceAccount"): (("secrets[].namespace", NAMESPACE),),
    ("", "Endpoints"): (
        ("subsets[].addresses[].targetRef", REFERENCE),
        ("subsets[].notReadyAddresses[].targetRef", REFERENCE),
    ),
    ("", "PersistentVolume"): (
        ("", fields_private.LENT_VOLUME),
        *_private(("", "PersistentVolume")),
        ("metadata.annotations", fields_private.PARAMETERS),
        ("metadata.annotations", HIDDEN_ANNOTATIONS),
        (_LEGACY_CLASS, STORAGE_CLASS),
        ("spec.storageClassName", fields_private.VOLUME_CLASS),
        *_volume_spec("spec"),
        ("status.message", TEXT),
    ),
    ("", "PersistentVolumeClaim"): (
        (_LEGACY_CLASS, STORAGE_CLASS),
        ("spec.storageClassName", fields_private.CLAIM_CLASS),
        *(row for row in _claim_spec("spec") if row[0] != "spec.storageClassName"),
        ("status.currentVolumeAttributesClassName", ATTRIBUTES_CLASS),
        ("status.modifyVolumeStatus.targetVolumeAttributesClassName", ATTRIBUTES_CLASS),
    ),
    ("", "ResourceQuota"): (
        ("metadata.managedFields", QUOTA_MANAGED_FIELDS),
        ("spec.hard", RESOURCE_KEYS),
        ("spec.scopeSelector.matchExpressions[]", SCOPE_SELECTOR),
        ("status.hard", RESOURCE_KEYS),
        ("status.used", RESOURCE_KEYS),
    ),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
    ("", "Binding"): (("target", REFERENCE),),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        ("metadata.name", DEFINITION),
        ("metadata.labels", OWNER_LABEL),
        ("spec.group", GROUP),
        ("spec.conversion", CONVERSION),
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        ("spec.scaleTargetRef.apiVersion", API_VERSION),
        ("spec.metrics[].object.describedObject.apiVersion", API_VERSION),
        ("status.currentMetrics[].object.describedObject.apiVersion", API_VERSION),
        *((f"metadata.annotations.'{name}'", fields_autoscaling.SCALING) for name in fields_autoscaling.ANNOTATIONS),
    ),
    ("apps", "Deployment"): _template("spec.template"),
    ("apps", "ReplicaSet"): _template("spec.template"),
    ("apps", "DaemonSet"): _template("spec.template"),
    ("apps", "StatefulSet"): (
        *_template("spec.template"),
        *_claim_template("spec.volumeClaimTemplates[]"),
    ),
    ("apps", "ControllerRevision"): (
        *_template("data.spec.template"),
        *_claim_template("data.spec.volumeClaimTemplates[]"),
    ),
    ("batch", "Job"): _template("spec.template"),
    ("batch", "CronJob"): (
        *_template("spec.jobTemplate.spec.template"),
        *_made_of("spec.jobTemplate"),
        ("status.active[]", REFERENCE),
    ),
    ("discovery.k8s.io", "EndpointSlice"): (("endpoints[].targetRef", REFERENCE),),
    ("networking.k8s.io", "Ingress"): (
        ("", fields_private.DEFAULT_INGRESS),
        ("spec.ingressClassName", INGRESS_CLASS),
        (f"metadata.annotations.'{fields_private.LEGACY_INGRESS}'", INGRESS_CLASS),
        ("spec.defaultBackend.resource.apiGroup", API_GROUP),
        ("spec.rules[].http.paths[].backend.resource.apiGroup", API_GROUP),
    ),
    ("networking.k8s.io", "IngressClass"): (
        *_private(("networking.k8s.io", "IngressClass")),
        *_DEFAULT_CLASS,
        ("spec.parameters.apiGroup", API_GROUP),
        ("spec.parameters.namespace", NAMESPACE),
    ),
    ("networking.k8s.io", "NetworkPolicy"): (
        ("spec.ingress[].from[].namespaceSelector", NAMESPACE_SELECTOR),
        ("spec.egress[].to[].namespaceSelector", NAMESPACE_SELECTOR),
    ),
    ("node.k8s.io", "RuntimeClass"): _private(("node.k8s.io", "RuntimeClass")),
    ("resource.k8s.io", "DeviceClass"): _private(("resource.k8s.io", "DeviceClass")),
    ("resource.k8s.io", "ResourceClaim"): (
        *_device_requests("spec"),
        ("status.reservedFor[].apiGroup", API_GROUP),
    ),
    ("resource.k8s.io", "ResourceClaimTemplate"): (*_made_of("spec"), *_device_requests("spec.spec")),
    ("scheduling.k8s.io", "PriorityClass"): (
        ("", fields_private.DEFAULT_PRIORITY),
        *_private(("scheduling.k8s.io", "PriorityClass")),
    ),
    ("storage.k8s.io", "CSIDriver"): _private(("storage.k8s.io", "CSIDriver")),
    ("storage.k8s.io", "StorageClass"): (
        *_private(("storage.k8s.io", "StorageClass")),
        *_DEFAULT_CLASS,
        ("parameters", fields_private.PARAMETERS),
    ),
    ("storage.k8s.io", "VolumeAttachment"): (
        *_private(("storage.k8s.io", "VolumeAttachment")),
        ("spec.source.persistentVolumeName", VOLUME),
        ("spec.source.inlineVolumeSpec.storageClassName", STORAGE_CLASS),
        *_volume_spec("spec.source.inlineVolumeSpec"),
        ("status.attachError.message", TEXT),
        ("status.detachError.message", TEXT),
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): (
        *_private(("storage.k8s.io", "VolumeAttributesClass")),
        ("parameters", fields_private.PARAMETERS),
    ),
    ("storage.k8s.io", "CSIStorageCapacity"): (("storageClassName", STORAGE_CLASS),),
}


def rows(group: str, kind: str, exports: Exports = NOTHING) -> tuple[Row, ...]:
    """The rows of a kind, its own first; a path that it names itself replaces the common row of that path."""
    others = () if group in BUILT_IN or group in exports.groups else _OWN
    own = _KINDS.get((group, kind), exports.rules.get((group, kind), others))
    named = {path for path, _ in own}
    return own + tuple(row for row in COMMON if row[0] not in named)


KINDS: Final = MappingProxyType(_KINDS)
"""Rows by (group, kind), without the common ones."""
