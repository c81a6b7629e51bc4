"""What the host's Pods of a tenant hold so that programs inside see the tenant's cluster, and how a view hides it.

Each `..._up` makes of a part of a Pod what is stored; the host's webhook calls them at creation. Each `..._down` takes
it off again; the lenses of core.fields_pods call them. What is ours is known by itself: variables by the annotations
that they refer to, DNS by its searches. Every function is idempotent, and leaves values of odd types as they are.

Names and defaults of what is edited: the admission plugin ServiceAccount (the volume `kube-api-access-*`), the kubelet
(`KUBERNETES_*`, https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from vcproxy.core.audience import DOMAIN, audience
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.status import forbidden

NAMESPACE: Final = "vcproxy.io/namespace"
"""The annotation that holds a Pod's namespace as its tenant calls it."""
HOST: Final = "vcproxy.io/api-host"
PORT: Final = "vcproxy.io/api-port"
URL: Final = "vcproxy.io/api-url"
PROTOCOL: Final = "vcproxy.io/api-protocol"
VARIABLES: Final[Mapping[str, str]] = {
    "KUBERNETES_SERVICE_HOST": HOST,
    "KUBERNETES_SERVICE_PORT": PORT,
    "KUBERNETES_SERVICE_PORT_HTTPS": PORT,
    "KUBERNETES_PORT": URL,
    "KUBERNETES_PORT_443_TCP": URL,
    "KUBERNETES_PORT_443_TCP_PROTO": PROTOCOL,
    "KUBERNETES_PORT_443_TCP_PORT": PORT,
    "KUBERNETES_PORT_443_TCP_ADDR": HOST,
}
"""What the kubelet would set to the host's own API server: the annotation that each is taken from instead."""
ROOT_CA: Final = "kube-root-ca.crt"
OWN_ROOT_CA: Final = "vcproxy-root-ca.crt"
"""The ConfigMap that pods mount instead: the host heals the other one."""
CERTIFICATE_REFUSAL: Final = (
    "podCertificate: the provider of this cluster gives pods no certificates of this signer (pods.certificateSigners)"
)
CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
NAMESERVERS: Final = 3
SEARCHES: Final = 32
"""The API server's bounds of a PodDNSConfig (MaxDNSNameservers, MaxDNSSearchPaths)."""

Object = dict[str, Any]


def annotation_field(name: str) -> str:
    """The field path of an annotation."""
    return f"metadata.annotations['{name}']"


_NAMESPACE_FIELDS: Final = ("metadata.namespace", annotation_field(NAMESPACE))


class Facts(msgspec.Struct, frozen=True):
    """What holds for all tenants: the cluster's DNS (empty: DNS stays the host's), the address of the proxy that pods
    reach (empty: variables stay the host's), the audiences of the host's own API server, and the signers whose
    certificates a Pod may have."""

    nameserver: str = ""
    host: str = ""
    port: int = 0
    audiences: frozenset[str] = frozenset()
    signers: frozenset[str] = frozenset()

    def annotations(self, namespace: VirtualName) -> dict[str, str]:
        """Our annotations of a new Pod."""
        if not self.host:
            return {NAMESPACE: namespace}
        shown = f"[{self.host}]" if ":" in self.host else self.host
        url = f"tcp://{shown}:{self.port}"
        return {NAMESPACE: namespace, HOST: self.host, PORT: str(self.port), URL: url, PROTOCOL: "tcp"}


