"""Two copies behind one address, replicas or workers: clients cannot tell, nor when one of them ends."""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.client import Client
from e2e.clients.followers import Access, Follower
from e2e.cluster.copies import COPIES, Copies, Replicas, Workers, wait_known
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

# CPython's wrap_socket leaves a socket unclosed whose peer was gone before the handshake (SSLSocket._create)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket(?!.*raddr):ResourceWarning")

MAPS: Final = "/api/v1/namespaces/default/configmaps"
RBAC: Final = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
SETTINGS: Final = {"limits": {"drain": "2s"}}
REVOKED: Final = 5.0
"""Seconds in which every copy must refuse a revoked token."""
COUNTS: Final = 1.0
"""Seconds in which a change of rights must count at every copy."""


@pytest.fixture(scope="module", params=["replicas", "workers"])
def copies(request: pytest.FixtureRequest, host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[Copies]:
    """Two of them. (`proxy` installs first.)"""
    del proxy
    with contextlib.ExitStack() as stack:

        def started(name: str, workers: int) -> RunningProxy:
            running = RunningProxy(host, run_folder / name, SETTINGS, workers=workers)
            running.start()
            stack.callback(running.stop_serving)
            return running

        if request.param == "workers":
            yield Workers(started("both", COPIES))
        else:
            replicas = Replicas([started(f"replica-{number}", 1) for number in range(COPIES)])
            stack.callback(replicas.stop)
            yield replicas


@pytest.fixture
def tenant(copies: Copies, run_folder: Path) -> TenantCluster:
    """Its kubeconfig names the common address."""
    made = TenantCluster(copies.installed, random_id(), run_folder).create("--timeout", "60")
    address = f"https://127.0.0.1:{copies.port}"
    copies.installed.cli("kubeconfig", made.id, "--server", address, "--out", str(made.kubeconfig))
    wait_known(copies, made)
    return made


@pytest.fixture
def both(copies: Copies, tenant: TenantCluster) -> list[Client]:
    """A client of each."""
    return [copies.at(number, tenant) for number in range(COPIES)]


@pytest.fixture
def client(tenant: TenantCluster) -> Client:
    return Client(tenant.kubeconfig)


def created(client: Client, name: str) -> str:
    """Its version."""
    answer = client.call("POST", MAPS, {"metadata": {"name": name}})
    assert answer.code == 201, answer.body
    return str(answer.document["metadata"]["resourceVersion"])


def created_somehow(client: Client, name: str) -> None:
    """However often it has to be asked for."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if client.call("POST", MAPS, {"metadata": {"name": name}}).code in (201, 409):
                return
        time.sleep(0.1)
    raise TimeoutError(name)


def told(follower: Follower, wanted: int) -> None:
    end = time.monotonic() + 30
    while len(follower.events) < wanted:
        assert time.monotonic() < end, follower.events
        time.sleep(0.1)


def test_a_list_goes_on_at_the_other_copy(client: Client, both: list[Client]) -> None:
    for number in range(7):
        created(client, f"many-{number}")
    wanted = [one["metadata"]["name"] for one in client.call("GET", MAPS).document["items"]]
    found, token = [], ""
    for turn in itertools.count():
        answer = both[turn % COPIES].call("GET", f"{MAPS}?limit=1{f'&continue={token}' if token else ''}")
        assert answer.code == 200, answer.body
        found += [one["metadata"]["name"] for one in answer.document["items"]]
        if turn == 0:
            created(client, "zz-later")  # not part of the list that has begun
        token = answer.document["metadata"].get("continue", "")
        if not token:
            break
    assert found == wanted


def test_a_watch_resumes_at_the_other_copy(both: list[Client]) -> None:
    here, there = both
    created(here, "first")
    since = created(there, "second")
    created(here, "third")
    events = here.events(f"{MAPS}?watch=1&resourceVersion={since}&timeoutSeconds=30")
    third = next(events)["object"]["metadata"]
    events.close()
    created(here, "fourth")
    created(there, "fifth")
    events = there.events(f"{MAPS}?watch=1&resourceVersion={third['resourceVersion']}&timeoutSeconds=30")
    seen = [next(events)["object"]["metadata"]["name"] for _ in range(2)]
    events.close()
    assert (third["name"], seen) == ("third", ["fourth", "fifth"])


def test_copies_that_end_in_turn_cost_a_watcher_no_event(client: Client, tenant: TenantCluster, copies: Copies) -> None:
    follower, made = Follower(Access(tenant.kubeconfig), MAPS).start(), 0
    try:
        for turn in range(2 * COPIES):
            copies.end(turn % COPIES, kill=turn >= COPIES)
            for _ in range(10):
                created_somehow(client, f"turn-{made}")
                made += 1
            copies.bring_back(turn % COPIES)
            wait_known(copies, tenant)
        told(follower, made)
        time.sleep(0.5)
        items = [one["metadata"] for one in client.call("GET", MAPS).document["items"]]
        uids = {one["uid"] for one in items if one["name"].startswith("turn-")}
        seen = [one for one in follower.events if one.uid in uids]  # what a new namespace gets may come late
        assert [one.type for one in seen] == ["ADDED"] * made
        assert {one.uid for one in seen} == uids
        assert (follower.lists, follower.problems) == (1, [])
        assert follower.resumes >= 2
    finally:
        follower.stop()


def issued(copies: Copies, tenant: TenantCluster, both: list[Client], *options: str) -> dict[str, Any]:
    """A token that both clients use from now on."""
    found: dict[str, Any] = json.loads(copies.installed.cli("token", "issue", tenant.id, *options, "-o", "json").stdout)
    for one in both:
        one.token = found["token"]
    return found


def until(clients: list[Client], code: int, seconds: float) -> None:
    """All of them are answered a code at the same time, within some seconds."""
    end = time.monotonic() + seconds
    while (codes := [one.call("GET", MAPS).code for one in clients]) != [code] * len(clients):
        assert time.monotonic() < end, codes


def test_a_revoked_token_is_refused_at_every_copy(
    client: Client, tenant: TenantCluster, both: list[Client], copies: Copies
) -> None:
    token = issued(copies, tenant, both)
    until(both, 200, 10)
    watches = [one.events("/api/v1/configmaps?watch=1&timeoutSeconds=60", timeout=20) for one in both]
    assert [next(events)["type"] for events in watches] == ["ADDED"] * COPIES
    copies.installed.cli("token", "revoke", tenant.id, token["id"])
    end = time.monotonic() + REVOKED
    until(both, 401, REVOKED)
    for events in watches:
        list(events)  # raises where it does not end by itself, and cleanly
    assert time.monotonic() < end + REVOKED
    assert client.call("GET", MAPS).code == 200


RULES: Final = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
BOB: Final = {"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}


def test_a_change_of_rights_counts_for_its_writer_at_once_and_everywhere_within_a_second(
    tenant: TenantCluster, both: list[Client], copies: Copies
) -> None:
    """Given and taken, by a binding and by the role itself, each written at the first copy."""
    writer = copies.at(0, tenant)
    issued(copies, tenant, both, "--user", "bob", "--group", "readers")
    until(both, 403, 10)
    role = {"metadata": {"name": "reads"}, "rules": RULES}
    reference = {"kind": "Role", "name": "reads", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "reads"}, "roleRef": reference, "subjects": [BOB]}
    assert writer.call("POST", f"{RBAC}/roles", role).code == 201
    for method, path, body, code in (
        ("POST", "rolebindings", binding, 200),
        ("PUT", "roles/reads", {**role, "rules": []}, 403),
        ("PUT", "roles/reads", role, 200),
        ("DELETE", "rolebindings/reads", None, 403),
        ("POST", "rolebindings", binding, 200),
        ("DELETE", "roles/reads", None, 403),
    ):
        answer = writer.call(method, f"{RBAC}/{path}", body)
        assert answer.code in (200, 201), answer.body
        end = time.monotonic() + COUNTS
        assert both[0].call("GET", MAPS).code == code, (method, path)
        until(both[1:], code, end - time.monotonic())
