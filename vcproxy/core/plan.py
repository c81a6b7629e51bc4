"""What is to be done with a request: a pure decision, as a value that can be printed and compared.

`decide` sees the parsed request, the tenant at this moment and nothing else; it never sees bytes of a body. Whatever it
does not name is denied.
"""

from enum import Enum
from typing import Final

import msgspec

from vcproxy.core import kinds, private, requirements, selectors, status, tokenrequests
from vcproxy.core.apis import DEFINITIONS, OwnApis, host_group
from vcproxy.core.exported import Exports
from vcproxy.core.fields_groups import DEFINITION
from vcproxy.core.kinds import Kind
from vcproxy.core.names import (
    DNS_LABEL_LIMIT,
    PROTECTED_NAMESPACES,
    SYSTEM_NAMESPACE,
    HostName,
    TenantId,
    VirtualName,
    up,
)
from vcproxy.core.nodes import Chosen
from vcproxy.core.request import ApiRequest, render_query, resource_path
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError, Status

Pairs = tuple[tuple[str, str], ...]


class Identity(Enum):
    """As whom the host is asked: as the tenant (impersonated), or as the proxy's own read identity."""

    TENANT = "tenant"
    READER = "reader"


class BodyUse(Enum):
    NONE = "none"
    OBJECT = "object"
    PATCH = "patch"
    OPTIONS = "options"


class Document(Enum):
    """What the proxy answers by itself."""

    DISCOVERY = "discovery"
    OPENAPI = "openapi"
    VERSION = "version"
    HEALTH = "health"
    PATHS = "paths"
    REVIEW = "review"
    ISSUER = "issuer"
    ISSUER_KEYS = "issuer-keys"


class Position(msgspec.Struct, frozen=True):
    """Where a chunked list goes on: the namespace (empty for one list), the host's token, the resourceVersion."""

    namespace: str
    token: str
    resource_version: str


class Deny(msgspec.Struct, frozen=True, tag=True):
    status: Status


class Answer(msgspec.Struct, frozen=True, tag=True):
    document: Document


class Forward(msgspec.Struct, frozen=True, tag=True):
    """One request to the host. `namespace` is the host's; `body_kind` is the (group, kind) of the body and its rules.

    `name` is the object's, as the tenant has it.

    `beside`: queries of what is listed beside a tenant's own objects of a Private kind.

    `stream` bodies are bytes of a container. `create_first`: a Namespace that is not there yet; on the host the tenant
    may patch it only once it exists.
    """

    row: Kind
    method: str
    path: str
    query: Pairs
    identity: Identity
    body: BodyUse = BodyUse.NONE
    body_kind: tuple[str, str] = ("", "")
    namespace: str = ""
    stream: bool = False
    create_first: bool = False
    name: str = ""
    beside: tuple[Pairs, ...] = ()

    @property
    def target(self) -> str:
        return self.path + render_query(list(self.query))


class Tunnel(msgspec.Struct, frozen=True, tag=True):
    """A switch of protocols: exec, attach or port-forward of a pod of the tenant's."""

    row: Kind
    method: str
    path: str
    query: Pairs
    namespace: str

    @property
    def target(self) -> str:
        return self.path + render_query(list(self.query))


class Proxy(msgspec.Struct, frozen=True, tag=True):
    """HTTP to a pod or service of the tenant's, through the host. `method` is the client's own.

    `shown` is what stands for `path` in the tenant's view: the host writes `path` into pages that it passes on.
    """

    row: Kind
    method: str
    path: str
    tail: str
    query: Pairs
    namespace: str
    shown: str

    @property
    def target(self) -> str:
        return self.path + self.tail + render_query(list(self.query))


class List(msgspec.Struct, frozen=True, tag=True):
    """One list over several namespaces (virtual, in order), each asked for with `query`, merged."""

    row: Kind
    version: str
    namespaces: tuple[VirtualName, ...]
    query: Pairs
    limit: int = 0
    position: Position | None = None


class Watch(msgspec.Struct, frozen=True, tag=True):
    """A watch: of cluster-scoped objects (one host watch), or of the namespaces named, or of all (`None`).

    `beside`: queries of what is watched beside a tenant's own objects of a Private kind.
    """

    row: Kind
    version: str
    query: Pairs
    identity: Identity
    namespaces: tuple[VirtualName, ...] | None = ()
    beside: tuple[Pairs, ...] = ()


