"""Kubernetes RBAC, evaluated over a tenant's own roles and bindings and those that every cluster has.

The rules are those of k8s.io/kubernetes: plugin/pkg/auth/authorizer/rbac, pkg/registry/rbac/validation and
pkg/apis/rbac/v1/evaluation_helpers.go. Objects are plain documents in the tenant's names. A Policy never changes: a
change makes another, which takes over all that it can. What is asked for once is remembered in it, within a bound.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from vcproxy.core import requirements
from vcproxy.core.requirements import Requirement

Object = dict[str, Any]
Identity = tuple[str, str, str]
"""(kind, namespace, name); the namespace of cluster-scoped objects is empty."""

MASTERS: Final = "system:masters"
GROUP: Final = "rbac.authorization.k8s.io"
ACCESS_KEPT: Final = 512
"""Pairs of user and namespace whose rules are kept ready, in each policy."""
ANSWERS_KEPT: Final = 2048
"""Answers that are kept for each such pair."""
ALL: Final = "*"


class Attributes(msgspec.Struct, frozen=True):
    """What is asked about, as k8s.io/apiserver's authorizer.Attributes. Without `resource` only verb and path count."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class User(msgspec.Struct, frozen=True):
    """Who asks. `groups` are all that count, `system:authenticated` among them where it shall."""

    name: str
    groups: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """A PolicyRule."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Object) -> "Rule":
        """The rule of a document as the API has it (rbac/v1 PolicyRule)."""
        keys = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(document.get(key) or ()) for key in keys))

    def document(self) -> Object:
        """The same as the API has it."""
        pairs = (
            ("verbs", self.verbs),
            ("apiGroups", self.groups),
            ("resources", self.resources),
            ("resourceNames", self.names),
            ("nonResourceURLs", self.urls),
        )
        return {key: list(values) for key, values in pairs if values or key == "verbs"}

    def allows(self, asked: Attributes) -> bool:
        """Whether the rule allows what is asked (rbac.RuleAllows)."""
        if ALL not in self.verbs and asked.verb not in self.verbs:
            return False
        if not asked.resource:
            return any(_url_covers(url, asked.path) for url in self.urls)
        if ALL not in self.groups and asked.group not in self.groups:
            return False
        return self._of_resource(asked) and (not self.names or asked.name in self.names)

    def _of_resource(self, asked: Attributes) -> bool:
        if ALL in self.resources:
            return True
        if not asked.subresource:
            return asked.resource in self.resources
        return f"{asked.resource}/{asked.subresource}" in self.resources or f"*/{asked.subresource}" in self.resources

    def covers(self, other: "Rule") -> bool:
        """Whether all of a broken-down rule is in this one (validation.ruleCovers)."""
        return (
            _has_all(self.verbs, other.verbs)
            and _has_all(self.groups, other.groups)
            and all(_resource_covered(self.resources, one) for one in other.resources)
            and all(any(_url_covers(own, one) for own in self.urls) for one in other.urls)
            and (not self.names or (bool(other.names) and set(other.names) <= set(self.names)))
        )

    def __str__(self) -> str:
        """As the API server writes it in refusals (rbac.PolicyRule.CompactString)."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        shown = (f"{key}:[{' '.join(map(quoted, values))}]" for key, values in parts if values)
        return "{" + ", ".join(shown) + "}"


def quoted(text: str) -> str:
    """A text as Go's %q writes one without odd characters."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _has_all(own: Sequence[str], wanted: Sequence[str]) -> bool:
    return ALL in own or all(one in own for one in wanted)


def _resource_covered(own: Sequence[str], wanted: str) -> bool:
    _, slash, sub = wanted.partition("/")
    return ALL in own or wanted in own or (bool(slash) and f"*/{sub}" in own)


def _url_covers(own: str, wanted: str) -> bool:
    return own in (ALL, wanted) or (own.endswith(ALL) and wanted.startswith(own.rstrip(ALL)))


class Decision(msgspec.Struct, frozen=True):
    """`reason` is the API server's own, empty where nothing allows it."""

    allowed: bool
    reason: str = ""


class _Subject(msgspec.Struct, frozen=True):
    """Whom a binding is for: `key` is ("User"|"Group", name) as requests have it, `shown` as reasons have it."""

    key: tuple[str, str]
    shown: str


class Holder(msgspec.Struct, frozen=True, order=True):
    """Who may do something, and through which binding. `kind` is User or Group; `namespace` is the binding's."""

    kind: str
    name: str
    namespace: str
    binding: str
    role_kind: str
    role: str


class Binding(msgspec.Struct, frozen=True):
    """A RoleBinding or ClusterRoleBinding; `namespace` is empty for the latter."""

    namespace: str
    name: str
    role_kind: str
    role: str
    subjects: tuple[_Subject, ...]

    @classmethod
    def of(cls, document: Object) -> "Binding":
        metadata, reference = document.get("metadata") or {}, document.get("roleRef") or {}
        namespace = str(metadata.get("namespace") or "")
        found = (_subject(one, namespace) for one in document.get("subjects") or ())
        subjects = tuple(one for one in found if one is not None)
        kind, role = str(reference.get("kind")), str(reference.get("name"))
        return cls(namespace, str(metadata.get("name")), kind, role, subjects)

    def describe(self, subject: _Subject) -> str:
        """As the API server names the binding that allows something."""
        role = f"of {self.role_kind} {quoted(self.role)} to {subject.shown}"
        if self.namespace:
            return f"RoleBinding {quoted(f'{self.name}/{self.namespace}')} {role}"
        return f"ClusterRoleBinding {quoted(self.name)} {role}"


