"""Objects made from the rules themselves: every row of a kind is met by some of them."""

from typing import Any

from hypothesis import strategies as st

from vcproxy.core.apis import OwnApi, Version, collect
from vcproxy.core.fields_classes import STORAGE_CLASS
from vcproxy.core.fields_namespaces import NAME_LABEL
from vcproxy.core.lens import Inside, Lens
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.objects import ITEMS, Node
from vcproxy.core.scope import Authorities, Scope
from vcproxy.core.view import ClassLists

ALLOWED = frozenset({"fast", "slow"})
CLASSES = ClassLists(ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED)
WHOLE = ("CLUSTER_SCOPED_EVENT", "LENT_VOLUME", "DEFAULT_PRIORITY", "DEFAULT_INGRESS")
"""Lenses that stand at a whole object: tests of their own."""
WIDGET = OwnApi("example.com", "widgets", "Widget", "widget", (), (), True, (Version("v1"),), 0.0)
APIS = collect([WIDGET], "1", ["widgets.example.com"])
NAMESPACES = frozenset(map(VirtualName, ("default", "web", "db")))


def scope(tenant: str = "acme", user: str = "ann") -> Scope:
    return Scope(TenantId(tenant), user, CLASSES, NAMESPACES, set(), Authorities("HOST-CA", "TENANT-CA"), apis=APIS)


labels = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
plain = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5))
label_maps = st.dictionaries(st.one_of(labels, st.just("kubernetes.io/metadata.name")), labels, min_size=1, max_size=3)
expressions = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.one_of(labels, st.just(NAME_LABEL)),
            "operator": st.just("In"),
            "values": st.lists(labels, max_size=2),
        }
    ),
    min_size=1,
    max_size=2,
)
selectors = st.fixed_dictionaries({}, optional={"matchLabels": label_maps, "matchExpressions": expressions})
references = st.fixed_dictionaries(
    {"kind": st.sampled_from(["Pod", "Namespace", "Deployment", "StorageClass", "PersistentVolume"])},
    optional={
        "apiVersion": st.sampled_from(["v1", "storage.k8s.io/v1", "example.com/v1", "unheard.of/v1"]),
        "namespace": labels,
        "name": labels,
    },
)
owners = st.fixed_dictionaries(
    {
        "apiVersion": st.just("rbac.authorization.k8s.io/v1"),
        "kind": st.sampled_from(["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"]),
        "name": st.one_of(labels, st.just("Read:er")),
    },
    optional={"blockOwnerDeletion": st.booleans(), "uid": labels},
)

env_items = st.fixed_dictionaries(
    {"name": st.sampled_from(["A", "KUBERNETES_SERVICE_HOST"])},
    optional={
        "value": labels,
        "valueFrom": st.sampled_from(
            [
                {"fieldRef": {"fieldPath": "metadata.namespace"}},
                {"configMapKeyRef": {"name": "kube-root-ca.crt", "key": "ca.crt"}},
            ]
        ),
    },
)
field_items = st.lists(
    st.fixed_dictionaries({"path": labels}, optional={"fieldRef": st.just({"fieldPath": "metadata.namespace"})}),
    max_size=2,
)
sources = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"audience": st.sampled_from(["vault", "https://other.vcproxy.local"]), "path": st.just("token")}
    ).map(lambda token: {"serviceAccountToken": token}),
    field_items.map(lambda items: {"downwardAPI": {"items": items}}),
    st.just({"configMap": {"name": "kube-root-ca.crt"}}),
)

