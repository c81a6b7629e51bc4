"""Roles and ClusterRoles."""

from collections.abc import Mapping

import msgspec

from vcproxy.core import requirements
from vcproxy.core.rbac import Object, Rule
from vcproxy.core.requirements import Requirement

Selectors = tuple[tuple[Requirement, ...], ...]
"""Of an aggregationRule: a role is chosen by all terms of any of them."""


class Role(msgspec.Struct, frozen=True):
    """A Role or ClusterRole. `selectors` are those of its aggregationRule, None where it has none.

    Labels are kept of ClusterRoles alone: aggregation reads no others.
    """

    labels: Mapping[str, str]
    rules: tuple[Rule, ...]
    selectors: Selectors | None = None

    @classmethod
    def of(cls, document: Object) -> "Role":
        """The role of a document as the API has it."""
        gathered = document.get("kind") == "ClusterRole"
        labels = (document.get("metadata") or {}).get("labels") or {} if gathered else {}
        rules = tuple(Rule.of(one) for one in document.get("rules") or ())
        aggregation = document.get("aggregationRule")
        if not isinstance(aggregation, dict):
            return cls(labels, rules)
        chosen = aggregation.get("clusterRoleSelectors") or ()
        return cls(labels, rules, tuple(requirements.of_document(one) for one in chosen))