class Shadow(msgspec.Struct, frozen=True, tag=True):
    """A request about a Shadow kind. `name` is the tenant's; `namespaces` too, `None` stands for all.

    Of a kind of cluster scope `namespaces` is the one without a name. `absent`: what is asked for is in a namespace
    that does not exist.
    """

    row: Kind
    verb: str
    name: str
    query: Pairs
    namespaces: tuple[VirtualName, ...] | None
    absent: bool = False


Plan = Deny | Answer | Forward | List | Watch | Tunnel | Proxy | Shadow

_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_LIST: Final = ("limit", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "includeObject")
_WATCH: Final = (*_LIST[1:], "allowWatchBookmarks", "sendInitialEvents")
_DELETE: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_LOG: Final = (
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "stream",
    "tailLines",
    "timestamps",
)
_TUNNELS: Final = {
    "attach": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "portforward": ("ports",),
}
"""Subresources that switch protocols, with the query parameters that pass."""
PARAMETERS: Final = {
    "get": ("resourceVersion", "includeObject"),
    "list": _LIST,
    "watch": _WATCH,
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, "force"),
    "delete": _DELETE,
    "deletecollection": (*_DELETE, *_LIST),
}
"""Query parameters that pass, by verb; selectors and `continue` are rendered anew, everything else is dropped."""

_BODY: Final = {
    "create": BodyUse.OBJECT,
    "update": BodyUse.OBJECT,
    "patch": BodyUse.PATCH,
    "delete": BodyUse.OPTIONS,
    "deletecollection": BodyUse.OPTIONS,
}
_METHOD: Final = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH"}
_SUBRESOURCE_KINDS: Final = {
    "scale": ("autoscaling", "Scale"),
    "eviction": ("policy", "Eviction"),
    "binding": ("", "Binding"),
    "token": tokenrequests.KIND,
}
NAMESPACES: Final = ("", "namespaces")
_SELECTORS: Final = ("fieldSelector", "labelSelector")
_SELECTING: Final = frozenset({"list", "watch", "deletecollection"})
_HEALTH: Final = ("/healthz", "/livez", "/readyz")
ISSUER_PATHS: Final = {
    "/.well-known/openid-configuration": Document.ISSUER,
    "/openid/v1/jwks": Document.ISSUER_KEYS,
}
"""Where an API server tells of the issuer of ServiceAccount tokens (KEP-1393)."""


def decide(
    request: ApiRequest, scope: Scope, *, versions: frozenset[tuple[str, str]], position: Position | None = None
) -> Plan:
    """The plan for a request. `scope.namespaces` are the tenant's; `versions` are (group, version)s of the host.

    Never raises: what is refused is a Deny.
    """
    try:
        if not request.is_resource:
            return _document(request)
        row = _row(request, versions, scope.apis, scope.exports)
        if row.exposure is kinds.Exposure.VIRTUAL:
            return Answer(Document.REVIEW)
        if row.exposure is kinds.Exposure.SHADOW:
            return _shadow(request, row, scope)
        if row.exposure is kinds.Exposure.SHARED:
            return _shared(request, row, scope, position)
        if row.key == NAMESPACES:
            return _namespace(request, row, scope, position)
        if row.exposure is kinds.Exposure.PRIVATE:
            return _private(request, row, scope, position)
        if not row.namespaced or (row.exposure is kinds.Exposure.OWN and not request.namespace):
            return _own_group(request, row, scope, position)
        return _namespaced(request, row, scope, position)
    except ApiError as refusal:
        return Deny(refusal.status)


def _document(request: ApiRequest) -> Plan:
    path = request.path
    document = _document_of(path)
    if document is None:
        raise status.no_such_path()
    if request.method != "GET":
        raise status.method_not_allowed()
    return Answer(document)


def _document_of(path: str) -> Document | None:
    if path in ("/api", "/apis") or (path.startswith(("/api/", "/apis/")) and path.count("/") <= 3):
        return Document.DISCOVERY
    if path in ("/openapi/v2", "/openapi/v3") or path.startswith("/openapi/v3/"):
        return Document.OPENAPI
    if path == "/version":
        return Document.VERSION
    if path.startswith(_HEALTH) and path.rstrip("/").split("/")[1] in [at[1:] for at in _HEALTH]:
        return Document.HEALTH
    return Document.PATHS if path == "/" else ISSUER_PATHS.get(path)


