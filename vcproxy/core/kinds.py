"""Kinds: one row for each that the host serves, and what it is to a tenant.

A kind or subresource without a row is denied and hidden; a test compares the table with recorded discovery of the host.
Rows are keyed by (group, resource); the verbs are the host's own (https://kubernetes.io/docs/reference/using-api/).
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import msgspec


class Exposure(Enum):
    """What a kind is to a tenant: docs/architecture.md, "Kinds"."""

    NAMESPACED = "namespaced"
    PRIVATE = "private"
    OWN = "own"
    SHADOW = "shadow"
    SHARED = "shared"
    VIRTUAL = "virtual"
    DENIED = "denied"


class Kind(msgspec.Struct, frozen=True):
    """A row. `subresources` maps a name to its verbs; those in `hidden_subresources` are denied for now."""

    group: str
    resource: str
    kind: str
    namespaced: bool
    exposure: Exposure
    verbs: frozenset[str]
    subresources: Mapping[str, frozenset[str]]
    hidden_subresources: frozenset[str]
    served: bool

    @property
    def offered(self) -> frozenset[str]:
        """The verbs that a tenant has: what is shared is only read."""
        return self.verbs & READ if self.exposure is Exposure.SHARED else self.verbs

    @property
    def key(self) -> tuple[str, str]:
        return self.group, self.resource


READ: Final = frozenset({"get", "list", "watch"})
WRITE: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
ALL: Final = READ | WRITE
PART: Final = frozenset({"get", "patch", "update"})
CREATE: Final = frozenset({"create"})
NO_COLLECTION: Final = ALL - {"deletecollection"}

_STATUS: Final = {"status": PART}
_SCALED: Final = {"status": PART, "scale": PART}
_PROXY: Final = frozenset({"create", "delete", "get", "patch", "update"})
_STREAM: Final = frozenset({"create", "get"})
_POD: Final = {
    "attach": _STREAM,
    "binding": CREATE,
    "ephemeralcontainers": PART,
    "eviction": CREATE,
    "exec": _STREAM,
    "log": frozenset({"get"}),
    "portforward": _STREAM,
    "proxy": _PROXY,
    "resize": PART,
    "status": PART,
}


def _row(
    group: str,
    resource: str,
    kind: str,
    exposure: Exposure,
    subresources: Mapping[str, frozenset[str]] | None = None,
    *,
    namespaced: bool = True,
    verbs: frozenset[str] = ALL,
    hidden: tuple[str, ...] = (),
    served: bool | None = None,
) -> Kind:
    """A row; `served` says whether a tenant may use the kind now, by default if it is Namespaced."""
    return Kind(
        group,
        resource,
        kind,
        namespaced,
        exposure,
        verbs,
        MappingProxyType(dict(subresources or {})),
        frozenset(hidden),
        exposure is Exposure.NAMESPACED if served is None else served,
    )


def _namespaced(group: str, resource: str, kind: str, subresources: Mapping[str, frozenset[str]] | None = None) -> Kind:
    return _row(group, resource, kind, Exposure.NAMESPACED, subresources)


def _cluster(
    exposure: Exposure, group: str, resource: str, kind: str, subresources: Mapping[str, frozenset[str]] | None = None
) -> Kind:
    served = exposure is Exposure.PRIVATE
    return _row(group, resource, kind, exposure, subresources, namespaced=False, served=served)


def _shared(group: str, resource: str, kind: str, parts: Mapping[str, frozenset[str]] | None = None) -> Kind:
    """What the provider has and tenants see some of: read only, so no part of it is shown."""
    return _row(group, resource, kind, Exposure.SHARED, parts, namespaced=False, hidden=tuple(parts or ()), served=True)


def _review(group: str, resource: str, kind: str, *, namespaced: bool = False, served: bool = False) -> Kind:
    return _row(group, resource, kind, Exposure.VIRTUAL, namespaced=namespaced, verbs=CREATE, served=served)


_N, _P, _S = Exposure.NAMESPACED, Exposure.PRIVATE, Exposure.SHADOW
_ADMISSION: Final = "admissionregistration.k8s.io"
_RBAC: Final = "rbac.authorization.k8s.io"

_ROWS: Final[tuple[Kind, ...]] = (
    _row("", "bindings", "Binding", _N, verbs=CREATE),
    _row(
        "", "componentstatuses", "ComponentStatus", Exposure.DENIED, namespaced=False, verbs=frozenset({"get", "list"})
    ),
    _namespaced("", "configmaps", "ConfigMap"),
    _namespaced("", "endpoints", "Endpoints"),
    _namespaced("", "events", "Event"),
    _namespaced("", "limitranges", "LimitRange"),
    _row(
        "",
        "namespaces",
        "Namespace",
        _P,
        {"finalize": frozenset({"update"}), "status": PART},
        namespaced=False,
        verbs=NO_COLLECTION,
        served=True,
    ),
    _shared("", "nodes", "Node", {"proxy": _PROXY, "status": PART}),
    _namespaced("", "persistentvolumeclaims", "PersistentVolumeClaim", _STATUS),
    _cluster(_P, "", "persistentvolumes", "PersistentVolume", _STATUS),
    _row("", "pods", "Pod", _N, _POD),
    _namespaced("", "podtemplates", "PodTemplate"),
    _namespaced("", "replicationcontrollers", "ReplicationController", _SCALED),
    _namespaced("", "resourcequotas", "ResourceQuota", _STATUS),
    _namespaced("", "secrets", "Secret"),
    _row("", "serviceaccounts", "ServiceAccount", _N, {"token": CREATE}),
    _row("", "services", "Service", _N, {"proxy": _PROXY, "status": PART}),
    _cluster(_S, _ADMISSION, "mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
    _cluster(_S, _ADMISSION, "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"),
    _cluster(_S, _ADMISSION, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
    _cluster(_S, _ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", _STATUS),
    _cluster(_S, _ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
    _cluster(_S, _ADMISSION, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
    _row(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        _P,
        _STATUS,
        namespaced=False,
        served=True,
    ),
    _cluster(_S, "apiregistration.k8s.io", "apiservices", "APIService", _STATUS),
    _namespaced("apps", "controllerrevisions", "ControllerRevision"),
    _namespaced("apps", "daemonsets", "DaemonSet", _STATUS),
    _namespaced("apps", "deployments", "Deployment", _SCALED),
    _namespaced("apps", "replicasets", "ReplicaSet", _SCALED),
    _namespaced("apps", "statefulsets", "StatefulSet", _SCALED),
    _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", served=True),
    _review("authentication.k8s.io", "tokenreviews", "TokenReview", served=True),
    _review(
        "authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True, served=True
    ),
    _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", served=True),
    _review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", served=True),
    _review("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", served=True),
    _namespaced("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler", _STATUS),
    _namespaced("batch", "cronjobs", "CronJob", _STATUS),
    _namespaced("batch", "jobs", "Job", _STATUS),
    _cluster(
        _S,
        "certificates.k8s.io",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        {"approval": PART, "status": PART},
    ),
    _cluster(_S, "certificates.k8s.io", "clustertrustbundles", "ClusterTrustBundle"),
    _row(
        "certificates.k8s.io", "podcertificaterequests", "PodCertificateRequest", Exposure.DENIED, _STATUS, served=False
    ),
    _namespaced("coordination.k8s.io", "leases", "Lease"),
    _namespaced("discovery.k8s.io", "endpointslices", "EndpointSlice"),
    _namespaced("events.k8s.io", "events", "Event"),
    _cluster(_S, "flowcontrol.apiserver.k8s.io", "flowschemas", "FlowSchema", _STATUS),
    _cluster(_S, "flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "PriorityLevelConfiguration", _STATUS),
    _cluster(_P, "networking.k8s.io", "ingressclasses", "IngressClass"),
    _namespaced("networking.k8s.io", "ingresses", "Ingress", _STATUS),
    _cluster(_S, "networking.k8s.io", "ipaddresses", "IPAddress"),
    _namespaced("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    _cluster(_S, "networking.k8s.io", "servicecidrs", "ServiceCIDR", _STATUS),
    _cluster(_P, "node.k8s.io", "runtimeclasses", "RuntimeClass"),
    _namespaced("policy", "poddisruptionbudgets", "PodDisruptionBudget", _STATUS),
    _row(_RBAC, "clusterrolebindings", "ClusterRoleBinding", _S, namespaced=False, served=True),
    _row(_RBAC, "clusterroles", "ClusterRole", _S, namespaced=False, served=True),
    _row(_RBAC, "rolebindings", "RoleBinding", _S, served=True),
    _row(_RBAC, "roles", "Role", _S, served=True),
    _cluster(_P, "resource.k8s.io", "deviceclasses", "DeviceClass"),
    _cluster(Exposure.DENIED, "resource.k8s.io", "devicetaintrules", "DeviceTaintRule", _STATUS),
    _namespaced("resource.k8s.io", "resourceclaims", "ResourceClaim", _STATUS),
    _namespaced("resource.k8s.io", "resourceclaimtemplates", "ResourceClaimTemplate"),
    _shared("resource.k8s.io", "resourceslices", "ResourceSlice"),
    _cluster(_P, "scheduling.k8s.io", "priorityclasses", "PriorityClass"),
    _cluster(_P, "storage.k8s.io", "csidrivers", "CSIDriver"),
    _shared("storage.k8s.io", "csinodes", "CSINode", _STATUS),
    _namespaced("storage.k8s.io", "csistoragecapacities", "CSIStorageCapacity"),
    _cluster(_P, "storage.k8s.io", "storageclasses", "StorageClass"),
    _cluster(_P, "storage.k8s.io", "volumeattachments", "VolumeAttachment", _STATUS),
    _cluster(_P, "storage.k8s.io", "volumeattributesclasses", "VolumeAttributesClass"),
    _row(
        "storagemigration.k8s.io",
        "storageversionmigrations",
        "StorageVersionMigration",
        Exposure.DENIED,
        _STATUS,
        namespaced=False,
    ),
)

TABLE: Final[Mapping[tuple[str, str], Kind]] = MappingProxyType({row.key: row for row in _ROWS})

GUARDED: Final = frozenset(
    {
        "DeviceClass",
        "IngressClass",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)
"""Private kinds whose objects reach what tenants share: folders of nodes, drivers, devices, the order of pods.

