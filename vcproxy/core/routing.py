"""Which row of the kinds a request is about, and whether the row has what is asked for."""

from vcproxy.core import kinds, status
from vcproxy.core.apis import OwnApis
from vcproxy.core.exported import Exports
from vcproxy.core.kinds import Kind
from vcproxy.core.request import ApiRequest


def row_of(request: ApiRequest, versions: frozenset[tuple[str, str]], own: OwnApis, exports: Exports) -> Kind:
    """The row of what is asked for; 404 for what is hidden or at the wrong scope, 405 for a verb that it lacks.

    `versions` are the (group, version)s that the host serves. Raises ApiError.
    """
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
