"""Nobody grants what they do not hold: what the API server asks before a role or binding is written.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping ; the
rules are those of k8s.io/kubernetes/pkg/registry/rbac (policybased storages, escalation_check.go, policy_compact.go).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, product
from typing import Any, Final

import msgspec

from vcproxy.core import status
from vcproxy.core.rbac import ALL, GROUP, MASTERS, Attributes, Rule, User, quoted
from vcproxy.core.rbac_index import NARROW, RuleIndex, pairs
from vcproxy.core.rbac_policy import Policy

Object = dict[str, Any]
LOOKUPS: Final = 20_000
"""Parts of rules that one request may have looked up, some 30 ms. The API server sets no bound."""
MESSAGE: Final = 65536
"""Characters of a refusal that say what is not held; then only how much more there is."""
_EVERYTHING: Final = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), urls=(ALL,)))
_PLURALS: Final = {"Role": "roles", "ClusterRole": "clusterroles"}


def refusal(policy: Policy, user: User, document: Object, old: Object | None, name: str) -> str | None:
    """Why a user may not write a role or binding as it is to be, None if they may.

    `old` is what stands there now, `name` that of the URL: empty where one is created by POST. Raises ApiError 404 for
    a binding to a role that is not there.
    """
    if MASTERS in user.groups or _only_collected(document, old):
        return None
    if document["kind"] in _PLURALS:
        return _role(policy, user, document, old, name)
    return _binding(policy, user, document)


def _only_collected(document: Object, old: Object | None) -> bool:
    """Whether nothing changes but owners and finalizers (rbac.IsOnlyMutatingGCFields)."""
    if old is None:
        return False
    ignored = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation", "creationTimestamp")
    return _without(document, (*ignored, "uid")) == _without(old, (*ignored, "uid"))


def _without(document: Object, keys: Iterable[str]) -> Object:
    metadata = {key: value for key, value in (document.get("metadata") or {}).items() if key not in keys and value}
    return {key: value for key, value in document.items() if value} | {"metadata": metadata}


def _role(policy: Policy, user: User, document: Object, old: Object | None, name: str) -> str | None:
    """`escalate` is asked for the request's own name (rbac.RoleEscalationAuthorized): of a POST there is none."""
    namespace, resource = str(document["metadata"].get("namespace") or ""), _PLURALS[document["kind"]]
    if policy.allows(user, Attributes("escalate", GROUP, resource, "", namespace, name)):
        return None
    refused = _refused(policy, user, namespace, [Rule.of(one) for one in document.get("rules") or ()])
    aggregates = _aggregates(document) or _aggregates(old or {})
    if refused is None and aggregates and missing(policy, user, "", _EVERYTHING):
        return "must have cluster-admin privileges to use the aggregationRule"
    return refused


