"""RoleBindings and ClusterRoleBindings: who has which role, and where."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from vcproxy.core.rbac import Object, quoted

Key = tuple[str, str]
"""("User"|"Group", name) as requests have it."""
Place = tuple[str, str]
"""(namespace, name) of an object; the namespace is empty at cluster scope."""


class Subject(msgspec.Struct, frozen=True):
    """Whom a binding is for: `shown` is how reasons have it."""

    key: Key
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

    def positions(self) -> dict[Key, int]:
        """Where among the subjects each of them stands first."""
        found: dict[Key, int] = {}
        for at, subject in enumerate(self.subjects):
            found.setdefault(subject.key, at)
        return found

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


T = TypeVar("T")
_Bound = Mapping[str, Mapping[Key, Mapping[str, tuple[Binding, int]]]]
"""Bindings by namespace, by whom they are for, and by name, each with where its subject stands."""


class Bindings:
    """The bindings of one policy by (namespace, name), and by whom they are for. Never changed."""

    def __init__(self, named: Mapping[Place, Binding], bound: _Bound | None = None) -> None:
        self._named = named
        self._index = bound

    def __iter__(self) -> Iterator[Binding]:
        return iter(self._named.values())

    def changed(self, changes: Mapping[Place, Binding | None]) -> "Bindings":
        """With some put where others may stand, or with nothing in their place (None)."""
        named = replaced(self._named, changes)
        if self._index is None:
            return Bindings(named)
        pairs = ((self._named.get(place), after) for place, after in changes.items())
        return Bindings(named, _changed(self._index, pairs))

    def of(self, namespace: str, keys: Mapping[Key, None]) -> Iterator[tuple[Binding, int]]:
        """Those of a namespace (empty: ClusterRoleBindings) for any of these, each with where its subject stands."""
        bound = self._all().get(namespace)
        if not bound:
            return
        few, many = (keys, bound) if len(keys) < len(bound) else (bound, keys)
        for key in few:
            if key in many:
                yield from bound[key].values()

    def bind_in(self, namespace: str) -> bool:
        """Whether there are any in a namespace."""
        return namespace in self._all()

    def _all(self) -> _Bound:
        if self._index is None:
            self._index = _changed({}, ((None, one) for one in self._named.values()))
        return self._index


def replaced(known: Mapping[Place, T], changes: Mapping[Place, T | None]) -> dict[Place, T]:
    """A copy with some in the place of others, or with nothing there (None)."""
    made = dict(known)
    for place, one in changes.items():
        if one is None:
            made.pop(place, None)
        else:
            made[place] = one
    return made


def _changed(bound: _Bound, pairs: Iterable[tuple[Binding | None, Binding | None]]) -> _Bound:
    """An index with the second of each pair in the place of the first; what is not touched is shared."""
    made = {**bound}
    own: dict[tuple[str, Key], dict[str, tuple[Binding, int]]] = {}
    spaces: dict[str, dict[Key, Mapping[str, tuple[Binding, int]]]] = {}

    def place(space: str, key: Key) -> dict[str, tuple[Binding, int]]:
        if (space, key) not in own:
            if space not in spaces:
                made[space] = spaces[space] = {**made.get(space, {})}
            spaces[space][key] = own[space, key] = {**spaces[space].get(key, {})}
        return own[space, key]

    for before, after in pairs:
        if before is not None:
            for key in before.positions():
                place(before.namespace, key).pop(before.name, None)
        if after is not None:
            for key, at in after.positions().items():
                place(after.namespace, key)[after.name] = after, at
    for (space, key), found in own.items():
        if not found:
            del spaces[space][key]
    return {space: found for space, found in made.items() if found}
