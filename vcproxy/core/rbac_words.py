"""How much roles and bindings are: what of them stands in memory, and is gone through at a change, is counted in words.

A word is a text of up to 64 characters: a verb, a group, a resource, a name, a path, a subject, a label of a
ClusterRole. Longer ones count as several.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from vcproxy.core.rbac_bindings import Binding
from vcproxy.core.rbac_roles import Role

LENGTH: Final = 64
WORDS: Final = 250_000
"""Of one tenant's roles and bindings, each word some 100 bytes."""


class Room(NamedTuple):
    """How many words there are, and may be."""

    held: int
    limit: int


def excess(room: Room, new: Role | Binding, old: Role | Binding | None) -> str | None:
    """Why what is to be written has no room, None where it has; what gets no bigger always has."""
    more = growth(new, old)
    if more <= 0 or room.held + more <= room.limit:
        return None
    return (
        f"exceeded quota: the roles and bindings of this cluster may have {room.limit} words and have {room.held}, "
        f"this one has {words(new)}: delete some, or ask its provider for more"
    )


def growth(new: Role | Binding, old: Role | Binding | None) -> int:
    """How many words more there are than before; negative where they are fewer."""
    return words(new) - (words(old) if old is not None else 0)


def words(one: Role | Binding) -> int:
    """How many words a role or binding has; at least one."""
    return 1 + sum(1 + len(text) // LENGTH for text in (_of_role(one) if isinstance(one, Role) else _of_binding(one)))


def _of_role(role: Role) -> Iterator[str]:
    for key, value in role.labels.items():
        yield from (key, value)
    for rule in role.rules:
        yield from _all((rule.verbs, rule.groups, rule.resources, rule.names, rule.urls))
    for terms in role.selectors or ():
        for term in terms:
            yield from (term.key, *term.values)


def _of_binding(binding: Binding) -> Iterator[str]:
    yield from (binding.namespace, binding.name, binding.role)
    for subject in binding.subjects:
        yield subject.key[1]


def _all(parts: Iterable[Iterable[str]]) -> Iterator[str]:
    for part in parts:
        yield from part
