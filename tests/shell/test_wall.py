"""The second wall follows the table of kinds: each list of it is compared with it, and what must never be there."""

import re
from collections.abc import Iterable
from typing import Any

import pytest

from vcproxy.core.kinds import TABLE, Exposure, Kind, served
from vcproxy.tenants import wall
from vcproxy.tenants.installation import objects
from vcproxy.tenants.owned import CLUSTER_KINDS

Right = tuple[str, str, str]


def granted(rules: Iterable[dict[str, Any]]) -> set[Right]:
    """(group, resource, verb) of rules."""
    named = [rule for rule in rules if "resources" in rule]
    return {
        (group, resource, verb)
        for rule in named
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def role(name: str) -> set[Right]:
    """What an installed ClusterRole grants."""
    return granted(
        next(
            one["rules"] for one in objects("0.1.0") if one["kind"] == "ClusterRole" and one["metadata"]["name"] == name
        )
    )


def policy() -> dict[str, Any]:
    found: dict[str, Any] = next(
        one["spec"]
        for one in objects("0.1.0")
        if (one["kind"], one["metadata"]["name"]) == ("ValidatingAdmissionPolicy", "vcproxy-tenants")
    )
    return found


def variable(name: str) -> set[str]:
    """The texts in a variable of the policy."""
    found = next(one["expression"] for one in policy()["variables"] if one["name"] == name)
    return set(re.findall(r"'([^']*)'", found))


def everything() -> list[Kind]:
    return list(TABLE.values())


def test_the_role_of_tenants_holds_their_kinds_verb_by_verb() -> None:
    own = {("", "namespaces", verb) for verb in ("get", "update", "patch", "delete")}
    own |= {("", f"namespaces/{part}", verb) for part in ("finalize", "status") for verb in ("update", "patch")}
    own |= {("discovery.k8s.io", "endpointslices/restricted", verb) for verb in ("create", "update")}
    for row in served():
        if row.namespaced and row.exposure is Exposure.NAMESPACED:
            own |= {(row.group, row.resource, verb) for verb in row.verbs}
            for part in row.subresources.keys() - row.hidden_subresources:
                own |= {(row.group, f"{row.resource}/{part}", verb) for verb in row.subresources[part]}
    assert {right for right in role("vcproxy:tenant") if "vcproxy.io" not in right[0]} == own


FORBIDDEN_GROUPS = {
    "rbac.authorization.k8s.io",
    "admissionregistration.k8s.io",
    "certificates.k8s.io",
    "apiregistration.k8s.io",
}
FORBIDDEN_VERBS = {"escalate", "bind", "impersonate", "approve", "sign", "attest", "*"}


@pytest.mark.parametrize("name", ["vcproxy:tenant", "vcproxy:tenant-cluster", "vcproxy:tenant-system"])
def test_no_role_of_tenants_holds_what_a_tenant_must_never_have(name: str) -> None:
    for group, resource, verb in role(name):
        assert group not in FORBIDDEN_GROUPS
        assert verb not in FORBIDDEN_VERBS
        assert "*" not in group + resource
        assert resource not in ("nodes", "nodes/proxy", "componentstatuses")


def test_at_cluster_scope_tenants_write_private_kinds_and_read_nothing() -> None:
    rights = granted(wall.cluster_rules(everything()))
    assert {verb for _, _, verb in rights} <= wall.WRITES
    private = {row.key for row in everything() if row.exposure is Exposure.PRIVATE}
    assert {(group, resource.split("/")[0]) for group, resource, _ in rights} == private
    assert {verb for group, resource, verb in rights if (group, resource) == ("", "namespaces")} == {"create"}
    assert not any(resource.startswith("namespaces/") for _, resource, _ in rights)


def test_shadow_kinds_stand_in_the_tenants_namespaces_those_of_cluster_scope_in_its_system_namespace() -> None:
    ours = {(resource, group) for group, resource, _ in role("vcproxy:tenant") if "vcproxy.io" in group}
    assert ours == {(name, "shadow.vcproxy.io") for name in ("roles", "rolebindings")}
    system = {(resource, group) for group, resource, _ in role("vcproxy:tenant-system")}
    assert system == {(name, "shadow.vcproxy.io") for name in ("clusterroles", "clusterrolebindings")}


def test_what_tenants_have_at_cluster_scope_now_is_what_is_served_now() -> None:
    assert role("vcproxy:tenant-cluster") == granted(wall.cluster_rules(served()))


def test_the_proxy_reads_private_and_shared_kinds_and_watches_the_others_but_never_secrets() -> None:
    rights = granted(wall.reader_rules(everything()))
    assert {verb for _, _, verb in rights} == {"get", "list", "watch"}
    assert not any(resource == "secrets" for _, resource, _ in rights)
    gotten = {(group, resource) for group, resource, verb in rights if verb == "get"}
    wide = (Exposure.PRIVATE, Exposure.SHARED)
    assert gotten == {row.key for row in everything() if row.exposure in wide}
    for row in served():
        if row.namespaced and row.key != ("", "secrets") and {"list", "watch"} <= row.verbs:
            assert any(resource == row.resource and verb == "watch" for _, resource, verb in role("vcproxy:reader"))


def test_nothing_is_granted_for_what_the_proxy_answers_itself_or_denies() -> None:
    rows = [row for row in everything() if row.exposure in (Exposure.VIRTUAL, Exposure.DENIED)]
    nothing = granted(wall.tenant_rules([])) | granted(wall.cluster_rules([]))
    virtual = [row for row in rows if row.exposure is Exposure.VIRTUAL]
    assert granted(wall.tenant_rules(virtual)) | granted(wall.cluster_rules(virtual)) == nothing
    denied = {row.key for row in rows if row.exposure is Exposure.DENIED}
    for name in ("vcproxy:tenant", "vcproxy:tenant-cluster", "vcproxy:reader"):
        assert not denied & {(group, resource.split("/")[0]) for group, resource, _ in role(name)}


def test_the_controller_removes_what_a_tenant_may_own_at_cluster_scope() -> None:
    private = {row.key for row in everything() if row.exposure is Exposure.PRIVATE}
    rights = role("vcproxy:controller")
    for group, resource in private:
        assert {(group, resource, verb) for verb in ("get", "list", "delete")} <= rights
    looked = {(group, resource) for group, _, resource in CLUSTER_KINDS} | {("", "namespaces")}
    assert {row.key for row in served() if row.exposure is Exposure.PRIVATE} <= looked <= private


def test_neither_proxy_nor_controller_may_read_secrets_anywhere() -> None:
    for name in ("vcproxy:controller", "vcproxy:reader"):
        assert not any((group, resource) == ("", "secrets") for group, resource, _ in role(name))


def test_the_policy_knows_the_groups_and_private_kinds_of_the_table() -> None:
    private = {f"{row.group}/{row.resource}" for row in served() if row.exposure is Exposure.PRIVATE}
    assert variable("private") == private
    groups = {row.group for row in served() if row.exposure in (Exposure.NAMESPACED, Exposure.PRIVATE)}
    assert groups <= variable("groups")
    assert not variable("groups") & FORBIDDEN_GROUPS
    assert variable("kept") == {"default", "kube-public", "kube-system", "vcproxy"}


def test_the_policy_fails_closed_and_leaves_no_kind_out() -> None:
    assert policy()["failurePolicy"] == "Fail"
    matches = policy()["matchConstraints"]
    assert matches["resourceRules"] == [
        {
            "apiGroups": ["*"],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"],
            "resources": ["*/*"],
            "scope": "*",
        }
    ]
    assert matches["namespaceSelector"] == {}
    assert matches["objectSelector"] == {}


def test_a_policy_without_a_variable_for_the_table_is_refused() -> None:
    document = {"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "vcproxy-tenants"}, "spec": {"variables": []}}
    with pytest.raises(KeyError, match="private"):
        wall.completed(document, served())


def test_behind_the_webhook_a_policy_refuses_tokens_for_the_host() -> None:
    policy, binding = wall.pod_walls(["https://b", 'https://a"'])
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert '["https://a\\"", "https://b"]' in policy["spec"]["validations"][0]["expression"]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    rules = next(one["rules"] for one in objects("1") if one["metadata"]["name"] == "vcproxy:controller")
    for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
        kept = [rule.get("resourceNames", []) for rule in rules if rule.get("resources") == [kind]]
        assert any("vcproxy-pods" in names for names in kept)


def test_a_tenant_gets_no_token_with_an_audience_of_the_host_or_none() -> None:
    policy, binding = wall.token_walls(["https://b", 'https://a"'])
    spec = policy["spec"]
    assert spec["validations"][0]["expression"] == (
        'size(object.spec.audiences) > 0 && object.spec.audiences.all(one, !(one in ["https://a\\"", "https://b"]))'
    )
    assert spec["matchConditions"][0]["expression"] == "request.userInfo.username.startsWith('vcproxy:tenant:')"
    assert spec["matchConstraints"]["resourceRules"][0]["resources"] == ["serviceaccounts/token"]
    assert spec["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_a_pod_gets_certificates_of_the_named_signers_only() -> None:
    policy, binding = wall.certificate_walls(["b.com/x", "a.com/x"])
    spec = policy["spec"]
    allowed = '!has(source.podCertificate) || source.podCertificate.signerName in ["a.com/x", "b.com/x"]'
    assert allowed in spec["validations"][0]["expression"]
    assert spec["matchConstraints"]["namespaceSelector"] == {
        "matchExpressions": [{"key": "vcproxy.io/tenant", "operator": "Exists"}]
    }
    assert (spec["failurePolicy"], "matchConditions" in spec) == ("Fail", False)
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert "in []" in wall.certificate_walls(())[0]["spec"]["validations"][0]["expression"]
