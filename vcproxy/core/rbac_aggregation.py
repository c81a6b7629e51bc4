"""What aggregated ClusterRoles have gathered, as kube-controller-manager's clusterrole-aggregation controller ends up.

The controller writes into each of them the rules of all others that its selectors choose, again and again until nothing
changes (k8s.io/kubernetes/pkg/controller/clusterroleaggregation). Where it finds none it writes nothing, so the rules
stay that the author wrote (it applies without a field `rules` then; e2e/test_rbac_equal.py).

Roles of the same selectors gather the same, so the graph that is walked is one of selectors: each is visited once, and
those that choose each other in a circle (Tarjan 1972: strongly connected components) are taken as one. Such a circle
has what comes into it from outside. Where that is nothing the API server keeps what some of its authors wrote, those
who happened to be late; here it is what all of them wrote.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from vcproxy.core import requirements
from vcproxy.core.rbac import Rule
from vcproxy.core.rbac_roles import Role, Selectors
from vcproxy.core.requirements import Requirement

STEPS: Final = 250_000
"""Labels compared and rules taken over in one tenant, some 0.1 s: where it takes more, no role gathers anything."""

Rules = tuple[Rule, ...]
Following = Callable[[Selectors], Iterator[Selectors]]


def gathered(roles: Mapping[str, Role], steps: int = STEPS) -> dict[str, Rules]:
    """The rules of each aggregated ClusterRole, by name. `roles` are all ClusterRoles by name."""
    try:
        return _Gathering(roles, steps).all()
    except _TooMuchError:
        return {name: role.rules for name, role in sorted(roles.items()) if role.selectors is not None}


class _TooMuchError(Exception):
    """More steps than may be done."""


class _Steps:
    """What may still be done."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, number: int) -> None:
        """Raises _TooMuchError where there is no room for so many."""
        self._left -= number
        if self._left < 0:
            raise _TooMuchError


class _Gathering:
    """One look at all ClusterRoles. `_values` has what each selector set gathers, once that is known."""

    def __init__(self, roles: Mapping[str, Role], steps: int) -> None:
        self._roles = roles
        self._steps = _Steps(steps)
        self._chosen = _Chooser(roles, self._steps)
        self._values: dict[Selectors, Rules] = {}

    def all(self) -> dict[str, Rules]:
        aggregated = {name: role for name, role in sorted(self._roles.items()) if role.selectors is not None}
        for circle in circles(dict.fromkeys(role.selectors or () for role in aggregated.values()), self._next):
            self._settle(circle)
        return {name: self._of(role) for name, role in aggregated.items()}

    def _next(self, selectors: Selectors) -> Iterator[Selectors]:
        chosen = (self._roles[name].selectors for name in self._chosen(selectors))
        return iter(dict.fromkeys(one for one in chosen if one is not None))

    def _settle(self, circle: Sequence[Selectors]) -> None:
        """Everything that these choose outside of them is settled already."""
        inside = set(circle)
        chosen = dict.fromkeys(name for one in circle for name in self._chosen(one))
        roles = [self._roles[name] for name in sorted(chosen)]
        outer = self._union(self._of(one) for one in roles if one.selectors is None or one.selectors not in inside)
        value = outer or self._union(one.rules for one in roles if one.selectors in inside)
        self._values.update(dict.fromkeys(circle, value))

    def _of(self, role: Role) -> Rules:
        return role.rules if role.selectors is None else self._values[role.selectors] or role.rules

    def _union(self, parts: Iterable[Rules]) -> Rules:
        found: dict[Rule, None] = {}
        for rules in parts:
            self._steps.take(1 + len(rules))
            found.update(dict.fromkeys(rules))
        return tuple(found)


class _Chooser:
    """Names of the ClusterRoles that selectors choose, in order; labels are looked up where a term names some."""

    def __init__(self, roles: Mapping[str, Role], steps: _Steps) -> None:
        self._roles = roles
        self._steps = steps
        self._known: dict[Selectors, Sequence[str]] = {}
        self._labelled: dict[tuple[str, str | None], list[str]] = {}
        for name, role in roles.items():
            for key, value in role.labels.items():
                self._labelled.setdefault((key, value), []).append(name)
                self._labelled.setdefault((key, None), []).append(name)

    def __call__(self, selectors: Selectors) -> Sequence[str]:
        if selectors not in self._known:
            found = (name for terms in selectors for name in self._matching(terms))
            self._known[selectors] = sorted(set(found))
        return self._known[selectors]

    def _matching(self, terms: Sequence[Requirement]) -> Iterator[str]:
        for name in self._candidates(terms):
            self._steps.take(1 + len(terms))
            if all(requirements.matches(term, self._roles[name].labels) for term in terms):
                yield name

    def _candidates(self, terms: Sequence[Requirement]) -> Iterable[str]:
        for term in terms:
            if term.operator in ("=", "==", "in"):
                return [name for value in set(term.values) for name in self._labelled.get((term.key, value), ())]
            if term.operator == "exists":
                return self._labelled.get((term.key, None), ())
        return self._roles


def circles(nodes: Iterable[Selectors], following: Following) -> Iterator[list[Selectors]]:
    """Strongly connected components, each after all that it leads to. No recursion: chains may be long."""
    order: dict[Selectors, int] = {}
    lowest: dict[Selectors, int] = {}
    open_: dict[Selectors, None] = {}
    for root in nodes:
        if root in order:
            continue
        way = [(root, iter((root,)))]
        while way:
            node, rest = way[-1]
            if node not in order:
                order[node] = lowest[node] = len(order)
                open_[node] = None
                way[-1] = node, rest = node, following(node)
            other = next(rest, None)
            if other is None:
                way.pop()
                if way:
                    lowest[way[-1][0]] = min(lowest[way[-1][0]], lowest[node])
                if lowest[node] == order[node]:
                    yield _closed(open_, node)
            elif other not in order:
                way.append((other, iter(())))
            elif other in open_:
                lowest[node] = min(lowest[node], order[other])


def _closed(open_: dict[Selectors, None], root: Selectors) -> list[Selectors]:
    """The circle of `root`: all that were opened since."""
    found: list[Selectors] = []
    while root in open_:
        found.append(open_.popitem()[0])
    return found
