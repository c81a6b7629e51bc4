"""People whose tokens a webhook knows: kubectl with such a token, in clusters that the address names."""

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.clients.reviews import ReviewServer
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.conftest import TenantFactory

PODS: Final = "/api/v1/namespaces/default/pods"
WHOAMI: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
KEPT: Final = 2.0
REFUSED: Final = 1.0
WITHIN: Final = KEPT + 5.0
"""Seconds in which a no ends what runs: a yes is kept for a while, and watches are asked about every 2 seconds."""


@pytest.fixture(scope="module")
def webhook() -> Iterator[ReviewServer]:
    running = ReviewServer()
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def asking(host: Host, run_folder: Path, proxy: RunningProxy, webhook: ReviewServer) -> Iterator[RunningProxy]:
    """A replica that asks the webhook. (`proxy` installs first, and makes tenants.)"""
    folder = run_folder / "asking"
    folder.mkdir()
    (folder / "webhook.crt").write_text(webhook.ca)
    authentication = {
        "webhook": webhook.url,
        "webhookCA": str(folder / "webhook.crt"),
        "webhookDeadline": "2s",
        "webhookKept": f"{KEPT}s",
        "webhookRefused": f"{REFUSED}s",
    }
    settings = {"authentication": authentication, "controller": {"enabled": False}, "limits": {"drain": "2s"}}
    running = RunningProxy(host, folder, settings)
    running.start()
    yield running
    assert running.stop_serving() == 0


@pytest.fixture(scope="module")
def tenants(tenant_factory: TenantFactory, asking: RunningProxy) -> list[TenantCluster]:
    """Two; in the first, members of the group `devs` may look at everything."""
    made = [tenant_factory(), tenant_factory()]
    made[0].kubectl("create", "clusterrolebinding", "devs", "--clusterrole=view", "--group=devs")
    for one in made:
        asking.wait_known(one.id, one.token)
    return made


class Person:
    """Somebody whom the webhook knows, at the replica that asks it."""

    def __init__(self, webhook: ReviewServer, asking: RunningProxy, tenant: TenantCluster, *groups: str) -> None:
        self.token = secrets.token_urlsafe(24)
        self._webhook = webhook
        self._groups = groups
        self.known()
        document = yaml.safe_load(tenant.kubeconfig.read_text())
        document["clusters"][0]["cluster"]["server"] = f"{asking.url}/t/{tenant.id}"
        document["users"][0]["user"] = {"token": self.token}
        path = asking.folder / f"{self.token}.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        self.client = Client(path)
        self.kubectl = Kubectl(asking.host.kubectl, path)
        self.prefix = f"/t/{tenant.id}"

    def known(self) -> None:
        self._webhook.people[self.token] = {"username": "ann", "uid": "7", "groups": list(self._groups)}

    def unknown(self) -> None:
        del self._webhook.people[self.token]

    def code(self, prefix: str | None = None) -> int:
        return self.client.call("GET", f"{self.prefix if prefix is None else prefix}{PODS}").code

    def until(self, code: int, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (found := self.code()) != code:
            assert time.monotonic() < end, f"{found} instead of {code} after {seconds} s"
            time.sleep(0.1)

    def follow(self) -> threading.Event:
        """Watch pods; the event is set when the watch has ended."""
        begun, ended = threading.Event(), threading.Event()

        def follow() -> None:
            with contextlib.suppress(TimeoutError, OSError):
                for _ in self.client.events(
                    f"{self.prefix}{PODS}?watch=true&sendInitialEvents=true"
                    "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
                    timeout=60,
                ):
                    begun.set()
            ended.set()

        threading.Thread(target=follow, daemon=True).start()
        assert begun.wait(10)
        return ended


@pytest.fixture
def ann(webhook: ReviewServer, asking: RunningProxy, tenants: list[TenantCluster]) -> Person:
    return Person(webhook, asking, tenants[0], "devs")


def test_kubectl_works_with_a_token_of_the_webhook_and_has_the_rights_of_the_groups(
    ann: Person, webhook: ReviewServer, tenants: list[TenantCluster], asking: RunningProxy
) -> None:
    assert json.loads(ann.kubectl("get", "pods", "-o", "json").stdout)["items"] == []
    user: dict[str, Any] = json.loads(ann.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    assert user == {"username": "ann", "uid": "7", "groups": ["devs", "system:authenticated"]}
    refused = ann.kubectl("create", "configmap", "x", check=False)
    assert 'User "ann" cannot create resource "configmaps"' in refused.stderr
    stranger = Person(webhook, asking, tenants[0], "ops")
    assert (ann.code(), stranger.code()) == (200, 403)
    asked = [review for review in webhook.asked if review["spec"]["token"] == ann.token]
    head = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    assert asked[0] == {**head, "spec": {"token": ann.token}}


def test_the_address_names_the_tenant_and_each_has_rights_of_its_own(ann: Person, tenants: list[TenantCluster]) -> None:
    codes = [ann.code(prefix) for prefix in (f"/t/{tenants[0].id}", f"/t/{tenants[1].id}", "/t/nobody1", "")]
    assert codes == [200, 403, 401, 401]


def test_one_answer_is_kept_for_many_requests(ann: Person, webhook: ReviewServer) -> None:
    begin = time.monotonic()
    assert {ann.code() for _ in range(20)} == {200}
    assert webhook.tokens().count(ann.token) <= 1 + (time.monotonic() - begin) // KEPT


def test_a_watch_ends_after_the_webhook_says_no(ann: Person) -> None:
    ended = ann.follow()
    time.sleep(KEPT + 3)  # it is asked about more than once
    assert not ended.is_set()
    ann.unknown()
    assert ended.wait(WITHIN), "the watch goes on"
    ann.until(401, REFUSED + 1)
    ann.known()
    ann.until(200, REFUSED + 1)


def test_while_the_webhook_is_down_nobody_new_comes_in_and_nothing_ends(
    ann: Person, webhook: ReviewServer, asking: RunningProxy, tenants: list[TenantCluster]
) -> None:
    ended = ann.follow()
    newcomer = Person(webhook, asking, tenants[0], "devs")
    webhook.stop()
    try:
        assert newcomer.code() == 401
        ann.until(401, KEPT + 1)  # what was known is known no longer than it is kept
        time.sleep(KEPT + 3)
        assert not ended.is_set(), "who cannot be asked has ended a watch"
        own = tenants[0].kubectl.json("get", "configmaps")
        assert own["items"], "vcproxy's own tokens need no webhook"
    finally:
        webhook.start()
    newcomer.until(200, 2)
    ann.until(200, 2)
    assert not ended.is_set()


def test_a_no_and_a_token_of_the_tenant_are_nothing_to_each_other(
    ann: Person, webhook: ReviewServer, asking: RunningProxy, tenants: list[TenantCluster]
) -> None:
    client = Client(tenants[0].kubeconfig)
    client.host, client.port = ann.client.host, ann.client.port
    assert client.call("GET", PODS).code == 200
    assert client.token not in webhook.tokens()
    assert client.call("GET", f"/t/{tenants[0].id}{PODS}", token="made-up").code == 401
