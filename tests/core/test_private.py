"""Private kinds: what of them a tenant sees and writes, and how they are called on the host."""

from typing import Any

import msgspec
import pytest

from tests.core.objects_strategies import scope
from vcproxy.core import decision, kinds, objects, plan, private, request
from vcproxy.core.names import BOUND_LABEL, HIDDEN_LABEL, TENANT_LABEL
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError
from vcproxy.core.view import ClassLists, Defaults

STORAGE = kinds.TABLE["storage.k8s.io", "storageclasses"]
VOLUME = kinds.TABLE["", "persistentvolumes"]
DRIVER = kinds.TABLE["storage.k8s.io", "csidrivers"]
NOBODY = Scope(scope().tenant)
ALL = msgspec.structs.replace(scope(), writable=kinds.GUARDED)


@pytest.mark.parametrize(
    ("name", "labels", "seen"),
    [
        ("acme-gold", {TENANT_LABEL: "acme"}, True),
        ("acme-gold", {TENANT_LABEL: "globex"}, False),
        ("acme-gold", {}, False),
        ("fast", {}, True),
        ("fast", {TENANT_LABEL: "globex"}, False),
        ("other", {}, False),
        ("fast", {HIDDEN_LABEL: "true"}, False),
        ("acme-fast", {TENANT_LABEL: "acme"}, False),
    ],
)
def test_a_class_is_seen_if_it_is_the_tenants_or_lent_to_it(name: str, labels: dict[str, str], seen: bool) -> None:
    assert private.shown(STORAGE, scope(), name, labels) is seen


def test_a_volume_of_the_host_is_seen_by_whom_it_is_bound_to() -> None:
    assert private.shown(VOLUME, scope(), "pvc-x", {BOUND_LABEL: "acme"})
    assert not private.shown(VOLUME, scope(), "pvc-x", {BOUND_LABEL: "globex"})
    assert not private.shown(STORAGE, scope(), "pvc-x", {BOUND_LABEL: "acme"})


def test_what_stands_beside_is_looked_for_by_name_so_that_its_cost_grows_with_the_lists() -> None:
    assert private.beside(STORAGE, scope()) == (
        ("!vcproxy.io/tenant", "metadata.name=fast"),
        ("!vcproxy.io/tenant", "metadata.name=slow"),
    )
    assert private.beside(VOLUME, NOBODY) == (("vcproxy.io/bound=acme", ""),)
    assert private.beside(DRIVER, scope()) == ()
    assert private.beside(kinds.TABLE["", "pods"], scope()) == ()


@pytest.mark.parametrize(
    ("row", "verb", "name", "code"),
    [
        (STORAGE, "create", "fast", 409),
        (STORAGE, "update", "fast", 403),
        (STORAGE, "delete", "fast", 403),
        (VOLUME, "delete", "pvc-5cf5d4a6-7d29-4a2b-8a6e-0f6c8f1f6c1a", 403),
        (VOLUME, "create", "pvc-5cf5d4a6-7d29-4a2b-8a6e-0f6c8f1f6c1a", 403),
    ],
)
def test_what_is_lent_is_not_written(row: kinds.Kind, verb: str, name: str, code: int) -> None:
    with pytest.raises(ApiError) as refusal:
        private.check_write(row, ALL, verb, name)
    assert refusal.value.status.code == code


def test_a_guarded_kind_is_written_where_the_tenant_says_so_and_removed_always() -> None:
    private.check_write(STORAGE, ALL, "create", "gold")
    private.check_write(DRIVER, NOBODY, "create", "csi.example.com")
    private.check_write(STORAGE, NOBODY, "delete", "gold")
    private.check_write(STORAGE, NOBODY, "deletecollection", "")
    for verb in ("create", "update", "patch"):
        with pytest.raises(ApiError, match=r"spec\.clusterKinds"):
            private.check_write(STORAGE, NOBODY, verb, "gold")


def decided(method: str, url: str, by: Scope = ALL) -> plan.Plan:
    versions = frozenset({("storage.k8s.io", "v1"), ("", "v1")})
    return decision.decide(request.parse(method, url.encode()), by, versions=versions)


