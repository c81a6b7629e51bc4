"""Tokens of ServiceAccounts: asked for in a tenant; used there, at the host, in another tenant, and after an end."""

import base64
import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from e2e.client import Client
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster

WITHIN = 5.0
"""Seconds in which a token ends."""
SPACE = "apps"
PODS = f"/api/v1/namespaces/{SPACE}/pods"
TOKEN = "/api/v1/namespaces/{}/serviceaccounts/{}/token"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
SELF = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
HOST_AUDIENCE = "https://kubernetes.default.svc.cluster.local"


class Place:
    """A cluster, a tenant's or the host itself, with the namespace `apps` and the account `robot` that may view."""

    def __init__(self, kubectl: Kubectl, kubeconfig: Path, namespace: str = SPACE) -> None:
        self.kubectl, self.client, self.namespace = kubectl, Client(kubeconfig), namespace
        kubectl("create", "namespace", namespace)
        self.account("robot")

    def account(self, name: str) -> None:
        self.kubectl("-n", self.namespace, "create", "serviceaccount", name)
        subject = f"--serviceaccount={self.namespace}:{name}"
        self.kubectl("-n", self.namespace, "create", "rolebinding", name, "--clusterrole=view", subject)

    def token(self, name: str = "robot", *options: str) -> str:
        return self.kubectl("-n", self.namespace, "create", "token", name, *options).stdout.strip()

    def ask(self, spec: dict[str, Any], name: str = "robot", **headers: str) -> Any:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = self.client.call("POST", TOKEN.format(self.namespace, name), body, headers=headers)
        return answer.code, answer.document

    def review(self, token: str, *audiences: str) -> Any:
        spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        answer = self.client.call("POST", REVIEWS, body)
        assert answer.code == 201, answer.document
        return answer.document

    def whoami(self, token: str) -> Any:
        answer = self.client.call("POST", WHO, SELF, token=token)
        return answer.document["status"]["userInfo"] if answer.code == 201 else answer.code

    def code(self, token: str, path: str = PODS) -> int:
        return self.client.call("GET", path, token=token).code


@pytest.fixture(scope="module")
def pair(tenant_factory: Callable[[], TenantCluster]) -> tuple[Place, Place]:
    first, second = (tenant_factory() for _ in range(2))
    return Place(first.kubectl, first.kubeconfig), Place(second.kubectl, second.kubeconfig)


@pytest.fixture(scope="module")
def here(pair: tuple[Place, Place]) -> Place:
    return pair[0]


@pytest.fixture(scope="module")
def direct(host_kubectl: Kubectl, proxy: RunningProxy) -> Iterator[Place]:
    """The host itself: what a tenant's cluster is compared with. Its client is an administrator's account."""
    place = Place(host_kubectl, proxy.host.kubeconfig, f"plain-{int(time.time())}")
    host_kubectl("-n", place.namespace, "create", "serviceaccount", "chief")
    subject = f"--serviceaccount={place.namespace}:chief"
    host_kubectl("create", "clusterrolebinding", place.namespace, "--clusterrole=cluster-admin", subject)
    place.client.token = place.token("chief")
    yield place
    host_kubectl("delete", "clusterrolebinding", place.namespace)
    host_kubectl("delete", "namespace", place.namespace, "--wait=false")


def tenant_of(place: Place) -> str:
    return Path(place.kubectl.kubeconfig).stem


