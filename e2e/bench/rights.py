"""What a question of rights costs: pure CPU, no host, no connection (python -m e2e.bench.rights, and `make bench`)."""

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from e2e.bench.report import Group, Row, Verdict, markdown
from e2e.bench.stage import Stage
from vcproxy.access.rights import CallerRights
from vcproxy.core import rbac_defaults
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.rbac import GROUP, Attributes
from vcproxy.core.rbac_places import Place
from vcproxy.core.rbac_policy import Identity, Policy
from vcproxy.core.rbac_words import WORDS, Room

QUESTIONS: Final = 20_000
TENANTS: Final = 1000
RULES: Final = 20_000
LIMIT: Final = 3.0
"""Microseconds that a question may cost."""
MANY: Final = 10.0
"""The same of a user with more rules than are written out."""
Object = dict[str, Any]


class Kept:
    """The policies of many tenants, without a host."""

    def __init__(self, tenants: int, bindings: int, more: Sequence[Object] = ()) -> None:
        documents = (*_documents(bindings), *more)
        self._policies = {
            TenantId(f"t{number}"): Policy.of(documents if number == 0 else documents[:2], rbac_defaults.policy())
            for number in range(tenants)
        }

    def policy(self, tenant: TenantId) -> Policy:
        return self._policies[tenant]

    def granted(self, tenant: TenantId) -> Sequence[Object]:
        return ()

    def room(self, tenant: TenantId) -> Room:
        return Room(0, WORDS)

    def reserve(self, tenant: TenantId, named: Identity, more: int) -> Place:
        return Place(named, more, 0.0)

    def learn(self, tenant: TenantId, document: Object) -> None:
        self._policies[tenant] = self._policies[tenant].put(document)

    def forget(self, tenant: TenantId, document: Object) -> None:
        metadata = document["metadata"]
        where = str(metadata.get("namespace") or ""), str(metadata["name"])
        self._policies[tenant] = self._policies[tenant].remove(str(document["kind"]), *where)


def _documents(bindings: int) -> list[Object]:
    """A role for each binding, in a hundred namespaces; one in a hundred is for the user who asks."""
    found: list[Object] = []
    for number in range(bindings):
        metadata = {"name": f"r{number}", "namespace": f"n{number % 100}"}
        rule = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "configmaps"]}
        subject = {"kind": "User", "name": "ann" if number % 100 == 0 else f"u{number}"}
        found.append({"kind": "Role", "metadata": metadata, "rules": [rule]})
        reference = {"apiGroup": GROUP, "kind": "Role", "name": metadata["name"]}
        found.append({"kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": [subject]})
    return found


def _own(rules: int) -> list[Object]:
    """Roles of one namespace with a hundred rules each, all for the user who asks: one pod and one kind a rule."""
    found: list[Object] = []
    for number in range(rules // 100):
        metadata = {"name": f"many{number}", "namespace": "n0"}
        names = [f"{number}-{index}" for index in range(100)]
        pods = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": [one]} for one in names]
        kinds = [{"verbs": ["get", "list"], "apiGroups": ["example.com"], "resources": [one]} for one in names]
        found.append({"kind": "Role", "metadata": metadata, "rules": [*pods[:50], *kinds[50:]]})
        reference = {"apiGroup": GROUP, "kind": "Role", "name": metadata["name"]}
        subjects = [{"kind": "User", "name": "ann"}]
        found.append({"kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": subjects})
    return found


def _all_words() -> list[Object]:
    """A role with as many words as there may be, for the user who asks: rules of 8 verbs and 8 kinds."""
    verbs = [f"v{index}" for index in range(7)]
    metadata = {"name": "all", "namespace": "n0"}
    rules = [
        {
            "verbs": [*verbs, f"v{number}"],
            "apiGroups": ["example.com"],
            "resources": [f"{number}-{k}" for k in range(8)],
        }
        for number in range(WORDS // 17)
    ]
    reference = {"apiGroup": GROUP, "kind": "Role", "name": "all"}
    binding = {"kind": "RoleBinding", "metadata": metadata, "roleRef": reference}
    return [
        {"kind": "Role", "metadata": metadata, "rules": rules},
        {**binding, "subjects": [{"kind": "User", "name": "ann"}]},
    ]


def _asking(policies: Kept) -> CallerRights:
    caller = Caller(TenantId("t0"), "uid", "ann", ("dev",))
    return CallerRights(policies, caller, lambda: 0.0)


def _cost(ask: Callable[[Attributes], object], asked: Sequence[Attributes]) -> float:
    """Microseconds of CPU for each."""
    start = time.process_time()
    for one in asked:
        ask(one)
    return (time.process_time() - start) * 1e6 / len(asked)


def _known(policies: Kept) -> float:
    """A question that was asked before."""
    one = Attributes("get", resource="pods", namespace="n0", name="api")
    return _cost(_asking(policies).authorize, [one] * QUESTIONS)


def _new(policies: Kept) -> float:
    """Questions that nobody asked before, of a user who did ask others."""
    rights = _asking(policies)
    rights.authorize(Attributes("get", resource="pods", namespace="n0"))
    asked = [Attributes("get", resource="pods", namespace="n0", name=f"api-{number}") for number in range(QUESTIONS)]
    return _cost(rights.authorize, asked)


def _changed(policies: Kept) -> float:
    """A role written, and the first question after it."""
    rights, numbers = _asking(policies), itertools.count()

    def change(asked: Attributes) -> None:
        metadata = {"name": f"own{next(numbers) % 8}", "namespace": "n1"}
        policies.learn(TenantId("t0"), {"kind": "Role", "metadata": metadata, "rules": []})
        rights.authorize(asked)

    return _cost(change, [Attributes("get", resource="pods", namespace="n0")] * 20)


def measure(stage: Stage | None, rounds: int) -> Group:
    """One question of a user with few and many bindings in the tenant, rules of its own, and other tenants."""
    rows = []
    columns = {"asked before, us": _known, "new, us": _new, "first after a change, us": _changed}
    for tenants, bindings, own, more in (
        (1, 10, "", []),
        (1, 10_000, "", []),
        (TENANTS, 10, "", []),
        (1, 10, f", {RULES} rules of who asks", _own(RULES)),
        (1, 10, f", {WORDS} words of who asks", _all_words()),
    ):
        policies = Kept(tenants, bindings, more)
        figures = {
            name: statistics.median(ask(policies) for _ in range(max(rounds, 3))) for name, ask in columns.items()
        }
        rows.append(Row(f"{tenants} tenants, {bindings} bindings in the one that asks{own}", "vcproxy", figures))
    verdicts = [
        Verdict(
            f"CPU of a question of rights, {kind}{whose}", max(row.figures[f"{kind}, us"] for row in some), limit, " us"
        )
        for whose, some, limit in (("", rows[:-2], LIMIT), (", of who has very many", rows[-2:], MANY))
        for kind in ("asked before", "new")
    ]
    return Group("rights", "a question of rights, in the process", rows, verdicts)


if __name__ == "__main__":
    sys.stdout.write(markdown(measure(None, 3)))
