"""A policy: what roles and bindings of a tenant, and those that every cluster has, let somebody do.

A Policy never changes: a change makes another, which takes over all that it can. What is asked for is put in order once
and kept ready (core/rbac_index.py), in one place for all policies on the same base and within its bound.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Final

import msgspec

from vcproxy.core.rbac import MASTERS, Attributes, Object, Rule, User
from vcproxy.core.rbac_aggregation import gathered
from vcproxy.core.rbac_bindings import Binding, Bindings, Holder, Key, Place, Subject, replaced
from vcproxy.core.rbac_index import RuleIndex
from vcproxy.core.rbac_postings import Postings
from vcproxy.core.rbac_ready import Ready
from vcproxy.core.rbac_roles import Role

Identity = tuple[str, str, str]
"""(kind, namespace, name); the namespace of cluster-scoped objects is empty."""
STALE: Final = 500_000
"""Words of rules that were put in order, for all policies in a row: with more it begins anew, without the old ones."""
_serials: Final = count()
_NOTHING: Final = RuleIndex(())


class Decision(msgspec.Struct, frozen=True):
    """`reason` is the API server's own, empty where nothing allows it."""

    allowed: bool
    reason: str = ""


def parsed(document: Object) -> Role | Binding:
    """What of a Role, ClusterRole, RoleBinding or ClusterRoleBinding counts."""
    return Binding.of(document) if str(document.get("kind")).endswith("Binding") else Role.of(document)


def identity(document: Object) -> Identity:
    """Which object it is."""
    metadata = document.get("metadata") or {}
    return str(document.get("kind")), str(metadata.get("namespace") or ""), str(metadata.get("name"))