def refused_within(place: Place, token: str, seconds: float = WITHIN) -> float:
    begin = time.monotonic()
    while place.code(token) != 401:
        assert time.monotonic() - begin < seconds, "the token still counts"
        time.sleep(0.1)
    return time.monotonic() - begin


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def shape(value: Any) -> Any:
    """Keys and types: what two answers of two clusters have in common."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key != "managedFields"}
    return [shape(one) for one in value] if isinstance(value, list) else type(value).__name__


def test_a_token_has_its_accounts_rights_and_name(here: Place) -> None:
    token = here.token()
    user = here.whoami(token)
    account = json.loads(here.kubectl("-n", SPACE, "get", "serviceaccount", "robot", "-o", "json").stdout)
    assert user == {
        "username": f"system:serviceaccount:{SPACE}:robot",
        "uid": account["metadata"]["uid"],
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{SPACE}", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={claims(token)['jti']}"]},
    }
    assert here.code(token) == 200
    refused = here.client.call("GET", "/api/v1/namespaces/default/pods", token=token)
    assert (refused.code, f'User "system:serviceaccount:{SPACE}:robot" cannot list' in str(refused.document)) == (
        403,
        True,
    )


def test_it_is_nobody_at_the_host_and_in_another_tenant(
    pair: tuple[Place, Place], proxy: RunningProxy, direct: Place
) -> None:
    here, there = pair
    token = here.token()
    assert claims(token)["aud"] == [f"https://{tenant_of(here)}.vcproxy.local"]
    assert direct.code(token, "/version") == 401
    assert direct.code(token, f"/api/v1/namespaces/{tenant_of(here)}-{SPACE}/pods") == 401
    assert there.whoami(there.token())["username"] == here.whoami(token)["username"]
    assert there.whoami(there.token())["uid"] != here.whoami(token)["uid"]
    assert there.client.call("GET", f"/t/{tenant_of(there)}{PODS}", token=token).code in (401, 403)
    assert here.client.call("GET", f"/t/{tenant_of(here)}{PODS}", token=token).code == 200


def test_the_hosts_audience_becomes_the_tenants_and_the_answer_says_what_was_asked(here: Place, direct: Place) -> None:
    own = f"https://{tenant_of(here)}.vcproxy.local"
    for spec, audiences, stored in (
        ({}, [own], [own]),
        ({"audiences": []}, [own], [own]),
        ({"audiences": [HOST_AUDIENCE]}, [HOST_AUDIENCE], [own]),
        ({"audiences": ["vault", HOST_AUDIENCE]}, ["vault", HOST_AUDIENCE], ["vault", own]),
        ({"audiences": ["vault"], "expirationSeconds": 700}, ["vault"], ["vault"]),
    ):
        code, answer = here.ask(spec)
        assert (code, answer["spec"]["audiences"]) == (201, audiences)
        assert claims(answer["status"]["token"])["aud"] == stored
        plain = direct.ask(spec)[1]
        assert shape(answer) == shape(plain), (answer, plain)
        assert answer["metadata"]["namespace"] == SPACE
        assert answer["spec"]["expirationSeconds"] == plain["spec"]["expirationSeconds"]
    assert here.code(here.token("robot", "--audience=vault")) == 401
    assert here.code(here.token("robot", f"--audience={HOST_AUDIENCE}")) == 200


def test_refusals_are_those_of_a_plain_cluster(here: Place, direct: Place) -> None:
    for spec in (
        {"expirationSeconds": 5},
        {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "none"}},
        {"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}},
        {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "none"}},
    ):
        (code, said), (plain_code, plain) = here.ask(spec), direct.ask(spec)
        assert (code, said["reason"], said["message"]) == (plain_code, plain["reason"], plain["message"])
    assert here.ask({}, "nobody")[0] == direct.ask({}, "nobody")[0] == 404


def test_yaml_and_protobuf_bodies(here: Place) -> None:
    text = b"apiVersion: authentication.k8s.io/v1\nkind: TokenRequest\nspec: {audiences: []}\n"
    path = TOKEN.format(SPACE, "robot")
    answer = here.client.call("POST", path, text, headers={"Content-Type": "application/yaml"})
    assert (answer.code, here.code(answer.document["status"]["token"])) == (201, 200)
    made = envelope("authentication.k8s.io/v1", "TokenRequest", field(2, field(1, HOST_AUDIENCE.encode())))
    answer = here.client.call("POST", path, made, headers={"Content-Type": "application/vnd.kubernetes.protobuf"})
    assert (answer.code, answer.document["spec"]["audiences"]) == (201, [HOST_AUDIENCE])
    assert here.code(answer.document["status"]["token"]) == 200


def field(number: int, raw: bytes) -> bytes:
    """A length-delimited field of protobuf, shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(raw)]) + raw


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    """runtime.Unknown (apimachinery)."""
    return b"k8s\0" + field(1, field(1, version.encode()) + field(2, kind.encode())) + field(2, raw)


