"""What holds when the host's own store goes away, or forgets."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.client import Client
from e2e.clients.followers import Access, Follower
from e2e.cluster.host import BuiltHost
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

ALL = "/api/v1/configmaps"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def broken(run_folder: Path) -> Iterator[BuiltHost]:
    """A host of its own: it is broken here."""
    host = BuiltHost(run_folder / "broken-host")
    host.start()
    try:
        yield host
    finally:
        host.stop()


@pytest.fixture(scope="module")
def before(broken: BuiltHost, run_folder: Path) -> Iterator[RunningProxy]:
    running = RunningProxy(broken, run_folder / "broken-proxy", {"limits": {"drain": "2s"}})
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture
def tenant(before: RunningProxy, run_folder: Path) -> TenantCluster:
    return TenantCluster(before, random_id(), run_folder).create("--timeout", "60")


def named(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def created(client: Client, name: str, seconds: float = 60.0) -> None:
    """Created once, however often it had to be asked for."""
    end = time.monotonic() + seconds
    while (code := client.call("POST", MAPS, named(name)).code) not in (201, 409):
        assert code in (429, 500, 502, 503, 504), code
        assert time.monotonic() < end
        time.sleep(0.3)


def told(follower: Follower, wanted: int, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while len(follower.events) < wanted:
        assert time.monotonic() < end, follower.events
        time.sleep(0.1)


def test_a_store_that_went_and_came_back_costs_no_event(
    broken: BuiltHost, before: RunningProxy, tenant: TenantCluster
) -> None:
    client, follower = Client(tenant.kubeconfig), Follower(Access(tenant.kubeconfig), MAPS)
    follower.start()
    try:
        created(client, "before")
        told(follower, 1)
        broken.control_plane.restart_etcd(2.0)
        created(client, "after")
        told(follower, 2)
        time.sleep(1)
        assert [one.type for one in follower.events] == ["ADDED", "ADDED"]
        assert (follower.lists, follower.problems) == (1, [])
    finally:
        follower.stop()
    before.check()


def first_event(client: Client, version: str) -> dict[str, Any]:
    """The first thing that a watch from a version hears: an event, or the refusal."""
    connection = client.connect(20.0)
    try:
        headers = {"Authorization": f"Bearer {client.token}"}
        connection.request("GET", f"{ALL}?watch=1&resourceVersion={version}", headers=headers)
        with connection.getresponse() as response:
            line = response.readline()
        return dict(json.loads(line))
    except http.client.HTTPException as error:
        raise AssertionError(error) from error
    finally:
        connection.close()


def test_what_the_host_has_forgotten_is_a_410_for_who_is_too_old_and_for_nobody_else(
    broken: BuiltHost, before: RunningProxy, tenant: TenantCluster
) -> None:
    client = Client(tenant.kubeconfig)
    old = client.call("GET", ALL).document["metadata"]["resourceVersion"]
    for number in range(20):
        created(client, f"many-{number}")
    broken.control_plane.compact()
    broken.control_plane.kill_api_server()  # its memory of events goes with it, and the proxy's with the proxy
    before.stop_serving()
    broken.control_plane.start_api_server()
    before.start_serving()
    before.wait_known(tenant.id, client.token)
    young = client.call("GET", ALL).document["metadata"]["resourceVersion"]
    refused = first_event(client, old)
    assert (refused.get("object") or refused)["code"] == 410
    created(client, "young")
    event = first_event(client, young)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "young")


def test_a_list_in_chunks_that_the_host_has_forgotten_can_be_gone_on_with(
    broken: BuiltHost, before: RunningProxy, tenant: TenantCluster
) -> None:
    client = Client(tenant.kubeconfig)
    for number in range(5):
        created(client, f"zz-{number}")  # behind what the proxy hides: the namespace ends with them
    whole = [placed(item) for item in client.call("GET", ALL).document["items"]]
    there = sum(place == "default" for place, _ in whole)
    within, between = (client.call("GET", f"{ALL}?limit={limit}").document for limit in (3, there))
    created(client, "zzz-later")  # what is compacted away must be older than what is newest
    broken.control_plane.compact()
    broken.control_plane.kill_api_server()  # its memory of lists goes with it
    broken.control_plane.start_api_server()
    before.wait_known(tenant.id, client.token)
    for chunk in (within, between):
        more = chunk["metadata"]["continue"]
        refused = client.call("GET", f"{ALL}?limit=3&continue={more}")
        assert (refused.code, refused.document["reason"]) == (410, "Expired")
        assert tenant.id not in refused.body.decode()
        got, more = list(map(placed, chunk["items"])), refused.document["metadata"]["continue"]
        while more:
            answer = client.call("GET", f"{ALL}?limit=3&continue={more}")
            assert answer.code == 200, answer.body
            got += map(placed, answer.document["items"])
            more = answer.document["metadata"].get("continue")
        later = {("default", "zzz-later")} if chunk is within else set()
        assert sorted(got) == sorted({*whole, *later})


def placed(item: dict[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