A PersistentVolume may name a folder of the node, a StorageClass any driver of the host with any parameters, an
IngressClass any controller of the host, a PriorityClass drives out the pods of others
(https://kubernetes.io/docs/concepts/security/rbac-good-practices/). Tenants of the profile `hard` write none unless
their Tenant says so.
"""


def served() -> Iterator[Kind]:
    """The rows that a tenant may use now, in the order of the table."""
    return (row for row in _ROWS if row.served)


def find(group: str, resource: str) -> Kind | None:
    """The row of a resource that a tenant may use now, or None."""
    row = TABLE.get((group, resource))
    return row if row is not None and row.served else None


class Served:
    """What a tenant's discovery and OpenAPI may show (core.discovery.Visibility). `more` are rows beside the table."""

    def __init__(self, more: Mapping[tuple[str, str], Kind] = MappingProxyType({})) -> None:
        self._more = more

    def resource(self, group: str, resource: str) -> bool:
        return self._find(group, resource) is not None

    def _find(self, group: str, resource: str) -> Kind | None:
        return find(group, resource) or self._more.get((group, resource))

    def subresource(self, group: str, resource: str, sub: str) -> bool:
        row = self._find(group, resource)
        return row is not None and sub in row.subresources and sub not in row.hidden_subresources

    def verbs(self, group: str, resource: str, subresource: str, verbs: list[str]) -> list[str]:
        row = self._find(group, resource)
        if row is None:
            return []
        known = row.subresources.get(subresource, frozenset()) if subresource else row.offered
        return [verb for verb in verbs if verb in known]
