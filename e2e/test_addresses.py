"""One credential for two tenants: kubectl says which by the path, or by the host name, of its server."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.client import Client
from e2e.clients.crossing import Crossing
from e2e.clients.oidc import FOLDER, RunningProvider
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id
from e2e.scan import leaks
from e2e.test_oidc import issuer, signed, trust, until, write_authority

DOMAIN = "clusters.example.com"
PODS = "/api/v1/namespaces/default/pods"
CLOCK = re.compile(r"^E\d+ \S+ +\d+ ", re.MULTILINE)
"""When and in which process kubectl logged a line."""
MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: web}
data: {of: %s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: "registry.example/api:1"}]}
"""


@pytest.fixture(scope="module")
def named(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A replica whose tenants have host names too. (`proxy` installs first, and makes tenants.)"""
    settings = {"listen": {"domain": DOMAIN}, "controller": {"enabled": False}, "limits": {"drain": "2s"}}
    running = RunningProxy(host, run_folder / "named", settings)
    running.start()
    yield running
    assert running.stop_serving() == 0


@pytest.fixture(scope="module")
def crossing(named: RunningProxy) -> Iterator[Crossing]:
    running = Crossing("127.0.0.1", named.port)
    yield running
    running.stop()


class Person:
    """Somebody with one kubeconfig, one credential and two clusters. `received` is what kubectl showed."""

    def __init__(self, named: RunningProxy, crossing: Crossing, folder: Path, user: dict[str, Any]) -> None:
        self.proxy, self._crossing = named, crossing
        self.file = folder / "person.kubeconfig"
        self.received: list[bytes] = []
        account = {"apiVersion": "v1", "kind": "Config", "users": [{"name": "ann", "user": user}]}
        self.file.write_text(yaml.safe_dump(account))

    def kubectl(self, tenant: str, form: str = "path") -> Kubectl:
        """kubectl in one of the clusters, as `vcproxy kubeconfig --merge` has set it up."""
        words = ("--server", self.proxy.url, "--login", "ann", "--merge", "--out", str(self.file))
        self.proxy.cli("kubeconfig", tenant, *words, "--address", form)
        document = yaml.safe_load(self.file.read_text())
        if form == "name":
            of_tenant = next(one for one in document["clusters"] if one["name"] == f"vcproxy-{tenant}")
            of_tenant["cluster"]["proxy-url"] = self._crossing.url
        made = self.file.with_name(f"{tenant}-{form}.kubeconfig")
        made.write_text(yaml.safe_dump(document))
        return Kubectl(self.proxy.host.kubectl, made, self.received.append)


@pytest.fixture(scope="module")
def pair(named: RunningProxy, tenant_factory: Callable[[], TenantCluster]) -> list[TenantCluster]:
    """Two tenants with a ConfigMap that says whose it is; all members of `devs` may do everything."""
    made = [tenant_factory(), tenant_factory()]
    for one in made:
        one.kubectl("create", "namespace", "web")
        one.kubectl("create", "clusterrolebinding", "devs", "--clusterrole=cluster-admin", "--group=devs")
        named.wait_known(one.id, one.token)
    return made


@pytest.fixture(scope="module")
def ann(
    pair: list[TenantCluster],
    named: RunningProxy,
    crossing: Crossing,
    host_kubectl: Kubectl,
    tmp_path_factory: pytest.TempPathFactory,
) -> Person:
    """Has a certificate of a CA that both tenants trust."""
    folder = tmp_path_factory.mktemp("ann")
    path, authority = write_authority(folder, "ca")
    for one in pair:
        trust(host_kubectl, one.id, {"clientCertificate": {"caBundle": authority.certificate.decode()}})
    signed(path, folder, "/O=devs/CN=ann")
    files = {"client-certificate": str(folder / "user.crt"), "client-key": str(folder / "user.key")}
    person = Person(named, crossing, folder, files)
    for one in pair:
        kubectl = person.kubectl(one.id)
        until(0, lambda kubectl=kubectl: kubectl("get", "ns", "web", check=False).returncode, 20.0)  # type: ignore[misc]
    return person


@pytest.mark.parametrize("form", ["path", "name"])
def test_kubectl_works_in_both_clusters_of_one_credential(ann: Person, pair: list[TenantCluster], form: str) -> None:
    for one in pair:
        kubectl = ann.kubectl(one.id, form)
        assert kubectl.json("auth", "whoami")["status"]["userInfo"]["username"] == "ann"
        kubectl("apply", "-f", "-", input=MANIFEST % f"{form}{one.id}x")
        kubectl("rollout", "status", "deployment/api", "-n", "web", "--timeout=60s")
    for one in pair:
        kubectl = ann.kubectl(one.id, form)
        shown = kubectl("get", "configmap", "settings", "-n", "web", "-o", "jsonpath={.data.of}").stdout
        assert shown == f"{form}{one.id}x"
        assert "configmap/settings unchanged" in kubectl("apply", "-f", "-", input=MANIFEST % shown).stdout
        assert "api" in kubectl("get", "deployments", "-A").stdout


@pytest.mark.parametrize("form", ["path", "name"])
def test_discovery_schemas_and_what_kubectl_says_of_itself(ann: Person, pair: list[TenantCluster], form: str) -> None:
    kubectl = ann.kubectl(pair[0].id, form)
    assert "deployments" in kubectl("api-resources").stdout
    assert "apps/v1" in kubectl("api-versions").stdout
    assert "KIND:       Deployment" in kubectl("explain", "deployment.spec.replicas").stdout
    assert "FIELD: replicas <integer>" in kubectl("explain", "deployment.spec.replicas").stdout
    strict = kubectl(
        "create", "-f", "-", "--validate=strict", input='{"apiVersion":"v1","kind":"Pod","x":1}', check=False
    )
    assert 'unknown field "x"' in strict.stderr
    server = f"{ann.proxy.url}/t/{pair[0].id}" if form == "path" else f"https://{pair[0].id}.{DOMAIN}:{ann.proxy.port}"
    assert f"running at {server}\n" in kubectl("cluster-info").stdout
    assert kubectl("get", "--raw", "/version").returncode == 0
    assert "yes" in kubectl("auth", "can-i", "delete", "pods").stdout


@pytest.mark.parametrize("form", ["path", "name"])
def test_a_watch_shows_what_comes(ann: Person, pair: list[TenantCluster], form: str) -> None:
    kubectl = ann.kubectl(pair[1].id, form)
    kubectl("create", "configmap", f"watched-{form}", "-n", "web")
    arguments = ("get", "configmap", f"watched-{form}", "-n", "web", "--watch", "-o", "jsonpath={.data.n};")
    watch = kubectl.start(*arguments, "--request-timeout=20s")
    try:
        end, number = time.monotonic() + 15, 0
        seen = b""
        while b"3;" not in seen:
            assert time.monotonic() < end, seen
            number += 1
            patch = json.dumps({"data": {"n": str(number)}})
            kubectl("patch", "configmap", f"watched-{form}", "-n", "web", "--type=merge", "-p", patch)
            assert watch.stdout is not None
            seen += watch.stdout.read1() if number > 2 else b""  # type: ignore[attr-defined]
    finally:
        watch.terminate()
        watch.communicate(timeout=10)


def test_host_names_were_asked_for(ann: Person, pair: list[TenantCluster], crossing: Crossing) -> None:
    ann.kubectl(pair[0].id, "name")("get", "pods")
    assert f"{pair[0].id}.{DOMAIN}:{ann.proxy.port}" in crossing.asked


def test_clusters_that_do_not_exist_and_those_of_others_answer_alike(
    ann: Person, pair: list[TenantCluster], tenant_factory: Callable[[], TenantCluster], named: RunningProxy
) -> None:
    third, nobody = tenant_factory(), random_id()
    named.wait_known(third.id, third.token)
    for form in ("path", "name"):
        good = ann.kubectl(pair[0].id, form).kubeconfig.read_text()
        said = []
        for strange in (third.id, nobody):
            file = ann.file.with_name(f"strange-{strange}-{form}.kubeconfig")
            file.write_text(good.replace(pair[0].id, strange))
            done = Kubectl(named.host.kubectl, file)("get", "pods", check=False)
            said.append((done.returncode, done.stdout, CLOCK.sub("", done.stderr)))
        assert said[0] == said[1]
        assert said[0][0] == 1


def test_the_token_of_one_cluster_is_refused_in_the_other_and_in_none_alike(
    pair: list[TenantCluster], named: RunningProxy
) -> None:
    client = Client(pair[0].kubeconfig)
    client.port = named.port
    assert client.call("GET", f"/t/{pair[0].id}{PODS}").code == 200
    host = {"Host": f"{pair[0].id}.{DOMAIN}"}
    assert client.call("GET", PODS, headers=host).code == 200
    assert client.call("GET", f"/t/{pair[1].id}{PODS}", headers=host).code == 400  # two names at once
    strange = [client.call("GET", f"/t/{one}{PODS}") for one in (pair[1].id, random_id())]
    strange += [
        client.call("GET", PODS, headers={"Host": f"{one}.{DOMAIN}"}) for one in (pair[1].id, random_id(), "www.more")
    ]
    assert {answer.code for answer in strange} == {403}
    assert len({answer.body for answer in strange}) == 1


def test_no_answer_holds_the_path_of_the_address(ann: Person, pair: list[TenantCluster]) -> None:
    """Clients put the path before what the answers say: an answer that holds it already would lead astray."""
    one = pair[0]
    client = Client(one.kubeconfig)
    client.port = ann.proxy.port
    paths = ["/api", "/apis", "/api/v1", "/openapi/v3", "/openapi/v2", "/", "/.well-known/openid-configuration"]
    paths += [PODS, "/api/v1/namespaces/web/configmaps?limit=1", "/apis/apps/v1/deployments"]
    for path in paths:
        plain = client.call("GET", path)
        by_path = client.call("GET", f"/t/{one.id}{path}")
        assert (by_path.code, by_path.headers.get("Location")) == (plain.code, None)
        assert b'"selfLink":"' not in by_path.body
        assert f"/t/{one.id}".encode() not in by_path.body
    assert not leaks(ann.received, [f"{one.id}-" for one in pair])


@pytest.fixture
def provider() -> Iterator[RunningProvider]:
    running = RunningProvider(FOLDER)
    running.start()
    yield running
    running.stop()


@pytest.mark.oidc
def test_one_login_at_an_oidc_provider_serves_both(
    pair: list[TenantCluster],
    named: RunningProxy,
    crossing: Crossing,
    provider: RunningProvider,
    host_kubectl: Kubectl,
    tmp_path: Path,
) -> None:
    for one in pair:
        trust(host_kubectl, one.id, issuer(provider))
        one.kubectl("create", "clusterrolebinding", "oidc", "--clusterrole=view", "--group=oidc:devs")
    bob = Person(named, crossing, tmp_path, {"token": provider.id_token("bob")})
    for one, form in zip(pair, ("path", "name"), strict=True):
        kubectl = bob.kubectl(one.id, form)
        until(0, lambda kubectl=kubectl: kubectl("get", "pods", check=False).returncode)  # type: ignore[misc]
        assert kubectl.json("auth", "whoami")["status"]["userInfo"]["username"] == "oidc:bob"
        refused = kubectl("delete", "ns", "web", check=False)
        assert 'User "oidc:bob" cannot delete resource "namespaces"' in refused.stderr


def test_a_renewed_credential_works_by_the_path(pair: list[TenantCluster], named: RunningProxy, tmp_path: Path) -> None:
    target = tmp_path / "kubeconfig"
    options = ("--server", named.url, "--address", "path", "--exec", "--out", str(target))
    named.cli("kubeconfig", pair[0].id, *options)
    assert Kubectl(named.host.kubectl, target)("get", "pods").returncode == 0
