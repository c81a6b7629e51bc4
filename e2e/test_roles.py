"""Roles and bindings of a tenant behave as those of a plain API server: the same steps on both, the same outcome."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.clients.followers import Access, Follower
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster, random_id
from e2e.scan import leaks

GROUP: Final = "rbac.authorization.k8s.io"
RULES: Final = f"/apis/{GROUP}/v1"


class Side:
    """One cluster, as its administrator sees it; `mark` is in the names of what it makes at cluster scope."""

    def __init__(self, kubectl: Kubectl, space: str, mark: str) -> None:
        self.kubectl, self.space, self.mark = kubectl, space, mark

    def run(self, *command: str, body: Any = None) -> tuple[int, str]:
        """Exit code and all that was said, without what is another on every cluster."""
        named = tuple(part.replace("MARK", self.mark) for part in command)
        text = json.dumps(body).replace("MARK", self.mark).replace("SPACE", self.space) if body else None
        done = self.kubectl("-n", self.space, *named, input=text, check=False)
        said = done.stdout + done.stderr
        said = said.replace(self.mark, "MARK").replace(self.space, "SPACE")
        said = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", said)
        said = re.sub(r"\b\d+(m\d+)?s\b", "AGE", said)
        said = re.sub(r"(resourceVersion|uid): .*", r"\1: X", said)
        return done.returncode, re.sub(r"[ \t]+", " ", said)


@pytest.fixture(scope="module")
def tenant(tenant_factory: Callable[..., TenantCluster]) -> Iterator[TenantCluster]:
    made = tenant_factory()
    made.kubectl("create", "namespace", "spaced")
    yield made
    assert leaks(made.received, [made.id, "shadow.vcproxy"]) == []


@pytest.fixture(scope="module")
def sides(tenant: TenantCluster, host_kubectl: Kubectl) -> Iterator[tuple[Side, Side]]:
    space, mark = f"roles-{random_id()}", random_id()
    host_kubectl("create", "namespace", space)
    yield Side(host_kubectl, space, mark), Side(tenant.kubectl, "spaced", random_id())
    host_kubectl("delete", "namespace", space, "--wait=false")
    for kind in ("clusterroles", "clusterrolebindings"):
        names = host_kubectl("get", kind, "-o", "name").stdout.split()
        made = [name for name in names if mark in name]
        if made:
            host_kubectl("delete", *made)


def both(sides: tuple[Side, Side], *command: str, body: Any = None) -> tuple[int, str]:
    """What both said, which must be the same."""
    plain, ours = (side.run(*command, body=body) for side in sides)
    assert ours == plain
    return ours


def role(kind: str = "Role", name: str = "r", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name if kind.startswith("Role") else f"{name}-MARK"}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **fields}


def rule(**parts: Any) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], **parts}


REFERENCE: Final = {"apiGroup": GROUP, "kind": "Role", "name": "r"}
ANN: Final = {"kind": "User", "name": "ann"}
ROBOT: Final = {"kind": "ServiceAccount", "name": "robot", "namespace": "SPACE"}


def test_the_life_of_a_role(sides: tuple[Side, Side]) -> None:
    assert both(sides, "create", "role", "Read:er", "--verb=get,list", "--resource=pods,pods/log")[0] == 0
    assert both(sides, "create", "role", "Read:er", "--verb=get", "--resource=pods")[0] == 1
    assert both(sides, "get", "roles")[0] == 0
    assert both(sides, "get", "role", "Read:er", "-o", "yaml")[0] == 0
    both(sides, "describe", "role", "Read:er")
    both(sides, "label", "role", "Read:er", "a=b")
    both(sides, "annotate", "role", "Read:er", "c=d")
    assert "Read:er" in both(sides, "get", "roles", "-l", "a=b", "-o", "name")[1]
    assert "Read:er" in both(sides, "get", "roles", "--field-selector=metadata.name=Read:er", "-o", "name")[1]
    both(
        sides,
        "patch",
        "role",
        "Read:er",
        "--type=json",
        "-p",
        '[{"op":"add","path":"/rules/0/verbs/-","value":"watch"}]',
    )
    both(sides, "patch", "role", "Read:er", "--type=merge", "-p", '{"metadata":{"labels":{"a":null}}}')
    both(sides, "patch", "role", "Read:er", "-p", '{"metadata":{"labels":{"e":"f"}}}')
    both(
        sides, "patch", "role", "Read:er", "--type=json", "-p", '[{"op":"test","path":"/rules/0/verbs/0","value":"no"}]'
    )
    both(sides, "get", "role", "Read:er", "-o", "yaml")
    assert both(sides, "delete", "role", "Read:er")[0] == 0
    assert both(sides, "get", "role", "Read:er")[0] == 1
    assert both(sides, "delete", "role", "Read:er")[0] == 1


def test_applies_of_both_sorts(sides: tuple[Side, Side]) -> None:
    for verbs in (["get"], ["get"], ["get", "list"]):
        both(sides, "apply", "-f", "-", body=role(rules=[rule(verbs=verbs)]))
    for verbs in (["watch"], ["watch"], ["watch", "get"]):
        both(sides, "apply", "--server-side", "-f", "-", body=role(name="applied", rules=[rule(verbs=verbs)]))
    other = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    assert both(sides, *other, body=role(name="applied", rules=[rule(verbs=["delete"])]))[0] == 1
    assert both(sides, *other, "--force-conflicts", body=role(name="applied", rules=[rule(verbs=["list"])]))[0] == 0
    found = [side.kubectl.json("get", "role", "applied", "-n", side.space, "--show-managed-fields") for side in sides]
    entries = [
        sorted((one["manager"], one["operation"], one["apiVersion"]) for one in document["metadata"]["managedFields"])
        for document in found
    ]
    assert entries[0] == entries[1]
    both(sides, "replace", "-f", "-", body=role(name="replaced", rules=[rule()]))
    both(sides, "delete", "roles", "--all")
    both(sides, "get", "roles")


def test_bindings_show_their_subjects_and_keep_their_role(sides: tuple[Side, Side]) -> None:
    both(sides, "create", "role", "r", "--verb=get", "--resource=pods")
    both(sides, "create", "rolebinding", "b", "--role=r", "--user=ann", "--group=dev", "--serviceaccount=x:y")
    both(sides, "get", "rolebindings", "-o", "wide")
    both(sides, "get", "rolebinding", "b", "-o", "yaml")
    change = role("RoleBinding", "b", roleRef={**REFERENCE, "name": "other"}, subjects=[ANN])
    for side in sides:  # a rule of the kind says it, so the words are not those of the API server
        code, said = side.run("replace", "-f", "-", body=change)
        assert (code, "roleRef: Invalid value" in said) == (1, True)
    assert both(sides, "set", "subject", "rolebinding", "b", "--user=bob")[0] == 0
    both(sides, "get", "rolebindings", "-o", "wide")


def test_cluster_roles_and_their_bindings(sides: tuple[Side, Side]) -> None:
    both(sides, "create", "clusterrole", "c-MARK", "--verb=get", "--non-resource-url=/metrics")
    both(sides, "create", "clusterrolebinding", "c-MARK", "--clusterrole=c-MARK", "--user=ann")
    both(sides, "get", "clusterrolebinding", "c-MARK", "-o", "wide")
    both(sides, "get", "clusterrole", "c-MARK", "-o", "yaml")
    both(sides, "delete", "clusterrolebinding/c-MARK", "clusterrole/c-MARK")


OBJECTS: Final = (
    role(rules=[]),
    role(rules=None),
    role(rules=[rule(verbs=[])]),
    role(rules=[rule(apiGroups=[])]),
    role(rules=[rule(resources=[])]),
    role(rules=[{"verbs": ["get"], "nonResourceURLs": ["/x"]}]),
    role(rules=[rule(resourceNames=["a"])]),
    role(name="a/b", rules=[]),
    role(name="a%b", rules=[]),
    role(name="..", rules=[]),
    role(name="Any:Name_here", rules=[]),
    role("ClusterRole", rules=[{"verbs": ["get"], "nonResourceURLs": ["/x"]}]),
    role("ClusterRole", rules=[rule(nonResourceURLs=["/x"])]),
    role("ClusterRole", aggregationRule={"clusterRoleSelectors": []}),
    role("ClusterRole", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}),
    role(
        "ClusterRole", aggregationRule={"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "X"}]}]}
    ),
    role(
        "ClusterRole",
        aggregationRule={"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]},
    ),
    role("RoleBinding", roleRef=REFERENCE),
    role("RoleBinding", roleRef=REFERENCE, subjects=[ANN, ROBOT]),
    role("RoleBinding", subjects=[ANN]),
    role("RoleBinding", roleRef={**REFERENCE, "kind": "Pod"}),
    role("RoleBinding", roleRef={**REFERENCE, "apiGroup": "apps"}),
    role("RoleBinding", roleRef={**REFERENCE, "apiGroup": ""}),
    role("RoleBinding", roleRef={**REFERENCE, "name": ""}),
    role("RoleBinding", roleRef={**REFERENCE, "name": "a/b"}),
    role("RoleBinding", roleRef=REFERENCE, subjects=[{**ANN, "name": ""}]),
    role("RoleBinding", roleRef=REFERENCE, subjects=[{**ANN, "apiGroup": "apps"}]),
    role("RoleBinding", roleRef=REFERENCE, subjects=[{**ANN, "kind": "Robot"}]),
    role("RoleBinding", roleRef=REFERENCE, subjects=[{**ROBOT, "apiGroup": GROUP}]),
    role("RoleBinding", roleRef=REFERENCE, subjects=[{**ROBOT, "name": "Not Good"}]),
    role("RoleBinding", roleRef=REFERENCE, subjects=[{"kind": "ServiceAccount", "name": "robot"}]),
    role("ClusterRoleBinding", roleRef={**REFERENCE, "kind": "ClusterRole", "name": "view"}, subjects=[ANN]),
    role("ClusterRoleBinding", roleRef=REFERENCE, subjects=[ANN]),
)
"""Good and bad objects: what the API server checks of each in code, and what it fills in."""


@pytest.mark.parametrize("document", OBJECTS, ids=[f"{one['kind']}-{at}" for at, one in enumerate(OBJECTS)])
def test_the_same_objects_are_good_and_bad(sides: tuple[Side, Side], document: dict[str, Any]) -> None:
    sides[0].run("create", "role", "r", "--verb=get", "--resource=pods")
    sides[1].run("create", "role", "r", "--verb=get", "--resource=pods")
    changed = {**document, "metadata": {**document["metadata"]}}
    if changed["metadata"]["name"] == "r":
        changed["metadata"]["name"] = "tried"
    plain, ours = (side.run("create", "--dry-run=server", "-o", "yaml", "-f", "-", body=changed) for side in sides)
    assert (ours[0] == 0) is (plain[0] == 0), (plain[1], ours[1])
    if plain[0] == 0:
        assert ours[1] == plain[1]


def test_a_watch_tells_of_the_usual_roles_first_and_of_changes_then(tenant: TenantCluster) -> None:
    client = Client(tenant.kubeconfig)
    lines = client.call("GET", f"{RULES}/clusterroles?watch=1&timeoutSeconds=1").body.splitlines()
    names = {json.loads(line)["object"]["metadata"]["name"] for line in lines}
    assert {"cluster-admin", "admin", "edit", "view", "system:discovery"} <= names
    listed = client.call("GET", f"{RULES}/namespaces/spaced/roles").document
    tenant.kubectl("create", "role", "watched", "-n", "spaced", "--verb=get", "--resource=pods")
    since = f"resourceVersion={listed['metadata']['resourceVersion']}&timeoutSeconds=1"
    lines = client.call("GET", f"{RULES}/roles?watch=1&{since}").body.splitlines()
    events = [json.loads(line) for line in lines]
    assert [(one["type"], one["object"]["metadata"]["name"]) for one in events] == [("ADDED", "watched")]
    assert events[0]["object"]["apiVersion"] == f"{GROUP}/v1"


def test_what_every_cluster_has_is_read_only(tenant: TenantCluster) -> None:
    for command in (
        ("delete", "clusterrole", "view"),
        ("patch", "clusterrole", "admin", "--type=merge", "-p", '{"rules":[]}'),
        ("create", "clusterrole", "edit", "--verb=get", "--resource=pods"),
    ):
        done = tenant.kubectl(*command, check=False)
        assert done.returncode == 1
        assert "cannot be changed" in done.stderr or "already exists" in done.stderr


def test_a_right_counts_at_once_for_who_gave_it_and_is_gone_at_once(tenant: TenantCluster) -> None:
    def may() -> str:
        done = tenant.kubectl("get", "configmaps", "-n", "spaced", "--as=carl", check=False)
        return "yes" if done.returncode == 0 else done.stderr

    refusal = 'User "carl" cannot list resource "configmaps" in API group "" in the namespace "spaced"'
    for _ in range(3):
        assert refusal in may()
        tenant.kubectl("create", "rolebinding", "carl", "-n", "spaced", "--clusterrole=view", "--user=carl")
        assert may() == "yes"
        for which in (("carl",), ("--all",)):
            tenant.kubectl("delete", "rolebinding", *which, "-n", "spaced", "--dry-run=server")
            assert may() == "yes"
        all_of_them = f"{RULES}/namespaces/spaced/rolebindings?dryRun=All"
        assert Client(tenant.kubeconfig).call("DELETE", all_of_them).code == 200
        assert may() == "yes"
        tenant.kubectl("delete", "rolebinding", "carl", "-n", "spaced")
    assert refusal in may()
    listed = tenant.kubectl("auth", "can-i", "--list", "-n", "spaced", "--as=carl").stdout
    assert "selfsubjectaccessreviews.authorization.k8s.io" in listed


def test_a_role_that_aggregates_shows_what_it_gathered(tenant: TenantCluster) -> None:
    own = role("ClusterRole", "x", rules=[rule(resources=["configmaps"])])
    own["metadata"] |= {"name": "part", "labels": {f"{GROUP}/aggregate-to-view": "true", "mine": "yes"}}
    whole = role("ClusterRole", "x", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"mine": "yes"}}]})
    whole["metadata"]["name"] = "whole"
    tenant.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([own, whole]))
    found = tenant.kubectl.json("get", "clusterrole", "whole")
    assert found["rules"] == [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    tenant.kubectl("delete", "clusterrole", "whole", "part")


def test_an_informer_begins_anew_when_a_role_gathers_other_rules(tenant: TenantCluster) -> None:
    own = role("ClusterRole", "x", rules=[rule(resources=["configmaps"])])
    own["metadata"] |= {"name": "late", "labels": {f"{GROUP}/aggregate-to-view": "true"}}
    follower = Follower(Access(tenant.kubeconfig), f"{RULES}/clusterroles").start()
    try:
        for lists in (2, 3):  # made, and deleted again
            if lists == 2:
                tenant.kubectl("apply", "-f", "-", input=yaml.safe_dump(own))
            else:
                tenant.kubectl("delete", "clusterrole", "late")
            assert follower.has_listed(lists), follower.problems
        assert all(problem.startswith("410: ") for problem in follower.problems)
    finally:
        follower.stop()