def test_a_list_looks_for_own_objects_and_for_each_that_is_lent() -> None:
    found = decided("GET", "/apis/storage.k8s.io/v1/storageclasses?labelSelector=a%3Db&limit=5")
    assert isinstance(found, plan.Forward)
    assert dict(found.query) == {"labelSelector": "a=b,vcproxy.io/tenant=acme,!vcproxy.io/hidden"}
    assert [dict(query) for query in found.beside] == [
        {"labelSelector": "a=b,!vcproxy.io/tenant,!vcproxy.io/hidden", "fieldSelector": f"metadata.name={name}"}
        for name in ("fast", "slow")
    ]


def test_names_in_paths_and_field_selectors_are_those_of_the_host() -> None:
    for name, host in (("gold", "acme-gold"), ("fast", "fast")):
        found = decided("GET", f"/apis/storage.k8s.io/v1/storageclasses/{name}")
        assert isinstance(found, plan.Forward)
        assert found.path.endswith(f"/{host}")
        found = decided("GET", f"/apis/storage.k8s.io/v1/storageclasses?fieldSelector=metadata.name%3D{name}")
        assert isinstance(found, plan.Forward)
        assert dict(found.query)["fieldSelector"] == f"metadata.name={host}"


def up(kind: tuple[str, str], document: dict[str, Any], by: Scope) -> dict[str, Any]:
    return objects.to_host(document, *kind, by)


CLAIM = ("", "PersistentVolumeClaim")


def test_a_claim_without_a_class_gets_the_default_of_the_tenant_or_one_that_nobody_has() -> None:
    assert up(CLAIM, {"spec": {}}, NOBODY)["spec"]["storageClassName"] == "acme.none"
    by = msgspec.structs.replace(NOBODY, defaults=Defaults(storage="acme-gold"))
    assert up(CLAIM, {"spec": {}}, by)["spec"]["storageClassName"] == "acme-gold"
    patched = msgspec.structs.replace(by, full=False)
    assert up(CLAIM, {"spec": {}}, patched)["spec"] == {}


INGRESS = ("networking.k8s.io", "Ingress")


def test_an_ingress_without_a_class_gets_the_default_of_the_tenant_or_one_that_nobody_has_and_does_not_see() -> None:
    host = up(INGRESS, {"spec": {"rules": []}}, NOBODY)
    assert host["spec"]["ingressClassName"] == "acme.none"
    row = kinds.TABLE["networking.k8s.io", "ingresses"]
    document = {**host, "kind": "Ingress", "apiVersion": "networking.k8s.io/v1"}
    assert objects.to_view(document, row, NOBODY)["spec"] == {"rules": []}
    by = msgspec.structs.replace(NOBODY, defaults=Defaults(ingress="acme-front"))
    assert up(INGRESS, {"spec": {}}, by)["spec"]["ingressClassName"] == "acme-front"
    old = {"metadata": {"annotations": {"kubernetes.io/ingress.class": "front"}}, "spec": {}}
    assert up(INGRESS, old, by)["spec"] == {}


def test_a_default_class_is_marked_where_the_host_does_not_look() -> None:
    kind = ("scheduling.k8s.io", "PriorityClass")
    host = up(kind, {"metadata": {"name": "usual"}, "globalDefault": True, "value": 1}, NOBODY)
    assert "globalDefault" not in host
    assert host["metadata"]["annotations"] == {"vcproxy.io/default.globalDefault": "true"}
    row = kinds.TABLE["scheduling.k8s.io", "priorityclasses"]
    shown = objects.to_view({**host, "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1"}, row, NOBODY)
    assert shown["globalDefault"] is True
    assert shown["metadata"] == {"name": "usual"}


def test_metadata_alone_of_a_default_class_have_no_field_of_the_class() -> None:
    row = kinds.TABLE["scheduling.k8s.io", "priorityclasses"]
    metadata = {"name": "acme-usual", "annotations": {"vcproxy.io/default.globalDefault": "true"}}
    found = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    assert objects.to_view(found, row, NOBODY) == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "usual"},
    }


