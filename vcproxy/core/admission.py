"""What the host's mutating webhook answers for a Pod or a claim of a tenant: an AdmissionReview in, one out.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ (request, response).
"""

import base64
from collections.abc import Callable
from typing import Any, Final

import msgspec

from vcproxy.core import classes, pods_admission
from vcproxy.core.classes import Classes
from vcproxy.core.names import HostName, TenantId, VirtualName, down, tenant_id
from vcproxy.core.pods import Facts, Object
from vcproxy.core.status import ApiError, bad_request

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"


class _Resource(msgspec.Struct):
    group: str
    version: str
    resource: str


class Request(msgspec.Struct, rename="camel"):
    """The part of an AdmissionRequest that is needed; `object` and `old_object` are Pods or claims."""

    uid: str
    resource: _Resource
    operation: str
    namespace: str
    object: Object
    old_object: Object | None = None
    sub_resource: str = ""

    @property
    def about(self) -> tuple[str, str, str]:
        """Group, version and resource."""
        return self.resource.group, self.resource.version, self.resource.resource


class _Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: Request


PODS: Final = ("", "v1", "pods")
CLAIMS: Final = ("", "v1", "persistentvolumeclaims")
ClassesOf = Callable[[TenantId], Classes]
_reviews = msgspec.json.Decoder(_Review)


def read(raw: bytes) -> Request:
    """The request in a review. Raises ApiError 400 for anything but the review of a write of a Pod or a claim."""
    try:
        review = _reviews.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise bad_request(f"the body is no {KIND} of {API_VERSION} with an object") from None
    asked = review.request
    if (review.api_version, review.kind) != (API_VERSION, KIND):
        raise bad_request(f"the body is no {KIND} of {API_VERSION}")
    if asked.about not in (PODS, CLAIMS):
        raise bad_request("only writes of Pods and of PersistentVolumeClaims (v1) are reviewed here")
    if asked.operation not in ("CREATE", "UPDATE") or (asked.operation == "UPDATE" and asked.old_object is None):
        raise bad_request("only CREATE and UPDATE are reviewed here")
    if not isinstance(asked.object.get("metadata"), dict) or not isinstance(asked.object.get("spec"), dict):
        raise bad_request("the object has no metadata or no spec")
    return asked


def answer(raw: bytes, facts: Facts, classes_of: ClassesOf) -> bytes:
    """The answer to a review. `classes_of` tells which classes a tenant has. Raises ApiError 400."""
    asked = read(raw)
    response: Object = {"uid": asked.uid, "allowed": True}
    try:
        patch = json_patch(asked.object, _wanted(asked, facts, classes_of))
    except ApiError as refusal:
        response |= {"allowed": False, "status": {"code": refusal.status.code, "message": refusal.status.message}}
        patch = []
    if patch:
        text = base64.b64encode(msgspec.json.encode(patch)).decode()
        response |= {"patchType": "JSONPatch", "patch": text}
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})


def _wanted(asked: Request, facts: Facts, classes_of: ClassesOf) -> Object:
    tenant, namespace = owner(asked.namespace)
    if asked.about == CLAIMS:
        return classes.claim(asked.object, tenant, classes_of(tenant))
    if asked.operation == "CREATE":
        made = pods_admission.created(asked.object, tenant, namespace, facts)
        return classes.pod(made, tenant, classes_of(tenant))
    return pods_admission.updated(asked.object, asked.old_object or {}, tenant)


def owner(namespace: str) -> tuple[TenantId, VirtualName]:
    """Tenant and its own name of a host namespace. Raises ApiError 400 where it is no tenant's."""
    try:
        tenant = tenant_id(namespace.partition("-")[0])
    except ValueError:
        raise bad_request(f"the namespace {namespace!r} is not one of a tenant") from None
    name = down(tenant, HostName(namespace))
    if name is None:
        raise bad_request(f"the namespace {namespace!r} is not one of a tenant")
    return tenant, name


# The patch -----------------------------------------------------------------------------------------------------------


def json_patch(before: Object, after: Object) -> list[Object]:
    """From one object to the other, as a JSON Patch (RFC 6902) of whole members of metadata and spec."""
    return [
        operation
        for part in ("metadata", "spec")
        for key in sorted({*before[part], *after[part]})
        if (operation := _operation(f"/{part}/{key}", before[part].get(key), after[part].get(key))) is not None
    ]


def _operation(path: str, before: Any, after: Any) -> Object | None:
    if before == after:
        return None
    return {"op": "remove", "path": path} if after is None else {"op": "add", "path": path, "value": after}