@pytest.mark.parametrize("what", ["account", "secret", "pod"])
def test_what_is_deleted_ends_its_tokens_and_their_watches(here: Place, what: str) -> None:
    name, bound = f"gone-{what}", list[str]()
    here.account(name)
    if what == "secret":
        here.kubectl("-n", SPACE, "create", "secret", "generic", name)
        bound = ["--bound-object-kind=Secret", f"--bound-object-name={name}"]
    if what == "pod":
        here.kubectl("-n", SPACE, "apply", "-f", "-", input=json.dumps(pod(name)))
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={name}"]
    token = here.token(name, *bound)
    assert here.code(token) == 200
    if what == "pod":
        found = json.loads(here.kubectl("-n", SPACE, "get", "pod", name, "-o", "json").stdout)
        extra = here.whoami(token)["extra"]
        assert extra["authentication.kubernetes.io/pod-name"] == [name]
        assert extra["authentication.kubernetes.io/pod-uid"] == [found["metadata"]["uid"]]
    ended = threading.Event()
    threading.Thread(target=followed, args=(here, token, ended), daemon=True).start()
    time.sleep(3)  # the watch is asked about more than once
    assert not ended.is_set()
    assert here.code(token) == 200
    kind = "serviceaccount" if what == "account" else what
    here.kubectl("-n", SPACE, "delete", kind, name, "--wait=true", "--grace-period=0", "--force")
    begin = time.monotonic()
    refused_within(here, token)
    assert ended.wait(max(0.0, WITHIN + 1 - (time.monotonic() - begin))), "the watch goes on"
    review = here.review(token)["status"]
    assert (review.get("authenticated", False), bool(review["error"])) == (False, True)


def test_a_token_bound_to_a_node_ends_with_the_node(here: Place, host_kubectl: Kubectl) -> None:
    name = f"node-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    uid = json.loads(host_kubectl("create", "-f", "-", "-o", "json", input=json.dumps(body)).stdout)["metadata"]["uid"]
    token = here.token("robot", "--bound-object-kind=Node", f"--bound-object-name={name}", f"--bound-object-uid={uid}")
    assert claims(token)["kubernetes.io"]["node"] == {"name": name, "uid": uid}
    extra = here.whoami(token)["extra"]
    assert extra["authentication.kubernetes.io/node-name"] == [name]
    assert extra["authentication.kubernetes.io/node-uid"] == [uid]
    ended = threading.Event()
    threading.Thread(target=followed, args=(here, token, ended), daemon=True).start()
    time.sleep(3)  # the watch is asked about more than once
    assert not ended.is_set()
    host_kubectl("delete", "node", name)
    begin = time.monotonic()
    refused_within(here, token)
    assert ended.wait(max(0.0, WITHIN + 1 - (time.monotonic() - begin))), "the watch goes on"
    assert here.code(here.token()) == 200  # the account is as it was
    host_kubectl("create", "-f", "-", input=json.dumps(body))
    try:
        assert here.code(token) == 401  # another node of that name is another node
    finally:
        host_kubectl("delete", "node", name)


def followed(place: Place, token: str, ended: threading.Event) -> None:
    watcher = Client(Path(place.kubectl.kubeconfig))
    watcher.token = token
    with contextlib.suppress(TimeoutError, OSError):
        for _ in watcher.events(f"{PODS}?watch=true", timeout=30):
            pass
        ended.set()


