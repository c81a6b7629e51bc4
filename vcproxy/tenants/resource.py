"""The Tenant resource (tenants.vcproxy.io) as typed values: read leniently, written exactly.

The schema in the host's CRD has checked the spec; what is odd nevertheless (an older or newer schema) reads as the
stricter choice and never raises.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vcproxy.core import grants
from vcproxy.core.grants import Grant
from vcproxy.core.kinds import GUARDED
from vcproxy.core.names import TenantId, tenant_id
from vcproxy.core.nodes import EVERY, Selection, selection
from vcproxy.core.versions import version_of
from vcproxy.core.view import Birth, ClassLists, Phase
from vcproxy.tenants.hostapi import Object, path_of

GROUP: Final = "vcproxy.io"
API_VERSION: Final = "vcproxy.io/v1alpha1"
RESOURCE: Final = "tenants"
COLLECTION: Final = path_of(API_VERSION, RESOURCE)
FINALIZER: Final = "vcproxy.io/tenant"
READY: Final = "Ready"
SUSPENDED: Final = "Suspended"
PROFILES: Final = ("soft", "hard")
MESSAGE_LIMIT: Final = 1024


NO_AUTHENTICATION: Final[Mapping[str, Any]] = MappingProxyType({})


class Condition(msgspec.Struct, frozen=True):
    """A metav1.Condition. `status` is True, False or Unknown as text, `since` RFC 3339."""

    type: str
    status: str
    reason: str
    message: str
    since: str = ""
    generation: int = 0

    def document(self) -> Object:
        return {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": self.message[:MESSAGE_LIMIT],
            "lastTransitionTime": self.since,
            "observedGeneration": self.generation,
        }


class TenantStatus(msgspec.Struct, frozen=True):
    """`status` of a Tenant. `namespaces` leaves out the system namespace."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    namespaces: int = 0
    observed_generation: int = 0
    birth: Birth = Birth()

    def document(self) -> Object:
        born = {"resourceVersion": str(self.birth.version), "eventsResourceVersion": str(self.birth.events)}
        return {
            "phase": self.phase,
            "conditions": [condition.document() for condition in self.conditions],
            "namespaces": self.namespaces,
            "observedGeneration": self.observed_generation,
            **({"birth": born} if self.birth.version else {}),
        }


class Tenant(msgspec.Struct, frozen=True):
    """A Tenant object. Equal values mean that nothing that matters has changed."""

    id: TenantId
    uid: str
    resource_version: str
    generation: int
    finalizers: tuple[str, ...]
    deleting: bool
    profile: str
    suspended: bool
    classes: ClassLists
    status: TenantStatus
    authentication: Mapping[str, Any] = NO_AUTHENTICATION
    """`spec.authentication` as it is written: access.callers reads it."""
    grants: tuple[Grant, ...] = ()
    writable: frozenset[str] = frozenset()
    """Kinds of `core.kinds.GUARDED` that it may write."""
    nodes: Selection = EVERY
    created: float = 0.0
    """In seconds since the epoch."""

    @property
    def issues_certificates(self) -> bool:
        """Whether vcproxy is to keep a CA for the tenant."""
        return _mapping(self.authentication.get("clientCertificate")).get("issue") is True

    @property
    def path(self) -> str:
        return f"{COLLECTION}/{self.id}"

    @property
    def phase(self) -> Phase:
        """What the tenant is now: the spec counts before the status, so a suspension needs no controller."""
        if self.deleting:
            return Phase.TERMINATING
        if self.suspended:
            return Phase.SUSPENDED
        return Phase.ACTIVE if self.status.phase in (Phase.ACTIVE.value, Phase.SUSPENDED.value) else Phase.PENDING


