"""Nodes, and what follows them (CSINode, ResourceSlice), as a tenant may see them: which, and what of each. Pure.

They are the provider's: one object for all tenants, under its own name, only to be read. Of what they hold a tenant
does not get what tells of others: images, volumes, notes of the provider's programs, and every label, annotation and
taint that names another tenant. docs/security.md, "Nodes".
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vcproxy.core import requirements
from vcproxy.core.names import HIDDEN_LABEL, RESERVED_PREFIX, TenantId
from vcproxy.core.requirements import FieldTerm, Requirement
from vcproxy.core.status import bad_request

Object = dict[str, Any]
Labels = Mapping[str, str]

NODES: Final = ("", "nodes")
CSI_NODES: Final = ("storage.k8s.io", "csinodes")
SLICES: Final = ("resource.k8s.io", "resourceslices")
FIELDS: Final[Mapping[tuple[str, str], Mapping[str, tuple[str, str]]]] = MappingProxyType(
    {
        NODES: {"metadata.name": ("metadata", "name"), "spec.unschedulable": ("spec", "unschedulable")},
        CSI_NODES: {"metadata.name": ("metadata", "name")},
        SLICES: {
            "metadata.name": ("metadata", "name"),
            "spec.nodeName": ("spec", "nodeName"),
            "spec.driver": ("spec", "driver"),
        },
    }
)
"""The fields that field selectors of these kinds may name, and where they stand."""


class Selection(msgspec.Struct, frozen=True):
    """The nodes that a tenant may use (`spec.nodes` of a Tenant): those that fulfil all terms; without terms, all.

    `since` is the resourceVersion up to which it may have been another one: who watches from before it lists again.
    """

    terms: tuple[Requirement, ...] = ()
    since: int = 0

    def holds(self, labels: Labels) -> bool:
        return all(requirements.matches(term, labels) for term in self.terms)


EVERY: Final = Selection()
NONE: Final = (Requirement("vcproxy.io/nothing", "exists"), Requirement("vcproxy.io/nothing", "!"))
"""Terms that no labels fulfil."""
_FORMS: Final = {"In": 1, "NotIn": 1, "Exists": 0, "DoesNotExist": 0}
_NO_LABELS: Final[Labels] = MappingProxyType({})


def selection(spec: Any, since: int = 0) -> Selection:
    """The Selection of a LabelSelector; absent means every node, and what cannot be understood none. Never raises."""
    if spec is None:
        return Selection((), since)
    terms = requirements.of_document(spec) if _understood(spec) else NONE
    return Selection(terms if all(map(requirements.well_formed, terms)) else NONE, since)


def _understood(spec: Any) -> bool:
    if not isinstance(spec, dict) or not spec.keys() <= {"matchLabels", "matchExpressions"}:
        return False
    pairs, expressions = spec.get("matchLabels") or {}, spec.get("matchExpressions") or []
    if not isinstance(pairs, dict) or not isinstance(expressions, list):
        return False
    return all(isinstance(value, str) for value in pairs.values()) and all(map(_is_expression, expressions))


def _is_expression(one: Any) -> bool:
    if not isinstance(one, dict) or one.get("operator") not in _FORMS or not isinstance(one.get("key"), str):
        return False
    values = one.get("values") or []
    texts = isinstance(values, list) and all(isinstance(value, str) for value in values)
    return texts and bool(values) == bool(_FORMS[one["operator"]])


class Sight(msgspec.Struct, frozen=True):
    """What a tenant may see of nodes. All but `selection` is live, the same for all tenants.

    `nodes` are the labels of all nodes by name, `gone` those of nodes that were deleted a short while ago: what follows
    them is deleted a moment later. `tenants` are the ids of all tenants. `changed` tells which nodes of a selection
    have had other labels since a resourceVersion, None where that is not known; `reached` the newest that is known of.
    """

    selection: Selection = EVERY
    nodes: Mapping[str, Labels] = MappingProxyType({})
    tenants: Collection[str] = frozenset()
    gone: Mapping[str, Labels] = MappingProxyType({})
    changed: Callable[[Selection, int], Collection[str] | None] = lambda selection, version: ()
    reached: Callable[[], int] = lambda: 0

    def sees_node(self, name: Any) -> bool:
        """Whether a node is the tenant's, and there; asked only where it may not see all."""
        labels = self.nodes.get(name, self.gone.get(name))
        return labels is not None and self.selection.holds(labels)


