"""Case 36: what a deleted tenant wrote to the last does not live on under its id."""

import http.client
import json
import threading
from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import is_status
from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.conftest import TenantFactory

pytestmark = pytest.mark.own_host

SPACES = "/api/v1/namespaces"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
OLD = [
    ("GET", SPACES),
    ("GET", "/version"),
    ("GET", "/api"),
    ("GET", "/openapi/v3"),
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/configmaps?watch=1&timeoutSeconds=1"),
    ("GET", f"{SPACES}/default/configmaps/kube-root-ca.crt"),
    ("GET", f"{SPACES}/default/pods/x/exec?command=id"),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
    ("POST", f"{SPACES}/default/configmaps"),
    ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    ("POST", f"{SPACES}/default/serviceaccounts/default/token"),
]
"""What the token of the tenant that is gone is tried on, once its id is another's."""


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
    for method, path in OLD:
        is_status(client.call(method, path, {} if method == "POST" else None), 401, 403)
        is_status(client.call(method, f"/t/{old.id}{path}", {} if method == "POST" else None), 401, 403)
    asked = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"}
    for token, counts in ((client.token, False), (fresh.token, True)):
        review = fresh.call("POST", TOKEN_REVIEWS, {**asked, "spec": {"token": token}}).document["status"]
        assert review.get("authenticated", False) is counts
    again.delete()


def first_word(client: Client, target: str) -> dict[str, Any]:
    """The first thing that a watch hears: an event, or the refusal; nothing where it hears nothing for a second."""
    connection = client.connect(1.0)
    try:
        connection.request("GET", target, headers={"Authorization": f"Bearer {client.token}"})
        line = connection.getresponse().readline()
    except TimeoutError:
        return {}
    finally:
        connection.close()
    client.received.append(line)
    return dict(json.loads(line or b"{}"))


def kept_open(client: Client, target: str, closing: list[http.client.HTTPConnection]) -> None:
    """A watch that keeps the proxy's own memory of a kind alive."""
    connection = client.connect()
    connection.request("GET", target, headers={"Authorization": f"Bearer {client.token}"})
    assert connection.getresponse().status == 200
    closing.append(connection)


@case(36)
def test_the_time_of_the_former_owner_is_gone_for_the_next_owner_of_the_id(
    tenant_factory: TenantFactory, proxy: RunningProxy
) -> None:
    old, other = tenant_factory(), Client(tenant_factory().kubeconfig)
    client, closing = Client(old.kubeconfig), list[http.client.HTTPConnection]()
    kinds = {"configmaps": {"data": {"word": "needle-of-old"}}, "secrets": {"stringData": {"word": "needle-of-old"}}}
    before = other.call("GET", "/api/v1/configmaps").document["metadata"]["resourceVersion"]
    kept_open(other, f"/api/v1/configmaps?watch=1&resourceVersion={before}", closing)
    tokens, during = [], ""
    for kind, body in kinds.items():
        for name in ("ghost-a", "ghost-b"):
            made = client.call("POST", f"{SPACES}/default/{kind}", {"metadata": {"name": name}, **body})
            assert made.code == 201
            during = made.document["metadata"]["resourceVersion"]
        listed = client.call("GET", f"/api/v1/{kind}?limit=1")
        tokens.append((kind, listed.document["metadata"]["continue"]))
    old.delete()
    again = TenantCluster(proxy, old.id, old.kubeconfig.parent).create()
    fresh = Client(again.kubeconfig)
    for kind in kinds:
        for place in (f"/api/v1/{kind}", f"{SPACES}/default/{kind}"):
            for more in ("", "&labelSelector=a%21%3Db", "&allowWatchBookmarks=true"):
                word = first_word(fresh, f"{place}?watch=1&resourceVersion={before}{more}")
                assert (word.get("object") or word).get("code") == 410, (place, more, word)
            for exactly in ("resourceVersionMatch=Exact", "limit=5"):
                answer = fresh.call("GET", f"{place}?resourceVersion={during}&{exactly}")
                assert (answer.code, answer.document["reason"]) == (410, "Expired"), (place, exactly)
            assert fresh.call("GET", f"{place}?resourceVersion=0").code == 200
    for kind, token in tokens:
        assert fresh.call("GET", f"/api/v1/{kind}?limit=1&continue={token}").code == 400
    assert not [one for one in fresh.received if b"ghost-" in one or b"needle-of-old" in one]
    newest = fresh.call("GET", "/api/v1/configmaps").document["metadata"]["resourceVersion"]
    assert fresh.call("POST", f"{SPACES}/default/configmaps", {"metadata": {"name": "mine"}}).code == 201
    assert (
        first_word(fresh, f"/api/v1/configmaps?watch=1&resourceVersion={newest}")["object"]["metadata"]["name"]
        == "mine"
    )
    for connection in closing:
        connection.close()
