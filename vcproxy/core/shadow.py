"""Shadow kinds: what a tenant sees as a built-in kind stands on the host as a custom resource of vcproxy's own.

It has no effect there: the host's authorizer never hears of a tenant's roles. Objects of cluster scope stand in the
tenant's system namespace. docs/architecture.md, "Kinds".
"""

import contextlib
import copy
import re
from functools import lru_cache
from typing import Any, Final

import msgspec

from vcproxy.core import fields_shadow, gojson, objects, owners, printers, requirements, status
from vcproxy.core.escape import LIMIT, escape, unescape
from vcproxy.core.fields_names import namespace_up
from vcproxy.core.fields_shadow import SHADOW_GROUP, SHADOW_VERSION
from vcproxy.core.kinds import Kind
from vcproxy.core.names import SYSTEM_NAMESPACE, HostName, TenantId, VirtualName, up
from vcproxy.core.objects import Direction
from vcproxy.core.protobuf_schema import HIDDEN
from vcproxy.core.request import resource_path
from vcproxy.core.requirements import FieldTerm
from vcproxy.core.rules import COMMON
from vcproxy.core.scope import Scope

Object = dict[str, Any]
_RBAC: Final = "rbac.authorization.k8s.io"
_RULED: Final = frozenset({"Role", "ClusterRole"})
_token = re.compile(r"(?<![-.a-z0-9])((?:[a-z]+\.)?)shadow\.vcproxy\.io(?![-.a-z0-9])", re.IGNORECASE)
_subdomain = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")


def place(row: Kind, namespace: VirtualName) -> VirtualName:
    """The namespace in which an object stands, as if the system namespace were one of the tenant's."""
    return namespace if row.namespaced else SYSTEM_NAMESPACE


def path(row: Kind, tenant: TenantId, namespace: VirtualName, name: str = "") -> str:
    """The path on the host; `name` is the tenant's."""
    host = up(tenant, place(row, namespace))
    return resource_path(SHADOW_GROUP, SHADOW_VERSION, row.resource, HostName(host), escape(name))


def stored(row: Kind) -> Kind:
    """The row of the custom resource: namespaced, whatever the scope that a tenant sees."""
    return msgspec.structs.replace(row, group=SHADOW_GROUP, namespaced=True)


def fields_up(text: str | None, row: Kind, scope: Scope) -> str:
    """A field selector for the host: names escaped; what an object of cluster scope has no namespace of is left out."""
    terms = [_field_up(term, row, scope) for term in requirements.parse_fields(text or "")]
    return ",".join(term.render() for term in terms if term is not None)


def _field_up(term: FieldTerm, row: Kind, scope: Scope) -> FieldTerm | None:
    if term.field == "metadata.name":
        return FieldTerm(term.field, term.operator, escape(term.value))
    if term.field == "metadata.namespace" and row.namespaced:
        return FieldTerm(term.field, term.operator, namespace_up(term.value, scope) if term.value else "")
    raise status.bad_request(f"field label not supported: {term.field}")


def tree_of(row: Kind) -> objects.Node:
    """The rules of a kind, both ways."""
    return _tree(f"{row.group}/v1", row.namespaced)


@lru_cache(maxsize=64)
def _tree(view: str, namespaced: bool) -> objects.Node:
    own = fields_shadow.rows(view, namespaced=namespaced)
    if not namespaced:
        own = (*own, ("metadata.ownerReferences[]", owners.CLUSTER_OWNER))
    named = {path for path, _ in own}
    return objects.tree((*own, *(common for common in COMMON if common[0] not in named)))


# Objects -------------------------------------------------------------------------------------------------------------


def to_host(document: Object, row: Kind, scope: Scope) -> Object:
    """An object of a tenant as it is stored. Raises ApiError 403 for labels that are reserved, 422 for long names."""
    made: Object = objects.rewrite(tree_of(row), defaulted(document), Direction.UP, scope)
    name = made.get("metadata", {}).get("name") or ""
    if len(name) > LIMIT:
        message = f"must be no more than {LIMIT} characters, where each but a-z, 0-9, dot and hyphen counts for five"
        raise status.invalid(row.group, row.kind, unescape(name), "metadata.name", message)
    return made


def to_view(document: Object, row: Kind, scope: Scope) -> Object:
    """What is stored as the tenant sees it; changed in place."""
    made: Object = objects.object_down(tree_of(row), document, scope, SHADOW_GROUP)
    _forget_version(made)
    if row.kind in _RULED:
        made["rules"] = made.get("rules") or None  # the API server shows them in any case, and none as null
    return made


def _forget_version(document: Object) -> None:
    """An apply is sent for the very version that was judged; that is not what the tenant applied."""
    text = last_applied(document)
    if not text or '"resourceVersion"' not in text:
        return
    with contextlib.suppress(msgspec.DecodeError, RecursionError, AttributeError, KeyError):
        applied = msgspec.json.decode(text)
        del applied["metadata"]["resourceVersion"]
        made = gojson.encode(applied) + ("\n" if text[-1] == "\n" else "")
        document["metadata"]["annotations"][objects.LAST_APPLIED] = made


def patch_up(patch: Object, row: Kind, scope: Scope) -> Object:
    """The body of a server-side apply as the host gets it."""
    made: Object = objects.rewrite(tree_of(row), defaulted(patch), Direction.UP, scope)
    return made


