"""Which nodes, and what of them, a tenant sees: nothing that tells of others, and all that it needs to run there."""

import copy
from typing import Any

import pytest

from vcproxy.core import nodes
from vcproxy.core.names import TenantId
from vcproxy.core.nodes import CSI_NODES, EVERY, NODES, SLICES, Chosen, Selection, Sight, selection
from vcproxy.core.status import ApiError

ACME = TenantId("acme")
GPU = selection({"matchLabels": {"pool": "gpu"}})
LABELS = {"one": {"pool": "gpu", "zone": "a"}, "two": {"pool": "web", "zone": "b"}, "three": {}}
SIGHT = Sight(GPU, LABELS, frozenset({"acme", "globex"}))


def node(name: str = "one", **metadata: Any) -> dict[str, Any]:
    state = {
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        "allocatable": {"cpu": "4"},
        "capacity": {"cpu": "4"},
        "conditions": [{"type": "Ready", "status": "True"}],
        "config": {"active": {"configMap": {"name": "kubelet", "namespace": "kube-system"}}},
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "images": [{"names": ["registry.example.com/globex/secret:1"], "sizeBytes": 5}],
        "nodeInfo": {"kubeletVersion": "v1.37.2"},
        "volumesAttached": [{"name": "kubernetes.io/csi/x^pvc-1", "devicePath": ""}],
        "volumesInUse": ["kubernetes.io/csi/x^pvc-1"],
    }
    metadata = {"name": name, "labels": LABELS.get(name, {}), **metadata}
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {"podCIDR": "10.1.0.0/24"},
        "status": state,
    }


def as_acme(document: dict[str, Any], key: tuple[str, str] = NODES, sight: Sight = SIGHT) -> dict[str, Any]:
    return nodes.shown(nodes.stripped(copy.deepcopy(document), key), key, ACME, sight)


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        (None, {"one", "two", "three"}),
        ({}, {"one", "two", "three"}),
        ({"matchLabels": {"pool": "gpu"}}, {"one"}),
        ({"matchLabels": {"pool": "gpu", "zone": "b"}}, set()),
        ({"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu", "web"]}]}, {"one", "two"}),
        ({"matchExpressions": [{"key": "pool", "operator": "NotIn", "values": ["gpu"]}]}, {"two", "three"}),
        ({"matchExpressions": [{"key": "pool", "operator": "Exists"}]}, {"one", "two"}),
        ({"matchExpressions": [{"key": "pool", "operator": "DoesNotExist"}]}, {"three"}),
        ({"matchLabels": {"zone": "a"}, "matchExpressions": [{"key": "pool", "operator": "Exists"}]}, {"one"}),
    ],
)
def test_a_tenant_sees_the_nodes_that_fulfil_its_selector(spec: Any, seen: set[str]) -> None:
    sight = Sight(selection(spec), LABELS)
    assert {name for name in LABELS if nodes.visible(node(name), NODES, sight)} == seen


@pytest.mark.parametrize(
    "spec",
    [
        "pool=gpu",
        [],
        {"matchLabels": "pool"},
        {"matchLabels": {"pool": 5}},
        {"matchExpressions": {"key": "pool"}},
        {"matchExpressions": ["pool"]},
        {"matchExpressions": [{"key": "pool", "operator": "Near", "values": ["gpu"]}]},
        {"matchExpressions": [{"key": "pool", "operator": "In"}]},
        {"matchExpressions": [{"key": "pool", "operator": "Exists", "values": ["gpu"]}]},
        {"matchExpressions": [{"operator": "Exists"}]},
        {"matchNames": ["one"]},
        {"matchLabels": {"pool,zone": "gpu"}},
        {"matchLabels": {"pool": "gpu,zone"}},
        {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu)"]}]},
    ],
)
def test_a_selector_that_cannot_be_understood_shows_no_node(spec: Any) -> None:
    assert not any(selection(spec).holds(labels) for labels in LABELS.values())


def test_a_csi_node_is_seen_where_its_node_is() -> None:
    seen = [name for name in (*LABELS, "gone") if nodes.visible({"metadata": {"name": name}}, CSI_NODES, SIGHT)]
    assert seen == ["one"]
    assert nodes.visible({"metadata": {"name": "gone"}}, CSI_NODES, Sight(EVERY, LABELS))


def terms(*expressions: tuple[str, str, list[str]]) -> dict[str, Any]:
    listed = [{"key": key, "operator": operator, "values": values} for key, operator, values in expressions]
    return {"nodeSelectorTerms": [{"matchExpressions": listed}]}


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ({"nodeName": "one"}, True),
        ({"nodeName": "two"}, False),
        ({"nodeName": "gone"}, False),
        ({"allNodes": True}, True),
        ({"nodeSelector": terms(("pool", "In", ["gpu"]))}, True),
        ({"nodeSelector": terms(("pool", "In", ["web"]))}, False),
        ({"nodeSelector": terms(("zone", "Exists", []), ("pool", "NotIn", ["web"]))}, True),
        ({"nodeSelector": terms(("zone", "Gt", []))}, False),
        ({"nodeSelector": {"nodeSelectorTerms": [{}]}}, False),
        (
            {
                "nodeSelector": {
                    "nodeSelectorTerms": [
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}
                    ]
                }
            },
            True,
        ),
        ({"perDeviceNodeSelection": True, "devices": [{"nodeName": "two"}, {"nodeName": "one"}]}, True),
        ({"perDeviceNodeSelection": True, "devices": [{"nodeName": "two"}]}, False),
        ({}, False),
    ],
)
def test_a_slice_is_seen_where_it_can_be_used(spec: dict[str, Any], seen: bool) -> None:
    assert nodes.visible({"metadata": {"name": "x"}, "spec": spec}, SLICES, SIGHT) is seen
    assert nodes.visible({"metadata": {"name": "x"}, "spec": spec}, SLICES, Sight(EVERY, LABELS))


