"""What a tenant's object must not be, decided on the decoded body before anything of it is rewritten.

The same is refused again on the host by vcproxy's admission policy: docs/architecture.md, "Two walls".
"""

import re
from typing import Any, Final

from vcproxy.core import status
from vcproxy.core.apis import BUILT_IN, DEFINITIONS, OwnApis
from vcproxy.core.kinds import Exposure, Kind
from vcproxy.core.names import SYSTEM_NAMESPACE, TenantId, namespace_limit
from vcproxy.core.objects import group_of
from vcproxy.core.request import ApiRequest

LEGACY_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 - the name of a type
FORMS: Final = {
    "label": (
        "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{}')",
    ),
    "subdomain": (
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{}')",
    ),
}
"""Forms of names: pattern, and the words of apimachinery's IsDNS1123Label and IsDNS1123Subdomain."""
LONGEST_NAME: Final = 253
GENERATED_BASE: Final = 58
"""Characters that the API server keeps of a generateName (names.maxGeneratedNameLength)."""


def check(
    document: Any,
    request: ApiRequest,
    row: Kind,
    kind: tuple[str, str],
    tenant: TenantId,
    exported: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The body of a create, update or apply, if it may go on. `kind` is the (group, kind) that is expected.

    `exported` are groups of which the provider gives kinds to all tenants.
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
    if row.exposure is Exposure.PRIVATE:
        _check_form(metadata or {}, request, row)
    if row.key == DEFINITIONS:
        _check_definition(document, request, BUILT_IN | exported)
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


def _check_definition(document: dict[str, Any], request: ApiRequest, taken: frozenset[str]) -> None:
    """A CustomResourceDefinition: its group is none of the host's, and nothing of it leads out of the tenant."""
    spec = document.get("spec")
    name = str((document.get("metadata") or {}).get("name") or request.name)
    if not isinstance(spec, dict):
        return  # the host says what is missing; of a patch there may be less
    group = spec.get("group")
    if group in taken:
        message = f"the group {group!r} is one of this cluster's own: define the kind in a group of yours"
        raise _definition_refused(name, message)
    conversion = spec.get("conversion")
    strategy = conversion.get("strategy", "None") if isinstance(conversion, dict) else "None"
    if strategy != "None":
        message = "conversion webhooks are not supported yet: use the strategy None"
        raise _definition_refused(name, message)


def _definition_refused(name: str, message: str) -> status.ApiError:
    subject = f'{status.qualified(*DEFINITIONS)} "{name}"'
    return status.forbidden(f"{subject} is forbidden: {message}", *DEFINITIONS, name)


def defines(request: ApiRequest, own: OwnApis) -> bool:
    """Whether a request adds a definition, as far as its path tells: an apply makes what is not there."""
    adds = request.verb == "create" or (request.verb == "patch" and request.name not in own.definitions)
    return (request.group, request.resource) == DEFINITIONS and adds and not request.parameter("dryRun")


def check_count(request: ApiRequest, own: OwnApis, most: int, under_way: int = 0) -> None:
    """Raises ApiError 403 where a tenant would define more kinds than it may: each costs the host's memory.

    `under_way` are those that count although nobody has told of them yet.
    """
    held = len(own.definitions) + under_way
    if defines(request, own) and held >= most:
        message = f"this cluster may define {most} kinds and has {held}: delete one, or ask its provider for more"
        raise status.forbidden(
            f"{status.qualified(*DEFINITIONS)} is forbidden: exceeded quota: {message}", *DEFINITIONS
        )


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


def _check_form(metadata: dict[str, Any], request: ApiRequest, row: Kind) -> None:
    """Refuse here what the host would refuse: its words would name the object as it is called there."""
    pattern, words = FORMS["label" if row.key == ("", "namespaces") else "subdomain"]
    name, base = metadata.get("name") or request.name, metadata.get("generateName") or ""
    field, text = ("name", name) if name else ("generateName", base)
    if text and not re.fullmatch(pattern, text[:LONGEST_NAME] if name else f"{text[:LONGEST_NAME]}x"):
        message = f'Invalid value: "{text}": {words.format(pattern)}'
        raise status.invalid(row.group, row.kind, text, f"metadata.{field}", message)
