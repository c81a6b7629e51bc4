"""What is to be done with requests for kinds that stand in namespaces: reads, writes, tunnels, Shadow kinds."""

import msgspec

from vcproxy.core import selectors, status
from vcproxy.core.forwarding import continued, forward
from vcproxy.core.kinds import Kind
from vcproxy.core.names import VirtualName, up
from vcproxy.core.parameters import DELETE, PARAMETERS, SELECTORS, TUNNELS, Pairs, query_up
from vcproxy.core.plan import Identity, List, Plan, Position, Proxy, Shadow, Tunnel, Watch
from vcproxy.core.request import ApiRequest, resource_path
from vcproxy.core.scope import Scope


def namespaced(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    if request.subresource == "proxy" or request.subresource in TUNNELS:
        return connected(request, row, scope)
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
        query = continued(query, position)
    return forward(request, row, scope, query, Identity.TENANT)


def connected(request: ApiRequest, row: Kind, scope: Scope) -> Tunnel | Proxy:
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


def _list(request: ApiRequest, row: Kind, scope: Scope, query: Pairs, position: Position | None) -> Plan:
    limit = request.parameter("limit") or "0"
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 19):  # an int64, as the API server reads it
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
        return forward(here, row, scope, empty, Identity.TENANT)
    if verb == "create" and not request.name:
        raise status.not_found("", "namespaces", namespace)
    raise status.not_found(row.group, row.resource, request.name)


def shadow(request: ApiRequest, row: Kind, scope: Scope) -> Plan:
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