# Which ---------------------------------------------------------------------------------------------------------------


def visible(document: Object, key: tuple[str, str], sight: Sight) -> bool:
    """Whether an object of the host is one that the tenant may see. `key` is (group, resource)."""
    metadata, spec = _mapping(document.get("metadata")), _mapping(document.get("spec"))
    labels = _mapping(metadata.get("labels"))
    if not sight.selection.terms or HIDDEN_LABEL in labels:
        return HIDDEN_LABEL not in labels
    if key == NODES:
        return sight.selection.holds(labels)
    if key == CSI_NODES:
        return sight.sees_node(metadata.get("name"))
    if spec.get("perDeviceNodeSelection"):
        return any(_reaches(device, sight) for device in _objects(spec.get("devices")))
    return _reaches(spec, sight)


def placed(document: Object, key: tuple[str, str]) -> Object:
    """What `visible` looks at, alone."""
    metadata, spec = _mapping(document.get("metadata")), _mapping(document.get("spec"))
    head = {"name": metadata.get("name"), "labels": dict(_mapping(metadata.get("labels")))}
    if key != SLICES:
        return {"metadata": head}
    places = [{name: one[name] for name in _PLACES if name in one} for one in (spec, *_objects(spec.get("devices")))]
    several = {"perDeviceNodeSelection": bool(spec.get("perDeviceNodeSelection")), "devices": places[1:]}
    return {"metadata": head, "spec": {**places[0], **several}}


def concerns(place: Object, key: tuple[str, str], name: str, sight: Sight) -> bool:
    """Whether other labels of a node matter to what follows it, of which `place` is what `placed` says.

    What follows one node alone is deleted with it, and tells of that itself.
    """
    of_one = place["metadata"]["name"] if key == CSI_NODES else place["spec"].get("nodeName")
    return of_one is None or (of_one == name and name not in sight.gone)


def _reaches(place: Object, sight: Sight) -> bool:
    """Whether a ResourceSlice, or one of its devices, can be used on a node of the tenant's."""
    if place.get("nodeName"):
        return sight.sees_node(place["nodeName"])
    own = ((name, labels) for name, labels in sight.nodes.items() if sight.selection.holds(labels))
    if place.get("allNodes"):
        return any(True for _ in own)
    terms = _objects(_mapping(place.get("nodeSelector")).get("nodeSelectorTerms"))
    return any(_selects(term, name, labels) for name, labels in own for term in terms)


def _selects(term: Object, name: str, labels: Labels) -> bool:
    """Whether a NodeSelectorTerm selects a node (k8s.io/component-helpers/scheduling/corev1/nodeaffinity)."""
    expressions, fields = _objects(term.get("matchExpressions")), _objects(term.get("matchFields"))
    if not expressions and not fields:
        return False
    named = {"metadata.name": name}
    return all(_fulfils(one, labels) for one in expressions) and all(_fulfils(one, named) for one in fields)


_PLACES: Final = ("allNodes", "nodeName", "nodeSelector")
_NODE_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": ">", "Lt": "<"}


def _fulfils(one: Object, labels: Labels) -> bool:
    operator = _NODE_OPERATORS.get(str(one.get("operator")), "in")
    values = tuple(map(str, one.get("values") or ()))
    if operator in (">", "<") and len(values) != 1:
        return False
    return requirements.matches(Requirement(str(one.get("key")), operator, values), labels)


