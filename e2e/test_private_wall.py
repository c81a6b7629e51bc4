"""The admission policy over all Private kinds, straight at the host as a tenant's identity."""

import json
import time
from typing import Any, Final

import pytest

from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.conftest import TenantFactory
from vcproxy.core.kinds import GUARDED, TABLE
from vcproxy.core.private import write_group

SOON: Final = 15.0
GUARDED_ROWS: Final = [row for row in TABLE.values() if row.kind in GUARDED]
WRITER: Final = [f"--as-group={write_group(row)}" for row in GUARDED_ROWS]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def tenant(tenant_factory: TenantFactory) -> TenantCluster:
    return tenant_factory()


def volume(tenant: str, **spec: Any) -> Document:
    whole = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, **spec}
    return made("v1", "PersistentVolume", f"{tenant}-one", tenant, spec=whole)


def made(version: str, kind: str, name: str, owner: str, **rest: Any) -> Document:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "labels": {"vcproxy.io/tenant": owner}},
        **rest,
    }


def attachment(tenant: str, **source: Any) -> Document:
    spec = {"attacher": "e.com", "nodeName": "node-x", "source": source}
    return made("storage.k8s.io/v1", "VolumeAttachment", f"{tenant}-a", tenant, spec=spec)


def definition(tenant: str, group: str, **spec: Any) -> Document:
    schema = {"openAPIV3Schema": {"type": "object"}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    whole = {"group": group, "scope": "Namespaced", "names": names, "versions": versions, **spec}
    return made("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"things.{group}", tenant, spec=whole)


def good(tenant: str) -> list[Document]:
    """Objects of each Private kind that are the tenant's own."""
    parameters = {"kind": "X", "name": "x", "scope": "Namespace", "namespace": f"{tenant}-default"}
    ingress = {"controller": "example.com/x", "parameters": parameters}
    return [
        volume(tenant, claimRef={"namespace": f"{tenant}-default", "name": "c"}),
        made("storage.k8s.io/v1", "StorageClass", f"{tenant}-fast", tenant, provisioner="example.com/x"),
        made("scheduling.k8s.io/v1", "PriorityClass", f"{tenant}-high", tenant, value=10),
        made("networking.k8s.io/v1", "IngressClass", f"{tenant}-in", tenant, spec=ingress),
        made("node.k8s.io/v1", "RuntimeClass", f"{tenant}-box", tenant, handler="box"),
        attachment(tenant, persistentVolumeName=f"{tenant}-one"),
        made("storage.k8s.io/v1", "CSIDriver", f"{tenant}-csi", tenant, spec={"attachRequired": False}),
        definition(tenant, f"{tenant}-example.com"),
    ]


def bad(tenant: str) -> list[tuple[str, Document]]:
    """(what the policy says, object): each is foreign in one way."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    marked = made("storage.k8s.io/v1", "StorageClass", f"{tenant}-d", tenant, provisioner="x")
    marked["metadata"]["annotations"] = default
    ingress = {
        "controller": "e.com/x",
        "parameters": {"kind": "X", "name": "x", "scope": "Namespace", "namespace": "default"},
    }
    group = {"controller": "e.com/x", "parameters": {"apiGroup": "other-e.com", "kind": "X", "name": "x"}}
    url = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": {"url": "https://e.com"}, "conversionReviewVersions": ["v1"]},
    }
    service = {"namespace": "default", "name": "kubernetes"}
    abroad = {**url, "webhook": {**url["webhook"], "clientConfig": {"service": service}}}  # type: ignore[dict-item]
    stage = {"name": "s", "namespace": "kube-system"}
    driver = {"driver": "e.com", "volumeHandle": "h", "nodeStageSecretRef": stage}
    inline = {"accessModes": ["ReadWriteOnce"], "csi": driver}
    extended = {"extendedResourceName": "example.com/gpu"}
    secret = {"provisioner": "x", "parameters": {"csi.storage.k8s.io/provisioner-secret-namespace": "kube-system"}}
    tokens = {"tokenRequests": [{"audience": "x"}]}
    return [
        ("the claim is not", volume(tenant, claimRef={"namespace": "default", "name": "c"})),
        ("default of all", marked),
        (
            "default of all",
            made("scheduling.k8s.io/v1", "PriorityClass", f"{tenant}-g", tenant, value=1, globalDefault=True),
        ),
        ("parameters are not", made("networking.k8s.io/v1", "IngressClass", f"{tenant}-p", tenant, spec=ingress)),
        ("group of the parameters", made("networking.k8s.io/v1", "IngressClass", f"{tenant}-q", tenant, spec=group)),
        ("names the claim", volume(tenant, storageClassName="standard")),
        ("names the claim", volume(tenant)),
        ("names a Secret", volume(tenant, storageClassName=f"{tenant}-s", hostPath=None, csi=driver)),
        ("attached by its tenant", attachment(tenant, persistentVolumeName="pvc-1")),
        ("attached by its tenant", attachment(tenant, inlineVolumeSpec=inline)),
        ("spec.extendedResourceName", made("resource.k8s.io/v1", "DeviceClass", f"{tenant}-e", tenant, spec=extended)),
        ("name a namespace", made("storage.k8s.io/v1", "StorageClass", f"{tenant}-s", tenant, **secret)),
        ("tokens for a driver", made("storage.k8s.io/v1", "CSIDriver", f"{tenant}-t", tenant, spec=tokens)),
        ("the group is not", definition(tenant, "example.com")),
        ("conversion webhook", definition(tenant, f"{tenant}-one.com", conversion=url)),
        ("conversion webhook", definition(tenant, f"{tenant}-two.com", conversion=abroad)),
        ("the name is not", made("node.k8s.io/v1", "RuntimeClass", "plain", tenant, handler="x")),
        ("owner's label", made("node.k8s.io/v1", "RuntimeClass", f"{tenant}-x", "other", handler="x")),
    ]


def tries(host: Kubectl, tenant: str, *command: str, body: Document | None = None, writes: bool = True) -> str:
    """What the host says to the tenant's identity; `writes`: it is in the groups that write guarded kinds."""
    identity = (f"--as=vcproxy:tenant:{tenant}", "--as-group=vcproxy:tenants", *(WRITER if writes else ()))
    done = host(*command, *identity, input=json.dumps(body) if body else None, check=False)
    return "done" if done.returncode == 0 else done.stderr


def test_a_tenants_own_private_objects_are_let_in_and_changed_and_removed(
    host_kubectl: Kubectl, tenant: TenantCluster
) -> None:
    end = time.monotonic() + SOON
    for body in good(tenant.id):
        while (said := tries(host_kubectl, tenant.id, "create", "-f", "-", body=body)) != "done":
            assert time.monotonic() < end, said  # the host takes a policy up a moment after it was written
            time.sleep(0.3)
    for body in good(tenant.id):
        assert labelled(host_kubectl, tenant.id, body, {"vcproxy.io/tenant": tenant.id, "mine": "yes"}) == "done"
        assert "denied request" in labelled(host_kubectl, tenant.id, body, {"vcproxy.io/tenant": "other"})
        assert tries(host_kubectl, tenant.id, "delete", "--raw", link(body)) == "done"


def labelled(host: Kubectl, tenant: str, body: Document, labels: dict[str, str]) -> str:
    """What is said to a replacement with those labels; again where the host's controllers were faster."""
    said = "Conflict"
    while "Conflict" in said:
        kept = host.json("get", body["kind"], body["metadata"]["name"])
        changed = {**kept, "metadata": {**kept["metadata"], "labels": labels}}
        said = tries(host, tenant, "replace", "--raw", link(changed), "-f", "-", body=changed)
    return said


def link(document: Document) -> str:
    """The path of an object of cluster scope; the plurals of these kinds are regular but one."""
    version, plural = document["apiVersion"], f"{document['kind'].lower()}s"
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/{plural.replace('classs', 'classes')}/{document['metadata']['name']}"


def test_what_is_foreign_in_one_way_is_refused(host_kubectl: Kubectl, tenant: TenantCluster) -> None:
    end = time.monotonic() + SOON
    for words, body in bad(tenant.id):
        while words not in (said := tries(host_kubectl, tenant.id, "create", "-f", "-", body=body)):
            assert time.monotonic() < end, (words, said)
            time.sleep(0.3)


def test_a_guarded_kind_is_written_in_its_group_alone_and_removed_without(
    host_kubectl: Kubectl, tenant: TenantCluster
) -> None:
    guarded = [body for body in good(tenant.id) if body["kind"] in GUARDED]
    assert len(guarded) > 3
    for body in guarded:
        assert "make none of this kind" in tries(host_kubectl, tenant.id, "create", "-f", "-", body=body, writes=False)
        assert tries(host_kubectl, tenant.id, "create", "-f", "-", body=body) == "done"
        assert tries(host_kubectl, tenant.id, "delete", "--raw", link(body), writes=False) == "done"
