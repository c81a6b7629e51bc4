"""Lenses of Pods: down only. What they take off was put on by the host's webhook when the Pod was made (core.pods).

On the way up a Pod goes as its tenant writes it. Where a write brings a part as the view shows it, the webhook puts
the stored one back (core.pods_admission), so these parts may be replaced as a whole.
"""

from typing import Any, Final

from vcproxy.core import pods
from vcproxy.core.lens import ID, OURS, Inside, Lens, same
from vcproxy.core.scope import Scope


def _env(value: Any, scope: Scope) -> Any:
    return pods.env_down(value)


def _projected(value: Any, scope: Scope) -> Any:
    return pods.projected_down(value, scope.tenant)


def _fields(value: Any, scope: Scope) -> Any:
    return pods.field_references(value, up=False)


def _config_map(value: Any, scope: Scope) -> Any:
    return pods.config_map(value, up=False)


def _dns(value: Any, scope: Scope) -> Any:
    return pods.dns_down(value, scope.tenant)


ENV: Final = Lens("POD_ENV", same, _env, Inside.CLOSED, wakes=(OURS,))
PROJECTED: Final = Lens("POD_PROJECTED", same, _projected, Inside.CLOSED, wakes=(ID, OURS))
FIELDS: Final = Lens("POD_FIELDS", same, _fields, Inside.CLOSED, wakes=(OURS,))
CONFIG_MAP: Final = Lens("POD_CONFIG_MAP", same, _config_map, Inside.CLOSED, wakes=(OURS,))
DNS: Final = Lens("POD_DNS", same, _dns, Inside.FIELDS, wakes=(OURS,), members=pods.DNS)
