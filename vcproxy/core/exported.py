"""Kinds of the provider's own definitions that all tenants have, under their own group: services of the cluster.

A value, made once of the configuration (core.exports): rows beside those of the table of kinds, their rules, and of
kinds of cluster scope the names that tenants see.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from vcproxy.core.kinds import Kind, served

Key = tuple[str, str]


class Exports:
    """The exported kinds. `rules` and `versions` are by (group, kind) and by (group, resource); compared by identity.

    `names` are those of objects of cluster scope that tenants see; each such kind can be read only.
    """

    def __init__(
        self,
        rows: Mapping[Key, Kind] = MappingProxyType({}),
        rules: Mapping[Key, tuple[tuple[str, Any], ...]] = MappingProxyType({}),
        names: Mapping[Key, frozenset[str]] = MappingProxyType({}),
        versions: Mapping[Key, str] = MappingProxyType({}),
    ) -> None:
        self.rows, self.rules, self.names, self.versions = rows, rules, names, versions
        self.groups = frozenset(group for group, _ in rows)

    def __repr__(self) -> str:
        return f"<exports {sorted(f'{resource}.{group}' for group, resource in self.rows)}>"

    def find(self, group: str, resource: str) -> Kind | None:
        """The row of an exported kind, or None."""
        return self.rows.get((group, resource))

    def served(self) -> tuple[Kind, ...]:
        """All rows that tenants have: those of the table, and these."""
        return (*served(), *self.rows.values())


NOTHING: Final = Exports()
