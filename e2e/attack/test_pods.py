"""Case 33: what a tenant's pods are given counts before the proxy, and never on the host."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import Attacker, is_status
from e2e.client import Answer
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.kubectl import Kubectl

pytestmark = pytest.mark.own_host

PODS = "/api/v1/namespaces/default/pods"
WEBHOOK = ("mutatingwebhookconfiguration", "vcproxy-pods")
HOSTS = ["", "https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc"]


def pod(name: str, audience: str | None = None) -> dict[str, Any]:
    """A Pod; with `audience` it asks for a token itself, and for none otherwise than as all pods do."""
    spec: dict[str, Any] = {"containers": [{"name": "a", "image": "registry.example/a:1"}]}
    if audience is not None:
        token = {"path": "token", **({"audience": audience} if audience else {})}
        spec["volumes"] = [{"name": "mine", "projected": {"sources": [{"serviceAccountToken": token}]}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def audiences(document: dict[str, Any]) -> list[str]:
    """Of all tokens that a Pod on the host gets."""
    volumes = document["spec"].get("volumes") or []
    sources = [source for volume in volumes for source in (volume.get("projected") or {}).get("sources") or ()]
    return [one["serviceAccountToken"].get("audience", "") for one in sources if "serviceAccountToken" in one]


@case(33)
@pytest.mark.parametrize("asked", HOSTS)
def test_no_pod_of_a_tenant_gets_a_token_for_the_host(attacker: Attacker, host_kubectl: Kubectl, asked: str) -> None:
    name = f"token-{HOSTS.index(asked)}"
    answer = attacker.call("POST", PODS, pod(name, asked))
    assert answer.code == 201, answer.body
    found = audiences(host_kubectl.json("get", "pod", name, "-n", f"{attacker.tenant}-default"))
    assert len(found) == 2
    assert set(found) == {f"https://{attacker.tenant}.vcproxy.local"}
    attacker.call("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")


@case(33)
def test_the_token_of_a_pod_is_401_on_the_host(
    attacker: Attacker, host_kubectl: Kubectl, control_plane: ControlPlane
) -> None:
    where = ("-n", f"{attacker.tenant}-default")
    audience = f"--audience=https://{attacker.tenant}.vcproxy.local"
    token = host_kubectl("create", "token", "default", audience, *where).stdout.strip()
    trusting = ssl.create_default_context(cafile=control_plane.folder / "pki" / "ca.crt")
    for path in ("/version", "/api", f"/api/v1/namespaces/{attacker.tenant}-default/pods"):
        request = urllib.request.Request(control_plane.url + path, headers={"Authorization": f"Bearer {token}"})
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=5, context=trusting)


SIGNERS = ["kubernetes.io/kube-apiserver-client-pod", "example.com/any"]


def certified(signer: str) -> dict[str, Any]:
    """A Pod that asks for a certificate, and for no token."""
    body = pod("certified")
    source = {"podCertificate": {"signerName": signer, "keyType": "ED25519", "credentialBundlePath": "bundle.pem"}}
    volumes = [{"name": "mine", "projected": {"sources": [source]}}]
    body["spec"] |= {"volumes": volumes, "automountServiceAccountToken": False}
    return body


@case(33)
@pytest.mark.parametrize("signer", SIGNERS)
def test_no_pod_of_a_tenant_gets_a_certificate_of_the_host(attacker: Attacker, signer: str) -> None:
    answer = attacker.call("POST", PODS, certified(signer))
    is_status(answer, 403)
    assert "podCertificate: the provider of this cluster gives pods no certificates" in answer.document["message"]


@pytest.fixture
def unseen(host_kubectl: Kubectl) -> Iterator[None]:
    """Pods that the webhook does not see: it is gone, and nobody puts it back meanwhile (see test_first_wall_alone)."""
    gate = ("clusterrole", "vcproxy:controller")
    version = host_kubectl.json("get", *gate)["metadata"]["annotations"]["vcproxy.io/version"]
    host_kubectl("annotate", *gate, "vcproxy.io/version=0.0.0-attack", "--overwrite")
    time.sleep(1)
    host_kubectl("delete", *WEBHOOK)
    yield
    host_kubectl("annotate", *gate, f"vcproxy.io/version={version}", "--overwrite")
    host_kubectl("wait", "/".join(WEBHOOK), "--for=create", "--timeout=10s")


def refused(attacker: Attacker, body: dict[str, Any]) -> Answer:
    """The answer once the host has forgotten the webhook, which it does a moment after its end."""
    end = time.monotonic() + 10
    while (answer := attacker.call("POST", PODS, body)).code == 201 and time.monotonic() < end:
        attacker.call("DELETE", f"{PODS}/{body['metadata']['name']}?gracePeriodSeconds=0")
        time.sleep(0.2)
    return answer


@case(33)
def test_behind_the_webhook_a_policy_refuses_what_it_did_not_see(attacker: Attacker, unseen: None) -> None:
    for asked in (None, *HOSTS):
        answer = refused(attacker, pod("unseen", asked))
        is_status(answer, 403)
        assert "a token for the host's API server" in answer.document["message"]
    for signer in SIGNERS:
        answer = refused(attacker, certified(signer))
        is_status(answer, 403)
        assert "vcproxy-certificates" in answer.document["message"]
    spec = {**pod("own")["spec"], "automountServiceAccountToken": False}
    fine = {**pod("fine", "vault"), "spec": {**pod("fine", "vault")["spec"], **spec}}
    assert attacker.call("POST", PODS, fine).code == 201
    attacker.call("DELETE", f"{PODS}/fine?gracePeriodSeconds=0")
