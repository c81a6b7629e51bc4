"""What is to be done with requests for kinds of cluster scope, and for a tenant's own kinds over all namespaces."""

import msgspec

from vcproxy.core import kinds, parameters, selectors, status
from vcproxy.core import private as privates
from vcproxy.core.forwarding import continued, forward
from vcproxy.core.kinds import Kind
from vcproxy.core.names import PROTECTED_NAMESPACES, SYSTEM_NAMESPACE, VirtualName
from vcproxy.core.nodes import Chosen
from vcproxy.core.parameters import PARAMETERS, chosen, query_up
from vcproxy.core.plan import Identity, Plan, Position, Watch
from vcproxy.core.request import ApiRequest
from vcproxy.core.scope import Scope


def namespace(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    """Namespaces: read by the proxy with the owner's label as selector, written as the tenant."""
    name, verb = VirtualName(request.name), request.verb
    query = query_up(request, row, scope)
    if verb == "watch":
        return Watch(row, request.version, query, Identity.READER)
    if verb == "list":
        return forward(request, row, scope, continued(query, position), Identity.READER)
    if verb == "create":
        return forward(request, row, scope, query, Identity.TENANT)
    if name not in scope.namespaces:
        if verb == "patch" and not request.subresource and name != SYSTEM_NAMESPACE:
            plan = forward(request, row, scope, query, Identity.TENANT)
            return msgspec.structs.replace(plan, create_first=True)
        raise status.not_found("", "namespaces", name)
    if verb == "delete" and name in PROTECTED_NAMESPACES:
        message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
        raise status.forbidden(message, "", "namespaces", name)
    return forward(request, row, scope, query, Identity.READER if verb == "get" else Identity.TENANT)


def private(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    """Kinds of cluster scope that each tenant has its own of: read by the proxy, with the owner's label as selector."""
    query, verb = query_up(request, row, scope), request.verb
    if verb not in ("get", "list", "watch"):
        privates.check_write(row, scope, verb, request.name)
        return forward(request, row, scope, continued(query, position), Identity.TENANT)
    if verb == "get":
        return forward(request, row, scope, query, Identity.READER)
    if privates.beside(row, scope):
        # a server may give all at once (https://kubernetes.io/docs/reference/using-api/api-concepts/)
        query = tuple(pair for pair in query if pair[0] != "limit")
    beside = parameters.beside(request, row, scope, query)
    if verb == "watch":
        return Watch(row, request.version, query, Identity.READER, beside=beside)
    plan = forward(request, row, scope, continued(query, position), Identity.READER)
    return msgspec.structs.replace(plan, beside=beside)


def shared(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
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
    return forward(request, row, scope, continued(query, position), Identity.READER)


def own_group(request: ApiRequest, row: Kind, scope: Scope, position: Position | None) -> Plan:
    """Custom resources of cluster scope or over all namespaces: their group is the tenant's alone, so one look does."""
    query = query_up(request, row, scope)
    if request.verb == "watch":
        return Watch(row, request.version, query, Identity.TENANT)
    return forward(request, row, scope, continued(query, position), Identity.TENANT)
