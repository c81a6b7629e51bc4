"""The answers of the webhook for Pods: new ones edited, changed ones kept, everything else refused."""

import base64
import copy
import json
from typing import Any

import msgspec
import pytest

from tests.core.objects_strategies import scope
from vcproxy.core import admission, kinds, objects, patches, pods, pods_admission
from vcproxy.core.audience import audience
from vcproxy.core.classes import Classes
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.patches import PatchType
from vcproxy.core.pods import Facts
from vcproxy.core.status import ApiError

FACTS = Facts("10.96.0.10", "192.0.2.10", 8443, frozenset({"https://host"}))
ACME = TenantId("acme")


def written() -> dict[str, Any]:
    """A Pod as the API server hands it to webhooks: with the volume of the ServiceAccount plugin."""
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    return {
        "metadata": {"name": "p", "namespace": "acme-web", "annotations": {"a": "b"}},
        "spec": {
            "dnsPolicy": "ClusterFirst",
            "volumes": [
                {"name": "kube-api-access-x", "projected": {"sources": sources}},
                {"name": "e", "emptyDir": {}},
            ],
            "initContainers": [{"name": "i"}],
            "containers": [
                {
                    "name": "c",
                    "image": "x",
                    "env": [{"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
                }
            ],
        },
    }


def stored() -> dict[str, Any]:
    return pods_admission.created(written(), ACME, VirtualName("web"), FACTS)


def certified(signer: str) -> dict[str, Any]:
    pod = written()
    source = {"podCertificate": {"signerName": signer, "keyType": "ED25519"}}
    pod["spec"]["volumes"].append({"name": "certificate", "projected": {"sources": [source]}})
    return pod


@pytest.mark.parametrize("signer", ["kubernetes.io/kube-apiserver-client-pod", "example.com/other", ""])
def test_a_pod_that_asks_for_a_certificate_is_refused(signer: str) -> None:
    for facts in (FACTS, msgspec.structs.replace(FACTS, signers=frozenset({"example.com/mesh"}))):
        with pytest.raises(ApiError) as caught:
            pods_admission.created(certified(signer), ACME, VirtualName("web"), facts)
        assert (caught.value.status.code, "pods.certificateSigners" in caught.value.status.message) == (403, True)


def test_a_signer_that_the_provider_names_is_let_through() -> None:
    facts = msgspec.structs.replace(FACTS, signers=frozenset({"example.com/mesh"}))
    made = pods_admission.created(certified("example.com/mesh"), ACME, VirtualName("web"), facts)
    assert made["spec"]["volumes"][-1] == certified("example.com/mesh")["spec"]["volumes"][-1]


def seen(pod: dict[str, Any]) -> dict[str, Any]:
    named = {"kind": "Pod", "apiVersion": "v1", **copy.deepcopy(pod)}
    view = objects.to_view(named, kinds.TABLE["", "pods"], scope())
    return {"metadata": view["metadata"], "spec": view["spec"]}


def review(request: dict[str, Any]) -> bytes:
    resource = {"group": "", "version": "v1", "resource": "pods"}
    whole = {"uid": "u", "resource": resource, "operation": "CREATE", "namespace": "acme-web", "dryRun": False}
    document = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**whole, **request}}
    return json.dumps(document).encode()


