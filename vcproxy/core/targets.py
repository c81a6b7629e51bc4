"""Targets: the paths on the host that stand for what a tenant asks for."""

from vcproxy.core import kinds, private
from vcproxy.core.apis import DEFINITIONS, host_group
from vcproxy.core.fields_groups import DEFINITION
from vcproxy.core.kinds import Kind
from vcproxy.core.names import HostName, TenantId, VirtualName, up
from vcproxy.core.parameters import Pairs
from vcproxy.core.request import render_query, resource_path
from vcproxy.core.scope import Scope


def host_name(row: Kind, scope: Scope, name: str) -> str:
    """The name that an object has on the host: of cluster scope it carries the prefix, if its group does not."""
    if row.exposure is not kinds.Exposure.PRIVATE or not name:
        return name
    if row.key == DEFINITIONS:
        return str(DEFINITION.up(name, scope))
    return private.host_name(row, scope, name)


def namespace_target(row: Kind, version: str, tenant: TenantId, namespace: VirtualName | None, query: Pairs) -> str:
    """The host's path and query of one part of a list or watch; None is the whole of a cluster-scoped kind."""
    host = up(tenant, namespace) if namespace is not None else HostName("")
    return resource_path(host_group(row, tenant), version, row.resource, host) + render_query(list(query))
