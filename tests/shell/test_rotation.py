"""Keys are rotated in place: the new one signs, the old ones' tokens stay good."""

import base64
from typing import Any, cast

import pytest

from vcproxy.access.keys import Keys
from vcproxy.access.tokens import Issuer, verify
from vcproxy.cli.output import Failure
from vcproxy.cli.rotation import rotated
from vcproxy.core.names import TenantId
from vcproxy.tenants.hostapi import HostApi, HostError


class Host:
    """A host that holds one Secret."""

    def __init__(self, data: dict[str, bytes] | None) -> None:
        encoded = {name: base64.b64encode(value).decode() for name, value in (data or {}).items()}
        self.secret: dict[str, Any] | None = None if data is None else {"metadata": {"uid": "1"}, "data": encoded}
        self.conflict = False

    async def get(self, path: str) -> Any:
        return self.secret

    async def replace(self, path: str, body: Any) -> Any:
        if self.conflict:
            raise HostError(409, "Conflict", "changed")
        self.secret = body

    @property
    def keys(self) -> Keys:
        assert self.secret is not None
        return Keys.from_secret({name: base64.b64decode(value) for name, value in self.secret["data"].items()})


def token(keys: Keys) -> str:
    return Issuer(keys).issue(TenantId("acme"), "uid-1", "ann", [], 600, 1000.0)[0]


async def test_tokens_of_before_and_after_a_rotation_are_good() -> None:
    host = Host({**Keys.generate(), "ca.crt": b"kept"})
    old = token(host.keys)
    assert await rotated(cast(HostApi, host)) == 2
    new = token(host.keys)
    assert (verify(old, host.keys).user, verify(new, host.keys).user) == ("ann", "ann")
    assert old.split(".")[0] != new.split(".")[0]
    assert host.secret is not None
    assert base64.b64decode(host.secret["data"]["ca.crt"]) == b"kept"


async def test_what_cannot_be_rotated_is_left_as_it_is() -> None:
    odd = Host({"signing.json": b"odd"})
    changed = Host(Keys.generate())
    changed.conflict = True
    for host in (Host(None), odd, changed):
        before = host.secret
        with pytest.raises(Failure):
            await rotated(cast(HostApi, host))
        assert host.secret == before
