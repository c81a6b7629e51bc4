"""The first wall taken away: names go to the host as the attacker says them, and nothing of others comes through.

Every kind of the table, every verb and subresource, at the victim's namespace, at the host's own and at cluster scope.
What comes through must be on the list of docs/security.md: reads of Private and Shared kinds, and shared watches.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim
from e2e.attack.unrewritten import identity
from e2e.client import JSON
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster
from vcproxy.core.kinds import TABLE, Exposure, Kind
from vcproxy.core.plan import Identity
from vcproxy.core.request import parse

pytestmark = pytest.mark.own_host

METHODS: Final = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
WITH_NAME: Final = frozenset({"get", "update", "patch", "delete"})
MERGE: Final = "application/merge-patch+json"
Versions = Callable[[str], str]


@pytest.fixture(scope="module")
def unrewritten(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """vcproxy without its first wall; what controls tenants is the other one."""
    program = (sys.executable, "-m", "e2e.attack.unrewritten")
    running = RunningProxy(host, run_folder / "unrewritten", {"controller": {"enabled": False}}, program=program)
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture(scope="module")
def hostile(unrewritten: RunningProxy, attacker_cluster: TenantCluster, run_folder: Path) -> Attacker:
    """The attacker behind it. What it receives is not searched: that names are not rewritten is the point."""
    known = TenantCluster(unrewritten, attacker_cluster.id, run_folder)
    unrewritten.wait_known(attacker_cluster.id, attacker_cluster.token)
    return Attacker(known.write_kubeconfig(run_folder / "hostile.kubeconfig"), attacker_cluster.id)


@pytest.fixture(scope="module")
def versions(control_plane: ControlPlane) -> Versions:
    """By group: the version that the host prefers, as `/apis/apps/v1`."""
    found = {one["name"]: one["preferredVersion"]["groupVersion"] for one in control_plane.get("/apis")["groups"]}
    return lambda group: f"/apis/{found.get(group, f'{group}/v1')}" if group else "/api/v1"


def body(row: Kind, name: str, namespace: str, root: str) -> dict[str, Any]:
    version = root.removeprefix("/apis/").removeprefix("/api/")
    metadata = {"name": name, "labels": {"stolen": "yes"}} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": row.kind, "metadata": metadata}


def tries(row: Kind, root: str, namespace: str, name: str) -> Iterator[tuple[str, str]]:
    """(verb, target) of everything that can be asked of an object of a kind and of its collection."""
    collection = f"{root}/namespaces/{namespace}/{row.resource}" if namespace else f"{root}/{row.resource}"
    for verb in METHODS:
        target = f"{collection}/{name}" if verb in WITH_NAME else collection
        yield verb, target + ("?watch=1&timeoutSeconds=1" if verb == "watch" else "")
    for part, verbs in row.subresources.items():
        for verb in verbs:
            yield verb, f"{collection}/{name}/{part}"


def let_through(
    hostile: Attacker, row: Kind, root: str, namespace: str, name: str, needles: tuple[str, ...]
) -> list[str]:
    """What the host answered with success and should not have."""
    found = []
    for verb, target in tries(row, root, namespace, name):
        method = METHODS[verb]
        as_proxy = identity(parse(method, target.encode())) is Identity.READER
        if as_proxy:  # on the list of what only the first wall holds
            continue
        raw = body(row, name, namespace, root) if method in ("POST", "PUT", "PATCH") else None
        headers = {"Content-Type": MERGE if method == "PATCH" else JSON} if raw else {}
        answer = hostile.call(method, target, raw, headers=headers)
        told = any(needle.encode() in answer.body for needle in needles)
        if answer.code < 400 or told:
            found.append(f"{method} {target} -> {answer.code}")
    return found


@case(7, 9, 10, 17, 28)
@pytest.mark.parametrize("key", list(TABLE), ids=lambda key: ".".join(reversed(key)).rstrip("."))
def test_without_rewriting_nothing_of_the_victim_or_the_host_comes_through(
    hostile: Attacker, victim: Victim, versions: Versions, key: tuple[str, str]
) -> None:
    row = TABLE[key]
    root = versions(row.group)
    through = []
    if row.namespaced:
        for namespace, name in ((f"{victim.id}-{VAULT}", "plans"), ("kube-system", "x"), ("vcproxy-system", "x")):
            through += let_through(hostile, row, root, namespace, name, (victim.needle,))
        through += _whole(hostile, row, root)
    elif row.exposure is not Exposure.VIRTUAL:
        for name in (f"{victim.id}-{VAULT}", "default", "vcproxy:tenant", f"{victim.id}x"):
            through += let_through(hostile, row, root, "", name, (victim.needle,))
    assert through == []
    assert victim.state() == victim.filled


def _whole(hostile: Attacker, row: Kind, root: str) -> list[str]:
    """Lists and deletions over all namespaces."""
    found = []
    for method in ("GET", "DELETE"):
        answer = hostile.call(method, f"{root}/{row.resource}")
        if answer.code < 400:
            found.append(f"{method} {root}/{row.resource} -> {answer.code}")
    return found


@case(17, 28)
def test_without_rewriting_a_write_with_anothers_name_or_label_is_refused(hostile: Attacker, victim: Victim) -> None:
    spaces = "/api/v1/namespaces"
    label = {"vcproxy.io/tenant": hostile.tenant}
    for metadata in (
        {"name": f"{victim.id}-new", "labels": label},
        {"generateName": f"{victim.id}-", "labels": label},
        {"generateName": f"{hostile.tenant}", "labels": label},
        {"name": "plain", "labels": label},
        {"name": f"{hostile.tenant}-x", "labels": {"vcproxy.io/tenant": victim.id}},
        {"name": f"{hostile.tenant}-x"},
        {"name": f"{hostile.tenant}-x", "labels": {**label, "vcproxy.io/profile": "soft"}},
        {"name": f"{hostile.tenant}-x", "labels": {**label, "pod-security.kubernetes.io/enforce": "privileged"}},
    ):
        answer = hostile.call("POST", spaces, {"metadata": metadata})
        assert answer.code == 403, (metadata, answer.body)
        assert "vcproxy-tenants" in answer.document["message"]


@case(29, 38)
def test_without_rewriting_no_rights_are_made_and_no_reviews_answered(hostile: Attacker, victim: Victim) -> None:
    own = f"/namespaces/{hostile.tenant}-default"
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    subject = {"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
    aggregated = {"metadata": {"name": "a", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}}
    user = f"vcproxy:tenant:{victim.id}"
    review = {"spec": {"user": user, "resourceAttributes": {"verb": "get", "resource": "secrets"}}}
    for target, wanted in (
        (f"{rbac}{own}/roles", role),
        (f"{rbac}{own}/rolebindings", binding),
        (f"{rbac}/clusterroles", role),
        (f"{rbac}/clusterroles", {**role, **aggregated}),
        (f"{rbac}/clusterrolebindings", binding),
        ("/apis/authorization.k8s.io/v1/subjectaccessreviews", review),
        (f"/apis/authorization.k8s.io/v1{own}/localsubjectaccessreviews", review),
        ("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": victim.client.token}}),
    ):
        assert hostile.call("POST", target, wanted).code == 403, target


@case(28)
def test_without_rewriting_the_tenants_own_things_are_still_its_own(hostile: Attacker) -> None:
    """So that the refusals above are refusals of what is foreign."""
    maps = f"/api/v1/namespaces/{hostile.tenant}-default/configmaps"
    assert hostile.call("POST", maps, {"metadata": {"name": "own-of-mine"}}).code == 201
    assert hostile.call("GET", f"{maps}/own-of-mine").code == 200
    assert hostile.call("DELETE", f"{maps}/own-of-mine").code == 200
