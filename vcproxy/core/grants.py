"""What a provider grants people of a tenant: `spec.grants` of a Tenant, as bindings that every view shows read-only.

A grant names a ClusterRole of the tenant: one of those that every tenant has (core/rbac_defaults.py), or one of its
own. The bindings stand nowhere; they are made of the grants, one for each role, and each namespace that one names.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from vcproxy.core.rbac import GROUP

Object = dict[str, Any]
VERSION: Final = f"{GROUP}/v1"
PREFIX: Final = "vcproxy:grant:"
"""How the names of these bindings begin: no other binding of a tenant may have one."""
EVERYWHERE: Final = ""
"""In the place of a namespace: all of them, and cluster scope."""


class Grant(msgspec.Struct, frozen=True):
    """An entry of `spec.grants`. `namespaces` are the tenant's names; None stands for all, and for cluster scope."""

    role: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    namespaces: tuple[str, ...] | None = None

    def document(self) -> Object:
        """As the Tenant has it."""
        named = {key: list(names) for key, names in (("users", self.users), ("groups", self.groups)) if names}
        return {
            "role": self.role,
            **named,
            **({} if self.namespaces is None else {"namespaces": list(self.namespaces)}),
        }


class Right(msgspec.Struct, frozen=True, order=True):
    """The smallest part of a grant: one role, held by one user or group in one place. `kind` is User or Group."""

    role: str
    kind: str
    name: str
    namespace: str = EVERYWHERE


def parse(value: Any) -> tuple[Grant, ...]:
    """The grants of a spec, read leniently: what is odd grants nothing."""
    return tuple(_grant(one) for one in value if _is_grant(one)) if isinstance(value, list) else ()


def _is_grant(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and bool(value["role"])


def _grant(value: Object) -> Grant:
    spaces = None if value.get("namespaces") is None else _texts(value["namespaces"])
    return Grant(value["role"], _texts(value.get("users")), _texts(value.get("groups")), spaces)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str) and one) if isinstance(value, list) else ()


def rights(grants: Iterable[Grant]) -> set[Right]:
    """The same taken apart."""
    return {
        Right(grant.role, kind, name, space)
        for grant in grants
        for kind, names in (("User", grant.users), ("Group", grant.groups))
        for name in names
        for space in ((EVERYWHERE,) if grant.namespaces is None else grant.namespaces)
    }


def gathered(found: Iterable[Right]) -> tuple[Grant, ...]:
    """As few grants as are the same as these rights, in one order."""
    places: dict[tuple[str, str, str], set[str]] = {}
    for right in found:
        places.setdefault((right.role, right.kind, right.name), set()).add(right.namespace)
    alike: dict[tuple[str, bool, tuple[str, ...]], dict[str, list[str]]] = {}
    for (role, kind, name), spaces in sorted(places.items()):
        for key in _places(role, spaces):
            alike.setdefault(key, {}).setdefault(kind, []).append(name)
    return tuple(
        Grant(role, tuple(names.get("User", ())), tuple(names.get("Group", ())), spaces if some else None)
        for (role, some, spaces), names in sorted(alike.items())
    )


def _places(role: str, spaces: set[str]) -> Iterable[tuple[str, bool, tuple[str, ...]]]:
    """Everywhere and in some namespaces are two grants: taking one away leaves the other."""
    if EVERYWHERE in spaces:
        yield role, False, ()
    if named := tuple(sorted(spaces - {EVERYWHERE})):
        yield role, True, named


def documents(grants: Iterable[Grant], version: str) -> tuple[Object, ...]:
    """The bindings as the API has them, but for uid and time. `version` is the resourceVersion that they get."""
    holders: dict[tuple[str, str], list[Right]] = {}
    for right in sorted(rights(grants)):
        holders.setdefault((right.namespace, right.role), []).append(right)
    return tuple(_binding(space, role, found, version) for (space, role), found in holders.items())


def _binding(namespace: str, role: str, held: Iterable[Right], version: str) -> Object:
    place = {"namespace": namespace} if namespace else {}
    return {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "apiVersion": VERSION,
        "metadata": {"name": f"{PREFIX}{role}", **place, "resourceVersion": version},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": right.kind, "apiGroup": GROUP, "name": right.name} for right in held],
    }


def reserved(document: Object) -> bool:
    """Whether an object has a name that only what is granted may have."""
    metadata = document.get("metadata") or {}
    name = str(metadata.get("name") or metadata.get("generateName") or "")
    return str(document.get("kind")).endswith("Binding") and name.startswith(PREFIX)
