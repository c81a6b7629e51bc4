"""A tenant as the core sees it: one immutable value, made anew by the registry whenever something of it changes."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import msgspec

from vcproxy.core.apis import NONE, OwnApis
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.nodes import EVERY, Selection


class Phase(Enum):
    ACTIVE = "Active"
    SUSPENDED = "Suspended"
    TERMINATING = "Terminating"
    PENDING = "Pending"


class ClassLists(msgspec.Struct, frozen=True):
    """The host's classes that a tenant may use under their own names (`spec.allowedClasses` of a Tenant)."""

    storage: frozenset[str] = frozenset()
    ingress: frozenset[str] = frozenset()
    runtime: frozenset[str] = frozenset()
    priority: frozenset[str] = frozenset()
    device: frozenset[str] = frozenset()
    volume_attributes: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()


class Defaults(msgspec.Struct, frozen=True):
    """The classes that count where a tenant's object names none, as they are called on the host; empty: there is none.

    Its own one that is marked so, or the host's where the tenant may use that.
    """

    storage: str = ""
    ingress: str = ""
    priority: str = ""


class NamespaceInfo(msgspec.Struct, frozen=True):
    """A namespace of a tenant. `created` is in seconds since the epoch, `resource_version` that of its first event."""

    created: float
    resource_version: str
    terminating: bool = False


class Birth(msgspec.Struct, frozen=True):
    """How far the host had come when a tenant came to be, as resourceVersions; 0 where that was not noted.

    What is older is of whoever had the id before. Versions can be compared within one etcd only, and many hosts keep
    Events in an etcd of their own (kube-apiserver: --etcd-servers-overrides), so these have a version apart.
    """

    version: int = 0
    events: int = 0

    def of(self, group: str, resource: str) -> int:
        """The version for a kind."""
        return self.events if resource == "events" and group in ("", "events.k8s.io") else self.version


NO_NAMESPACES: Final[Mapping[VirtualName, NamespaceInfo]] = MappingProxyType({})


class TenantView(msgspec.Struct, frozen=True):
    """A tenant at one moment. `namespaces` leaves out the system namespace."""

    id: TenantId
    uid: str
    phase: Phase
    profile: str = "hard"
    classes: ClassLists = ClassLists()
    namespaces: Mapping[VirtualName, NamespaceInfo] = NO_NAMESPACES
    apis: OwnApis = NONE
    nodes: Selection = EVERY
    defaults: Defaults = Defaults()
    birth: Birth = Birth()
    writable: frozenset[str] = frozenset()
    """Kinds of `core.kinds.GUARDED` that it may write (`spec.clusterKinds` of a Tenant)."""
    created: float = 0.0
    """Of the Tenant, in seconds since the epoch."""
