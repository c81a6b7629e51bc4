"""Names and nothing else: virtual names (what a tenant sees), host names (what is stored), and the way between.

`up` and `down` are the only two functions of the program that put a prefix on or take one off. A tenant's id holds no
hyphen, so `<id>-` is prefix-free: `ab-x` can never belong to a tenant `a`.
"""

import re
from typing import Final, NewType

TenantId = NewType("TenantId", str)
VirtualName = NewType("VirtualName", str)
HostName = NewType("HostName", str)

TENANT_ID_PATTERN: Final = r"^[a-z][a-z0-9]{1,14}$"
TENANT_LABEL: Final = "vcproxy.io/tenant"
HIDDEN_LABEL: Final = "vcproxy.io/hidden"
BOUND_LABEL: Final = "vcproxy.io/bound"
"""On volumes of the host: whose claim they are bound to."""
RESERVED_PREFIX: Final = "vcproxy.io/"
SYSTEM_NAMESPACE: Final = VirtualName("vcproxy")
FIRST_NAMESPACES: Final = tuple(map(VirtualName, ("default", "kube-system", "kube-public", "kube-node-lease")))
PROTECTED_NAMESPACES: Final = frozenset(map(VirtualName, ("default", "kube-system", "kube-public")))
DNS_LABEL_LIMIT: Final = 63

_tenant_id = re.compile(TENANT_ID_PATTERN)


def tenant_id(text: str) -> TenantId:
    """The id itself, checked. Raises ValueError that says what an id looks like."""
    if not _tenant_id.match(text) or text.endswith("\n"):
        raise ValueError(f"{text!r} is no tenant id: 2 to 15 of a-z and 0-9, the first a letter")
    return TenantId(text)


def up(tenant: TenantId, name: VirtualName) -> HostName:
    """The host name of a tenant's name: `web` of `acme` is `acme-web`."""
    return HostName(f"{tenant}-{name}")


def down(tenant: TenantId, name: HostName) -> VirtualName | None:
    """The tenant's name of a host name, or None if the name is not one of this tenant."""
    prefix = f"{tenant}-"
    return VirtualName(name[len(prefix) :]) if name.startswith(prefix) and len(name) > len(prefix) else None


def namespace_limit(tenant: TenantId) -> int:
    """How many characters a tenant's namespace may have: a host namespace is a DNS label (RFC 1123) of 63."""
    return DNS_LABEL_LIMIT - len(tenant) - 1


def possible_namespace(name: str, tenant: TenantId) -> bool:
    """Whether a namespace of that name could exist: a DNS label (RFC 1123) that is short enough once prefixed."""
    plain = name.isascii() and name.replace("-", "a").isalnum() and name == name.lower()
    return plain and name[0] != "-" != name[-1] and len(up(tenant, VirtualName(name))) <= DNS_LABEL_LIMIT


def system_namespace(tenant: TenantId) -> HostName:
    """The host namespace that holds what vcproxy keeps for a tenant; invisible to it."""
    return up(tenant, SYSTEM_NAMESPACE)


def host_user(tenant: TenantId) -> str:
    """The user that a tenant's requests are on the host."""
    return f"vcproxy:tenant:{tenant}"