def test_what_follows_a_node_is_seen_until_it_goes_too() -> None:
    sight = Sight(GPU, {}, gone=LABELS)
    assert nodes.visible({"metadata": {"name": "one"}}, CSI_NODES, sight)
    assert not nodes.visible({"metadata": {"name": "two"}}, CSI_NODES, sight)


@pytest.mark.parametrize("sight", [SIGHT, Sight(EVERY, LABELS)])
@pytest.mark.parametrize("key", [NODES, CSI_NODES, SLICES])
def test_what_is_hidden_is_seen_by_nobody(key: tuple[str, str], sight: Sight) -> None:
    hidden = node(labels={"pool": "gpu", "vcproxy.io/hidden": ""})
    hidden["spec"] = {"nodeName": "one"}
    assert nodes.view(hidden, key, ACME, sight) is None


@pytest.mark.parametrize("key", [NODES, CSI_NODES, SLICES])
def test_the_place_of_an_object_says_whether_it_is_seen(key: tuple[str, str]) -> None:
    documents = [node(name) for name in LABELS]
    documents += [{**node("x"), "spec": {"driver": "d", **spec}} for spec in ({"nodeName": "one"}, {"allNodes": True})]
    documents += [
        {**node("x"), "spec": {"perDeviceNodeSelection": True, "devices": [{"name": "d", "nodeName": "one"}]}}
    ]
    for document in documents:
        assert nodes.visible(nodes.placed(document, key), key, SIGHT) == nodes.visible(document, key, SIGHT)


def test_labels_of_a_node_matter_to_what_follows_it() -> None:
    place = nodes.placed({"metadata": {"name": "one"}}, CSI_NODES)
    assert nodes.concerns(place, CSI_NODES, "one", SIGHT)
    assert not nodes.concerns(place, CSI_NODES, "two", SIGHT)
    assert not nodes.concerns(place, CSI_NODES, "one", Sight(GPU, {}, gone=LABELS))
    slices: list[dict[str, Any]] = [{"nodeName": "one"}, {"allNodes": True}, {"perDeviceNodeSelection": True}]
    placed = [nodes.placed({"spec": spec}, SLICES) for spec in slices]
    assert [nodes.concerns(place, SLICES, "two", SIGHT) for place in placed] == [False, True, True]


def test_a_slice_of_all_nodes_is_not_seen_by_who_has_none() -> None:
    nowhere = Sight(selection({"matchLabels": {"pool": "none"}}), LABELS)
    assert not nodes.visible({"metadata": {"name": "x"}, "spec": {"allNodes": True}}, SLICES, nowhere)


def test_of_a_slice_only_the_devices_of_own_nodes_are_shown() -> None:
    devices = [{"name": "a", "nodeName": "two"}, {"name": "b", "nodeName": "one"}, {"name": "c", "allNodes": True}]
    document = {"metadata": {"name": "x"}, "spec": {"perDeviceNodeSelection": True, "devices": devices}}
    assert [one["name"] for one in as_acme(document, SLICES)["spec"]["devices"]] == ["b", "c"]


def test_of_a_node_nothing_is_shown_that_runs_there_for_others() -> None:
    view = as_acme(node(managedFields=[{"manager": "kubelet"}], ownerReferences=[{"kind": "Machine", "name": "m"}]))
    assert set(view["status"]) == {"addresses", "allocatable", "capacity", "conditions", "nodeInfo"}
    assert view["metadata"] == {"name": "one", "labels": {"pool": "gpu", "zone": "a"}}


def test_what_owns_something_is_shown_where_it_is_a_node() -> None:
    owner = {"kind": "Node", "apiVersion": "v1", "name": "one", "uid": "1"}
    document = {"metadata": {"name": "one", "ownerReferences": [owner, {"kind": "Pod", "name": "driver"}]}}
    assert as_acme(document, CSI_NODES)["metadata"]["ownerReferences"] == [owner]


def test_annotations_of_the_providers_programs_are_not_shown() -> None:
    kept = {"node.alpha.kubernetes.io/ttl": "0", "csi.volume.kubernetes.io/nodeid": "{}"}
    notes = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "autoscaler.example.com/x": "", "plain": "x"}
    notes |= {"cluster.x-k8s.io/machine": "m", "vcproxy.io/tenant": "acme"}
    assert as_acme(node(annotations={**kept, **notes}))["metadata"]["annotations"] == kept