def answered(request: dict[str, Any]) -> dict[str, Any]:
    document = json.loads(admission.answer(review(request), FACTS, lambda tenant: Classes()))
    assert (document["apiVersion"], document["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert document["response"]["uid"] == "u"
    found: dict[str, Any] = document["response"]
    return found


def patched(pod: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    if "patch" not in response:
        return pod
    assert response["patchType"] == "JSONPatch"
    return patches.apply(pod, json.loads(base64.b64decode(response["patch"])), PatchType.JSON)


def test_a_new_pod_gets_everything() -> None:
    made = patched(written(), answered({"object": written()}))
    assert made == stored()
    assert made["metadata"]["annotations"] == {
        "a": "b",
        "vcproxy.io/namespace": "web",
        "vcproxy.io/api-host": "192.0.2.10",
        "vcproxy.io/api-port": "8443",
        "vcproxy.io/api-url": "tcp://192.0.2.10:8443",
        "vcproxy.io/api-protocol": "tcp",
    }
    token, authority, downward = made["spec"]["volumes"][0]["projected"]["sources"]
    assert token["serviceAccountToken"]["audience"] == audience(ACME)
    assert authority["configMap"]["name"] == pods.OWN_ROOT_CA
    assert (
        downward["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == "metadata.annotations['vcproxy.io/namespace']"
    )
    assert made["spec"]["dnsConfig"]["searches"][0] == "web.svc.acme.vcproxy.local"
    assert {one["name"] for one in made["spec"]["initContainers"][0]["env"]} == set(pods.VARIABLES)


def test_a_second_time_changes_nothing() -> None:
    assert "patch" not in answered({"object": stored()})


def test_the_tenant_sees_what_it_wrote() -> None:
    expected = written()
    expected["metadata"]["namespace"] = "web"
    assert seen(stored()) == expected


def test_a_put_of_the_view_changes_nothing() -> None:
    view = seen(stored())
    view["metadata"]["namespace"] = "acme-web"
    got = patched(view, answered({"operation": "UPDATE", "object": view, "oldObject": stored()}))
    assert got == stored()


def test_a_change_of_an_image_in_the_view_is_the_only_change() -> None:
    view = seen(stored())
    view["metadata"]["namespace"] = "acme-web"
    view["spec"]["containers"][0]["image"] = "y"
    got = pods_admission.updated(view, stored(), ACME)
    expected = stored()
    expected["spec"]["containers"][0]["image"] = "y"
    assert got == expected


def test_annotations_cannot_be_lost_or_changed() -> None:
    for annotations in (None, {}, {"a": "b", "vcproxy.io/namespace": "db", "vcproxy.io/other": "x"}):
        pod = stored()
        pod["metadata"]["annotations"] = annotations
        kept = pods_admission.updated(pod, stored(), ACME)["metadata"]["annotations"]
        assert {key: value for key, value in kept.items() if key != "a"} == FACTS.annotations(VirtualName("web"))


def test_an_apply_of_what_was_written_changes_nothing() -> None:
    """A server-side apply puts the tenant's values over single fields of what is stored."""
    merged = stored()
    merged["spec"]["dnsPolicy"] = "ClusterFirst"
    merged["spec"]["containers"][0]["env"][0] = written()["spec"]["containers"][0]["env"][0]
    merged["spec"]["volumes"][0] = written()["spec"]["volumes"][0]
    assert pods_admission.updated(merged, stored(), ACME) == stored()


def test_a_changed_variable_or_volume_or_dns_is_left_to_the_host_to_refuse() -> None:
    changed = stored()
    changed["spec"]["containers"][0]["env"] = [{"name": "NS", "value": "x"}]
    changed["spec"]["volumes"][0] = {"name": "kube-api-access-x", "emptyDir": {}}
    changed["spec"] |= {"dnsPolicy": "Default", "dnsConfig": {}}
    assert pods_admission.updated(changed, stored(), ACME) == changed


def test_an_ephemeral_container_gets_its_variables() -> None:
    debugged = stored()
    debugged["spec"]["ephemeralContainers"] = [{"name": "d"}]
    request = {"operation": "UPDATE", "object": debugged, "oldObject": stored(), "subResource": "ephemeralcontainers"}
    made = patched(debugged, answered(request))
    (debugger,) = made["spec"]["ephemeralContainers"]
    assert {one["name"] for one in debugger["env"]} == set(pods.VARIABLES)
    assert made["spec"]["containers"] == stored()["spec"]["containers"]


def test_a_pod_that_was_made_without_edits_stays_as_it_is() -> None:
    pod = written()
    pod["metadata"]["labels"] = {"x": "y"}
    assert "patch" not in answered({"operation": "UPDATE", "object": pod, "oldObject": written()})


def test_a_pod_without_a_token_stays_without() -> None:
    pod = written()
    pod["spec"]["volumes"], pod["spec"]["automountServiceAccountToken"] = [], False
    assert pods_admission.created(pod, ACME, VirtualName("web"), FACTS)["spec"]["volumes"] == []


def test_a_reserved_annotation_of_a_template_does_not_come_in() -> None:
    pod = written()
    pod["metadata"]["annotations"] = {"vcproxy.io/namespace": "other", "vcproxy.io/x": "y"}
    made = pods_admission.created(pod, ACME, VirtualName("web"), FACTS)
    assert made["metadata"]["annotations"] == FACTS.annotations(VirtualName("web"))


@pytest.mark.parametrize("namespace", ["default", "acme-", "", "-web", "Acme-web"])
def test_a_pod_outside_of_every_tenant_is_not_let_in(namespace: str) -> None:
    response = answered({"object": written(), "namespace": namespace})
    assert response["allowed"] is False
    assert response["status"]["code"] == 400
    assert "patch" not in response


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        review({"object": None}),
        review({"object": {}}),
        review({"object": {"metadata": {}, "spec": []}}),
        review({"object": written(), "operation": "DELETE"}),
        review({"object": written(), "operation": "UPDATE"}),
        review({"object": written(), "resource": {"group": "apps", "version": "v1", "resource": "pods"}}),
        review({"object": written(), "resource": {"group": "", "version": "v1", "resource": "nodes"}}),
        review({"object": written()}).replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1"),
        review({"object": written()}).replace(b"AdmissionReview", b"Review"),
    ],
)
def test_what_is_no_review_of_a_pod_is_refused(raw: bytes) -> None:
    with pytest.raises(ApiError) as refusal:
        admission.answer(raw, FACTS, lambda tenant: Classes())
    assert refusal.value.status.code == 400
