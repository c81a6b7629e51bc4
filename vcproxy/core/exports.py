"""`exports` of the configuration, read: which kinds of the provider's definitions tenants have, and where names stand.

Their rules are rows of the same form as the built-in ones (core.rules): a path, and a lens by its name.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from vcproxy.core.apis import BUILT_IN
from vcproxy.core.exported import Exports, Key
from vcproxy.core.fields_classes import INGRESS_CLASS, PRIORITY_CLASS, RUNTIME_CLASS, STORAGE_CLASS
from vcproxy.core.fields_groups import API_VERSION
from vcproxy.core.fields_labels import HIDDEN_ANNOTATIONS, HIDDEN_LABELS
from vcproxy.core.fields_names import NAMESPACE
from vcproxy.core.fields_namespaces import NAMESPACE_SELECTOR
from vcproxy.core.fields_references import REFERENCE
from vcproxy.core.fields_texts import TEXT
from vcproxy.core.kinds import ALL, PART, READ, Exposure, Kind
from vcproxy.core.lens import ID, Lens
from vcproxy.core.names import HostName, VirtualName, down, up
from vcproxy.core.scope import Scope

LENSES: Final[Mapping[str, Lens]] = MappingProxyType(
    {
        "API_VERSION": API_VERSION,
        "HIDDEN_ANNOTATIONS": HIDDEN_ANNOTATIONS,
        "HIDDEN_LABELS": HIDDEN_LABELS,
        "INGRESS_CLASS": INGRESS_CLASS,
        "NAMESPACE": NAMESPACE,
        "NAMESPACE_SELECTOR": NAMESPACE_SELECTOR,
        "PRIORITY_CLASS": PRIORITY_CLASS,
        "REFERENCE": REFERENCE,
        "RUNTIME_CLASS": RUNTIME_CLASS,
        "STORAGE_CLASS": STORAGE_CLASS,
        "TEXT": TEXT,
    }
)
"""Lenses that a rule may name; LENT beside them names the exported kind of cluster scope whose object is meant."""
LENT: Final = "LENT"
SUBRESOURCES: Final = ("scale", "status")
MOST: Final = 256
_group = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+\Z")
_plural = re.compile(r"[a-z][-a-z0-9]{0,62}\Z")
_kind = re.compile(r"[A-Z][A-Za-z0-9]{0,62}\Z")
_version = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?\Z")
_path = re.compile(r"(?:[A-Za-z_$][\w$-]*|'[^']+')(?:\[\])*(?:\.(?:[A-Za-z_$][\w$-]*|'[^']+')(?:\[\])*)*\Z")


class _Read(Exports):
    """Exports that go to another process as what they were read of: lenses are functions."""

    source: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return read, (self.source,)


def read(value: Any) -> Exports:
    """The exports of a decoded configuration. Raises ValueError that says which entry is wrong, and how."""
    if value is None:
        return _Read()
    if not isinstance(value, list) or len(value) > MOST:
        raise ValueError(f"is a list of at most {MOST} kinds, each with group, resource and kind")
    entries = [_Entry(number, one) for number, one in enumerate(value)]
    names = {entry.key: entry.names for entry in entries if not entry.namespaced}
    rules = {(entry.row.group, entry.row.kind): entry.rules(names) for entry in entries}
    if len({entry.key for entry in entries}) < len(entries) or len(rules) < len(entries):
        raise ValueError("names a kind twice: each stands once")
    versions = {entry.key: entry.version for entry in entries}
    made = _Read({entry.key: entry.row for entry in entries}, rules, names, versions)
    made.source = value
    return made


class _Entry:
    """One kind of the list."""

    def __init__(self, number: int, found: Any) -> None:
        self._at = f"entry {number}"
        if not isinstance(found, dict):
            raise ValueError(f"{self._at}: is an object with group, resource and kind")
        known = {"group", "resource", "kind", "version", "names", "subresources", "rules"}
        if unknown := sorted(map(str, found.keys() - known)):
            raise ValueError(f"{self._at}: {unknown[0]} is unknown: there are {', '.join(sorted(known))}")
        group = self._text(found, "group", _group, "is a group such as gateway.networking.k8s.io")
        resource = self._text(found, "resource", _plural, "is a plural such as gateways")
        kind = self._text(found, "kind", _kind, "is a kind such as Gateway")
        if group in BUILT_IN:
            raise ValueError(f"{self._at}: {group} is built in: only kinds of definitions are exported")
        self.version = self._text({"version": "v1", **found}, "version", _version, "is a version such as v1")
        self.namespaced = "names" not in found
        self.names = frozenset(self._texts(found, "names"))
        parts = self._texts(found, "subresources")
        if set(parts) - set(SUBRESOURCES):
            raise ValueError(f"{self._at}: subresources are {' and '.join(SUBRESOURCES)}")
        self.key: Key = group, resource
        verbs = MappingProxyType(dict.fromkeys(parts, PART if self.namespaced else frozenset({"get"})))
        exposure = Exposure.NAMESPACED if self.namespaced else Exposure.PRIVATE
        offered = ALL if self.namespaced else READ
        self.row = Kind(group, resource, kind, self.namespaced, exposure, offered, verbs, frozenset(), True)
        self._rules = found.get("rules", [])
        if not isinstance(self._rules, list):
            raise ValueError(f"{self._at}: rules is a list, each with path and lens")

    def _text(self, found: dict[str, Any], key: str, form: re.Pattern[str], words: str) -> str:
        value = found.get(key)
        if not isinstance(value, str) or not form.match(value):
            raise ValueError(f"{self._at}: {key} {words}")
        return value

    def _texts(self, found: dict[str, Any], key: str) -> list[str]:
        value = found.get(key) or []
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise ValueError(f"{self._at}: {key} is a list of texts")
        return value

    def rules(self, lent: Mapping[Key, frozenset[str]]) -> tuple[tuple[str, Lens], ...]:
        """Its rows. `lent` are the exported kinds of cluster scope, with the names that are seen."""
        return tuple(self._rule(one, lent) for one in self._rules)

    def _rule(self, found: Any, lent: Mapping[Key, frozenset[str]]) -> tuple[str, Lens]:
        if not isinstance(found, dict) or found.keys() - {"path", "lens", "of"}:
            raise ValueError(f"{self._at}: a rule has a path and a lens, and of LENT the resource that it is of")
        path, lens = found.get("path"), found.get("lens")
        if not isinstance(path, str) or not _path.match(path):
            raise ValueError(f"{self._at}: {path!r} is no path such as spec.parentRefs[].namespace")
        if lens == LENT:
            of = self.row.group, str(found.get("of"))
            if of not in lent:
                raise ValueError(f"{self._at}: {path}: of is the resource of an entry of this group that has names")
            return path, lent_name(lent[of])
        if lens not in LENSES:
            raise ValueError(f"{self._at}: {path}: the lens is one of {', '.join((*LENSES, LENT))}")
        return path, LENSES[str(lens)]


def lent_name(names: frozenset[str]) -> Lens:
    """The name of an object of cluster scope: those that tenants see pass, any other is nobody's."""

    def name_up(value: Any, scope: Scope) -> Any:
        return value if value in names or not _is_name(value) else _learned(scope, up(scope.tenant, VirtualName(value)))

    def name_down(value: Any, scope: Scope) -> Any:
        own = down(scope.tenant, HostName(value)) if _is_name(value) and value not in names else None
        if own is not None:
            _learned(scope, value)
        return value if own is None else own

    return Lens(LENT, name_up, name_down, wakes=(ID,))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _learned(scope: Scope, host: str) -> str:
    scope.learned.add(host)
    return host
