"""One request to the host, made of one request of a tenant."""

from typing import Final

from vcproxy.core import tokenrequests
from vcproxy.core.apis import host_group
from vcproxy.core.kinds import Kind
from vcproxy.core.names import HostName, VirtualName, up
from vcproxy.core.parameters import Pairs
from vcproxy.core.plan import NAMESPACES, BodyUse, Forward, Identity, Position
from vcproxy.core.request import ApiRequest, resource_path
from vcproxy.core.scope import Scope
from vcproxy.core.targets import host_name

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


def continued(query: Pairs, position: Position | None) -> Pairs:
    return (*query, ("continue", position.token)) if position is not None else query


def forward(request: ApiRequest, row: Kind, scope: Scope, query: Pairs, identity: Identity) -> Forward:
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