def test_a_table_tells_of_the_tenants_default_which_the_host_does_not_know() -> None:
    metadata = {"name": "acme-gold", "annotations": {"vcproxy.io/default.storageclass.kubernetes.io": "true"}}
    line = {"cells": ["acme-gold"], "object": {"kind": "PartialObjectMetadata", "metadata": metadata}}
    table = {"kind": "Table", "columnDefinitions": [{"name": "Name"}], "rows": [line]}
    assert objects.to_view(table, STORAGE, NOBODY)["rows"][0]["cells"] == ["gold (default)"]


def test_of_a_volume_of_the_host_no_name_of_the_host_is_shown() -> None:
    spec = {
        "hostPath": {"path": "/data/pvc-1_acme-default_data"},
        "csi": {"volumeAttributes": {"csi.storage.k8s.io/pvc/namespace": "acme-default", "x": "acme-unknown-x"}},
        "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "acme-default", "name": "data"},
    }
    found = objects.to_view(
        {"kind": "PersistentVolume", "apiVersion": "v1", "metadata": {"name": "pvc-1"}, "spec": spec}, VOLUME, scope()
    )
    assert found["spec"]["hostPath"]["path"] == "/data/pvc-1_default_data"
    assert found["spec"]["claimRef"]["namespace"] == "default"
    assert found["spec"]["csi"]["volumeAttributes"] == {"csi.storage.k8s.io/pvc/namespace": "default", "x": "unknown"}


def test_an_own_volume_comes_back_as_it_was_written_whatever_its_source_says() -> None:
    view = {"metadata": {"name": "disk"}, "spec": {"hostPath": {"path": "/acme-x"}, "storageClassName": "gold"}}
    host = up(("", "PersistentVolume"), msgspec.json.decode(msgspec.json.encode(view)), NOBODY)
    assert host["metadata"] == {"name": "acme-disk", "labels": {TENANT_LABEL: "acme"}}
    shown = objects.to_view({**host, "kind": "PersistentVolume", "apiVersion": "v1"}, VOLUME, NOBODY)
    assert {key: shown[key] for key in view} == view


def test_the_name_in_a_refusal_is_the_tenants() -> None:
    found = {
        "kind": "Status",
        "message": 'StorageClass.storage.k8s.io "acme-gold" is invalid',
        "details": {"name": "acme-gold", "group": "storage.k8s.io", "kind": "StorageClass"},
    }
    by = Scope(NOBODY.tenant, learned={"acme-gold"})
    shown = objects.to_view(found, STORAGE, by)
    assert shown["details"]["name"] == "gold"
    assert shown["message"] == 'StorageClass.storage.k8s.io "gold" is invalid'


def test_a_refusal_that_repeats_the_label_selector_repeats_what_the_tenant_wrote() -> None:
    words = 'Unable to find "/v1, Resource=pods" that match label selector "{}", field selector "a=b": not supported'
    for sent, written in (
        ("!vcproxy.io/hidden", ""),
        ("x in (y),vcproxy.io/tenant=acme,!vcproxy.io/hidden", "x in (y)"),
    ):
        found = {"kind": "Status", "message": words.format(sent)}
        assert objects.to_view(found, STORAGE, NOBODY)["message"] == words.format(written)


def test_a_reference_to_a_private_object_names_it_as_it_is_called_on_the_host() -> None:
    event = {"involvedObject": {"kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "name": "gold"}}
    host = up(("", "Event"), event, Scope(NOBODY.tenant, classes=ClassLists(frozenset({"lent"}))))
    assert host["involvedObject"]["name"] == "acme-gold"


@pytest.mark.parametrize("labels", [None, 1.5, True, "x", [TENANT_LABEL]])
def test_a_volume_with_labels_of_odd_shape_is_read_like_any_other(labels: Any) -> None:
    metadata = {"name": "acme-v", "labels": labels}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": {"hostPath": {}}}
    assert objects.to_view(volume, VOLUME, scope())["metadata"]["labels"] == labels