def _aggregates(document: Object) -> bool:
    return bool((document.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _binding(policy: Policy, user: User, document: Object) -> str | None:
    metadata, reference = document["metadata"], document.get("roleRef") or {}
    namespace, kind, name = str(metadata.get("namespace") or ""), reference.get("kind"), str(reference.get("name"))
    if kind not in _PLURALS:
        return None  # the host refuses it as invalid
    if policy.allows(user, Attributes("bind", GROUP, _PLURALS[kind], "", namespace, name)):
        return None
    rules = policy.rules_of(namespace if kind == "Role" else "", name)
    if rules is None:
        raise status.not_found(GROUP, f"{document['kind'].lower()}s", name)  # there too it names the request's resource
    return _refused(policy, user, namespace, rules)


def _refused(policy: Policy, user: User, namespace: str, rules: Iterable[Rule]) -> str | None:
    try:
        lacking = missing(policy, user, namespace, rules)
    except TooManyError:
        return (
            f"what it grants and its author does not hold as it stands has more than {LOOKUPS} combinations of verbs, "
            "API groups, resources and names: write several roles with fewer each"
        )
    if not lacking:
        return None
    groups = " ".join(map(quoted, user.groups))
    words = f"user {quoted(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held"
    lines = list(dict.fromkeys(map(str, lacking)))
    shown = _shown(lines)
    more = [f"and {len(lines) - len(shown)} more"] if len(shown) < len(lines) else []
    return "\n".join([f"{words}:", *shown, *more])


def _shown(lines: list[str]) -> list[str]:
    """As many as a refusal has room for."""
    ends = accumulate(len(line) + 1 for line in lines)
    return [line for line, end in zip(lines, ends, strict=True) if end <= MESSAGE]


def missing(policy: Policy, user: User, namespace: str, rules: Iterable[Rule]) -> list[Rule]:
    """What of `rules` a user does not hold, as few rules, in order (validation.Covers, CompactRules).

    Raises TooManyError.
    """
    comparing = _Comparing(policy.held(user, namespace))
    return sorted(compacted(part for rule in rules for part in comparing.missing(rule)), key=str)


class TooManyError(Exception):
    """More would have to be looked up than one request may cost."""


class _Comparing:
    """Compares rules with what is held: as a whole where that is possible, else broken down (validation.Covers).

    The parts of a rule are of one group, resource, name and verb each (validation.BreakdownRule): there may be more of
    them than anybody can look at. So whatever is held with a wildcard is left out before the next word is multiplied.
    """

    def __init__(self, held: Sequence[RuleIndex]) -> None:
        self._held = held
        self._left = LOOKUPS
        self._steps = sum(one.steps for one in held)
        self._everything = self._has(ALL, ALL, ALL, None)
        self._all_urls = self._has_url(ALL, ALL)

    def missing(self, rule: Rule) -> Iterator[Rule]:
        """The parts that are not held, in the order of validation.BreakdownRule. Raises TooManyError."""
        if rule.resources and not self._everything and not self._whole(rule):
            yield from self._missing_resources(rule)
        if rule.urls and not self._all_urls:
            yield from self._missing_urls(rule)

    def _missing_resources(self, rule: Rule) -> Iterator[Rule]:
        verbs = [verb for verb in rule.verbs if not self._has(verb, ALL, ALL, None)]
        for group in rule.groups if verbs else ():
            within = [verb for verb in verbs if not self._has(verb, group, ALL, None)]
            for resource, verb in product(rule.resources if within else (), within):
                yield from self._parts(group, resource, verb, rule.names)

    def _missing_urls(self, rule: Rule) -> Iterator[Rule]:
        verbs = [verb for verb in rule.verbs if not self._has_url(verb, ALL)]
        for url, verb in product(rule.urls if verbs else (), verbs):
            if not self._has_url(verb, url):
                yield self._part(Rule((verb,), urls=(url,)))

    def _parts(self, group: str, resource: str, verb: str, names: Sequence[str]) -> Iterator[Rule]:
        for name in names or (None,):
            if not self._has(verb, group, resource, name):
                yield self._part(Rule((verb,), (group,), (resource,), (name,) if name is not None else ()))

    def _part(self, rule: Rule) -> Rule:
        """Words of the refusal, counted in pieces of 64 characters."""
        self._take(sum(map(len, (*rule.verbs, *rule.groups, *rule.resources, *rule.names, *rule.urls))) // 64)
        return rule

    def _has(self, verb: str, group: str, resource: str, name: str | None) -> bool:
        self._take(self._steps)
        return any(one.has(verb, group, resource, name) for one in self._held)

    def _has_url(self, verb: str, url: str) -> bool:
        self._take(self._steps)
        return any(one.has_url(verb, url) for one in self._held)

    def _whole(self, rule: Rule) -> bool:
        """Whether a rule of many pairs is all in one that is held; others are looked up sooner than compared."""
        if pairs(rule) <= NARROW or rule.urls:
            return False
        words = len(rule.verbs) + len(rule.groups) + len(rule.resources) + len(rule.names)
        self._take(words * sum(one.blocks for one in self._held) // 8)
        return any(one.has_all(rule) for one in self._held)

    def _take(self, number: int) -> None:
        self._left -= number
        if self._left < 0:
            raise TooManyError


def compacted(rules: Iterable[Rule]) -> list[Rule]:
    """The same rules with the verbs of one group, resource and name together; others as they are, each once."""
    made: dict[Any, Rule] = {}
    for rule in rules:
        simple = len(rule.groups) == len(rule.resources) == 1 and len(rule.names) < 2 and not rule.urls
        key = (rule.groups, rule.resources, rule.names) if simple else rule
        known = made.get(key) if simple else None
        verbs = (*known.verbs, *rule.verbs) if known else rule.verbs
        made[key] = msgspec.structs.replace(rule, verbs=verbs)
    return list(made.values())
