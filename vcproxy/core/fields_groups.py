"""Lenses of API groups, and of the definitions that bring them."""

from typing import Any, Final

from vcproxy.core.apis import BUILT_IN, definition_down
from vcproxy.core.fields_names import own_down, own_up
from vcproxy.core.lens import ID, Inside, Lens, same, text
from vcproxy.core.names import HostName, VirtualName, down, up
from vcproxy.core.scope import Scope
from vcproxy.core.status import forbidden


def group_up(group: str, scope: Scope) -> str:
    """A group in a reference: all but the built-in and the exported ones carry the prefix, defined or not.

    Whether the host or another tenant has a group shows in what the host's controllers make of it: the garbage
    collector, the autoscaler and the quota of objects.
    """
    if group in BUILT_IN or group in scope.exports.groups:
        return group
    return up(scope.tenant, VirtualName(group)) if group in scope.apis.groups else own_up(group, scope)


def group_down(group: str, scope: Scope) -> str:
    """The same of the host; no other group begins with a tenant's prefix (docs/architecture.md, "Names")."""
    own = down(scope.tenant, HostName(group))
    return own if own in scope.apis.groups else own_down(group, scope)


def version_up(value: str, scope: Scope) -> str:
    """An apiVersion; one without a group is of the core."""
    group, slash, version = value.partition("/")
    return f"{group_up(group, scope)}/{version}" if slash and group else value


def version_down(value: str, scope: Scope) -> str:
    """The same of the host."""
    group, slash, version = value.partition("/")
    return f"{group_down(group, scope)}/{version}" if slash else value


API_VERSION: Final = Lens("API_VERSION", text(version_up), text(version_down), wakes=(ID,))
API_GROUP: Final = Lens("API_GROUP", text(group_up), text(group_down), wakes=(ID,))
"""A group by itself in a reference: `apiGroup`, which is empty for the core."""


def _definition_up(value: str, scope: Scope) -> str:
    """The name of a definition. The host may name its group in a refusal, before it is defined."""
    plural, dot, group = value.partition(".")
    return f"{plural}.{own_up(group, scope)}" if dot else own_up(value, scope)


GROUP: Final = Lens(
    "GROUP",
    text(own_up),
    text(lambda value, scope: down(scope.tenant, HostName(value)) or value),
    wakes=(ID,),
)
"""The group of a definition: always the tenant's own."""
DEFINITION: Final = Lens(
    "DEFINITION",
    text(_definition_up),
    text(lambda value, scope: definition_down(scope.tenant, value)),
    wakes=(ID,),
)
"""The name of a definition."""


def _conversion_up(value: Any, scope: Scope) -> Any:
    if isinstance(value, dict) and (value.get("strategy") or "None") != "None":
        raise forbidden("conversion webhooks are not supported yet: use the strategy None")
    return value


CONVERSION: Final = Lens("CONVERSION", _conversion_up, same, Inside.CLOSED, wakes=())
"""How a definition converts between its versions: whatever way it is written."""