def pod(name: str) -> dict[str, Any]:
    spec = {"serviceAccountName": name, "containers": [{"name": "a", "image": "registry.k8s.io/pause:3.10"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": SPACE}, "spec": spec}


def test_an_account_made_again_is_another_one(here: Place) -> None:
    here.account("again")
    token = here.token("again")
    assert here.code(token) == 200
    here.kubectl("-n", SPACE, "delete", "serviceaccount", "again")
    here.kubectl("-n", SPACE, "create", "serviceaccount", "again")
    refused_within(here, token)
    assert here.code(here.token("again")) == 200


@pytest.mark.own_host
def test_forged_and_old_tokens_do_not_count(here: Place, control_plane: ControlPlane) -> None:
    token = here.token()
    good, head = claims(token), jwt.get_unverified_header(token)
    kid, algorithm = head["kid"], head["alg"]
    key = Path(control_plane.folder / "pki" / "accounts.key").read_text()

    def signed(**changed: Any) -> str:
        kept = {name: value for name, value in {**good, **changed}.items() if value is not None}
        return jwt.encode(kept, key, algorithm, {"kid": kid})

    assert here.code(signed()) == 200
    past, now = int(time.time()) - 30, int(time.time())
    private = good["kubernetes.io"]
    wrong = {
        "expired": signed(exp=past),
        "of the future": signed(nbf=now + 600),
        "no expiry": signed(exp=None),
        "the host's audience": signed(aud=[HOST_AUDIENCE]),
        "another issuer": signed(iss="https://issuer.example.com"),
        "another account's uid": signed(
            **{"kubernetes.io": {**private, "serviceaccount": {"name": "robot", "uid": "x"}}}
        ),
        "a host namespace": signed(
            sub="system:serviceaccount:kube-system:default",
            **{"kubernetes.io": {**private, "namespace": "kube-system"}},
        ),
        "the subject of another": signed(sub=f"system:serviceaccount:{private['namespace']}:default"),
        "bound to what is not known": signed(**{"kubernetes.io": {**private, "cluster": {"name": "x", "uid": "y"}}}),
        "public key as secret": forged(good, kid, "HS256"),
        "no signature": forged(good, kid, "none"),
        "another kid": jwt.encode(good, key, algorithm, {"kid": "other"}),
    }
    assert {name: here.code(one) for name, one in wrong.items()} == dict.fromkeys(wrong, 401)


def forged(payload: dict[str, Any], kid: str, algorithm: str) -> str:
    parts = ({"alg": algorithm, "kid": kid, "typ": "JWT"}, payload)
    texts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts]
    return ".".join([*texts, base64.urlsafe_b64encode(b"signature").rstrip(b"=").decode()])


def test_token_reviews_know_this_cluster_alone(pair: tuple[Place, Place], direct: Place) -> None:
    here, there = pair
    own = f"https://{tenant_of(here)}.vcproxy.local"
    token = here.token()
    found, plain = here.review(token), direct.review(direct.token())
    assert shape(found) == shape(plain), (found, plain)
    assert found["status"]["user"] == here.whoami(token)
    assert found["status"]["audiences"] == [own]
    assert here.review(token, HOST_AUDIENCE, "x")["status"]["audiences"] == [HOST_AUDIENCE]
    vault = here.token("robot", "--audience=vault")
    assert here.review(vault, "vault", "x")["status"]["audiences"] == ["vault"]
    people = here.review(here.client.token)["status"]
    assert (people["authenticated"], people["audiences"]) == (True, [own])
    nobody = [(vault,), (token, "vault"), (there.token(),), (direct.token(),), (there.client.token,), ("x",)]
    for strange in nobody:
        said = here.review(*strange)["status"]
        assert said.get("authenticated", False) is False
        assert said["user"] == {}
        assert said["error"]
        assert said.keys() == direct.review("x")["status"].keys()
    empty = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}}
    answers = [one.client.call("POST", REVIEWS, empty) for one in (here, direct)]
    assert answers[0].document["message"] == answers[1].document["message"]
    assert [one.code for one in answers] == [400, 400]


def test_whoever_may_not_review_tokens_is_refused_until_bound_to_the_delegator(here: Place) -> None:
    here.account("metrics")
    token = here.token("metrics")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    assert here.client.call("POST", REVIEWS, body, token=token).code == 403
    binding = ("create", "clusterrolebinding", "metrics", "--clusterrole=system:auth-delegator")
    here.kubectl(*binding, f"--serviceaccount={SPACE}:metrics")
    end = time.monotonic() + WITHIN
    while (answer := here.client.call("POST", REVIEWS, body, token=token)).code == 403:
        assert time.monotonic() < end
    assert answer.document["status"]["authenticated"] is True


