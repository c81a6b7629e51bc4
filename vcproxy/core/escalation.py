"""Nobody grants what they do not hold: what the API server asks before a role or binding is written.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping ; the
rules are those of k8s.io/kubernetes/pkg/registry/rbac (policybased storages, escalation_check.go, policy_compact.go).
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, Final

import msgspec

from vcproxy.core import status
from vcproxy.core.rbac import ALL, GROUP, MASTERS, Attributes, Rule, User, quoted
from vcproxy.core.rbac_policy import Policy

Object = dict[str, Any]
_EVERYTHING: Final = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), urls=(ALL,)))
_PLURALS: Final = {"Role": "roles", "ClusterRole": "clusterroles"}


def refusal(policy: Policy, user: User, document: Object, old: Object | None) -> str | None:
    """Why a user may not write a role or binding as it is to be, None if they may.

    `old` is what stands there now. Raises ApiError 404 for a binding to a role that is not there.
    """
    if MASTERS in user.groups or _only_collected(document, old):
        return None
    if document["kind"] in _PLURALS:
        return _role(policy, user, document, old)
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


def _role(policy: Policy, user: User, document: Object, old: Object | None) -> str | None:
    metadata = document["metadata"]
    namespace, resource = str(metadata.get("namespace") or ""), _PLURALS[document["kind"]]
    asked = Attributes("escalate", GROUP, resource, "", namespace, str(metadata.get("name") or ""))
    if policy.allows(user, asked):
        return None
    refused = _refused(policy, user, namespace, [Rule.of(one) for one in document.get("rules") or ()])
    aggregates = document.get("aggregationRule") or (old or {}).get("aggregationRule")
    if refused is None and aggregates and missing(policy, user, "", _EVERYTHING):
        return "must have cluster-admin privileges to use the aggregationRule"
    return refused


def _binding(policy: Policy, user: User, document: Object) -> str | None:
    metadata, reference = document["metadata"], document.get("roleRef") or {}
    namespace, kind, name = str(metadata.get("namespace") or ""), reference.get("kind"), str(reference.get("name"))
    if kind not in _PLURALS:
        return None  # the host refuses it as invalid
    if policy.allows(user, Attributes("bind", GROUP, _PLURALS[kind], "", namespace, name)):
        return None
    rules = policy.rules_of(namespace if kind == "Role" else "", name)
    if rules is None:
        raise status.not_found(GROUP, _PLURALS[kind], name)
    return _refused(policy, user, namespace, rules)


def _refused(policy: Policy, user: User, namespace: str, rules: Iterable[Rule]) -> str | None:
    lacking = missing(policy, user, namespace, rules)
    if not lacking:
        return None
    groups = " ".join(map(quoted, user.groups))
    words = f"user {quoted(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held"
    return "\n".join([f"{words}:", *dict.fromkeys(map(str, lacking))])


def missing(policy: Policy, user: User, namespace: str, rules: Iterable[Rule]) -> list[Rule]:
    """What of `rules` a user does not hold, as few rules, in order (validation.Covers, CompactRules)."""
    held = policy.rules_for(user, namespace)
    parts = (part for rule in rules for part in broken_down(rule))
    return sorted(compacted(part for part in parts if not any(own.covers(part) for own in held)), key=str)


def broken_down(rule: Rule) -> Iterator[Rule]:
    """Rules of one group, resource, name and verb each, that together are this one (validation.BreakdownRule)."""
    for group, resource, verb in product(rule.groups, rule.resources, rule.verbs):
        for name in rule.names or (None,):
            yield Rule((verb,), (group,), (resource,), (name,) if name is not None else ())
    for url, verb in product(rule.urls, rule.verbs):
        yield Rule((verb,), urls=(url,))


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
