"""The lens of Events about objects of cluster scope."""

from typing import Any, Final

from vcproxy.core.lens import Inside, Lens
from vcproxy.core.scope import Scope

CLUSTER_EVENT: Final = "vcproxy.io/cluster-scoped-event"
"""The annotation that keeps which field of an Event was given a namespace on the host."""


def _event_up(value: Any, scope: Scope) -> Any:
    """An event about a cluster-scoped object has no namespace; on the host it must have that of its own object."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return value
    field = next((name for name in ("involvedObject", "regarding") if isinstance(value.get(name), dict)), None)
    namespace = value["metadata"].get("namespace")
    if field is None or not scope.full or value[field].get("namespace") or not namespace:
        return value
    value[field]["namespace"] = namespace
    value["metadata"]["annotations"] = {**(value["metadata"].get("annotations") or {}), CLUSTER_EVENT: field}
    return value


def _event_down(value: Any, scope: Scope) -> Any:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    field = annotations.get(CLUSTER_EVENT) if isinstance(annotations, dict) else None
    if isinstance(field, str) and isinstance(value.get(field), dict):
        value[field].pop("namespace", None)
    return value


CLUSTER_SCOPED_EVENT: Final = Lens(
    "CLUSTER_SCOPED_EVENT", _event_up, _event_down, Inside.FIELDS, wakes=(CLUSTER_EVENT,)
)
