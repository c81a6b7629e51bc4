"""Lenses of texts: what the host wrote in words, and the certificate that it shows."""

import re
from typing import Any, Final

from vcproxy.core.fields_classes import unclassed
from vcproxy.core.fields_names import UNKNOWN
from vcproxy.core.lens import ID, Inside, Lens, same, text
from vcproxy.core.names import HostName, down, host_user, system_namespace
from vcproxy.core.scope import Scope

_kept = re.compile(r"\.(?:kept|held)\.shadow\.vcproxy\.io(?=/)")
"""What core.owners puts behind the group of an owner: the host's garbage collector tells of it in Events."""


def text_down(value: str, scope: Scope) -> str:
    """Free text in the tenant's words: a token that equals a known host name of the tenant is mapped, nothing else."""
    if scope.tenant not in value:
        return value
    value = value.replace(host_user(scope.tenant), scope.user or "system:anonymous")
    value = _kept.sub("", value).replace("shadow.vcproxy.io/", "rbac.authorization.k8s.io/")
    token = re.compile(rf"(?<![A-Za-z0-9-]){scope.tenant}[-.][a-z0-9](?:[-.a-z0-9]*[a-z0-9])?(?![A-Za-z0-9-])")
    return token.sub(lambda match: _token_down(match[0], scope), value)


def _token_down(token: str, scope: Scope) -> str:
    if token == unclassed(scope.tenant):
        return ""
    if token == system_namespace(scope.tenant):
        return UNKNOWN
    first, dot, rest = token.partition(".")
    own = down(scope.tenant, HostName(token))
    if own is not None and (own in scope.namespaces or own in scope.apis.groups or token in scope.learned):
        return own
    name = down(scope.tenant, HostName(first))
    return f"{name}{dot}{rest}" if name is not None and dot and name in scope.namespaces else token


TEXT: Final = Lens("TEXT", same, text(text_down), Inside.CLOSED, wakes=(ID,))


def _ca_up(value: Any, scope: Scope) -> Any:
    known = scope.authorities
    return known.host if known.shown and value == known.shown else value


def _ca_down(value: Any, scope: Scope) -> Any:
    known = scope.authorities
    return known.shown if known.host and value == known.host else value


ROOT_CA: Final = Lens("ROOT_CA", _ca_up, _ca_down)
"""The host's CA certificate, shown as the proxy's: what clients of this cluster have to trust."""
