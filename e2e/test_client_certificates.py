"""People with client certificates, of the CA that vcproxy keeps for a tenant and of CAs that the tenant names, with and
without certificates in between: known until they are revoked, or end, or their tenant does."""

import base64
import datetime
import json
import os
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from vcproxy.access import certificates
from vcproxy.access.certificates import Pair
from vcproxy.access.issuing import sign
from vcproxy.core.names import TenantId
from vcproxy.tenants import authorities
from vcproxy.tenants.authorities import Authority, Kept, Made

PODS: Final = "/api/v1/namespaces/default/pods"
WATCH: Final = f"{PODS}?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
WITHIN: Final = 5.0
PLACE: Final = ("-n", "vcproxy-system")
ISSUES: Final = {"clientCertificate": {"issue": True}}
MAPPINGS: Final = {"username": {"claim": "sub", "prefix": "oidc:"}}


def trust(host_kubectl: Kubectl, tenant: str, authentication: Any, check: bool = True) -> str:
    """Replace spec.authentication; what the host says."""
    patch = [{"op": "add", "path": "/spec/authentication", "value": authentication}]
    done = host_kubectl("patch", "tenant", tenant, "--type=json", "-p", json.dumps(patch), check=check)
    return done.stdout + done.stderr


def until(wanted: Any, ask: Callable[[], Any], seconds: float = WITHIN) -> None:
    end = time.monotonic() + seconds
    while (found := ask()) != wanted:
        assert time.monotonic() < end, f"{found} instead of {wanted} after {seconds} s"
        time.sleep(0.1)


def shown(kubeconfig: Path) -> Client:
    """The user of a kubeconfig, who shows a certificate."""
    return Client(kubeconfig, certificate=True)


def code(client: Client, target: str = PODS) -> int:
    """The code of the answer; 0 where TLS refused, which of TLS 1.3 a client hears late and in many ways."""
    try:
        return client.call("GET", target).code
    except (ssl.SSLError, ConnectionError):
        return 0


def refused(client: Client, target: str = PODS) -> bool:
    return code(client, target) in (0, 401)


@pytest.fixture
def issuing(tenant: TenantCluster, host_kubectl: Kubectl) -> Iterator[TenantCluster]:
    """A tenant for which vcproxy keeps a CA."""
    trust(host_kubectl, tenant.id, ISSUES)
    yield tenant
    trust(host_kubectl, tenant.id, {})


def certified(tenant: TenantCluster, folder: Path, *options: str) -> Client:
    """Somebody with a certificate, known to the proxy."""
    client = shown(tenant.write_kubeconfig(folder / "certified", "--certificate", *options))
    until(False, lambda: refused(client))
    return client


class Follower:
    """Somebody who watches; `ended` is set when the watch ends."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._began, self.ended = threading.Event(), threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()
        assert self._began.wait(10), "the watch did not begin"

    def _follow(self) -> None:
        try:
            for _ in self._client.events(WATCH, timeout=60):
                self._began.set()
        except (OSError, AssertionError):
            return
        self.ended.set()


def written(tenant: TenantCluster, target: Path, certificate: bytes, key: bytes, path: str = "") -> Path:
    """The tenant's kubeconfig with this certificate instead of a token."""
    document = yaml.safe_load(tenant.kubeconfig.read_text())
    parts = {"client-certificate-data": certificate, "client-key-data": key}
    document["users"][0]["user"] = {name: base64.b64encode(value).decode() for name, value in parts.items()}
    document["clusters"][0]["cluster"]["server"] += path
    target.write_text(yaml.safe_dump(document))
    return target


# The CA that vcproxy keeps -------------------------------------------------------------------------------------------


