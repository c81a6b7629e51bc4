"""A policy: what roles and bindings of a tenant, and those that every cluster has, let somebody do.

A Policy never changes: a change makes another, which takes over all that it can. What is asked for once is remembered
in it, within a bound.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from vcproxy.core.rbac import MASTERS, Attributes, Object, Rule, User
from vcproxy.core.rbac_aggregation import gathered
from vcproxy.core.rbac_bindings import Binding, Bindings, Holder, Subject
from vcproxy.core.rbac_roles import Role

ACCESS_KEPT: Final = 512
"""Pairs of user and namespace whose rules are kept ready, in each policy."""
ANSWERS_KEPT: Final = 2048
"""Answers that are kept for each such pair."""


class Decision(msgspec.Struct, frozen=True):
    """`reason` is the API server's own, empty where nothing allows it."""

    allowed: bool
    reason: str = ""


class _Access:
    """What one user may do in one namespace, or at cluster scope; answers are remembered."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._answers: dict[tuple[str, ...], bool] = {}

    def allows(self, asked: Attributes) -> bool:
        key = (asked.verb, asked.group, asked.resource, asked.subresource, asked.name, asked.path)
        known = self._answers.get(key)
        if known is None:
            if len(self._answers) >= ANSWERS_KEPT:
                self._answers.clear()
            known = self._answers[key] = any(rule.allows(asked) for rule in self.rules)
        return known


class Policy:
    """The roles and bindings of a cluster at one moment. `base` are those that every cluster has."""

    def __init__(self, base: "Policy | None" = None) -> None:
        self._base = base
        self._roles: dict[tuple[str, str], Role] = {}
        self._bindings = Bindings()
        self._access: dict[tuple[str, tuple[str, ...], str], _Access] = {}
        self._gathered: dict[str, tuple[Rule, ...]] | None = None

    @classmethod
    def of(cls, documents: Iterable[Object], base: "Policy | None" = None) -> "Policy":
        """A policy of many objects."""
        made = cls(base)
        for document in documents:
            made._put(document)
        return made

    def put(self, document: Object) -> "Policy":
        """A policy with one object (Role, ClusterRole, RoleBinding, ClusterRoleBinding) added or replaced."""
        made = self._copy()
        made._put(document)
        return made

    def remove(self, kind: str, namespace: str, name: str) -> "Policy":
        """A policy without one object."""
        made = self._copy()
        if kind.endswith("Binding"):
            made._bindings.put((namespace, name), None)
        else:
            made._roles.pop((namespace, name), None)
        return made

    def based_on(self, base: "Policy") -> "Policy":
        """The same roles and bindings on top of others."""
        return self._copy(base)

    def _copy(self, base: "Policy | None" = None) -> "Policy":
        made = Policy(base or self._base)
        made._roles, made._bindings = dict(self._roles), self._bindings.copy()
        return made

    def _put(self, document: Object) -> None:
        metadata = document.get("metadata") or {}
        key = str(metadata.get("namespace") or ""), str(metadata.get("name"))
        if str(document.get("kind")).endswith("Binding"):
            self._bindings.put(key, Binding.of(document))
        else:
            self._roles[key] = Role.of(document)

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
        return MASTERS in user.groups or self._for(user, asked.namespace if asked.resource else "").allows(asked)

    def decide(self, user: User, asked: Attributes) -> Decision:
        """The same with the API server's reason."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        for binding, subject in self._bindings_of(user, asked.namespace if asked.resource else ""):
            rules = self._bound_rules(binding)
            if any(rule.allows(asked) for rule in rules):
                return Decision(True, f"RBAC: allowed by {binding.describe(subject)}")
        return Decision(allowed=False)

    def rules_for(self, user: User, namespace: str) -> tuple[Rule, ...]:
        """All rules that count for a user in a namespace, those of cluster scope first."""
        return self._for(user, namespace).rules

    def _for(self, user: User, namespace: str) -> _Access:
        key = user.name, user.groups, namespace
        found = self._access.get(key)
        if found is None:
            if len(self._access) >= ACCESS_KEPT:
                self._access.clear()
            rules = (rule for binding, _ in self._bindings_of(user, namespace) for rule in self._bound_rules(binding))
            found = self._access[key] = _Access(tuple(dict.fromkeys(rules)))
        return found

    def _bindings_of(self, user: User, namespace: str) -> Iterator[tuple[Binding, Subject]]:
        """The bindings that are for a user, each with the subject that it is by; those of cluster scope first."""
        keys = [("User", user.name), *(("Group", group) for group in user.groups)]
        for space in dict.fromkeys(("", namespace)):
            found = {}
            for key in keys:
                for binding in self._all_of(space, key):
                    found[binding.name] = binding, next(one for one in binding.subjects if one.key in keys)
            yield from (found[name] for name in sorted(found))

    def holders(self, asked: Attributes) -> list[Holder]:
        """All whom a binding lets do something, in order: who that is besides `system:masters`."""
        spaces = ("", asked.namespace) if asked.resource else ("",)
        return sorted(
            Holder(*subject.key, binding.namespace, binding.name, binding.role_kind, binding.role)
            for binding in self._all_bindings()
            if binding.namespace in spaces and any(rule.allows(asked) for rule in self._bound_rules(binding))
            for subject in dict.fromkeys(binding.subjects)
        )

    def _all_bindings(self) -> Iterator[Binding]:
        yield from self._bindings
        if self._base is not None:
            yield from self._base._all_bindings()

    def _all_of(self, namespace: str, key: tuple[str, str]) -> Sequence[Binding]:
        own = self._bindings.of(namespace, key)
        return own if self._base is None else (*own, *self._base._all_of(namespace, key))

    def _bound_rules(self, binding: Binding) -> tuple[Rule, ...]:
        space = binding.namespace if binding.role_kind == "Role" else ""
        return self.rules_of(space, binding.role) or ()
