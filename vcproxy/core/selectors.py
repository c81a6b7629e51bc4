"""Selectors in queries: parsed, rewritten field by field, rendered anew.

Grammar of label selectors: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ ; of field
selectors: k8s.io/apimachinery/pkg/fields (`=`, `==`, `!=`, values with backslash escapes).
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from vcproxy.core import fields
from vcproxy.core.fields import NAME_LABEL, Lens, Scope, reserved
from vcproxy.core.kinds import Kind
from vcproxy.core.names import HIDDEN_LABEL, TENANT_LABEL
from vcproxy.core.status import bad_request

VISIBLE: Final = f"!{HIDDEN_LABEL}"
NOTHING: Final = "vcproxy.io/nothing,!vcproxy.io/nothing"
"""A label selector that no object matches."""


class Requirement(msgspec.Struct, frozen=True):
    """One term of a label selector. `operator` is one of exists, !, in, notin, =, ==, !=, >, <."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def render(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{self.operator}{self.values[0]}"


_KEY: Final = r"(?:[A-Za-z0-9][-A-Za-z0-9.]*/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE: Final = r"[-A-Za-z0-9_.]*"
_term = re.compile(
    rf"\s*(?:!\s*(?P<absent>{_KEY})"
    rf"|(?P<set>{_KEY})\s+(?P<setop>in|notin)\s*\((?P<values>\s*{_VALUE}\s*(?:,\s*{_VALUE}\s*)*)\)"
    rf"|(?P<pair>{_KEY})\s*(?P<pairop>==|=|!=|>|<)\s*(?P<value>{_VALUE})"
    rf"|(?P<exists>{_KEY}))\s*(?P<end>,|\Z)"
)


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The terms of a label selector. Raises ApiError 400."""
    found: list[Requirement] = []
    at, more = 0, bool(text.strip())
    while more:
        match = _term.match(text, at)
        if match is None:
            raise bad_request(f"unable to parse requirement in the label selector {text[:200]!r}")
        found.append(_requirement(match))
        at, more = match.end(), match["end"] == ","
    return tuple(found)


def _requirement(match: re.Match[str]) -> Requirement:
    if match["absent"]:
        return Requirement(match["absent"], "!")
    if match["set"]:
        values = tuple(sorted({value.strip() for value in match["values"].split(",")}))
        return Requirement(match["set"], match["setop"], values)
    if match["pair"]:
        return Requirement(match["pair"], match["pairop"], (match["value"],))
    return Requirement(match["exists"], "exists")


def labels_up(text: str | None, row: Kind, scope: Scope) -> str:
    """A tenant's label selector for the host: never empty, since hidden objects are left out and owners are checked."""
    terms = [_label_up(term, row, scope) for term in parse_labels(text or "")]
    own = [f"{TENANT_LABEL}={scope.tenant}"] if not row.namespaced else []
    return ",".join([term for term in terms if term] + own + [VISIBLE])


def _label_up(term: Requirement, row: Kind, scope: Scope) -> str:
    if reserved(term.key):  # to the tenant such a label does not exist on any object
        return "" if term.operator in ("!", "notin", "!=") else NOTHING
    if row.key == ("", "namespaces") and term.key == NAME_LABEL:
        values = tuple(fields.namespace_up(value, scope) if value else value for value in term.values)
        return Requirement(term.key, term.operator, values).render()
    return term.render()


# Field selectors -----------------------------------------------------------------------------------------------------


class FieldTerm(msgspec.Struct, frozen=True):
    """One term of a field selector; `operator` is = or !=."""

    field: str
    operator: str
    value: str

    def render(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{self.operator}{escaped}"


def parse_fields(text: str) -> tuple[FieldTerm, ...]:
    """The terms of a field selector. Raises ApiError 400."""
    return tuple(_field_term(part, text) for part in re.split(r"(?<!\\),", text) if part.strip())


def _field_term(part: str, whole: str) -> FieldTerm:
    match = re.match(r"\s*([A-Za-z0-9_.\[\]/-]+)\s*(==|=|!=)(.*)\Z", part, re.DOTALL)
    if match is None:
        raise bad_request(f"invalid field selector {whole[:200]!r}: can't understand {part[:200]!r}")
    value = re.sub(r"\\([\\,=])", r"\1", match[3])
    return FieldTerm(match[1], "!=" if match[2] == "!=" else "=", value)


_REFERENCES: Final = ("involvedObject", "regarding", "related")
_FIELDS: Final[Mapping[tuple[str, str], Mapping[str, Lens]]] = MappingProxyType(
    {
        ("", "namespaces"): {"metadata.name": fields.NAMESPACE},
        ("", "events"): {f"{name}.namespace": fields.NAMESPACE for name in _REFERENCES},
        ("events.k8s.io", "events"): {f"{name}.namespace": fields.NAMESPACE for name in _REFERENCES},
        ("networking.k8s.io", "ingresses"): {"spec.ingressClassName": fields.INGRESS_CLASS},
    }
)


def fields_up(text: str | None, row: Kind, scope: Scope) -> str:
    """A tenant's field selector for the host, or an empty text. Raises ApiError 400."""
    terms = parse_fields(text or "")
    about_namespace = any(
        term.field.endswith(".kind") and term.operator == "=" and term.value == "Namespace" for term in terms
    )
    return ",".join(_field_up(term, row, scope, about_namespace).render() for term in terms)


def _field_up(term: FieldTerm, row: Kind, scope: Scope, about_namespace: bool) -> FieldTerm:
    replace: Callable[[str], FieldTerm] = lambda value: FieldTerm(term.field, term.operator, value)  # noqa: E731
    if term.field == "metadata.namespace":
        return replace(fields.namespace_up(term.value, scope)) if term.value else term
    lens = _FIELDS.get(row.key, {}).get(term.field)
    if lens is not None:
        about_cluster = about_namespace and term.field.endswith(".namespace") and not term.value
        # events about a Namespace stand in the tenant's `default` on the host: core.fields.CLUSTER_SCOPED_EVENT
        return replace(fields.namespace_up("default", scope) if about_cluster else str(lens.up(term.value, scope)))
    if about_namespace and term.field in [f"{name}.name" for name in _REFERENCES] and term.value:
        return replace(fields.namespace_up(term.value, scope))
    return term


def name_of(text: str | None) -> str | None:
    """The single name that a field selector asks for (`metadata.name=x`), or None."""
    for term in parse_fields(text or ""):
        if term.field == "metadata.name" and term.operator == "=":
            return term.value
    return None
