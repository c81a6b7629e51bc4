"""Roles and ClusterRoles, and what aggregated ones gather."""

from collections.abc import Mapping, Sequence

import msgspec

from vcproxy.core import requirements
from vcproxy.core.rbac import Object, Rule
from vcproxy.core.requirements import Requirement


class Role(msgspec.Struct, frozen=True):
    """A Role or ClusterRole. `selectors` are those of its aggregationRule, None where it has none."""

    labels: Mapping[str, str]
    rules: tuple[Rule, ...]
    selectors: tuple[tuple[Requirement, ...], ...] | None = None

    @classmethod
    def of(cls, document: Object) -> "Role":
        """The role of a document as the API has it."""
        labels = (document.get("metadata") or {}).get("labels") or {}
        rules = tuple(Rule.of(one) for one in document.get("rules") or ())
        aggregation = document.get("aggregationRule")
        if not isinstance(aggregation, dict):
            return cls(labels, rules)
        chosen = aggregation.get("clusterRoleSelectors") or ()
        return cls(labels, rules, tuple(requirements.of_document(one) for one in chosen))


def gather(
    name: str, role: Role, others: Sequence[tuple[str, Role]], above: frozenset[str] = frozenset()
) -> tuple[Rule, ...]:
    """What the aggregation controller would write: the rules of all ClusterRoles that are selected, once each.

    Where that is nothing it writes nothing: the rules stay that its author wrote (clusterroleaggregation applies
    without a field `rules` then; e2e/test_rbac_equal.py). `others` are all ClusterRoles by name, in order; `above`
    are those for which this one is gathered.
    """
    gathered: dict[Rule, None] = {}
    for other, candidate in others:
        if other == name or other in above or not _selected(role.selectors or (), candidate.labels):
            continue
        inner = candidate.rules
        if candidate.selectors is not None:
            inner = gather(other, candidate, others, above | {name})
        gathered.update(dict.fromkeys(inner))
    return tuple(gathered) or role.rules


def _selected(chosen: Sequence[Sequence[Requirement]], labels: Mapping[str, str]) -> bool:
    return any(all(requirements.matches(term, labels) for term in terms) for terms in chosen)