class Policy:
    """The roles and bindings of a cluster at one moment. `base` are those that every cluster has."""

    def __init__(self, base: "Policy | None" = None) -> None:
        self._base = base
        self._roles: Mapping[Place, Role] = {}
        self._bindings = Bindings({})
        self._ready: Ready = base._ready if base is not None else Ready()
        self._postings = Postings()
        self._serial = next(_serials)
        self._gathered: Mapping[str, tuple[Rule, ...]] | None = None

    @classmethod
    def of(cls, documents: Iterable[Object], base: "Policy | None" = None) -> "Policy":
        """A policy of many objects."""
        return cls(base).changed({identity(one): parsed(one) for one in documents})

    def changed(self, changes: Mapping[Identity, Role | Binding | None]) -> "Policy":
        """A policy with objects added or replaced, or with none in their place (None). It takes this one's place."""
        made = Policy(self._base)
        made._roles, made._bindings = self._roles, self._bindings
        roles = {(space, name): one for (kind, space, name), one in changes.items() if _is_role(kind)}
        if roles:
            made._roles = replaced(self._roles, {p: one if isinstance(one, Role) else None for p, one in roles.items()})
        bindings = {(space, name): one for (kind, space, name), one in changes.items() if not _is_role(kind)}
        if bindings:
            found = {p: one if isinstance(one, Binding) else None for p, one in bindings.items()}
            made._bindings = self._bindings.changed(found)
        made._gathered = self._gathered if all(space for space, _ in roles) else None
        self._succeeded(made, {space for _, space, _ in changes}, kept=all(space for space, _ in roles))
        return made

    def _succeeded(self, made: "Policy", touched: set[str], *, kept: bool) -> None:
        """Hand on what is in order: with `kept` that of all namespaces which were not touched."""
        if self._postings.words <= STALE:
            made._postings = self._postings
        if kept and made._postings is self._postings:
            self._ready.hand_on(self._serial, made._serial, lambda held: held[1] not in touched)
        else:
            self._ready.forget(self._serial)

    def put(self, document: Object) -> "Policy":
        """A policy with one object (Role, ClusterRole, RoleBinding, ClusterRoleBinding) added or replaced."""
        return self.changed({identity(document): parsed(document)})

    def remove(self, kind: str, namespace: str, name: str) -> "Policy":
        """A policy without one object."""
        return self.changed({(kind, namespace, name): None})

    def based_on(self, base: "Policy") -> "Policy":
        """The same roles and bindings on top of others."""
        made = Policy(base)
        made._roles, made._bindings, made._postings = self._roles, self._bindings, self._postings
        self._ready.forget(self._serial)
        return made

    # Roles -------------------------------------------------------------------------------------------------------

    def role(self, namespace: str, name: str) -> Role | None:
        """A Role, or with an empty namespace a ClusterRole."""
        found = self._roles.get((namespace, name))
        return found if found is not None or self._base is None else self._base.role(namespace, name)

    def rules_of(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a role, those of an aggregated one gathered; None where there is no such role."""
        found = self.role(namespace, name)
        if found is None:
            return None
        return found.rules if found.selectors is None or namespace else self.gathered().get(name, ())

    def gathered(self) -> Mapping[str, tuple[Rule, ...]]:
        """The rules that each aggregated ClusterRole has gathered, by name."""
        if self._gathered is None:
            self._gathered = gathered(self._cluster_roles())
        return self._gathered

    def _cluster_roles(self) -> dict[str, Role]:
        """All ClusterRoles by name; one of the same name stands in the place of the base's."""
        own = {name: role for (space, name), role in self._roles.items() if not space}
        return {**self._base._cluster_roles(), **own} if self._base is not None else own

    # Questions ---------------------------------------------------------------------------------------------------

    def allows(self, user: User, asked: Attributes) -> bool:
        """Whether a user may do something. Members of `system:masters` may do everything."""
        if MASTERS in user.groups:
            return True
        space = asked.namespace if asked.resource else ""
        return (bool(space) and self._held(user, space).allows(asked)) or self._held(user, "").allows(asked)

    def decide(self, user: User, asked: Attributes) -> Decision:
        """The same with the API server's reason."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        if not self.allows(user, asked):
            return Decision(allowed=False)
        for space in _scopes(asked.namespace if asked.resource else ""):
            for binding, subject in self._bindings_of(user, space):
                if any(rule.allows(asked) for rule in self._bound_rules(binding)):
                    return Decision(True, f"RBAC: allowed by {binding.describe(subject)}")
        return Decision(allowed=False)

    def rules_for(self, user: User, namespace: str) -> tuple[Rule, ...]:
        """All rules that count for a user in a namespace, those of cluster scope first."""
        return tuple(dict.fromkeys(rule for index in self.held(user, namespace) for rule in index.rules))

    def held(self, user: User, namespace: str) -> tuple[RuleIndex, ...]:
        """The same, as what is asked: of cluster scope first, then of the namespace."""
        return tuple(self._held(user, space) for space in _scopes(namespace))

    def _held(self, user: User, space: str) -> RuleIndex:
        """What bindings of one namespace, or of cluster scope, let a user do."""
        if space and not self._binds_in(space):
            return _NOTHING  # who asks chooses the name: nothing is kept for it
        key = user, space
        found = self._ready.get(self._serial, key)
        if found is None:
            rules = (rule for binding, _ in self._bindings_of(user, space) for rule in self._bound_rules(binding))
            found = RuleIndex(dict.fromkeys(rules), self._postings)
            self._ready.keep(self._serial, key, found, len(user.name) + sum(map(len, user.groups)) + len(space))
        return found

    def _bindings_of(self, user: User, space: str) -> Iterator[tuple[Binding, Subject]]:
        """The bindings of a scope that are for a user, by name, each with the first subject that is the user."""
        keys = dict.fromkeys((("User", user.name), *(("Group", group) for group in user.groups)))
        found: dict[str, tuple[Binding, int]] = {}
        for binding, at in self._all_of(space, keys):
            known = found.get(binding.name)
            if known is None or known[0] is not binding or at < known[1]:
                found[binding.name] = binding, at
        for name in sorted(found):
            binding, at = found[name]
            yield binding, binding.subjects[at]

    def holders(self, asked: Attributes) -> list[Holder]:
        """All whom a binding lets do something, in order: who that is besides `system:masters`."""
        spaces = _scopes(asked.namespace if asked.resource else "")
        return sorted(
            Holder(*subject.key, binding.namespace, binding.name, binding.role_kind, binding.role)
            for binding in self._all_bindings()
            if binding.namespace in spaces and any(rule.allows(asked) for rule in self._bound_rules(binding))
            for subject in dict.fromkeys(binding.subjects)
        )

    def _binds_in(self, space: str) -> bool:
        return self._bindings.bind_in(space) or (self._base is not None and self._base._binds_in(space))

    def _all_bindings(self) -> Iterator[Binding]:
        yield from self._bindings
        if self._base is not None:
            yield from self._base._all_bindings()

    def _all_of(self, space: str, keys: Mapping[Key, None]) -> Iterator[tuple[Binding, int]]:
        if self._base is not None:
            yield from self._base._all_of(space, keys)
        yield from self._bindings.of(space, keys)

    def _bound_rules(self, binding: Binding) -> tuple[Rule, ...]:
        space = binding.namespace if binding.role_kind == "Role" else ""
        return self.rules_of(space, binding.role) or ()


def _scopes(namespace: str) -> tuple[str, ...]:
    return ("", namespace) if namespace else ("",)


def _is_role(kind: str) -> bool:
    return not kind.endswith("Binding")
