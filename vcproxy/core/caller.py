"""Who is calling, as an authenticator found: a value that the rest of a request's way only reads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from vcproxy.core.names import TenantId

ANONYMOUS: Final = "system:anonymous"
AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
NO_EXTRA: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


class Caller(msgspec.Struct, frozen=True):
    """A user of one tenant. `tenant_uid` is the uid of the Tenant that the credential was made for."""

    tenant: TenantId
    tenant_uid: str
    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = NO_EXTRA
    credential_id: str = ""
    expires: float = float("inf")
    """When the credential ends, in seconds since the epoch."""
    actor: str = ""
    """The user of the credential where that is not `user` but impersonates it."""


def all_groups(user: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """A user's groups with the one that says whether anybody vouches for them, where none does so yet.

    Only who acts as `system:anonymous` is not vouched for (k8s.io/apiserver: pkg/endpoints/filters/impersonation,
    pkg/authentication/group).
    """
    if UNAUTHENTICATED in groups or (AUTHENTICATED in groups and user != ANONYMOUS):
        return groups
    return (*groups, UNAUTHENTICATED if user == ANONYMOUS else AUTHENTICATED)
