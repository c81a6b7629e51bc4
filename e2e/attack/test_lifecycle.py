"""Case 36: what a deleted tenant wrote to the last does not live on under its id."""

import threading

import pytest

from e2e.attack.cases import case
from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.conftest import TenantFactory

pytestmark = pytest.mark.own_host

SPACES = "/api/v1/namespaces"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


def writer(client: Client, stop: threading.Event, codes: list[int]) -> None:
    """Makes namespaces and things in them for as long as it is let."""
    count = 0
    while not stop.is_set():
        count += 1
        try:
            codes.append(client.call("POST", SPACES, {"metadata": {"name": f"late-{count}"}}).code)
            client.call("POST", f"{SPACES}/late-{count}/configmaps", {"metadata": {"name": "ghost"}})
            client.call("POST", f"{SPACES}/default/configmaps", {"metadata": {"name": f"ghost-{count}"}})
        except OSError:
            return


@case(16, 36)
def test_who_writes_while_it_is_deleted_leaves_nothing_to_the_next_owner_of_the_id(
    tenant_factory: TenantFactory, proxy: RunningProxy, host_kubectl: Kubectl
) -> None:
    old = tenant_factory()
    client, stop, codes = Client(old.kubeconfig), threading.Event(), list[int]()
    writing = threading.Thread(target=writer, args=(client, stop, codes))
    writing.start()
    try:
        old.delete()
    finally:
        stop.set()
        writing.join(30)
    assert codes[-1] in (401, 403)
    left = host_kubectl.json("get", "namespaces")["items"]
    assert [one["metadata"]["name"] for one in left if one["metadata"]["name"].startswith(f"{old.id}-")] == []
    again = TenantCluster(proxy, old.id, old.kubeconfig.parent).create()
    fresh = Client(again.kubeconfig)
    names = [one["metadata"]["name"] for one in fresh.call("GET", "/api/v1/configmaps").document["items"]]
    assert set(names) <= {"kube-root-ca.crt"}
    assert client.call("GET", SPACES).code in (401, 403)
    asked = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"}
    for token, counts in ((client.token, False), (fresh.token, True)):
        review = fresh.call("POST", TOKEN_REVIEWS, {**asked, "spec": {"token": token}}).document["status"]
        assert review.get("authenticated", False) is counts
    again.delete()
