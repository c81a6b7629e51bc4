"""What the controller makes on the host for a tenant, as plain objects. Pure."""

import ipaddress
from typing import Final

import msgspec

from vcproxy.core.names import (
    FIRST_NAMESPACES,
    HIDDEN_LABEL,
    SYSTEM_NAMESPACE,
    TENANT_LABEL,
    HostName,
    TenantId,
    VirtualName,
    host_user,
    system_namespace,
    up,
)
from vcproxy.core.pods import OWN_ROOT_CA
from vcproxy.tenants.hostapi import Object, path_of

INSTALLATION: Final = "vcproxy-system"
"""The namespace of vcproxy itself on the host."""
KEYS_SECRET: Final = "vcproxy-keys"  # noqa: S105 - a name
CONTROLLER_ACCOUNT: Final = "vcproxy-controller"
PROFILE_LABEL: Final = "vcproxy.io/profile"
RBAC_GROUP: Final = "rbac.authorization.k8s.io"
RBAC: Final = f"{RBAC_GROUP}/v1"
TOKENS_LABEL: Final = "vcproxy.io/tokens"
"""On the ConfigMap with the records of a tenant's tokens: its id."""
ROLE: Final = "vcproxy:tenant"
SYSTEM_ROLE: Final = "vcproxy:tenant-system"
BINDING: Final = "vcproxy:tenant"
LAST_FINALIZER: Final = "vcproxy.io/last"
"""Keeps the RoleBinding until everything else of a namespace is gone."""
BINDINGS: Final = path_of(RBAC, "rolebindings")
NAMESPACES: Final = path_of("v1", "namespaces")


class Advertised(msgspec.Struct, frozen=True):
    """Where the pods of tenants reach the proxy: an IP address and a port."""

    ip: str
    port: int


def own_namespaces(tenant: TenantId) -> tuple[HostName, ...]:
    """The host namespaces that every tenant has: those it starts with and the system namespace."""
    return (*(up(tenant, name) for name in FIRST_NAMESPACES), system_namespace(tenant))


def is_system(space: str) -> bool:
    """Whether this is some tenant's system namespace: an id holds no hyphen."""
    return space.partition("-")[2] == SYSTEM_NAMESPACE


def namespace(tenant: TenantId, name: HostName, profile: str) -> Object:
    labels = {TENANT_LABEL: str(tenant), PROFILE_LABEL: profile}
    if name == system_namespace(tenant):
        labels[HIDDEN_LABEL] = "true"
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def tenant_subject(tenant: TenantId) -> Object:
    return {"apiGroup": RBAC_GROUP, "kind": "User", "name": host_user(tenant)}


def controller_subject() -> Object:
    """Who cleans up in a namespace that is being deleted; bound only there and only then."""
    return {"kind": "ServiceAccount", "name": CONTROLLER_ACCOUNT, "namespace": INSTALLATION}


def role_of(tenant: TenantId, space: str) -> str:
    """The ClusterRole that counts in a namespace of a tenant."""
    return SYSTEM_ROLE if space == system_namespace(tenant) else ROLE


def binding(tenant: TenantId, space: str) -> Object:
    """The tenant's rights in one of its namespaces."""
    return {
        "apiVersion": RBAC,
        "kind": "RoleBinding",
        "metadata": {
            "name": BINDING,
            "namespace": space,
            "labels": {HIDDEN_LABEL: "true"},
            "finalizers": [LAST_FINALIZER],
        },
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role_of(tenant, space)},
        "subjects": [tenant_subject(tenant)],
    }


def binding_path(space: str) -> str:
    return path_of(RBAC, "rolebindings", space, BINDING)


def service(tenant: TenantId, advertised: Advertised) -> tuple[str, Object]:
    """Path and object of the Service `kubernetes`, which has no selector."""
    space = up(tenant, VirtualName("default"))
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": advertised.port}]
    return path_of("v1", "services", space, "kubernetes"), {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": space,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {"type": "ClusterIP", "ports": ports},
    }


def endpoint_slice(tenant: TenantId, advertised: Advertised) -> tuple[str, Object]:
    """Path and object of the EndpointSlice behind it."""
    space = up(tenant, VirtualName("default"))
    version = "discovery.k8s.io/v1"
    return path_of(version, "endpointslices", space, "kubernetes"), {
        "apiVersion": version,
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": space,
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": f"IPv{ipaddress.ip_address(advertised.ip).version}",
        "endpoints": [{"addresses": [advertised.ip], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": advertised.port, "protocol": "TCP"}],
    }


def root_ca(space: str, ca: str) -> tuple[str, Object]:
    """Path and object of the ConfigMap with the proxy's CA (PEM) that pods mount; its tenant does not see it."""
    return path_of("v1", "configmaps", space, OWN_ROOT_CA), {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": OWN_ROOT_CA, "namespace": space, "labels": {HIDDEN_LABEL: "true"}},
        "data": {"ca.crt": ca},
    }