def _row(request: ApiRequest, versions: frozenset[tuple[str, str]], own: OwnApis, exports: Exports) -> Kind:
    """The row of what is asked for; 404 for what is hidden or at the wrong scope, 405 for a verb that it lacks."""
    row = kinds.find(request.group, request.resource) or exports.find(request.group, request.resource)
    served = (request.group, request.version) in versions
    if row is None:
        row = own.find(request.group, request.resource)
        served = own.serves(request.group, request.version, request.resource)
    if row is None or not served:
        raise status.no_such_path()
    if request.subresource:
        if request.subresource in row.hidden_subresources or request.subresource not in row.subresources:
            raise status.no_such_path()
        verbs = row.subresources[request.subresource]
    else:
        verbs = row.verbs
    if request.namespace and not row.namespaced:
        raise status.no_such_path()
    if row.namespaced and not request.namespace and request.name:
        raise status.no_such_path()
    _check_verb(request, row, verbs)
    return row


def _check_verb(request: ApiRequest, row: Kind, verbs: frozenset[str]) -> None:
    everywhere = row.namespaced and not request.namespace
    if request.verb not in verbs or (everywhere and request.verb not in ("list", "watch")):
        raise status.method_not_allowed()
    if request.verb in ("update", "patch", "get", "delete") and not request.name:
        raise status.method_not_allowed()
    if request.verb == "create" and request.name and not request.subresource:
        raise status.method_not_allowed()


def query_up(request: ApiRequest, row: Kind, scope: Scope) -> Pairs:
    """The query for the host: parameters of the verb that may pass, and the selectors, rewritten."""
    verb = request.verb
    allowed = _LOG if request.subresource == "log" else PARAMETERS[verb]
    pairs = [(key, value) for key, value in request.query if key in allowed]
    if row.exposure in (kinds.Exposure.PRIVATE, kinds.Exposure.OWN):  # rows are looked at once more by their metadata
        pairs = [pair for pair in pairs if pair[0] != "includeObject"]
    if verb in _SELECTING:
        fields = selectors.fields_up(_field_selector(request), row, scope)
        pairs.append(("labelSelector", selectors.labels_up(request.parameter("labelSelector"), row, scope)))
        pairs += [("fieldSelector", fields)] if fields else []
    if verb == "watch":
        pairs.append(("watch", "true"))
    return tuple(pairs)


def _field_selector(request: ApiRequest) -> str | None:
    """The field selector; the deprecated `/watch/.../<name>` path is a selector on the name."""
    text = request.parameter("fieldSelector")
    if request.verb == "watch" and request.name:
        named = requirements.FieldTerm("metadata.name", "=", request.name).render()
        return f"{text},{named}" if text else named
    return text


