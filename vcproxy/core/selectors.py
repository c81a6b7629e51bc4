"""Selectors in queries: parsed, rewritten field by field, rendered anew.

Their terms and grammar: core.requirements.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from vcproxy.core import nodes
from vcproxy.core.fields_classes import INGRESS_CLASS
from vcproxy.core.fields_groups import DEFINITION
from vcproxy.core.fields_labels import reserved
from vcproxy.core.fields_names import NAMESPACE, namespace_up
from vcproxy.core.fields_namespaces import NAME_LABEL
from vcproxy.core.fields_references import NAMED
from vcproxy.core.kinds import Exposure, Kind
from vcproxy.core.lens import Lens
from vcproxy.core.names import HIDDEN_LABEL, TENANT_LABEL
from vcproxy.core.requirements import FieldTerm, Requirement, parse, parse_fields
from vcproxy.core.scope import Scope

VISIBLE: Final = f"!{HIDDEN_LABEL}"
NOTHING: Final = "vcproxy.io/nothing,!vcproxy.io/nothing"
"""A label selector that no object matches."""


def labels_up(text: str | None, row: Kind, scope: Scope, owner: str = "") -> str:
    """A tenant's label selector for the host: never empty, since hidden objects are left out and owners are checked.

    `owner` is what an object of a Private kind is looked for by, instead of its owner's label.
    """
    terms = [_label_up(term, row, scope) for term in parse(text or "")]
    own = [owner or f"{TENANT_LABEL}={scope.tenant}"] if row.exposure is Exposure.PRIVATE else []
    return ",".join([term for term in terms if term] + own + [VISIBLE])


def nodes_up(chosen: Mapping[str, str], row: Kind, scope: Scope) -> tuple[tuple[str, str], ...]:
    """The selectors for a list of a Shared kind: what the host can select; the rest selects core.nodes.Chosen.

    Of labels that are hidden from some tenants the host knows more than the tenant sees.
    """
    terms = [term.render() for term in parse(chosen.get("labelSelector", "")) if not nodes.hides(term.key)]
    own = [term.render() for term in scope.nodes.selection.terms] if row.key == nodes.NODES else []
    fields = chosen.get("fieldSelector", "")
    pairs = ("labelSelector", ",".join([*terms, *own, VISIBLE])), ("fieldSelector", fields)
    return pairs if fields else pairs[:1]


def _label_up(term: Requirement, row: Kind, scope: Scope) -> str:
    if reserved(term.key):  # to the tenant such a label does not exist on any object
        return "" if term.operator in ("!", "notin", "!=") else NOTHING
    if row.key == ("", "namespaces") and term.key == NAME_LABEL:
        values = tuple(namespace_up(value, scope) if value else value for value in term.values)
        return Requirement(term.key, term.operator, values).render()
    return term.render()


# Field selectors -----------------------------------------------------------------------------------------------------


_REFERENCES: Final = ("involvedObject", "regarding", "related")
_FIELDS: Final[Mapping[tuple[str, str], Mapping[str, Lens]]] = MappingProxyType(
    {
        ("", "events"): {f"{name}.namespace": NAMESPACE for name in _REFERENCES},
        ("apiextensions.k8s.io", "customresourcedefinitions"): {"metadata.name": DEFINITION},
        ("events.k8s.io", "events"): {f"{name}.namespace": NAMESPACE for name in _REFERENCES},
        ("networking.k8s.io", "ingresses"): {"spec.ingressClassName": INGRESS_CLASS},
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
        return replace(namespace_up(term.value, scope)) if term.value else term
    lens = _FIELDS.get(row.key, {}).get(term.field)
    if lens is None and term.field == "metadata.name" and row.exposure is Exposure.PRIVATE:
        lens = NAMED.get((row.group, row.kind))
    if lens is not None:
        about_cluster = about_namespace and term.field.endswith(".namespace") and not term.value
        # events about a Namespace stand in the tenant's `default` on the host: core.fields_events
        return replace(namespace_up("default", scope) if about_cluster else str(lens.up(term.value, scope)))
    if about_namespace and term.field in [f"{name}.name" for name in _REFERENCES] and term.value:
        return replace(namespace_up(term.value, scope))
    return term


def name_of(text: str | None) -> str | None:
    """The single name that a field selector asks for (`metadata.name=x`), or None."""
    for term in parse_fields(text or ""):
        if term.field == "metadata.name" and term.operator == "=":
            return term.value
    return None
