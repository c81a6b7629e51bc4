"""The second wall, made of the table of kinds: who may do what on the host, and what admission lets through. Pure.

Three identities have rights on the host. The *tenant's* (impersonated): kind by kind in its namespaces, at cluster
scope only writes of Private kinds. The *proxy's* own: it reads, never Secrets. The *controller's*: what it keeps, by
name. Nothing here ever holds `*`.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from vcproxy.core import shadow
from vcproxy.core.kinds import GUARDED, TABLE, Exposure, Kind
from vcproxy.core.names import PROTECTED_NAMESPACES, SYSTEM_NAMESPACE, TENANT_LABEL
from vcproxy.core.pods import CERTIFICATE_REFUSAL
from vcproxy.core.private import TENANTS_GROUP, VOLUMES, write_group

Object = dict[str, Any]

READ: Final = ["get", "list", "watch"]
KEEP: Final = ("create", "delete", "get", "patch", "update")
WRITES: Final = frozenset({"create", "delete", "deletecollection", "patch", "update"})
SECRETS: Final = ("", "secrets")
NAMESPACES: Final = ("", "namespaces")
POLICY: Final = "vcproxy-tenants"
POD_POLICY: Final = "vcproxy-pods"
ACCOUNT_POLICY: Final = "vcproxy-accounts"
ACCOUNT_REFUSAL: Final = "a token for the host's API server is not given to tenants"
CERTIFICATE_POLICY: Final = "vcproxy-certificates"
POD_REFUSAL: Final = "a token for the host's API server is not given to pods of tenants"
PLURALS: Final = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
"""Resources of the kinds of the wall."""


def rule(group: str, resource: str, verbs: Iterable[str]) -> Object:
    """One PolicyRule of RBAC."""
    return {"apiGroups": [group], "resources": [resource], "verbs": sorted(verbs)}


def kind_rules(row: Kind) -> list[Object]:
    """All verbs of a kind and of those of its subresources that tenants have."""
    rules = [rule(row.group, row.resource, row.verbs)]
    rules += [rule(row.group, f"{row.resource}/{name}", verbs) for name, verbs in _parts(row)]
    if row.key == ("discovery.k8s.io", "endpointslices"):
        rules.append(rule(row.group, "endpointslices/restricted", ("create", "update")))
    return rules


def tenant_rules(rows: Iterable[Kind]) -> list[Object]:
    """What counts in each namespace of a tenant: its kinds, and the namespace itself."""
    own = rule(*NAMESPACES, ("get", "update", "patch", "delete"))
    parts = {"apiGroups": [""], "resources": ["namespaces/finalize", "namespaces/status"], "verbs": ["update", "patch"]}
    return [own, parts, *(one for row in rows if _stands(row) for one in kind_rules(stored(row)))]


def system_rules(rows: Iterable[Kind]) -> list[Object]:
    """What counts in the tenant's system namespace: Shadow kinds of cluster scope, which stand there, nothing else."""
    shadows = (row for row in rows if row.exposure is Exposure.SHADOW and not row.namespaced)
    return [one for row in shadows for one in kind_rules(stored(row))]


def stored(row: Kind) -> Kind:
    """The kind that stands on the host: of a Shadow kind vcproxy's own."""
    return shadow.stored(row) if row.exposure is Exposure.SHADOW else row


def cluster_rules(rows: Iterable[Kind]) -> list[Object]:
    """What counts for tenants at cluster scope: writes of Private kinds, and of Namespaces the creation alone.

    Reads are the proxy's, for RBAC cannot tell one owner's objects from another's; which objects may be written is what
    the admission policy says.
    """
    rules = [rule(*NAMESPACES, ("create",))]
    for row in rows:
        if row.exposure is Exposure.PRIVATE and row.key != NAMESPACES:
            rules += [rule(row.group, row.resource, row.verbs & WRITES)] if row.verbs & WRITES else []
            parts = [(name, verbs & WRITES) for name, verbs in _parts(row)]
            rules += [rule(row.group, f"{row.resource}/{name}", verbs) for name, verbs in parts if verbs]
    return rules


def reader_rules(rows: Iterable[Kind]) -> list[Object]:
    """What the proxy reads under its own name: Private and Shared kinds, and one watch of each other but Secrets."""
    rules = []
    for row in map(stored, rows):
        if row.exposure in (Exposure.PRIVATE, Exposure.SHARED):
            rules.append(rule(row.group, row.resource, READ))
        elif row.key != SECRETS and {"list", "watch"} <= row.verbs:
            rules.append(rule(row.group, row.resource, ("list", "watch")))
    return rules