def _at(value: Any, *keys: str) -> Any:
    """What stands at the end of a path of keys, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _swap(container: Any, key: str, was: str, now: str) -> None:
    if isinstance(container, dict) and container.get(key) == was:
        container[key] = now


# Field references and the CA -----------------------------------------------------------------------------------------


def field_references(items: Any, *, up: bool) -> Any:
    """Items of a downward API volume: `metadata.namespace` and our annotation, changed in place."""
    was, now = _NAMESPACE_FIELDS if up else reversed(_NAMESPACE_FIELDS)
    for item in _items(items):
        _swap(_at(item, "fieldRef"), "fieldPath", was, now)
    return items


def config_map(reference: Any, *, up: bool) -> Any:
    """A reference to a ConfigMap by name, changed in place."""
    was, now = (ROOT_CA, OWN_ROOT_CA) if up else (OWN_ROOT_CA, ROOT_CA)
    _swap(reference, "name", was, now)
    return reference


# Variables -----------------------------------------------------------------------------------------------------------


def env_up(env: Any, *, api: bool) -> Any:
    """The variables of a container; ours go to its end, but those that it sets itself."""
    if env is not None and not isinstance(env, list):
        return env
    _references(env, up=True)
    taken = {_at(item, "name") for item in _items(env)}
    added = [_variable(name) for name in VARIABLES if name not in taken] if api else []
    return [*_items(env), *added] if added else env


def env_down(env: Any) -> Any:
    """The same without ours; None where nothing is left."""
    if not isinstance(env, list):
        return env
    kept = [item for item in env if not _is_ours(item)]
    _references(kept, up=False)
    return kept if kept or not env else None


def _references(env: Any, *, up: bool) -> None:
    was, now = _NAMESPACE_FIELDS if up else reversed(_NAMESPACE_FIELDS)
    for item in _items(env):
        _swap(_at(item, "valueFrom", "fieldRef"), "fieldPath", was, now)
        config_map(_at(item, "valueFrom", "configMapKeyRef"), up=up)


def _variable(name: str) -> Object:
    field = {"apiVersion": "v1", "fieldPath": annotation_field(VARIABLES[name])}
    return {"name": name, "valueFrom": {"fieldRef": field}}


_OURS: Final = {name: _variable(name) for name in VARIABLES}


def _is_ours(item: Any) -> bool:
    name = item.get("name") if isinstance(item, dict) else None
    return isinstance(name, str) and name in VARIABLES and item == _OURS[name]


# Projected volumes ---------------------------------------------------------------------------------------------------


def projected_up(projected: Any, tenant: TenantId, audiences: frozenset[str]) -> Any:
    """A projected volume, changed in place: tokens of no audience or of the host's get the tenant's."""
    for source in _items(_at(projected, "sources")):
        token = _at(source, "serviceAccountToken")
        if isinstance(token, dict) and (not token.get("audience") or token["audience"] in audiences):
            token["audience"] = audience(tenant)
        config_map(_at(source, "configMap"), up=True)
        field_references(_at(source, "downwardAPI", "items"), up=True)
    return projected


def check_certificates(projected: Any, signers: frozenset[str]) -> None:
    """Raises ApiError 403 for a certificate of a signer that pods may not have: the host's API server may trust it.

    https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#pod-certificate-requests
    """
    for source in _items(_at(projected, "sources")):
        wanted = _at(source, "podCertificate")
        if wanted is not None and _at(wanted, "signerName") not in signers:
            raise forbidden(CERTIFICATE_REFUSAL)


def projected_down(projected: Any, tenant: TenantId) -> Any:
    """The same as written. The tenant's audience shows as none: that is what a token without one is good for."""
    for source in _items(_at(projected, "sources")):
        token = _at(source, "serviceAccountToken")
        if isinstance(token, dict) and token.get("audience") == audience(tenant):
            del token["audience"]
        config_map(_at(source, "configMap"), up=False)
        field_references(_at(source, "downwardAPI", "items"), up=False)
    return projected


# DNS -----------------------------------------------------------------------------------------------------------------

DNS: Final = ("dnsPolicy", "dnsConfig", "hostNetwork")
"""The members of a PodSpec that belong together."""
_NDOTS: Final = {"name": "ndots", "value": "5"}
_MARKS: Final = {"ClusterFirst": 1, "ClusterFirstWithHostNet": 2}
"""How often ndots stands in what is stored: what the policy was. The kubelet merges options of one name."""


def searches(tenant: TenantId, namespace: str) -> list[str]:
    """The search list of a Pod: the kubelet's own three under the tenant's domain."""
    domain = f"{tenant}.{DOMAIN}"
    return [f"{namespace}.svc.{domain}", f"svc.{domain}", domain]


def dns_up(spec: Object, tenant: TenantId, namespace: VirtualName, nameserver: str) -> Object:
    """The DNS members of a PodSpec, as the kubelet would merge them (its `appendDNSConfig`), without a policy.

    Only where the cluster's DNS is asked: a pod in the host's network with ClusterFirst has its node's.
    """
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if not nameserver or policy not in _MARKS or (policy == "ClusterFirst" and spec.get("hostNetwork")):
        return spec
    own = spec.get("dnsConfig") or {}
    servers = [nameserver, *(own.get("nameservers") or ())][:NAMESERVERS]
    search = [*searches(tenant, namespace), *(own.get("searches") or ())][:SEARCHES]
    options = [*([_NDOTS] * _MARKS[policy]), *(own.get("options") or ())]
    return {**spec, "dnsPolicy": "None", "dnsConfig": {"nameservers": servers, "searches": search, "options": options}}


def dns_down(spec: Any, tenant: TenantId) -> Any:
    """The DNS members as they were written; other ones as they are."""
    if not isinstance(spec, dict) or spec.get("dnsPolicy") != "None" or not _ours(spec.get("dnsConfig"), tenant):
        return spec
    config: Object = spec["dnsConfig"]
    marks = 2 if config["options"][1:2] == [_NDOTS] else 1
    own = {
        "nameservers": config["nameservers"][1:],
        "searches": config["searches"][3:],
        "options": config["options"][marks:],
    }
    left = {key: value for key, value in own.items() if value}
    policy = "ClusterFirstWithHostNet" if marks == 2 else "ClusterFirst"
    seen = {**spec, "dnsPolicy": policy, "dnsConfig": left}
    return seen if left else {key: value for key, value in seen.items() if key != "dnsConfig"}


def _ours(config: Any, tenant: TenantId) -> bool:
    parts = [_at(config, key) for key in ("nameservers", "searches", "options")]
    if not all(isinstance(part, list) and part for part in parts):
        return False
    _, search, options = parts
    if options[0] != _NDOTS or len(search) < 3 or not isinstance(search[0], str):
        return False
    wanted = searches(tenant, "")
    return bool(search[1:3] == wanted[1:] and search[0].endswith(wanted[0]))
