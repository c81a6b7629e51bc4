"""What the proxy would do with a request, as a document: the plan, and the rules that would run."""

from typing import Any

import msgspec

from vcproxy.core import decision, kinds, plan, request
from vcproxy.core.nodes import Sight
from vcproxy.core.rules import rows
from vcproxy.core.scope import Scope
from vcproxy.core.status import qualified
from vcproxy.core.view import TenantView


def explained(method: str, url: str, view: TenantView, user: str = "admin") -> dict[str, Any]:
    """The plan for a request of a tenant, as a document: what `vcproxy explain` prints. Raises ApiError 400."""
    asked = request.parse(method, url.encode())
    scope = Scope(view.id, user, view.classes, view.namespaces, writable=view.writable, nodes=Sight(view.nodes))
    versions = frozenset((row.group, version) for row in kinds.served() for version in ("v1", "v2"))
    decided = decision.decide(asked, scope, versions=versions)
    shown = {
        "request": msgspec.to_builtins(asked),
        "plan": msgspec.to_builtins(
            decided, order="sorted", enc_hook=dict
        ),  # the rows of kinds hold read-only mappings
    }
    if isinstance(decided, plan.Forward | plan.Tunnel | plan.Proxy):
        shown["target"] = decided.target
    if not isinstance(decided, plan.Answer | plan.Deny):
        shown["plan"]["row"] = f"{qualified(*decided.row.key)} ({decided.row.exposure.value})"
        shown["rules"] = _rules_of(decided.row.group, decided.row.kind)
    return shown


def _rules_of(group: str, kind: str) -> list[str]:
    """The rules that run on a kind, as texts `path: LENS`."""
    return [f"{path or '(the object)'}: {lens.name}" for path, lens in rows(group, kind)]