def controller_rules(rows: Iterable[Kind]) -> list[Object]:
    """What the controller looks at, to judge whether a namespace that is deleted still needs its owner, and removes.

    Never Secrets. Private kinds count whether they are served or not: a prefix must be free in all of them, and what a
    tenant leaves goes with it.
    """
    looked = [row for row in map(stored, rows) if row.namespaced and "list" in row.verbs and row.key != SECRETS]
    removed = [row for row in TABLE.values() if row.exposure is Exposure.PRIVATE and row.key != NAMESPACES]
    return [
        *(rule(row.group, row.resource, ("get", "list", "delete")) for row in removed),
        rule(*VOLUMES, ("watch", "patch")),  # it marks those that are bound to claims of tenants
        *(rule(row.group, row.resource, ("get", "list")) for row in looked),
    ]


def impersonator_rules(rows: Iterable[Kind]) -> list[Object]:
    """The groups that the proxy may act in: of all tenants, and of those that may write a guarded kind."""
    guarded = sorted(write_group(row) for row in rows if row.kind in GUARDED)
    return [{**rule("", "groups", ("impersonate",)), "resourceNames": [TENANTS_GROUP, *guarded]}]


def keeping_rules(walls: Iterable[Object]) -> list[Object]:
    """What the controller may do to keep the objects of the wall as they were installed: write each by its name.

    It makes what is missing by an apply, which the host authorizes with the name; so even `create` is bound to it.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for one in walls:
        names.setdefault((one["apiVersion"].partition("/")[0], PLURALS[one["kind"]]), []).append(
            one["metadata"]["name"]
        )
    rules = []
    for (group, name), kept in sorted(names.items()):
        verbs = [*KEEP, *(["bind", "escalate"] if name in ("clusterroles", "roles") else [])]
        rules += [rule(group, name, ("list", "watch")), {**rule(group, name, verbs), "resourceNames": kept}]
    return rules


def policy_variables(rows: Iterable[Kind]) -> dict[str, str]:
    """By name: the variables of the admission policy that say which kinds there are, as CEL (cel-spec, lists)."""
    rows = tuple(rows)
    private = [row for row in rows if row.exposure is Exposure.PRIVATE]
    kept = [*sorted(PROTECTED_NAMESPACES), SYSTEM_NAMESPACE]
    return {
        "groups": _texts({stored(row).group for row in rows if row.exposure is not Exposure.VIRTUAL}),
        "private": _texts(f"{row.group}/{row.resource}" for row in private),
        "guarded": _texts(f"{row.group}/{row.resource}" for row in private if row.kind in GUARDED),
        "kept": f"{_texts(kept)}.map(name, variables.prefix + name)",
    }


def pod_walls(host_audiences: Iterable[str]) -> list[Object]:
    """A policy behind the webhook for pods, and its binding: no Pod of a tenant gets a token that counts on the host.

    Whoever makes it, and after all mutation: a Pod that the webhook did not see is refused. `host_audiences` are those
    of the host's API server; an empty audience is its own too.
    """
    matches = {"matchExpressions": [{"key": TENANT_LABEL, "operator": "Exists"}]}
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["pods"], "scope": "*"}
    return _policy(POD_POLICY, rule, _foreign_tokens(host_audiences), POD_REFUSAL, {"namespaceSelector": matches})


def certificate_walls(signers: Iterable[str]) -> list[Object]:
    """A policy for Pods in namespaces of tenants, and its binding: no certificates (KEP-4317) but of `signers`.

    Of the host's own signers one makes client certificates for its API server.
    """
    matches = {"matchExpressions": [{"key": TENANT_LABEL, "operator": "Exists"}]}
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["pods"], "scope": "*"}
    allowed = f"!has(source.podCertificate) || source.podCertificate.signerName in {_names(signers)}"
    refused = _sources(allowed)
    return _policy(CERTIFICATE_POLICY, rule, refused, CERTIFICATE_REFUSAL, {"namespaceSelector": matches})


def token_walls(host_audiences: Iterable[str]) -> list[Object]:
    """A policy for TokenRequests, and its binding: no tenant's identity gets a token that counts on the host.

    The host writes its own audiences into a request that names none before it asks the policy (tried on 1.37).
    """
    rule = {
        "apiGroups": [""],
        "apiVersions": ["*"],
        "operations": ["CREATE"],
        "resources": ["serviceaccounts/token"],
        "scope": "*",
    }
    refused = f"size(object.spec.audiences) > 0 && object.spec.audiences.all(one, !(one in {_names(host_audiences)}))"
    tenant = "request.userInfo.username.startsWith('vcproxy:tenant:')"
    return _policy(ACCOUNT_POLICY, rule, refused, ACCOUNT_REFUSAL, {}, [{"name": "tenant", "expression": tenant}])


def _policy(
    name: str, rule: Object, expression: str, message: str, selectors: Object, conditions: Iterable[Object] = ()
) -> list[Object]:
    """A policy of one validation that fails closed, and its binding."""
    policy: Object = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            **selectors,
            "resourceRules": [rule],
        },
        "validations": [{"expression": expression, "message": message, "reason": "Forbidden"}],
    }
    if conditions:
        policy["matchConditions"] = list(conditions)
    binding = {"policyName": name, "validationActions": ["Deny"]}
    kinds = (("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", binding))
    metadata = {"name": name, "labels": {"app.kubernetes.io/managed-by": "vcproxy"}}
    return [
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
        for kind, spec in kinds
    ]


def _names(names: Iterable[str]) -> str:
    """A list of names as CEL, of audiences or signers; they may hold any sign."""
    return "[" + ", ".join(json.dumps(one) for one in sorted(names)) + "]"


def _sources(allowed: str) -> str:
    """CEL: this holds for every source of the projected volumes of a Pod."""
    return (
        "!has(object.spec.volumes) || object.spec.volumes.all(volume, !has(volume.projected)"
        f" || !has(volume.projected.sources) || volume.projected.sources.all(source, {allowed}))"
    )


def _foreign_tokens(host_audiences: Iterable[str]) -> str:
    """CEL: every projected token of a Pod names an audience that is not the host's. An audience holds any sign."""
    return _sources(
        "!has(source.serviceAccountToken)"
        " || (has(source.serviceAccountToken.audience) && source.serviceAccountToken.audience != ''"
        f" && !(source.serviceAccountToken.audience in {_names(host_audiences)}))"
    )