def last_applied(document: Object) -> str | None:
    """The text of kubectl's annotation."""
    annotations = printers.metadata(document).get("annotations")
    text = annotations.get(objects.LAST_APPLIED) if isinstance(annotations, dict) else None
    return text if isinstance(text, str) else None


def keep_applied(patch: Object, stored: Object, row: Kind, scope: Scope) -> None:
    """An apply of the annotation as it was shown is one of the annotation as it is stored: `objects.last_applied_up`.

    `patch` is for the host already, and changed in place. What is stored names the version that was judged.
    """
    text, wanted = last_applied(stored), last_applied(patch)
    if text and wanted == last_applied(to_view(copy.deepcopy(stored), row, scope)):
        patch["metadata"]["annotations"][objects.LAST_APPLIED] = text


def defaulted(document: Object) -> Object:
    """A copy with the API server's defaults (k8s.io/kubernetes/pkg/apis/rbac/v1: SetDefaults_Subject).

    What is empty and optional is left out, as in an object that the API server has read.
    """
    made = copy.deepcopy(document)
    for part, optional in _OPTIONAL.items():
        for item in _items(made, part):
            for key in [key for key in optional if key in item and not item[key]]:
                del item[key]
    for subject in _items(made, "subjects"):
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = _RBAC
    reference = made.get("roleRef")
    if isinstance(reference, dict) and not reference.get("apiGroup"):
        reference["apiGroup"] = _RBAC
    return made


_SERVERS: Final = ("creationTimestamp", "deletionTimestamp", "managedFields")
"""What of metadata the API server alone decides, or keeps where a writer leaves it out."""


def plain(decoded: Any) -> Any:
    """A body that came as protobuf as the JSON that it stands for: times have none there and are not needed."""
    document = _shown(decoded)
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if isinstance(metadata, dict):
        document["metadata"] = {key: value for key, value in metadata.items() if key not in _SERVERS}
    return document


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(inner) for key, inner in value.items() if not str(key).startswith(HIDDEN)}
    return [_shown(inner) for inner in value] if isinstance(value, list) else value


_OPTIONAL: Final = {
    "rules": ("apiGroups", "resources", "resourceNames", "nonResourceURLs"),
    "subjects": ("apiGroup", "namespace"),
}


def _items(document: Object, part: str) -> list[Object]:
    found = document.get(part)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def check(document: Object, row: Kind) -> None:
    """What custom resources cannot check. Raises ApiError 422 as the API server would (pkg/apis/rbac/validation)."""
    name = str((document.get("metadata") or {}).get("name") or "")
    if problem := path_segment(name):
        raise status.invalid(row.group, row.kind, name, "metadata.name", problem)
    subjects = document.get("subjects")
    for index, subject in enumerate(subjects if isinstance(subjects, list) else ()):
        if isinstance(subject, dict) and subject.get("kind") == "ServiceAccount":
            account = str(subject.get("name") or "")
            if account and not _subdomain.match(account):
                message = f'Invalid value: "{account}": a lowercase RFC 1123 subdomain must consist of lower case'
                message += " alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
                raise status.invalid(row.group, row.kind, name, f"subjects[{index}].name", message)


def path_segment(name: str) -> str | None:
    """What is wrong with a name (k8s.io/apimachinery/pkg/api/validation/path.IsValidPathSegmentName)."""
    if name in (".", ".."):
        return f'Invalid value: "{name}": may not be {name!r}'
    wrong = [f"may not contain '{sign}'" for sign in "/%" if sign in name]
    return f'Invalid value: "{name}": {", ".join(wrong)}' if wrong else None


def status_to_view(document: Object, row: Kind, name: str, scope: Scope) -> Object:
    """A Status of the host in words of the kind that the tenant knows. `name` is the object's, as the tenant has it."""
    made = objects.status_to_view(document, scope)
    made["message"] = _text(str(made.get("message", "")), row, name)
    details = made.get("details")
    if isinstance(details, dict):
        if details.get("group") == SHADOW_GROUP:
            details["group"] = row.group
        if isinstance(details.get("name"), str):
            details["name"] = unescape(details["name"])
        for cause in details.get("causes") or ():
            if isinstance(cause, dict) and isinstance(cause.get("message"), str):
                cause["message"] = _text(cause["message"], row, name)
    return made


def _text(message: str, row: Kind, name: str) -> str:
    """Free text: names of our own resources and of the object, each only where it stands as a whole."""
    known = _token.sub(lambda match: f"{match[1]}{row.group}", message)
    host = escape(name)
    return known if host == name else re.sub(rf"(?<![-.a-z0-9]){re.escape(host)}(?![-.a-z0-9])", lambda _: name, known)


def matches(document: Object, labels: str | None, fields: str | None) -> bool:
    """Whether an object that is not on the host is what selectors ask for. Raises ApiError 400."""
    metadata = printers.metadata(document)
    named = {"metadata.name": metadata.get("name", ""), "metadata.namespace": metadata.get("namespace", "")}
    terms = requirements.parse_fields(fields or "")
    if not all((named.get(term.field) == term.value) == (term.operator == "=") for term in terms):
        return False
    own = metadata.get("labels") or {}
    return all(requirements.matches(term, own) for term in requirements.parse(labels or ""))
