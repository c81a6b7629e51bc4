"""Objects made from the rules themselves: every row of a kind is met by some of them."""

from typing import Any

from hypothesis import strategies as st

from vcproxy.core import fields
from vcproxy.core.fields import Inside, Lens, Scope
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.objects import ITEMS, Node
from vcproxy.core.view import ClassLists

ALLOWED = frozenset({"fast", "slow"})
CLASSES = ClassLists(ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED)
NAMESPACES = frozenset(map(VirtualName, ("default", "web", "db")))


def scope(tenant: str = "acme", user: str = "ann") -> Scope:
    return Scope(TenantId(tenant), user, CLASSES, NAMESPACES, set(), "HOST-CA", "TENANT-CA")


labels = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
plain = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5))
label_maps = st.dictionaries(st.one_of(labels, st.just("kubernetes.io/metadata.name")), labels, min_size=1, max_size=3)
expressions = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.one_of(labels, st.just(fields.NAME_LABEL)),
            "operator": st.just("In"),
            "values": st.lists(labels, max_size=2),
        }
    ),
    min_size=1,
    max_size=2,
)
selectors = st.fixed_dictionaries({}, optional={"matchLabels": label_maps, "matchExpressions": expressions})
references = st.fixed_dictionaries(
    {"kind": st.sampled_from(["Pod", "Namespace", "Deployment"])},
    optional={"apiVersion": st.sampled_from(["v1", "apps/v1"]), "namespace": labels, "name": labels},
)

_BY_LENS = {
    "NAMESPACE": labels,
    "CLASS": st.one_of(labels, st.sampled_from(sorted(ALLOWED))),
    "VOLUME": st.one_of(labels, st.uuids().map(lambda uid: f"pvc-{uid}")),
    "REFERENCE": references,
    "HIDDEN": label_maps,
    "OWNER_LABEL": label_maps,
    "NAMESPACE_SELECTOR": selectors,
    "MANAGED_FIELDS": st.just([{"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}}}]),
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
    if lens is fields.STORAGE_CLASS:
        return st.one_of(labels, st.sampled_from(sorted(ALLOWED)), st.just(""))
    return _BY_LENS[lens.name]


def views(node: Node) -> st.SearchStrategy[Any]:
    """What a tenant may write at a node: values that its lenses know, and fields that no rule names."""
    here = [lens for lens in node.lenses if lens.name != "CLUSTER_SCOPED_EVENT"]
    if here and not (here[0].inside is Inside.FIELDS and node.children):
        return _value(here[0])
    if ITEMS in node.children:
        return st.lists(views(node.children[ITEMS]), max_size=3)
    known = {key: views(child) for key, child in node.children.items()}
    made = st.fixed_dictionaries({}, optional=known)
    if here:
        return st.builds(lambda first, second: {**first, **second}, _value(here[0]), made)
    return st.builds(lambda extra, inner: {**{f"x-{k}": v for k, v in extra.items()}, **inner}, extras, made)


extras = st.dictionaries(labels, st.one_of(plain, st.lists(plain, max_size=2)), max_size=2)
