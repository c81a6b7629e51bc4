"""Terms of selectors: parsed, compared, rendered.

Grammar of label selectors: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ (what a term
means: k8s.io/apimachinery/pkg/labels); of field selectors: k8s.io/apimachinery/pkg/fields (`=`, `==`, `!=`, values with
backslash escapes).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from vcproxy.core.status import bad_request


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
_key, _value = re.compile(_KEY), re.compile(_VALUE)
_number = re.compile(r"-?[0-9]{1,19}\Z")
_term = re.compile(
    rf"\s*(?:!\s*(?P<absent>{_KEY})"
    rf"|(?P<set>{_KEY})\s+(?P<setop>in|notin)\s*\((?P<values>\s*{_VALUE}\s*(?:,\s*{_VALUE}\s*)*)\)"
    rf"|(?P<pair>{_KEY})\s*(?P<pairop>==|=|!=|>|<)\s*(?P<value>{_VALUE})"
    rf"|(?P<exists>{_KEY}))\s*(?P<end>,|\Z)"
)


def well_formed(term: Requirement) -> bool:
    """Whether a term that was not parsed could have been: `render` of it means the term and nothing else."""
    return _key.fullmatch(term.key) is not None and all(_value.fullmatch(value) for value in term.values)


def parse(text: str) -> tuple[Requirement, ...]:
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


def matches(term: Requirement, labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil a term (k8s.io/apimachinery/pkg/labels.Requirement.Matches)."""
    value = labels.get(term.key)
    match term.operator:
        case "exists":
            return value is not None
        case "!":
            return value is None
        case "in" | "=" | "==":
            return value in term.values
        case "notin" | "!=":
            return value not in term.values
    if value is None or not (_number.match(value) and _number.match(term.values[0])):
        return False
    return int(value) > int(term.values[0]) if term.operator == ">" else int(value) < int(term.values[0])


_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def of_document(selector: dict[str, Any]) -> tuple[Requirement, ...]:
    """A LabelSelector as requirements; one that cannot be understood selects nothing."""
    pairs = [Requirement(key, "=", (str(value),)) for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(str(one.get("operator")), "in")
        pairs.append(Requirement(str(one.get("key")), operator, tuple(one.get("values") or ())))
    return tuple(pairs)


# Fields ---------------------------------------------------------------------------------------------------------------


class FieldTerm(msgspec.Struct, frozen=True):
    """One term of a field selector; `operator` is = or !=."""

    field: str
    operator: str
    value: str

    def render(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{self.operator}{escaped}"


_field = re.compile(r"\s*([A-Za-z0-9_.\[\]/-]+)\s*(==|=|!=)((?:[^\\=]|\\[\\,=])*)\Z")


def parse_fields(text: str) -> tuple[FieldTerm, ...]:
    """The terms of a field selector. Raises ApiError 400."""
    return tuple(_field_term(part, text) for part in re.split(r"(?<!\\),", text) if part.strip())


def _field_term(part: str, whole: str) -> FieldTerm:
    match = _field.match(part)
    if match is None:
        raise bad_request(f"invalid field selector {whole[:200]!r}: can't understand {part[:200]!r}")
    value = re.sub(r"\\([\\,=])", r"\1", match[3])
    return FieldTerm(match[1], "!=" if match[2] == "!=" else "=", value)