def completed(document: Object, rows: Iterable[Kind]) -> Object:
    """An object of the manifests with what the table of kinds adds to it."""
    rows = tuple(rows)
    added = {
        ("ClusterRole", "vcproxy:controller"): controller_rules,
        ("ClusterRole", "vcproxy:impersonator"): impersonator_rules,
        ("ClusterRole", "vcproxy:reader"): reader_rules,
        ("ClusterRole", "vcproxy:tenant"): tenant_rules,
        ("ClusterRole", "vcproxy:tenant-cluster"): cluster_rules,
        ("ClusterRole", "vcproxy:tenant-system"): system_rules,
    }.get((document["kind"], document["metadata"]["name"]))
    if added is not None:
        return {**document, "rules": [*(document.get("rules") or ()), *added(rows)]}
    if (document["kind"], document["metadata"]["name"]) == ("ValidatingAdmissionPolicy", POLICY):
        return _filled(document, policy_variables(rows))
    return document


def _filled(policy: Object, texts: dict[str, str]) -> Object:
    """Raises KeyError where the policy does not have each of the variables once."""
    variables = policy["spec"]["variables"]
    missing = texts.keys() - {one["name"] for one in variables}
    if missing:
        raise KeyError(f"the policy {POLICY} lacks the variables {sorted(missing)}")
    filled = [{**one, "expression": texts.get(one["name"], one["expression"])} for one in variables]
    return {**policy, "spec": {**policy["spec"], "variables": filled}}


def _parts(row: Kind) -> list[tuple[str, frozenset[str]]]:
    return [(name, verbs) for name, verbs in row.subresources.items() if name not in row.hidden_subresources]


def _stands(row: Kind) -> bool:
    """Whether objects of the kind stand in a tenant's namespaces; what the proxy answers itself stands nowhere."""
    return row.namespaced and row.exposure is not Exposure.VIRTUAL


def _texts(names: Iterable[str]) -> str:
    """A list of texts as CEL; group and resource names hold nothing that needs an escape."""
    return "[" + ", ".join(f"'{name}'" for name in sorted(names)) + "]"
