"""Lenses of classes and volumes: names on the tenant's lists pass, others are its own."""

import re
from collections.abc import Callable
from typing import Any, Final

from vcproxy.core.fields_names import own_down, own_up
from vcproxy.core.lens import ID, Lens, text
from vcproxy.core.names import TenantId
from vcproxy.core.scope import Scope
from vcproxy.core.view import ClassLists


def unclassed(tenant: TenantId) -> str:
    """What the class `""` is on the host: a name that no tenant can define, since it lacks the hyphen of a prefix."""
    return f"{tenant}.none"


def _class(allowed: Callable[[ClassLists], frozenset[str]], *, empty: bool = False) -> Lens:
    def class_up(value: Any, scope: Scope) -> Any:
        if not isinstance(value, str) or value in allowed(scope.classes):
            return value
        if not value:
            return unclassed(scope.tenant) if empty else value
        return own_up(value, scope)

    def class_down(value: Any, scope: Scope) -> Any:
        if not isinstance(value, str) or value in allowed(scope.classes):
            return value
        if value == unclassed(scope.tenant):
            return ""
        return own_down(value, scope)

    return Lens("CLASS", class_up, class_down, wakes=(ID,))


STORAGE_CLASS: Final = _class(lambda classes: classes.storage, empty=True)
INGRESS_CLASS: Final = _class(lambda classes: classes.ingress)
RUNTIME_CLASS: Final = _class(lambda classes: classes.runtime)
PRIORITY_CLASS: Final = _class(lambda classes: classes.priority)
DEVICE_CLASS: Final = _class(lambda classes: classes.device)
ATTRIBUTES_CLASS: Final = _class(lambda classes: classes.volume_attributes)

_provisioned = re.compile(r"(pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|local-pv-[0-9a-f]{1,16})\Z")


def provisioned(volume: str) -> bool:
    """Whether a PersistentVolume is called as the host's provisioners call theirs: such names are the host's."""
    return bool(_provisioned.match(volume))


def _volume_up(value: str, scope: Scope) -> str:
    return value if provisioned(value) or value in scope.classes.volumes else own_up(value, scope)


def _volume_down(value: str, scope: Scope) -> str:
    return value if provisioned(value) or value in scope.classes.volumes else own_down(value, scope)


VOLUME: Final = Lens("VOLUME", text(_volume_up), text(_volume_down), wakes=(ID,))
"""Names of PersistentVolumes: those of a provisioner, and those that the tenant may use, pass; others are prefixed."""