def test_a_tenant_tells_of_the_issuer_of_its_tokens(here: Place, direct: Place, proxy: RunningProxy) -> None:
    token = here.token()
    path = "/.well-known/openid-configuration"
    found, plain = (one.client.call("GET", path, token=one.token()) for one in (here, direct))
    assert found.document == {**plain.document, "jwks_uri": f"{proxy.url}/openid/v1/jwks"}
    keys, plain_keys = (one.client.call("GET", "/openid/v1/jwks", token=one.token()) for one in (here, direct))
    assert keys.document == plain_keys.document
    for ours, theirs in ((found, plain), (keys, plain_keys)):
        assert [ours.headers.get(name) for name in ("Content-Type", "Cache-Control")] == [
            theirs.headers.get(name) for name in ("Content-Type", "Cache-Control")
        ]
    assert found.document["issuer"] == claims(token)["iss"]
    head = jwt.get_unverified_header(token)
    key = next(jwt.PyJWK(one) for one in keys.document["keys"] if one["kid"] == head["kid"])
    assert jwt.decode(token, key.key, [head["alg"]], audience=f"https://{tenant_of(here)}.vcproxy.local")
    here.kubectl("create", "clusterrolebinding", "nobody", "--clusterrole=view", "--user=nobody", check=False)
    assert here.client.call("GET", path, headers={"Impersonate-User": "nobody"}).code == 403


def test_the_second_wall_gives_no_tenant_a_token_for_the_host(here: Place, host_kubectl: Kubectl) -> None:
    tenant = tenant_of(here)
    identity = (f"--as=vcproxy:tenant:{tenant}", "--as-group=vcproxy:tenants", "-n", f"{tenant}-{SPACE}")
    create = ("create", "token", "robot", *identity)
    for options in ((), (f"--audience={HOST_AUDIENCE}",), ("--audience=vault", f"--audience={HOST_AUDIENCE}")):
        done = host_kubectl(*create, *options, check=False)
        assert done.returncode != 0
        assert "a token for the host's API server is not given to tenants" in done.stderr
    assert host_kubectl(*create, f"--audience=https://{tenant}.vcproxy.local", check=False).returncode == 0


def test_the_host_can_be_asked_about_tokens_instead(
    pair: tuple[Place, Place], proxy: RunningProxy, tmp_path: Path
) -> None:
    here, there = pair
    settings = {"authentication": {"serviceAccounts": "tokenreview"}, "controller": {"enabled": False}}
    asking = RunningProxy(proxy.host, tmp_path, settings=settings)
    asking.start()
    try:
        kubeconfig = tmp_path / f"{tenant_of(here)}.kubeconfig"
        proxy.cli("kubeconfig", tenant_of(here), "--server", asking.url, "--out", str(kubeconfig))
        client, token = Client(kubeconfig), here.token()
        asking.wait_known(tenant_of(here), client.token)
        found = client.call("POST", WHO, SELF, token=token).document["status"]["userInfo"]
        assert found == here.whoami(token)
        here.account("asked")
        gone = here.token("asked")
        assert client.call("GET", PODS, token=gone).code == 200
        wrong = (here.token("robot", "--audience=vault"), there.token())
        assert client.call("GET", PODS, token=wrong[0]).code == 401
        assert client.call("GET", f"/t/{tenant_of(here)}{PODS}", token=wrong[1]).code in (401, 403)
        here.kubectl("-n", SPACE, "delete", "serviceaccount", "asked")
        end = time.monotonic() + WITHIN
        while client.call("GET", PODS, token=gone).code != 401:
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        asking.stop_serving()


def test_legacy_tokens_stay_refused(here: Place) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "old", "annotations": {"kubernetes.io/service-account.name": "robot"}},
    }
    answer = here.client.call("POST", f"/api/v1/namespaces/{SPACE}/secrets", body)
    assert (answer.code, "request a token" in answer.document["message"]) == (403, True)