_BY_LENS = {
    "POD_ENV": st.lists(env_items, max_size=3),
    "POD_PROJECTED": st.fixed_dictionaries({}, optional={"sources": st.lists(sources, max_size=3)}),
    "POD_FIELDS": field_items,
    "POD_CONFIG_MAP": st.fixed_dictionaries({}, optional={"name": st.sampled_from(["kube-root-ca.crt", "mine"])}),
    "POD_DNS": st.fixed_dictionaries(
        {},
        optional={
            "dnsPolicy": st.sampled_from(["ClusterFirst", "None", "Default"]),
            "dnsConfig": st.fixed_dictionaries({}, optional={"searches": st.lists(labels, max_size=4)}),
        },
    ),
    "NAMESPACE": labels,
    "OWN_NAME": labels,
    "API_GROUP": st.sampled_from(["example.com", "unheard.of", "acme-foo.com", "apps", ""]),
    "CLAIM_CLASS": st.one_of(labels, st.sampled_from(sorted(ALLOWED)), st.just("")),
    "VOLUME_CLASS": st.one_of(labels, st.sampled_from(sorted(ALLOWED))),
    "DEFAULT_FLAGS": st.dictionaries(
        st.one_of(labels, st.just("storageclass.kubernetes.io/is-default-class")), st.just("true"), min_size=1
    ),
    "PARAMETERS": st.dictionaries(
        st.one_of(labels, st.just("csi.storage.k8s.io/node-stage-secret-namespace"), st.just("secretNamespace")),
        st.one_of(labels, st.just("${pvc.namespace}")),
        min_size=1,
    ),
    "CLASS": st.one_of(labels, st.sampled_from(sorted(ALLOWED))),
    "VOLUME": st.one_of(labels, st.uuids().map(lambda uid: f"pvc-{uid}")),
    "REFERENCE": references,
    "OWNER": st.one_of(references, owners),
    "API_VERSION": st.sampled_from(["v1", "apps/v1", "example.com/v1", "unheard.of/v1"]),
    "SCALING": st.sampled_from(
        [
            '[{"type":"Object","object":{"target":{"kind":"X","name":"x","apiVersion":"example.com/v1"}}}]',
            '[{"type":"Object","Object":{"Target":{"APIVersion":"unheard.of/v1"}}}]',
            '[{"type":"ScalingActive","message":"fine"}]',
            "plain",
        ]
    ),
    "CONVERSION": st.just({"strategy": "None"}),
    "GROUP": st.sampled_from(["example.com", "other.example.com"]),
    "DEFINITION": st.sampled_from(["widgets.example.com", "gadgets.other.example.com"]),
    "HIDDEN": label_maps,
    "OWNER_LABEL": label_maps,
    "NAMESPACE_SELECTOR": selectors,
    "MANAGED_FIELDS": st.just(
        [
            {
                "manager": "kubectl",
                "apiVersion": "example.com/v1",
                "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}},
            }
        ]
    ),
    "TEXT": st.text(alphabet="xyz -.:", max_size=20),
    "RESOURCE_KEYS": st.dictionaries(
        st.one_of(labels, labels.map(lambda name: f"{name}.storageclass.storage.k8s.io/requests.storage")),
        plain,
        min_size=1,
        max_size=3,
    ),
    "SCOPE_SELECTOR": st.fixed_dictionaries(
        {"scopeName": st.sampled_from(["PriorityClass", "Terminating"]), "values": st.lists(labels)}
    ),
    "ROOT_CA": st.sampled_from(["TENANT-CA", "something else"]),
    "NAMESPACE_CONDITION": st.fixed_dictionaries({"type": st.just("Ready"), "message": st.just("fine")}),
}


def _value(lens: Lens) -> st.SearchStrategy[Any]:
    if lens is STORAGE_CLASS:
        return st.one_of(labels, st.sampled_from(sorted(ALLOWED)), st.just(""))
    return _BY_LENS[lens.name]


def views(node: Node) -> st.SearchStrategy[Any]:
    """What a tenant may write at a node: values that its lenses know, and fields that no rule names."""
    here = [lens for lens in node.lenses if lens.name not in WHOLE]
    if here and not (here[0].inside is Inside.FIELDS and node.children):
        return _value(here[0])
    if ITEMS in node.children:
        return st.lists(views(node.children[ITEMS]), max_size=3)
    known = {key: views(child) for key, child in node.children.items()}
    always = {key: known.pop(key) for key, child in node.children.items() if _given(child)}
    made = st.fixed_dictionaries(always, optional=known)
    if here:
        return st.builds(lambda first, second: {**first, **second}, _value(here[0]), made)
    return st.builds(lambda extra, inner: {**{f"x-{k}": v for k, v in extra.items()}, **inner}, extras, made)


def _given(node: Node) -> bool:
    """Whether a tenant's object gets a value here where it has none: a claim without a class."""
    return any(lens.name == "CLAIM_CLASS" for lens in node.lenses)


extras = st.dictionaries(labels, st.one_of(plain, st.lists(plain, max_size=2)), max_size=2)
