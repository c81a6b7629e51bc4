"""What is to be done with a request, decided by what its kind is to a tenant.

`decide` sees the parsed request, the tenant at this moment and nothing else; it never sees bytes of a body. Whatever it
does not name is denied.
"""

from vcproxy.core import kinds, status
from vcproxy.core.decision_cluster import namespace, own_group, private, shared
from vcproxy.core.decision_namespaced import namespaced, shadow
from vcproxy.core.documents import Document, document_of
from vcproxy.core.plan import NAMESPACES, Answer, Deny, Plan, Position
from vcproxy.core.request import ApiRequest
from vcproxy.core.routing import row_of
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError


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
            return shadow(request, row, scope)
        if row.exposure is kinds.Exposure.SHARED:
            return shared(request, row, scope, position)
        if row.key == NAMESPACES:
            return namespace(request, row, scope, position)
        if row.exposure is kinds.Exposure.PRIVATE:
            return private(request, row, scope, position)
        if not row.namespaced or (row.exposure is kinds.Exposure.OWN and not request.namespace):
            return own_group(request, row, scope, position)
        return namespaced(request, row, scope, position)
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
