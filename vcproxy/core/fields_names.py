"""Lenses of names that are the tenant's own: of its namespaces, and of objects of cluster scope."""

from typing import Final

from vcproxy.core.lens import ID, Lens, text
from vcproxy.core.names import HostName, VirtualName, down, up
from vcproxy.core.scope import Scope

UNKNOWN: Final = "unknown"
"""Stands for a host name that is none of the tenant's: what it is stays with the host."""


def namespace_up(value: str, scope: Scope) -> str:
    """The host's name of a namespace; a text that looks like it may be mapped back from then on."""
    host = up(scope.tenant, VirtualName(value))
    scope.learned.add(host)  # the host may name it in a refusal, whether it exists or not
    return host


def namespace_down(value: str, scope: Scope) -> str:
    """The tenant's name of a namespace of the host; UNKNOWN for one that is none of the tenant's."""
    return down(scope.tenant, HostName(value)) or UNKNOWN


NAMESPACE: Final = Lens("NAMESPACE", text(namespace_up), text(namespace_down))


def own_up(value: str, scope: Scope) -> str:
    """The host's name of what is the tenant's own, which free text may hold from then on."""
    host = up(scope.tenant, VirtualName(value))
    scope.learned.add(host)
    return host


def own_down(value: str, scope: Scope) -> str:
    """The tenant's name of it; a name without the tenant's prefix passes."""
    own = down(scope.tenant, HostName(value))
    if own is None:
        return value
    scope.learned.add(value)
    return own


OWN_NAME: Final = Lens("OWN_NAME", text(own_up), text(own_down), wakes=(ID,))
"""Names of objects of cluster scope that are the tenant's alone."""
