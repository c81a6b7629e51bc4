"""What a tenant's object must not be, decided on the decoded body before anything of it is rewritten.

The same is refused again on the host by vcproxy's admission policy: docs/architecture.md, "Two walls".
"""

from typing import Any, Final

from vcproxy.core import status
from vcproxy.core.kinds import Kind
from vcproxy.core.names import SYSTEM_NAMESPACE, TenantId, namespace_limit
from vcproxy.core.objects import group_of
from vcproxy.core.request import ApiRequest

LEGACY_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 - the name of a type
GENERATED_BASE: Final = 58
"""Characters that the API server keeps of a generateName (names.maxGeneratedNameLength)."""


def check(document: Any, request: ApiRequest, row: Kind, kind: tuple[str, str], tenant: TenantId) -> dict[str, Any]:
    """The body of a create, update or apply, if it may go on. `kind` is the (group, kind) that is expected.

    Raises ApiError: 400 for what is not one object of that kind with the names of the URL, 403 and 422 for what a
    tenant may not make.
    """
    if not isinstance(document, dict):
        raise status.bad_request("the body must be one object")
    _check_type(document, request, kind)
    metadata = document.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise status.bad_request("metadata must be an object")
    _check_names(metadata or {}, request, row)
    if row.key == ("", "namespaces"):
        _check_namespace(metadata or {}, request, tenant)
    if row.key == ("", "secrets") and document.get("type") == LEGACY_TOKEN:
        message = f"secrets of type {LEGACY_TOKEN} are not supported: request a token for the ServiceAccount instead"
        raise status.forbidden(f"secrets is forbidden: {message}", "", "secrets")
    return document


def _check_type(document: dict[str, Any], request: ApiRequest, kind: tuple[str, str]) -> None:
    """What a body says that it is must be what the path says; a body may leave it out (the API server fills it in)."""
    version, name = document.get("apiVersion"), document.get("kind")
    if name is not None and name != kind[1]:
        raise status.bad_request(
            f"{kind[1]} in version {request.version!r} cannot be handled as what the body says it is"
        )
    expected = f"{request.group}/{request.version}" if request.group else request.version
    if version is None or version == expected or (request.subresource and group_of(str(version)) == kind[0]):
        return
    raise status.bad_request(f"the API version in the data does not match the expected API version ({expected})")


def _check_names(metadata: dict[str, Any], request: ApiRequest, row: Kind) -> None:
    for key in ("name", "namespace", "generateName"):
        if not isinstance(metadata.get(key, ""), str | None):
            raise status.bad_request(f"metadata.{key} must be a text")
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if request.name and name and name != request.name:
        raise status.bad_request("the name of the object does not match the name on the URL")
    if row.namespaced and namespace and namespace != request.namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if not row.namespaced and namespace:
        raise status.bad_request("namespace is not allowed on this type")


def _check_namespace(metadata: dict[str, Any], request: ApiRequest, tenant: TenantId) -> None:
    name, base = metadata.get("name") or request.name, metadata.get("generateName") or ""
    limit = namespace_limit(tenant)
    if name == SYSTEM_NAMESPACE:
        raise status.forbidden(f'namespaces "{name}" is forbidden: this name is reserved', "", "namespaces", name)
    if len(name) > limit:
        raise status.invalid("", "Namespace", name, "metadata.name", f"must be no more than {limit} characters")
    if not name and len(base) > limit - (63 - GENERATED_BASE):
        limit -= 63 - GENERATED_BASE
        raise status.invalid("", "Namespace", base, "metadata.generateName", f"must be no more than {limit} characters")