def view(document: Object, key: tuple[str, str], tenant: TenantId, sight: Sight) -> Object | None:
    """An object of the host as the tenant sees it, None where it does not; changed in place."""
    return shown(stripped(document, key), key, tenant, sight) if visible(document, key, sight) else None


class Chosen(msgspec.Struct, frozen=True):
    """What a client selects, of what its tenant sees. `key` is (group, resource)."""

    key: tuple[str, str]
    terms: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    @classmethod
    def of(cls, key: tuple[str, str], query: Iterable[tuple[str, str]]) -> "Chosen":
        """The selectors of a query, as the client wrote them. Raises ApiError 400."""
        pairs = dict(query)
        fields = requirements.parse_fields(pairs.get("fieldSelector", ""))
        for term in fields:
            if term.field not in FIELDS[key]:
                raise bad_request(f"field label not supported: {term.field}")
        return cls(key, requirements.parse(pairs.get("labelSelector", "")), fields)

    def holds(self, view: Object) -> bool:
        labels = _mapping(_mapping(view.get("metadata")).get("labels"))
        return all(requirements.matches(term, labels) for term in self.terms) and all(
            (_at(view, term, self.key) == term.value) == (term.operator == "=") for term in self.fields
        )


def _at(view: Object, term: FieldTerm, key: tuple[str, str]) -> str:
    path = FIELDS[key][term.field]
    value = _mapping(view.get(path[0])).get(path[1])
    if path[1] == "unschedulable":
        return "true" if value else "false"
    return "" if value is None else str(value)


# What of each --------------------------------------------------------------------------------------------------------

