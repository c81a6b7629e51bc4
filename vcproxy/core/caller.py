"""Who is calling, as an authenticator found: a value that the rest of a request's way only reads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from vcproxy.core.names import TenantId

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
