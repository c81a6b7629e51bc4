"""People who log in at a real OIDC provider, and people with certificates, in clusters of their own."""

import base64
import datetime
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.client import Client
from e2e.clients.oidc import FOLDER, RunningProvider
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from vcproxy.access import certificates
from vcproxy.access.certificates import Pair

PODS = "/api/v1/namespaces/default/pods"
WITHIN = 5.0


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    running = RunningProvider(FOLDER)
    running.start()
    yield running
    running.stop()


def trust(host_kubectl: Kubectl, tenant: str, authentication: dict[str, Any] | None) -> None:
    patch = json.dumps({"spec": {"authentication": authentication}})
    host_kubectl("patch", "tenant", tenant, "--type=merge", "-p", patch)


def issuer(provider: RunningProvider) -> dict[str, Any]:
    mappings = {
        "username": {"claim": "sub", "prefix": "oidc:"},
        "groups": {"expression": "claims.groups.map(g, 'oidc:' + g)"},
    }
    source = {"url": provider.url, "audiences": ["cluster"], "certificateAuthority": provider.ca}
    rules = [{"expression": "claims.sub != 'mallory'", "message": "not her"}]
    return {"jwt": [{"issuer": source, "claimMappings": mappings, "claimValidationRules": rules}]}


def until(code: int, ask: Callable[[], int], seconds: float = WITHIN) -> None:
    end = time.monotonic() + seconds
    while (found := ask()) != code:
        assert time.monotonic() < end, f"{found} instead of {code} after {seconds} s"
        time.sleep(0.1)


@pytest.fixture
def known(tenant: TenantCluster, provider: RunningProvider, host_kubectl: Kubectl) -> Iterator[TenantCluster]:
    """A tenant that trusts the provider; members of oidc:devs may read."""
    trust(host_kubectl, tenant.id, issuer(provider))
    tenant.kubectl("create", "clusterrolebinding", "devs", "--clusterrole=view", "--group=oidc:devs")
    client, token = Client(tenant.kubeconfig), provider.id_token("ann")
    until(200, lambda: client.call("GET", PODS, token=token).code)
    yield tenant
    trust(host_kubectl, tenant.id, None)  # an issuer of two tenants would need the path


@pytest.mark.oidc
def test_who_logs_in_has_the_rights_of_the_groups(known: TenantCluster, provider: RunningProvider) -> None:
    client, token = Client(known.kubeconfig), provider.id_token("ann")
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    answer = client.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, token=token)
    assert answer.document["status"]["userInfo"] == {
        "username": "oidc:ann",
        "groups": ["oidc:devs", "oidc:ops", "system:authenticated"],
    }
    refused = client.call("POST", PODS, {"metadata": {"name": "a"}}, token=token)
    assert (refused.code, 'User "oidc:ann" cannot create' in refused.document["message"]) == (403, True)


@pytest.mark.oidc
def test_tokens_for_others_changed_ones_and_refused_people_are_401(
    known: TenantCluster, provider: RunningProvider
) -> None:
    client = Client(known.kubeconfig)
    good = provider.id_token("ann")
    header, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    other = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "root"}).encode()).rstrip(b"=").decode()
    bad = [
        provider.id_token("ann", "other"),
        provider.id_token("mallory"),
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.",
    ]
    assert [client.call("GET", PODS, token=token).code for token in bad] == [401] * 4


@pytest.mark.oidc
def test_one_login_serves_two_tenants_by_the_path_and_no_third(
    known: TenantCluster, provider: RunningProvider, host_kubectl: Kubectl, tenant_factory: Callable[[], TenantCluster]
) -> None:
    second, third = tenant_factory(), tenant_factory()
    trust(host_kubectl, second.id, issuer(provider))
    client, token = Client(known.kubeconfig), provider.id_token("ann")
    until(403, lambda: client.call("GET", f"/t/{second.id}{PODS}", token=token).code)  # known there, without rights
    assert client.call("GET", f"/t/{known.id}{PODS}", token=token).code == 200
    strange = [client.call("GET", f"/t/{name}{PODS}", token=token) for name in (third.id, "nobody")]
    assert [answer.code for answer in strange] == [401, 401]
    until(401, lambda: client.call("GET", PODS, token=token).code)  # two tenants: it must be said which
    foreign = [client.call("GET", f"/t/{name}{PODS}") for name in (third.id, "nobody")]  # a vcproxy token of `known`
    assert [answer.code for answer in foreign] == [403, 403]
    assert foreign[0].document == foreign[1].document
    trust(host_kubectl, second.id, None)