def test_kubectl_with_a_certificate_is_who_it_names_and_may_what_its_groups_may(
    issuing: TenantCluster, proxy: RunningProxy, tmp_path: Path
) -> None:
    options = ("--user", "ann", "--group", "devs", "--group", "ops", "--life", "24h")
    path = issuing.write_kubeconfig(tmp_path / "ann", "--certificate", *options)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert set(yaml.safe_load(path.read_text())["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    issuing.kubectl("create", "rolebinding", "devs", "--clusterrole=view", "--group=devs")
    kubectl = Kubectl(proxy.host.kubectl, path)
    until(0, lambda: kubectl("get", "pods", check=False).returncode)
    user = kubectl.json("auth", "whoami", "-o", "json")["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("ann", ["devs", "ops", "system:authenticated"])
    forbidden = kubectl("create", "configmap", "a", check=False)
    assert 'User "ann" cannot create resource "configmaps"' in forbidden.stderr
    listed = json.loads(proxy.cli("token", "list", issuing.id, "-o", "json").stdout)
    [record] = [one for one in listed if one["kind"] == "certificate"]
    assert (record["user"], record["groups"]) == ("ann", ["devs", "ops"])


def test_its_key_is_nowhere_on_the_host_and_that_of_its_ca_in_one_secret_alone(
    issuing: TenantCluster, proxy: RunningProxy, host_kubectl: Kubectl, tmp_path: Path
) -> None:
    client = certified(issuing, tmp_path)
    user = yaml.safe_load((tmp_path / "certified").read_text())["users"][0]["user"]
    kept = host_kubectl.json(*PLACE, "get", "secret", f"authority-{issuing.id}-1", "-o", "json")
    assert (kept["type"], kept["immutable"]) == ("vcproxy.io/authority", True)
    everything = host_kubectl(*PLACE, "get", "secrets,configmaps", "-o", "json").stdout
    assert user["client-key-data"] not in everything
    assert everything.count(kept["data"]["ca.key"]) == 1
    log = proxy.log.read_text()
    for key in (kept["data"]["ca.key"], user["client-key-data"]):
        assert base64.b64decode(key).decode().splitlines()[1] not in log
    assert code(client) == 200


def test_a_certificate_of_another_tenants_ca_is_nobody_here(
    issuing: TenantCluster,
    tenant_factory: Callable[[], TenantCluster],
    host_kubectl: Kubectl,
    tmp_path: Path,
) -> None:
    stranger = certified(issuing, tmp_path)
    other = tenant_factory()
    trust(host_kubectl, other.id, ISSUES)
    certified(other, tmp_path)
    assert code(stranger, f"/t/{issuing.id}{PODS}") == 200
    answer = stranger.call("GET", f"/t/{other.id}{PODS}")
    assert (answer.code, answer.document["reason"]) == (401, "Unauthorized")
    assert stranger.call("GET", f"/t/nobody{PODS}").code == 401
    trust(host_kubectl, other.id, {})


@pytest.mark.parametrize("how", ["id", "user", "tenant"])
def test_a_revoked_certificate_ends_within_five_seconds_and_its_watch_too(
    issuing: TenantCluster, proxy: RunningProxy, tmp_path: Path, how: str
) -> None:
    client = certified(issuing, tmp_path, "--user", "ann")
    other = shown(issuing.write_kubeconfig(tmp_path / "bob", "--certificate", "--user", "bob"))
    until(200, lambda: code(other))
    watch, others = Follower(client), Follower(other)
    time.sleep(3)  # both are looked at more than once
    assert not watch.ended.is_set()
    [record] = [
        one for one in json.loads(proxy.cli("token", "list", issuing.id, "-o", "json").stdout) if one["user"] == "ann"
    ]
    words = {"id": (record["id"],), "user": ("--user", "ann"), "tenant": ("--all",)}[how]
    proxy.cli("token", "revoke", issuing.id, *words)
    begin = time.monotonic()
    until(401, lambda: code(client))
    assert watch.ended.wait(max(0.1, WITHIN - (time.monotonic() - begin))), "the watch goes on"
    assert (others.ended.wait(WITHIN), code(other)) == ((True, 401) if how == "tenant" else (False, 200))
    assert code(certified(issuing, tmp_path, "--user", "ann")) == 200  # a new one counts at once


def test_suspension_and_the_end_of_the_ca_end_certificates(
    issuing: TenantCluster, proxy: RunningProxy, host_kubectl: Kubectl, tmp_path: Path
) -> None:
    client = certified(issuing, tmp_path)
    watch = Follower(client)
    proxy.cli("tenant", "suspend", issuing.id)
    until(403, lambda: code(client))
    assert watch.ended.wait(WITHIN)
    proxy.cli("tenant", "resume", issuing.id)
    until(200, lambda: code(client))
    watch = Follower(client)
    trust(host_kubectl, issuing.id, {})
    until(401, lambda: code(client))
    assert watch.ended.wait(WITHIN)
    until(
        "", lambda: host_kubectl(*PLACE, "get", "configmaps,secrets", "-l", f"vcproxy.io/authority={issuing.id}").stdout
    )
    trust(host_kubectl, issuing.id, ISSUES)  # another CA: the old certificate stays what it is
    certified(issuing, tmp_path / "new")
    assert refused(client)


def test_a_deleted_tenants_certificates_are_not_those_of_its_successor(
    tenant_factory: Callable[[], TenantCluster], proxy: RunningProxy, host_kubectl: Kubectl, tmp_path: Path
) -> None:
    tenant = tenant_factory()
    trust(host_kubectl, tenant.id, ISSUES)
    client = certified(tenant, tmp_path)
    tenant.delete()
    assert refused(client)
    tenant.create()
    trust(host_kubectl, tenant.id, ISSUES)
    assert code(certified(tenant, tmp_path / "new")) == 200
    assert refused(client)


def test_the_next_ca_stands_beside_the_old_one_until_that_ends(
    issuing: TenantCluster, host_kubectl: Kubectl, tmp_path: Path
) -> None:
    old = ending(host_kubectl, issuing.id, 25.0)
    certified(issuing, tmp_path / "new")
    bundle = kept(host_kubectl, issuing.id)
    assert [one.number for one in bundle.authorities] == [7, 8]
    before, after = (shown(user_of(issuing, tmp_path / name, ca, old)) for name, ca in (("b", old), ("a", None)))
    assert (code(before), code(after)) == (200, 200)
    watches = Follower(before), Follower(after)
    end = bundle.authorities[0].expires
    time.sleep(max(0.0, end - time.time() - 3))
    assert not watches[0].ended.is_set()
    assert watches[0].ended.wait(3 + WITHIN)
    assert time.time() >= end - 1
    assert (refused(before), code(after), watches[1].ended.is_set()) == (True, 200, False)


def test_a_ca_that_is_renewed_by_hand_ends_the_old_one_at_once(
    issuing: TenantCluster, proxy: RunningProxy, tmp_path: Path
) -> None:
    client = certified(issuing, tmp_path)
    watch = Follower(client)
    proxy.cli("keys", "renew-ca", issuing.id)
    until(401, lambda: code(client))
    assert watch.ended.wait(WITHIN)
    assert code(certified(issuing, tmp_path / "new")) == 200


@pytest.mark.parametrize(
    "options", [("--group", "system:masters"), ("--user", "system:admin"), ("--user", "vcproxy:x"), ("--life", "9999h")]
)
def test_reserved_names_and_long_lives_are_refused_before_anything_is_signed(
    issuing: TenantCluster, proxy: RunningProxy, options: tuple[str, str]
) -> None:
    done = proxy.cli("kubeconfig", issuing.id, "--certificate", *options, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "reserved" in done.stderr or "longestLife" in done.stderr


def test_a_tenant_without_a_ca_gets_the_words_to_ask_for_one(tenant: TenantCluster, proxy: RunningProxy) -> None:
    done = proxy.cli("kubeconfig", tenant.id, "--certificate", check=False)
    assert done.returncode == 1
    assert f"kubectl patch tenant {tenant.id}" in done.stderr


def test_of_secrets_the_controller_makes_and_removes_keys_of_cas_alone(
    proxy: RunningProxy, issuing: TenantCluster, host_kubectl: Kubectl
) -> None:
    controller = Kubectl(host_kubectl.program, proxy.folder / "credentials" / "controller.kubeconfig")
    own = f"authority-{issuing.id}-1"
    until(0, lambda: host_kubectl(*PLACE, "get", "secret", own, check=False).returncode)
    for command in (
        ("create", "secret", "generic", "x"),
        ("create", "secret", "generic", "authority-x1-1"),  # of another type
        ("delete", "secret", "vcproxy-keys"),
        ("delete", "secret", "vcproxy-token"),
        ("get", "secret", own),
        ("annotate", "secret", own, "a=b"),
        ("get", "secrets"),
    ):
        done = controller(*PLACE, *command, check=False)
        assert done.returncode != 0, command
        assert "orbidden" in done.stderr, (command, done.stderr)
    stolen = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "authority-x1-1", "annotations": {"kubernetes.io/service-account.name": "vcproxy"}},
    }
    done = controller(*PLACE, "create", "-f", "-", input=json.dumps(stolen), check=False)
    assert "keys of certificate authorities" in done.stderr
    elsewhere = controller("-n", "default", "create", "secret", "generic", "authority-x1-1", check=False)
    assert "orbidden" in elsewhere.stderr


def kept(host_kubectl: Kubectl, tenant: str) -> Kept:
    found = authorities.parse(host_kubectl.json(*PLACE, "get", "configmap", f"authority-{tenant}", "-o", "json"))
    assert found is not None
    return found


def ending(host_kubectl: Kubectl, tenant: str, seconds: float) -> Pair:
    """Give a tenant a CA that ends soon, as if it had been made long ago."""
    until(0, lambda: host_kubectl(*PLACE, "get", "configmap", f"authority-{tenant}", check=False).returncode)
    uid = host_kubectl.json("get", "tenant", tenant, "-o", "json")["metadata"]["uid"]
    old = certificates.make_ca(lambda: datetime.datetime.now(datetime.UTC), f"old {tenant}", seconds / 86400)
    entry = Authority(7, old.certificate.decode(), old.expires().timestamp())
    secret = authorities._secret(TenantId(tenant), 7, Made(entry.certificate, old.key, entry.expires))
    document = Kept(TenantId(tenant), uid, (entry,)).document()
    host_kubectl("create", "-f", "-", input=json.dumps(secret))
    host_kubectl("replace", "-f", "-", input=json.dumps(document))
    until(2, lambda: len(kept(host_kubectl, tenant).authorities), 10.0)
    return old


def user_of(tenant: TenantCluster, target: Path, ca: Pair | None, old: Pair) -> Path:
    """A kubeconfig with a certificate of a CA given, or of that which signs now."""
    if ca is None:
        return tenant.write_kubeconfig(target, "--certificate")
    pair, _ = sign(ca, "", "old", ("tenant:admin",), 3600, time.time())
    return written(tenant, target, pair.certificate, pair.key)


# CAs that a tenant names ---------------------------------------------------------------------------------------------

CA: Final = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
SHORT: Final = CA.replace("CA:TRUE", "CA:TRUE,pathlen:0")
KEYS: Final = "authorityKeyIdentifier=keyid\n"
CLIENT: Final = "extendedKeyUsage=clientAuth\n"


class OpenSsl:
    """Keys and certificates as people make them, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, name: str, extensions: str, issuer: str = "", subject: str = "", days: str = "1") -> str:
        """`name`.crt and `name`.key, signed by `issuer` or by itself."""
        key, request, made = (str(self.folder / f"{name}.{kind}") for kind in ("key", "csr", "crt"))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._run("req", "-new", *curve, "-keyout", key, "-out", request, "-subj", subject or f"/CN={name}")
        file = self.folder / f"{name}.ext"
        file.write_text(extensions + (KEYS if issuer else ""))
        issuers = [str(self.folder / f"{issuer}.{kind}") for kind in ("crt", "key")]
        signer = ["-CA", issuers[0], "-CAkey", issuers[1]] if issuer else ["-signkey", key]
        self._run("x509", "-req", "-in", request, *signer, "-days", days, "-out", made, "-extfile", str(file))
        return name

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.folder)

    def certificates(self, *names: str) -> bytes:
        return b"".join((self.folder / f"{name}.crt").read_bytes() for name in names)

    def client(self, tenant: TenantCluster, *names: str) -> Client:
        """Somebody who shows these certificates and has the key of the first."""
        key = (self.folder / f"{names[0]}.key").read_bytes()
        return shown(written(tenant, self.folder / "-".join(names), self.certificates(*names), key))


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    made = OpenSsl(tmp_path)
    made.make("root", CA)
    made.make("between", CA, "root")
    made.make("ann", CLIENT, "between", "/O=tenant:admin/CN=ann")
    return made


def test_certificates_in_between_lead_to_a_root_that_the_tenant_names(
    tenant: TenantCluster, proxy: RunningProxy, host_kubectl: Kubectl, openssl: OpenSsl
) -> None:
    trust(host_kubectl, tenant.id, {"clientCertificate": {"caBundle": openssl.certificates("root").decode()}})
    openssl.make("lower", CA, "between")
    openssl.make("bob", CLIENT, "lower", "/O=tenant:admin/CN=bob")
    ann = openssl.client(tenant, "ann", "between")
    until(200, lambda: code(ann))
    assert code(openssl.client(tenant, "bob", "lower", "between")) == 200
    assert code(openssl.client(tenant, "bob", "between", "lower")) == 200
    assert refused(openssl.client(tenant, "ann"))
    kubectl = Kubectl(proxy.host.kubectl, openssl.folder / "ann-between")
    assert kubectl.json("auth", "whoami", "-o", "json")["status"]["userInfo"]["username"] == "ann"
    watch = Follower(ann)
    trust(host_kubectl, tenant.id, {})
    until(True, lambda: refused(ann))
    assert watch.ended.wait(WITHIN)


def test_path_length_purpose_expiry_and_names_of_those_in_between_are_honoured(
    tenant: TenantCluster, host_kubectl: Kubectl, openssl: OpenSsl
) -> None:
    odd = {
        "nosigner": "basicConstraints=critical,CA:FALSE\n",
        "server": CA + "extendedKeyUsage=serverAuth\n",
        "last": SHORT,
        "past": CA,
    }
    for name, extensions in odd.items():
        openssl.make(name, extensions, "root", days="-1" if name == "past" else "1")
    openssl.make("below", CA, "last")
    for name in (*odd, "below"):
        openssl.make(f"user-{name}", CLIENT, name, "/O=tenant:admin/CN=eve")
    openssl.make("machine", "extendedKeyUsage=serverAuth\n", "between", "/O=tenant:admin/CN=eve")
    trust(host_kubectl, tenant.id, {"clientCertificate": {"caBundle": openssl.certificates("root").decode()}})
    until(200, lambda: code(openssl.client(tenant, "ann", "between")))
    assert code(openssl.client(tenant, "user-last", "last")) == 200
    for names in (("user-nosigner", "nosigner"), ("user-server", "server"), ("user-past", "past")):
        assert refused(openssl.client(tenant, *names)), names
    assert refused(openssl.client(tenant, "user-below", "below", "last"))
    assert refused(openssl.client(tenant, "machine", "between"))
    trust(host_kubectl, tenant.id, {})


def test_a_ca_in_between_may_be_all_that_a_tenant_names(
    tenant: TenantCluster, tenant_factory: Callable[[], TenantCluster], host_kubectl: Kubectl, openssl: OpenSsl
) -> None:
    """Two tenants of one root, each with a CA of its own below it: neither's people are known in the other."""
    second = tenant_factory()
    openssl.make("other", CA, "root")
    openssl.make("bob", CLIENT, "other", "/O=tenant:admin/CN=bob")
    trust(host_kubectl, tenant.id, {"clientCertificate": {"caBundle": openssl.certificates("between").decode()}})
    trust(host_kubectl, second.id, {"clientCertificate": {"caBundle": openssl.certificates("other").decode()}})
    ann, bob = openssl.client(tenant, "ann", "between"), openssl.client(second, "bob", "other")
    until((200, 200), lambda: (code(ann), code(bob)))
    assert code(openssl.client(tenant, "ann")) == 200
    assert code(ann, f"/t/{second.id}{PODS}") == 401
    assert code(bob, f"/t/{tenant.id}{PODS}") == 401
    for one in (tenant, second):
        trust(host_kubectl, one.id, {})


# What is wrong with spec.authentication ------------------------------------------------------------------------------


def entry(url: str, **more: Any) -> dict[str, Any]:
    return {"issuer": {"url": url, "audiences": ["cluster"]}, "claimMappings": MAPPINGS, **more}


def condition(host_kubectl: Kubectl, tenant: str) -> tuple[str, str]:
    status = host_kubectl.json("get", "tenant", tenant, "-o", "json")["status"]
    found = [one for one in status["conditions"] if one["type"] == "AuthenticationReady"]
    return (found[0]["reason"], found[0]["message"]) if found else ("", "")


def test_mistakes_are_told_in_the_tenants_status_and_the_rest_goes_on(
    tenant: TenantCluster, proxy: RunningProxy, host_kubectl: Kubectl, tmp_path: Path
) -> None:
    bad = entry("https://login.example.com", claimValidationRules=[{"expression": "claims.("}])
    typo = entry("https://id.example.com", userValidationRule=[{"expression": "true"}])
    bundle = "-----BEGIN CERTIFICATE-----\nodd\n-----END CERTIFICATE-----\n"
    given = {"jwt": [bad, typo], "clientCertificate": {"issue": True, "caBundle": bundle}}
    trust(host_kubectl, tenant.id, given)
    until("Invalid", lambda: condition(host_kubectl, tenant.id)[0], 10.0)
    said = condition(host_kubectl, tenant.id)[1]
    for words in (
        "jwt[0].claimValidationRules[0].expression: is no CEL expression",
        "jwt[1].userValidationRule: unknown",
        "clientCertificate.caBundle: is no PEM text",
    ):
        assert words in said
    assert (
        "AuthenticationReady=False (Invalid) spec.authentication.jwt[0]"
        in proxy.cli("tenant", "describe", tenant.id).stdout
    )
    assert code(certified(tenant, tmp_path)) == 200
    assert code(Client(tenant.kubeconfig)) == 200
    trust(host_kubectl, tenant.id, ISSUES)
    until("Accepted", lambda: condition(host_kubectl, tenant.id)[0])
    trust(host_kubectl, tenant.id, {})
    until("", lambda: condition(host_kubectl, tenant.id)[0])


def test_an_issuer_that_does_not_answer_is_told(tenant: TenantCluster, host_kubectl: Kubectl) -> None:
    trust(host_kubectl, tenant.id, {"jwt": [entry("https://127.0.0.1:1")]})
    until("IssuerUnreachable", lambda: condition(host_kubectl, tenant.id)[0], 15.0)
    assert "https://127.0.0.1:1" in condition(host_kubectl, tenant.id)[1]
    trust(host_kubectl, tenant.id, {})


@pytest.mark.parametrize(
    ("authentication", "words"),
    [
        ({"jwt": [entry("https://a.example.com"), entry("https://a.example.com")]}, "each issuer.url stands once"),
        ({"jwt": [entry("http://a.example.com")]}, "should match"),
        ({"jwt": [entry("https://a.example.com?tenant=x")]}, "should match"),
        ({"jwt": [entry("https://a.example.com", claimMappings={})]}, "username: Required value"),
        (
            {"jwt": [entry("https://a.example.com", claimMappings={"username": {"claim": "sub"}})]},
            "claim needs prefix",
        ),
        (
            {"jwt": [entry("https://a.example.com", claimMappings={"username": {"claim": "s", "expression": "x"}})]},
            "either claim with prefix or expression",
        ),
        ({"clientCertificate": {"caBundle": "odd"}}, "should match"),
        ({"clientCertificate": {"issue": "yes"}}, "boolean"),
    ],
)
def test_what_a_schema_can_say_is_refused_at_once(
    tenant_factory: Callable[[], TenantCluster],
    host_kubectl: Kubectl,
    proxy: RunningProxy,
    authentication: dict[str, Any],
    words: str,
) -> None:
    body = {
        "apiVersion": "vcproxy.io/v1alpha1",
        "kind": "Tenant",
        "metadata": {"name": "never"},
        "spec": {"authentication": authentication},
    }
    done = host_kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(body), check=False)
    assert done.returncode == 1
    assert words in done.stderr