def _subject(document: Object, namespace: str) -> _Subject | None:
    kind, name = str(document.get("kind")), str(document.get("name"))
    if kind in ("User", "Group"):
        return _Subject((kind, name), f"{kind} {quoted(name)}")
    space = str(document.get("namespace") or namespace)
    if kind != "ServiceAccount" or not space:
        return None
    return _Subject(("User", f"system:serviceaccount:{space}:{name}"), f"{kind} {quoted(f'{name}/{space}')}")


class Role(msgspec.Struct, frozen=True):
    """A Role or ClusterRole. `selectors` are those of its aggregationRule, None where it has none."""

    labels: Mapping[str, str]
    rules: tuple[Rule, ...]
    selectors: tuple[tuple[Requirement, ...], ...] | None = None

    @classmethod
    def of(cls, document: Object) -> "Role":
        labels = (document.get("metadata") or {}).get("labels") or {}
        rules = tuple(Rule.of(one) for one in document.get("rules") or ())
        aggregation = document.get("aggregationRule")
        if not isinstance(aggregation, dict):
            return cls(labels, rules)
        chosen = aggregation.get("clusterRoleSelectors") or ()
        return cls(labels, rules, tuple(requirements.of_document(one) for one in chosen))


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
        self._bindings: dict[tuple[str, str], Binding] = {}
        self._bound: dict[tuple[str, tuple[str, str]], list[Binding]] | None = None
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
            made._bind((namespace, name), None)
        else:
            made._roles.pop((namespace, name), None)
        return made

    def based_on(self, base: "Policy") -> "Policy":
        """The same roles and bindings on top of others."""
        return self._copy(base)

    def _copy(self, base: "Policy | None" = None) -> "Policy":
        made = Policy(base or self._base)
        made._roles, made._bindings, made._bound = dict(self._roles), dict(self._bindings), self._bound
        return made

    def _put(self, document: Object) -> None:
        metadata = document.get("metadata") or {}
        key = str(metadata.get("namespace") or ""), str(metadata.get("name"))
        if str(document.get("kind")).endswith("Binding"):
            self._bind(key, Binding.of(document))
        else:
            self._roles[key] = Role.of(document)

    def _bind(self, key: tuple[str, str], binding: Binding | None) -> None:
        """Put a binding in the place of what stands there; the index, which other policies have too, is made anew."""
        old = self._bindings.pop(key, None)
        if binding is not None:
            self._bindings[key] = binding
        if self._bound is None:
            return
        self._bound = dict(self._bound)
        for one in {subject.key for each in (old, binding) if each is not None for subject in each.subjects}:
            others = [each for each in self._bound.get((key[0], one), ()) if each is not old]
            new = [binding] if binding is not None and any(one == subject.key for subject in binding.subjects) else []
            self._bound[key[0], one] = others + new

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
        return found.rules if found.selectors is None else self._aggregated(name, found, frozenset())

    def _aggregated(self, name: str, role: Role, above: frozenset[str]) -> tuple[Rule, ...]:
        """What the aggregation controller would write: the rules of all ClusterRoles that are selected, once each.

        Where that is nothing it writes nothing: the rules stay that its author wrote (clusterroleaggregation applies
        without a field `rules` then; e2e/test_rbac_equal.py).
        """
        gathered: dict[Rule, None] = {}
        for other, candidate in sorted(self._cluster_roles()):
            if other == name or other in above or not _selected(role.selectors or (), candidate.labels):
                continue
            inner = candidate.rules
            if candidate.selectors is not None:
                inner = self._aggregated(other, candidate, above | {name})
            gathered.update(dict.fromkeys(inner))
        return tuple(gathered) or role.rules

    def gathered(self) -> Mapping[str, tuple[Rule, ...]]:
        """The rules that each aggregated ClusterRole has gathered, by name."""
        if self._gathered is None:
            found = [(name, one) for name, one in self._cluster_roles() if one.selectors is not None]
            self._gathered = {name: self._aggregated(name, one, frozenset()) for name, one in found}
        return self._gathered

    def _cluster_roles(self) -> Iterator[tuple[str, Role]]:
        yield from ((name, role) for (space, name), role in self._roles.items() if not space)
        if self._base is not None:
            yield from ((name, role) for name, role in self._base._cluster_roles() if ("", name) not in self._roles)

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

    def _bindings_of(self, user: User, namespace: str) -> Iterator[tuple[Binding, _Subject]]:
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
        yield from self._bindings.values()
        if self._base is not None:
            yield from self._base._all_bindings()

    def _all_of(self, namespace: str, key: tuple[str, str]) -> Sequence[Binding]:
        own = self._of(namespace, key)
        return own if self._base is None else (*own, *self._base._all_of(namespace, key))

    def _of(self, namespace: str, key: tuple[str, str]) -> Sequence[Binding]:
        if self._bound is None:
            self._bound = {}
            for binding in self._bindings.values():
                for one in {subject.key for subject in binding.subjects}:
                    self._bound.setdefault((binding.namespace, one), []).append(binding)
        return self._bound.get((namespace, key), ())

    def _bound_rules(self, binding: Binding) -> tuple[Rule, ...]:
        space = binding.namespace if binding.role_kind == "Role" else ""
        return self.rules_of(space, binding.role) or ()


def _selected(chosen: Sequence[Sequence[Requirement]], labels: Mapping[str, str]) -> bool:
    return any(all(requirements.matches(term, labels) for term in terms) for terms in chosen)