@pytest.mark.oidc
def test_an_issuer_taken_out_ends_requests_and_watches(
    known: TenantCluster, provider: RunningProvider, host_kubectl: Kubectl
) -> None:
    client = Client(known.kubeconfig)
    client.token = provider.id_token("ann")
    watch = client.events(
        f"{PODS}?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", timeout=20
    )
    assert next(watch)["type"] == "BOOKMARK"
    trust(host_kubectl, known.id, None)
    until(401, lambda: client.call("GET", PODS).code)
    at = time.monotonic()
    list(watch)
    assert time.monotonic() - at < WITHIN + 1


@pytest.mark.oidc
def test_a_provider_that_changes_its_key_is_followed(known: TenantCluster, provider: RunningProvider) -> None:
    client, old = Client(known.kubeconfig), provider.id_token("ann")
    provider.stop()
    provider.start()
    new = provider.id_token("ann")
    until(200, lambda: client.call("GET", PODS, token=new).code, 25.0)
    assert client.call("GET", PODS, token=old + "x").code == 401


def signed(authority: Path, folder: Path, subject: str) -> None:
    """Key and certificate of a user, made by openssl as people make them."""
    key, request, made = (str(folder / name) for name in ("user.key", "user.csr", "user.crt"))
    openssl = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*openssl, "-keyout", key, "-out", request, "-subj", subject], check=True, capture_output=True)
    extensions = folder / "extensions"
    extensions.write_text("extendedKeyUsage=clientAuth\n")
    command = ["openssl", "x509", "-req", "-in", request, "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key"]
    command += ["-days", "1", "-out", made, "-extfile", str(extensions)]
    subprocess.run(command, check=True, capture_output=True)


def write_authority(folder: Path, name: str) -> tuple[Path, Pair]:
    made = certificates.make_ca(lambda: datetime.datetime.now(datetime.UTC))
    (folder / f"{name}.crt").write_bytes(made.certificate)
    (folder / f"{name}.key").write_bytes(made.key)
    return folder / name, made


def test_a_certificate_of_the_tenants_ca_is_a_user_until_the_ca_is_taken_out(
    tenant: TenantCluster, proxy: RunningProxy, host_kubectl: Kubectl, tmp_path: Path
) -> None:
    path, authority = write_authority(tmp_path, "ca")
    trust(host_kubectl, tenant.id, {"clientCertificate": {"caBundle": authority.certificate.decode()}})
    signed(path, tmp_path, "/O=tenant:admin/CN=ann")
    document = yaml.safe_load(tenant.kubeconfig.read_text())
    files = {"client-certificate": str(tmp_path / "user.crt"), "client-key": str(tmp_path / "user.key")}
    document["users"][0]["user"] = files
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    kubectl = Kubectl(proxy.host.kubectl, tmp_path / "kubeconfig")

    def answers() -> int:
        return kubectl("get", "pods", check=False).returncode

    until(0, answers, 10.0)
    assert kubectl.json("auth", "whoami", "-o", "json")["status"]["userInfo"]["username"] == "ann"
    trust(host_kubectl, tenant.id, None)
    until(1, answers, WITHIN)


def test_an_exec_plugin_renews_its_own_token_until_that_is_revoked(
    tenant: TenantCluster, proxy: RunningProxy, tmp_path: Path
) -> None:
    target = tenant.write_kubeconfig(tmp_path / "kubeconfig", "--exec", "--user", "ann")
    kubectl = Kubectl(proxy.host.kubectl, target)
    assert kubectl.json("auth", "whoami", "-o", "json")["status"]["userInfo"]["username"] == "ann"
    assert "token" not in yaml.safe_load(target.read_text())["users"][0]["user"]
    proxy.cli("keys", "rotate")
    assert kubectl("get", "pods", check=False).returncode == 0
    fresh = tenant.write_kubeconfig(tmp_path / "fresh")
    until(0, lambda: Kubectl(proxy.host.kubectl, fresh)("get", "pods", check=False).returncode)
    proxy.cli("token", "revoke", tenant.id, "--user", "ann")
    until(1, lambda: kubectl("get", "pods", check=False).returncode)
    proxy.cli("token", "revoke", tenant.id, "--all")
    until(1, lambda: Kubectl(proxy.host.kubectl, fresh)("get", "pods", check=False).returncode)