def _namespace(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    """Namespaces: read by the proxy with the owner's label as selector, written as the tenant."""
    name, verb = VirtualName(request.name), request.verb
    query = query_up(request, row, scope)
    if verb == "watch":
        return Watch(row, request.version, query, Identity.READER)
    if verb == "list":
        return _forward(request, row, scope, _continued(query, position), Identity.READER)
    if verb == "create":
        return _forward(request, row, scope, query, Identity.TENANT)
    if name not in scope.namespaces:
        if verb == "patch" and not request.subresource and name != SYSTEM_NAMESPACE:
            plan = _forward(request, row, scope, query, Identity.TENANT)
            return msgspec.structs.replace(plan, create_first=True)
        raise status.not_found("", "namespaces", name)
    if verb == "delete" and name in PROTECTED_NAMESPACES:
        message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
        raise status.forbidden(message, "", "namespaces", name)
    return _forward(request, row, scope, query, Identity.READER if verb == "get" else Identity.TENANT)


def _private(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    """Kinds of cluster scope that each tenant has its own of: read by the proxy, with the owner's label as selector."""
    query, verb = query_up(request, row, scope), request.verb
    if verb not in ("get", "list", "watch"):
        private.check_write(row, scope, verb, request.name)
        return _forward(request, row, scope, _continued(query, position), Identity.TENANT)
    if verb == "get":
        return _forward(request, row, scope, query, Identity.READER)
    if private.beside(row, scope):
        # a server may give all at once (https://kubernetes.io/docs/reference/using-api/api-concepts/)
        query = tuple(pair for pair in query if pair[0] != "limit")
    beside = _beside(request, row, scope, query)
    if verb == "watch":
        return Watch(row, request.version, query, Identity.READER, beside=beside)
    plan = _forward(request, row, scope, _continued(query, position), Identity.READER)
    return msgspec.structs.replace(plan, beside=beside)


def _beside(request: ApiRequest, row: Kind, scope: Scope, query: Pairs) -> tuple[Pairs, ...]:
    """The queries for what stands beside the tenant's own objects: each with the client's selectors."""
    rest = tuple(pair for pair in query if pair[0] not in _SELECTORS)
    fields, found = dict(query).get("fieldSelector", ""), []
    for owner, named in private.beside(row, scope):
        labels = selectors.labels_up(request.parameter("labelSelector"), row, scope, owner)
        field = ",".join(one for one in (fields, named) if one)
        found.append((*rest, ("labelSelector", labels), *((("fieldSelector", field),) if field else ())))
    return tuple(found)


def _shared(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    """Kinds of the provider: read by the proxy, shown as far as the tenant may see them (core.nodes), never written."""
    if request.verb not in kinds.READ:
        what = status.qualified(row.group, row.resource) + (f' "{request.name}"' if request.name else "")
        message = f"{what} is forbidden: {row.resource} are the provider's of this cluster and can only be read"
        raise status.forbidden(message, row.group, row.resource, request.name)
    if request.verb != "get":
        Chosen.of(row.key, _chosen(request))
    query = tuple(pair for pair in request.query if pair[0] in PARAMETERS[request.verb])
    if request.verb == "watch":
        return Watch(row, request.version, (*query, *_chosen(request), ("watch", "true")), Identity.READER)
    query = tuple(pair for pair in query if pair[0] != "includeObject")  # forms are made of whole objects
    if request.verb == "list":
        query = (*query, *selectors.nodes_up(dict(_chosen(request)), row, scope))
    return _forward(request, row, scope, _continued(query, position), Identity.READER)


def _chosen(request: ApiRequest) -> Pairs:
    """The selectors of a watch, as the tenant wrote them; an empty one is none."""
    pairs = ("labelSelector", request.parameter("labelSelector")), ("fieldSelector", _field_selector(request))
    return tuple((key, text) for key, text in pairs if text)


def _own_group(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    """Custom resources of cluster scope or over all namespaces: their group is the tenant's alone, so one look does."""
    query = query_up(request, row, scope)
    if request.verb == "watch":
        return Watch(row, request.version, query, Identity.TENANT)
    return _forward(request, row, scope, _continued(query, position), Identity.TENANT)


def _connected(request: ApiRequest, row: Kind, scope: Scope) -> Tunnel | Proxy:
    """The way to a pod or service itself; only in namespaces that are there."""
    if VirtualName(request.namespace) not in scope.namespaces:
        raise status.not_found(row.group, row.resource, request.name)
    namespace = up(scope.tenant, VirtualName(request.namespace))
    where = row.resource, namespace, request.name, request.subresource
    path = resource_path(request.group, request.version, *where)
    if request.subresource == "proxy":
        shown = resource_path(request.group, request.version, row.resource, request.namespace, *where[2:])
        return Proxy(row, request.method, path, request.tail, request.query, namespace, shown)
    allowed = _TUNNELS[request.subresource]
    query = tuple(pair for pair in request.query if pair[0] in allowed)
    return Tunnel(row, request.method, path, query, namespace)


def _namespaced(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    if request.subresource == "proxy" or request.subresource in _TUNNELS:
        return _connected(request, row, scope)
    query = query_up(request, row, scope)
    if not request.namespace:
        if request.verb == "watch":
            return Watch(row, request.version, query, Identity.TENANT, None)
        return _list(request, row, scope, query, position)
    namespace = VirtualName(request.namespace)
    if namespace not in scope.namespaces:
        return _absent(request, row, scope, query)
    if request.verb == "watch":
        return Watch(row, request.version, query, Identity.TENANT, (namespace,))
    if request.verb in ("list", "deletecollection"):
        query = _continued(query, position)
    return _forward(request, row, scope, query, Identity.TENANT)


def _shadow(request: ApiRequest, row: Kind, scope: Scope) -> Plan:
    """A kind that stands on the host as a custom resource of vcproxy's own: host.shadows knows how."""
    namespace, everywhere = VirtualName(request.namespace), row.namespaced and not request.namespace
    absent = bool(namespace) and namespace not in scope.namespaces
    if absent and request.verb == "create":
        raise status.not_found("", "namespaces", namespace)
    if absent and request.name:
        raise status.not_found(row.group, row.resource, request.name)
    names = None if everywhere else (namespace,)
    query = tuple(pair for pair in request.query if pair[0] in (*PARAMETERS[request.verb], *_SELECTORS))
    return Shadow(row, request.verb, request.name, query, names, absent)


def _list(request: ApiRequest, row: Kind, scope: Scope, query: Pairs, position: Position | None) -> Plan:
    limit = request.parameter("limit") or "0"
    if not limit.isdigit():
        raise status.bad_request("limit must be a whole number that is not negative")
    rest = tuple(pair for pair in query if pair[0] != "limit")
    return List(row, request.version, tuple(sorted(scope.namespaces)), rest, int(limit), position)


def _absent(request: ApiRequest, row: Kind, scope: Scope, query: Pairs) -> Plan:
    """In a namespace that does not exist: reads are empty, single objects are not there, creation names the reason."""
    verb, namespace = request.verb, VirtualName(request.namespace)
    if verb == "watch":
        return Watch(row, request.version, query, Identity.TENANT, (namespace,))
    if verb in ("list", "deletecollection"):
        nothing = tuple(pair for pair in query if pair[0] not in ("labelSelector", "fieldSelector", *_DELETE))
        empty = (*nothing, ("labelSelector", selectors.NOTHING))
        here = msgspec.structs.replace(request, method="GET", verb="list", namespace="default")
        return _forward(here, row, scope, empty, Identity.TENANT)
    if verb == "create" and not request.name:
        raise status.not_found("", "namespaces", namespace)
    raise status.not_found(row.group, row.resource, request.name)


def _continued(query: Pairs, position: Position | None) -> Pairs:
    return (*query, ("continue", position.token)) if position is not None else query


def _forward(request: ApiRequest, row: Kind, scope: Scope, query: Pairs, identity: Identity) -> Forward:
    namespace = up(scope.tenant, VirtualName(request.namespace)) if request.namespace else HostName("")
    name = _host_name(row, scope, request.name)
    group = host_group(row, scope.tenant)
    path = resource_path(group, request.version, row.resource, namespace, name, request.subresource)
    return Forward(
        row,
        _METHOD.get(request.verb, "DELETE"),
        path,
        query,
        identity,
        _BODY.get(request.verb, BodyUse.NONE),
        _SUBRESOURCE_KINDS.get(request.subresource, (row.group, row.kind)),
        namespace if row.namespaced else name if row.key == NAMESPACES else "",
        stream=request.subresource == "log",
        name=request.name,
    )


def _host_name(row: Kind, scope: Scope, name: str) -> str:
    """The name that an object has on the host: of cluster scope it carries the prefix, if its group does not."""
    if row.exposure is not kinds.Exposure.PRIVATE or not name:
        return name
    if row.key == DEFINITIONS:
        return str(DEFINITION.up(name, scope))
    return private.host_name(row, scope, name)


def namespace_target(plan: List | Watch, tenant: TenantId, namespace: VirtualName | None, query: Pairs) -> str:
    """The host's path and query of one part of a list or watch; None is the whole of a cluster-scoped kind."""
    host = up(tenant, namespace) if namespace is not None else HostName("")
    return resource_path(host_group(plan.row, tenant), plan.version, plan.row.resource, host) + render_query(
        list(query)
    )


def possible_namespace(name: str, tenant: TenantId) -> bool:
    """Whether a namespace of that name could exist: a DNS label (RFC 1123) that is short enough once prefixed."""
    plain = name.isascii() and name.replace("-", "a").isalnum() and name == name.lower()
    return plain and name[0] != "-" != name[-1] and len(up(tenant, VirtualName(name))) <= DNS_LABEL_LIMIT
