"""What is to be done with a request: a pure decision, as a value that can be printed and compared.

`decide` sees the parsed request, the tenant at this moment and nothing else; it never sees bytes of a body. Whatever it
does not name is denied.
"""

from enum import Enum
from typing import Final

import msgspec

from vcproxy.core import kinds, parameters, private, selectors, status, tokenrequests
from vcproxy.core.apis import host_group
from vcproxy.core.documents import Document, document_of
from vcproxy.core.kinds import Kind
from vcproxy.core.names import PROTECTED_NAMESPACES, SYSTEM_NAMESPACE, HostName, VirtualName, up
from vcproxy.core.nodes import Chosen
from vcproxy.core.parameters import DELETE, PARAMETERS, SELECTORS, TUNNELS, Pairs, chosen, query_up
from vcproxy.core.request import ApiRequest, render_query, resource_path
from vcproxy.core.routing import row_of
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError, Status
from vcproxy.core.targets import host_name


class Identity(Enum):
    """As whom the host is asked: as the tenant (impersonated), or as the proxy's own read identity."""

    TENANT = "tenant"
    READER = "reader"


class BodyUse(Enum):
    NONE = "none"
    OBJECT = "object"
    PATCH = "patch"
    OPTIONS = "options"


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


def decide(
    request: ApiRequest, scope: Scope, *, versions: frozenset[tuple[str, str]], position: Position | None = None
) -> Plan:
    """The plan for a request. `scope.namespaces` are the tenant's; `versions` are (group, version)s of the host.

    Never raises: what is refused is a Deny.
    """
    try:
        if not request.is_resource:
            return _document(request)
        row = row_of(request, versions, scope.apis, scope.exports)
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
    document = document_of(path)
    if document is None:
        raise status.no_such_path()
    if request.method != "GET":
        raise status.method_not_allowed()
    return Answer(document)


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
    beside = parameters.beside(request, row, scope, query)
    if verb == "watch":
        return Watch(row, request.version, query, Identity.READER, beside=beside)
    plan = _forward(request, row, scope, _continued(query, position), Identity.READER)
    return msgspec.structs.replace(plan, beside=beside)


def _shared(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    """Kinds of the provider: read by the proxy, shown as far as the tenant may see them (core.nodes), never written."""
    if request.verb not in kinds.READ:
        what = status.qualified(row.group, row.resource) + (f' "{request.name}"' if request.name else "")
        message = f"{what} is forbidden: {row.resource} are the provider's of this cluster and can only be read"
        raise status.forbidden(message, row.group, row.resource, request.name)
    if request.verb != "get":
        Chosen.of(row.key, chosen(request))
    query = tuple(pair for pair in request.query if pair[0] in PARAMETERS[request.verb])
    if request.verb == "watch":
        return Watch(row, request.version, (*query, *chosen(request), ("watch", "true")), Identity.READER)
    query = tuple(pair for pair in query if pair[0] != "includeObject")  # forms are made of whole objects
    if request.verb == "list":
        query = (*query, *selectors.nodes_up(dict(chosen(request)), row, scope))
    return _forward(request, row, scope, _continued(query, position), Identity.READER)


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
    allowed = TUNNELS[request.subresource]
    query = tuple(pair for pair in request.query if pair[0] in allowed)
    return Tunnel(row, request.method, path, query, namespace)


def _namespaced(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    if request.subresource == "proxy" or request.subresource in TUNNELS:
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
    query = tuple(pair for pair in request.query if pair[0] in (*PARAMETERS[request.verb], *SELECTORS))
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
        nothing = tuple(pair for pair in query if pair[0] not in ("labelSelector", "fieldSelector", *DELETE))
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
    name = host_name(row, scope, request.name)
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
