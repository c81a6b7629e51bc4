"""RoleBindings and ClusterRoleBindings: who has which role, and where."""

from collections.abc import Iterator, Sequence

import msgspec

from vcproxy.core.rbac import Object, quoted


class Subject(msgspec.Struct, frozen=True):
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
    subjects: tuple[Subject, ...]

    @classmethod
    def of(cls, document: Object) -> "Binding":
        """The binding of a document as the API has it; subjects that nobody can be are left out."""
        metadata, reference = document.get("metadata") or {}, document.get("roleRef") or {}
        namespace = str(metadata.get("namespace") or "")
        found = (_subject(one, namespace) for one in document.get("subjects") or ())
        subjects = tuple(one for one in found if one is not None)
        kind, role = str(reference.get("kind")), str(reference.get("name"))
        return cls(namespace, str(metadata.get("name")), kind, role, subjects)

    def describe(self, subject: Subject) -> str:
        """As the API server names the binding that allows something."""
        role = f"of {self.role_kind} {quoted(self.role)} to {subject.shown}"
        if self.namespace:
            return f"RoleBinding {quoted(f'{self.name}/{self.namespace}')} {role}"
        return f"ClusterRoleBinding {quoted(self.name)} {role}"


def _subject(document: Object, namespace: str) -> Subject | None:
    kind, name = str(document.get("kind")), str(document.get("name"))
    if kind in ("User", "Group"):
        return Subject((kind, name), f"{kind} {quoted(name)}")
    space = str(document.get("namespace") or namespace)
    if kind != "ServiceAccount" or not space:
        return None
    return Subject(("User", f"system:serviceaccount:{space}:{name}"), f"{kind} {quoted(f'{name}/{space}')}")


class Bindings:
    """The bindings of one policy by (namespace, name), and by whom they are for."""

    def __init__(self) -> None:
        self._named: dict[tuple[str, str], Binding] = {}
        self._bound: dict[tuple[str, tuple[str, str]], list[Binding]] | None = None

    def __iter__(self) -> Iterator[Binding]:
        return iter(self._named.values())

    def copy(self) -> "Bindings":
        """The same bindings, to be changed apart; what is found of them is shared until one is."""
        made = Bindings()
        made._named, made._bound = dict(self._named), self._bound
        return made

    def put(self, key: tuple[str, str], binding: Binding | None) -> None:
        """Put a binding or nothing where another may stand; the index, which copies have too, is made anew."""
        old = self._named.pop(key, None)
        if binding is not None:
            self._named[key] = binding
        if self._bound is None:
            return
        self._bound = dict(self._bound)
        for one in {subject.key for each in (old, binding) if each is not None for subject in each.subjects}:
            others = [each for each in self._bound.get((key[0], one), ()) if each is not old]
            new = [binding] if binding is not None and any(one == subject.key for subject in binding.subjects) else []
            self._bound[key[0], one] = others + new

    def of(self, namespace: str, key: tuple[str, str]) -> Sequence[Binding]:
        """Those of a namespace (empty: ClusterRoleBindings) for a subject, by its key."""
        if self._bound is None:
            self._bound = {}
            for binding in self._named.values():
                for one in {subject.key for subject in binding.subjects}:
                    self._bound.setdefault((binding.namespace, one), []).append(binding)
        return self._bound.get((namespace, key), ())