OURS = {"kubernetes.io/hostname": "globex-1", "topology.kubernetes.io/zone": "globex", "node.kubernetes.io/x": "globex"}


@pytest.mark.parametrize(
    ("label", "seen"),
    [
        *((pair, True) for pair in OURS.items()),
        (("pool", "gpu"), True),
        (("pool", "globex"), False),
        (("pool", "Globex"), False),
        (("pool", "globexx"), True),
        (("pool", "for-globex-only"), False),
        (("tenant", "acme"), True),
        (("tenant", "acme-default"), False),
        (("globex/pool", ""), False),
        (("globex.example.com/pool", "x"), False),
        (("node-role.kubernetes.io/globex", ""), False),
        (("globex.node-restriction.kubernetes.io/fips", "true"), False),
        (("node-restriction.kubernetes.io/tenant", "globex"), False),
        (("node-role.kubernetes.io/worker", ""), True),
        (("vcproxy.io/tenant", "acme"), False),
    ],
)
def test_labels_and_taints_that_name_another_tenant_are_not_shown(label: tuple[str, str], seen: bool) -> None:
    document = node(labels=dict([label]))
    taint = {"key": label[0], "value": label[1], "effect": "NoSchedule"}
    document["spec"]["taints"] = [taint]
    view = as_acme(document)
    assert view["metadata"].get("labels", {}) == (dict([label]) if seen else {})
    assert view["spec"].get("taints", []) == ([taint] if seen else [])


def test_ids_that_are_words_of_kubernetes_own_keys_hide_nothing() -> None:
    labels = {"node-role.kubernetes.io/worker": "", "kubernetes.io/os": "linux", "node.kubernetes.io/instance": "io"}
    sight = Sight(EVERY, {}, frozenset({"node", "role", "kubernetes", "io", "linux", "os"}))
    assert as_acme(node(labels=labels), sight=sight)["metadata"]["labels"] == labels


def test_a_selector_of_a_slice_loses_the_terms_that_name_another_tenant() -> None:
    own, foreign = terms(("pool", "In", ["gpu"])), terms(("pool", "In", ["gpu", "globex"]))
    both = {"nodeSelectorTerms": own["nodeSelectorTerms"] + foreign["nodeSelectorTerms"]}
    document: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"driver": "d", "nodeSelector": both}}
    assert as_acme(document, SLICES)["spec"]["nodeSelector"] == own
    document["spec"]["nodeSelector"] = foreign
    assert as_acme(document, SLICES)["spec"] == {"driver": "d"}


def test_words_are_those_that_could_name_a_tenant() -> None:
    document = node(labels={"pool": "gpu-acme", "kubernetes.io/os": "linux"})
    document["spec"]["taints"] = [{"key": "dedicated", "value": "globex", "effect": "NoSchedule"}]
    assert nodes.words(document) == {"pool", "gpu", "acme", "dedicated", "globex"}


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": {"labels": [], "annotations": 5}, "spec": {"taints": {}, "devices": 5}, "status": []},
        {"metadata": {"labels": {"a": None}}, "spec": {"taints": ["x"], "nodeSelector": {"nodeSelectorTerms": [1]}}},
    ],
)
@pytest.mark.parametrize("key", [NODES, CSI_NODES, SLICES])
def test_odd_objects_never_fail(odd: dict[str, Any], key: tuple[str, str]) -> None:
    nodes.visible(odd, key, SIGHT)
    assert isinstance(as_acme(odd, key), dict)


def fields(text: str, key: tuple[str, str], document: dict[str, Any]) -> bool:
    return Chosen.of(key, [("fieldSelector", text)]).holds(document)


def test_a_tenant_selects_by_what_it_sees() -> None:
    view = as_acme(node(labels={"pool": "globex", "zone": "a"}))
    assert Chosen.of(NODES, [("labelSelector", "zone=a,!pool")]).holds(view)
    assert not Chosen.of(NODES, [("labelSelector", "pool=globex")]).holds(view)
    assert not Chosen.of(NODES, [("labelSelector", "pool")]).holds(view)


def test_fields_are_selected_as_on_the_host() -> None:
    assert fields("metadata.name=one", NODES, node())
    assert not fields("metadata.name!=one", NODES, node())
    assert fields("spec.unschedulable=false", NODES, node())
    assert fields("spec.unschedulable=true", NODES, {"spec": {"unschedulable": True}})
    assert fields("spec.nodeName=", SLICES, {"spec": {}})
    assert fields("spec.driver=d", SLICES, {"spec": {"driver": "d"}})


def test_other_fields_cannot_be_selected_by() -> None:
    Chosen.of(SLICES, [("fieldSelector", "metadata.name=x,spec.driver!=d")])
    with pytest.raises(ApiError, match="field label not supported"):
        Chosen.of(NODES, [("fieldSelector", "spec.podCIDR=x")])


def test_a_selection_says_since_when_it_is_the_same() -> None:
    assert selection({"matchLabels": {"pool": "gpu"}}, 7) == Selection(GPU.terms, 7)