def parse(document: Object) -> Tenant | None:
    """The Tenant of an object, or None of one whose name is no tenant id (the CRD refuses those)."""
    metadata = _mapping(document.get("metadata"))
    spec = _mapping(document.get("spec"))
    try:
        name = tenant_id(str(metadata.get("name")))
    except ValueError:
        return None
    profile, version = spec.get("profile"), str(metadata.get("resourceVersion") or "")
    return Tenant(
        id=name,
        uid=str(metadata.get("uid") or ""),
        resource_version=version,
        generation=_number(metadata.get("generation")),
        finalizers=_texts(metadata.get("finalizers")),
        deleting=bool(metadata.get("deletionTimestamp")),
        profile=profile if profile in PROFILES else "hard",
        suspended=bool(spec.get("suspended")),
        classes=_classes(_mapping(spec.get("allowedClasses"))),
        status=_status(_mapping(document.get("status"))),
        authentication=_mapping(spec.get("authentication")),
        grants=grants.parse(spec.get("grants")),
        writable=_writable(spec),
        nodes=selection(spec.get("nodes"), version_of(version)),
        created=moment(metadata.get("creationTimestamp")),
    )


def status_of(
    tenant: Tenant, phase: Phase, ready: Condition, namespaces: int, now: float, others: Iterable[Condition] = ()
) -> TenantStatus:
    """The status to write: conditions that kept their state keep the time of their last transition."""
    suspended = Condition(
        SUSPENDED,
        "True" if tenant.suspended else "False",
        "Requested" if tenant.suspended else "NotRequested",
        "spec.suspended is true: every request of the tenant is refused" if tenant.suspended else "",
    )
    known = {condition.type: condition for condition in tenant.status.conditions}
    wanted = (ready, suspended, *others)
    conditions = tuple(_dated(condition, known.get(condition.type), tenant.generation, now) for condition in wanted)
    return TenantStatus(phase.value, conditions, namespaces, tenant.generation, tenant.status.birth)


def timestamp(now: float) -> str:
    """Seconds since the epoch as metav1.Time writes them."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: Any) -> float:
    """A metav1.Time as seconds since the epoch; 0 for what is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def _dated(condition: Condition, known: Condition | None, generation: int, now: float) -> Condition:
    unchanged = known is not None and known.status == condition.status and bool(known.since)
    since = known.since if known is not None and unchanged else timestamp(now)
    return msgspec.structs.replace(condition, since=since, generation=generation)


def _status(status: Mapping[str, Any]) -> TenantStatus:
    conditions = status.get("conditions")
    return TenantStatus(
        phase=str(status.get("phase") or ""),
        conditions=tuple(_condition(item) for item in conditions if isinstance(item, dict))
        if isinstance(conditions, list)
        else (),
        namespaces=_number(status.get("namespaces")),
        observed_generation=_number(status.get("observedGeneration")),
        birth=_birth(_mapping(status.get("birth"))),
    )


def _birth(found: Mapping[str, Any]) -> Birth:
    return Birth(version_of(found.get("resourceVersion")), version_of(found.get("eventsResourceVersion")))


def _condition(item: Mapping[str, Any]) -> Condition:
    return Condition(
        str(item.get("type") or ""),
        str(item.get("status") or ""),
        str(item.get("reason") or ""),
        str(item.get("message") or ""),
        str(item.get("lastTransitionTime") or ""),
        _number(item.get("observedGeneration")),
    )


def _classes(lists: Mapping[str, Any]) -> ClassLists:
    return ClassLists(
        storage=frozenset(_texts(lists.get("storage"))),
        ingress=frozenset(_texts(lists.get("ingress"))),
        runtime=frozenset(_texts(lists.get("runtime"))),
        priority=frozenset(_texts(lists.get("priority"))),
        device=frozenset(_texts(lists.get("device"))),
        volume_attributes=frozenset(_texts(lists.get("volumeAttributes"))),
        volumes=frozenset(_texts(lists.get("volumes"))),
    )


def _writable(spec: Mapping[str, Any]) -> frozenset[str]:
    if "clusterKinds" in spec:
        return GUARDED & frozenset(_texts(spec["clusterKinds"]))
    return GUARDED if spec.get("profile") == "soft" else frozenset()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str) and item) if isinstance(value, list) else ()


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
