"""What a provider grants people of a tenant: who may do what, who sees it, who cannot change it, how it ends."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.clients.followers import Access, Follower
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster

Person = Callable[[str], Kubectl]


@pytest.fixture
def person(tenant: TenantCluster, tmp_path: Path) -> Person:
    """kubectl of a user in the group `dev`, who may do nothing at first."""

    def of(name: str) -> Kubectl:
        path = tenant.write_kubeconfig(tmp_path / name, "--user", name, "--group", "dev")
        return Kubectl(tenant.kubectl.program, path)

    return of


def soon(kubectl: Kubectl, *question: str, answer: str, seconds: float = 5.0) -> bool:
    """Whether `auth can-i` says so within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if kubectl("auth", "can-i", *question, check=False).stdout.strip() == answer:
            return True
    return False


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_people_may_do_what_their_role_says_where_it_says_until_it_is_revoked(
    tenant: TenantCluster, proxy: RunningProxy, person: Person
) -> None:
    ann = person("ann")
    tenant.kubectl("create", "namespace", "web")
    assert "cannot list resource" in said(ann("get", "pods", "-n", "web", check=False))
    proxy.cli("grant", tenant.id, "tenant-edit", "--user", "ann", "-n", "web")
    assert soon(ann, "create", "configmaps", "-n", "web", answer="yes")
    ann("create", "configmap", "hers", "-n", "web")
    assert "forbidden" in said(ann("create", "configmap", "hers", "-n", "default", check=False))
    assert "forbidden" in said(ann("get", "namespaces", check=False))
    proxy.cli("grant", tenant.id, "tenant-view", "--group", "dev")
    assert soon(ann, "list", "pods", "-A", answer="yes")
    proxy.cli("revoke", tenant.id, "tenant-edit", "--user", "ann")
    assert soon(ann, "create", "configmaps", "-n", "web", answer="no")
    proxy.cli("revoke", tenant.id, "tenant-view", "--group", "dev")
    assert soon(ann, "list", "pods", "-A", answer="no")
    again = proxy.cli("revoke", tenant.id, "tenant-view", "--group", "dev", check=False)
    assert (again.returncode, "nothing of that was granted" in said(again)) == (1, True)


def test_what_is_granted_stands_in_the_tenants_cluster_and_only_the_provider_changes_it(
    tenant: TenantCluster, proxy: RunningProxy, person: Person
) -> None:
    admin = tenant.kubectl
    proxy.cli("grant", tenant.id, "tenant-admin", "--user", "eve")
    proxy.cli("grant", tenant.id, "view", "--group", "dev", "-n", "default", "-n", "absent")
    eve = person("eve")
    assert soon(eve, "*", "*", answer="yes")
    found = admin.json("get", "clusterrolebinding", "vcproxy:grant:tenant-admin")
    assert [one["name"] for one in found["subjects"]] == ["eve"]
    listed = admin.json("get", "rolebindings", "-A")["items"]
    granted = [one["metadata"] for one in listed if one["metadata"]["name"].startswith("vcproxy:")]
    assert [(one["namespace"], one["name"]) for one in granted] == [("default", "vcproxy:grant:view")]
    for kubectl in (admin, eve):
        for change in (
            ("delete", "clusterrolebinding", "vcproxy:grant:tenant-admin"),
            ("label", "clusterrolebinding", "vcproxy:grant:tenant-admin", "mine=true"),
            ("create", "clusterrolebinding", "vcproxy:grant:more", "--clusterrole=admin", "--user=eve"),
        ):
            refused = kubectl(*change, check=False)
            assert (refused.returncode, "forbidden" in said(refused)) == (1, True)
    assert "names that begin with vcproxy:grant:" in said(refused)


@pytest.mark.parametrize(
    ("path", "where"), [("clusterrolebindings", ()), ("rolebindings", ("-n", "default"))], ids=lambda one: str(one)
)
def test_an_informer_of_bindings_begins_anew_when_a_grant_changes(
    tenant: TenantCluster, proxy: RunningProxy, path: str, where: tuple[str, ...]
) -> None:
    follower = Follower(Access(tenant.kubeconfig), f"/apis/rbac.authorization.k8s.io/v1/{path}").start()
    try:
        for lists, verb in ((2, "grant"), (3, "revoke")):
            proxy.cli(verb, tenant.id, "tenant-view", "--user", "zoe", *where)
            assert follower.has_listed(lists), follower.problems
        assert all(problem.startswith("410: ") for problem in follower.problems)
    finally:
        follower.stop()


def test_who_can_names_the_people_and_why(tenant: TenantCluster, proxy: RunningProxy) -> None:
    admin = tenant.kubectl
    admin("create", "namespace", "web")
    admin("create", "role", "reader", "--verb=get", "--resource=pods/log", "-n", "web")
    admin("create", "rolebinding", "readers", "--role=reader", "--serviceaccount=web:bot", "-n", "web")
    proxy.cli("grant", tenant.id, "tenant-view", "--user", "ann", "--group", "dev")

    def asked(*words: str) -> list[tuple[str, str, str]]:
        found = json.loads(proxy.cli("who-can", tenant.id, *words, "-o", "json").stdout)
        return [(one["kind"], one["name"], one["binding"]["name"]) for one in found]

    always = [("Group", "system:masters", "cluster-admin"), ("Group", "tenant:admin", "vcproxy:tenant-admin")]
    viewers = [("Group", "dev", "vcproxy:grant:tenant-view"), ("User", "ann", "vcproxy:grant:tenant-view")]
    bot = ("User", "system:serviceaccount:web:bot", "readers")
    assert asked("get", "pods", "--subresource", "log") == [viewers[0], *always, viewers[1]]
    assert asked("get", "pods/any", "--subresource", "log", "-n", "web") == [viewers[0], *always, viewers[1], bot]
    assert asked("delete", "pods", "-n", "web") == always
    assert ("Group", "system:authenticated", "system:discovery") in asked("get", "/openapi/v3")
    assert "ClusterRole tenant-view" in proxy.cli("who-can", tenant.id, "list", "deployments").stdout


def test_grants_are_checked_by_the_program_and_by_the_host(
    tenant: TenantCluster, proxy: RunningProxy, host_kubectl: Kubectl
) -> None:
    absent = proxy.cli("grant", tenant.id, "absent", "--user", "ann", check=False)
    assert (absent.returncode, "has no ClusterRole absent" in said(absent)) == (1, True)
    tenant.kubectl("create", "clusterrole", "own", "--verb=get", "--resource=pods")
    made = json.loads(proxy.cli("grant", tenant.id, "own", "--user", "ann", "-o", "json").stdout)
    assert made["grants"] == [{"role": "own", "users": ["ann"]}]
    assert "Granted:     own to ann" in proxy.cli("tenant", "describe", tenant.id).stdout
    for bad in (
        {"role": "view"},
        {"role": "a/b", "users": ["ann"]},
        {"role": "view", "users": []},
        {"role": "view", "users": ["ann"], "namespaces": []},
        {"role": "view", "users": ["ann"], "namespaces": ["No"]},
    ):
        patch = json.dumps({"spec": {"grants": [bad]}})
        refused = host_kubectl("patch", "tenant", tenant.id, "--type=merge", "-p", patch, check=False)
        assert "is invalid" in refused.stderr, bad