_OWN_KEYS: Final = frozenset(
    {
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node-role.kubernetes.io/control-plane",
        "node-role.kubernetes.io/master",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
"""Keys whose values tell what a machine is, not whose: https://kubernetes.io/docs/reference/labels-annotations-taints/"""
_OWN_PREFIX: Final = "node.kubernetes.io/"
_KUBERNETES: Final = ("kubernetes.io", "k8s.io")
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_STATUS: Final = ("config", "daemonEndpoints", "images", "volumesAttached", "volumesInUse")
"""What of a node's status is not shown: where its kubelet listens, and what runs there for whom."""

_RESTRICTED: Final = ".node-restriction.kubernetes.io"
"""Ends domains of labels that kubelets may not set: what stands before it is somebody's own."""

_word = re.compile(r"[a-z0-9]+")


def stripped(document: Object, key: tuple[str, str]) -> Object:
    """An object without what no tenant sees; changed in place. `named` tells what some must not see besides."""
    metadata = _mapping(document.get("metadata"))
    metadata.pop("managedFields", None)
    _keep(metadata, "labels", lambda name, value: not name.startswith(RESERVED_PREFIX))
    _keep(metadata, "annotations", lambda name, value: _is_kubernetes(name) and name != _APPLIED)
    owners = [one for one in _objects(metadata.get("ownerReferences")) if one.get("kind") == "Node"]
    if metadata.pop("ownerReferences", None) and owners:
        metadata["ownerReferences"] = owners
    if key == NODES:
        _strip_node(document)
    return document


def _strip_node(node: Object) -> None:
    spec, state = _mapping(node.get("spec")), _mapping(node.get("status"))
    spec.pop("configSource", None)
    for name in _STATUS:
        state.pop(name, None)
    _set(spec, "taints", [one for one in _taints(spec) if not str(one.get("key")).startswith(RESERVED_PREFIX)])


def words(document: Object) -> frozenset[str]:
    """The words that could be ids of tenants, of all that `shown` would look at."""
    metadata, spec = _mapping(document.get("metadata")), _mapping(document.get("spec"))
    pairs = [pair for part in ("labels", "annotations") for pair in _mapping(metadata.get(part)).items()]
    pairs += [(str(one.get("key")), one.get("value")) for one in _taints(spec)]
    texts = [_text(name, value) for name, value in pairs if not _is_own(name)]
    texts += [str(term) for term in _terms(spec)]
    return frozenset(word for text in texts for word in _word.findall(text.lower()))


def shown(document: Object, key: tuple[str, str], tenant: TenantId, sight: Sight) -> Object:
    """What a tenant sees of an object that is visible to it and stripped; changed in place."""
    if any(word in sight.tenants for word in words(document)):
        _hide_names(document, Names(tenant, sight.tenants))
    if key == SLICES and sight.selection.terms:
        spec = _mapping(document.get("spec"))
        if spec.get("perDeviceNodeSelection"):
            spec["devices"] = [device for device in _objects(spec.get("devices")) if _reaches(device, sight)]
    return document


class Names:
    """Which texts name tenants: another one's id as a word of its own, or the own id where it begins a host name."""

    def __init__(self, tenant: TenantId, tenants: Collection[str]) -> None:
        self._tenant = tenant
        self._tenants = tenants
        self._prefix = re.compile(rf"(?<![a-z0-9]){re.escape(tenant)}-", re.IGNORECASE)

    def stand_in(self, text: str) -> bool:
        found = (word for word in _word.findall(text.lower()) if word != self._tenant)
        return any(word in self._tenants for word in found) or self._prefix.search(text) is not None


def _hide_names(document: Object, names: Names) -> None:
    metadata, spec = _mapping(document.get("metadata")), _mapping(document.get("spec"))
    for part in ("labels", "annotations"):
        _keep(metadata, part, lambda name, value: _is_own(name) or not names.stand_in(_text(name, value)))
    taints = _taints(spec)
    _set(spec, "taints", [one for one in taints if _is_own(str(one.get("key"))) or not _taint_names(one, names)])
    for place in (spec, *_objects(spec.get("devices"))):
        terms = _objects(_mapping(place.get("nodeSelector")).get("nodeSelectorTerms"))
        kept = [term for term in terms if not names.stand_in(str(term))]
        if len(kept) != len(terms):
            _set(place, "nodeSelector", {"nodeSelectorTerms": kept} if kept else None)


def _taint_names(taint: Object, names: Names) -> bool:
    return names.stand_in(_text(str(taint.get("key")), taint.get("value")))


def _terms(spec: Object) -> Iterable[Object]:
    places = (spec, *_objects(spec.get("devices")))
    return (term for place in places for term in _objects(_mapping(place.get("nodeSelector")).get("nodeSelectorTerms")))


def _is_own(name: str) -> bool:
    return name in _OWN_KEYS or name.startswith(_OWN_PREFIX)


def _is_kubernetes(name: str) -> bool:
    domain, slash, _ = name.partition("/")
    return bool(slash) and (domain in _KUBERNETES or domain.endswith(tuple(f".{one}" for one in _KUBERNETES)))


def _text(name: str, value: Any) -> str:
    """What of a label could name a tenant. Domains of Kubernetes' own say nothing, nor does the end of another."""
    domain, _, rest = name.rpartition("/")
    if domain.endswith(_RESTRICTED):
        domain = domain.removesuffix(_RESTRICTED)
    elif _is_kubernetes(name):
        domain = ""
    else:
        domain = domain.rpartition(".")[0] or domain
    return f"{domain} {rest} {value or ''}"


def hides(name: str) -> bool:
    """Whether a label of that name may be hidden from some tenants: then only its view can tell what it selects."""
    return not _is_own(name)


def _keep(parent: Object, part: str, wanted: Any) -> None:
    found = _mapping(parent.get(part))
    _set(parent, part, {name: value for name, value in found.items() if wanted(str(name), value)})


def _set(parent: Object, part: str, value: Any) -> None:
    """What is empty is left out, as the API server leaves it out."""
    if value:
        parent[part] = value
    else:
        parent.pop(part, None)


def _taints(spec: Object) -> list[Object]:
    return _objects(spec.get("taints"))


def _mapping(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Object]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
