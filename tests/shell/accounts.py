"""A host that signs tokens for ServiceAccounts: keys made at run time, objects that can be taken away."""

import asyncio
from collections.abc import Collection
from typing import Any

import jwt

from tests.shell.oidcs import NOW, RSA, public
from vcproxy.access.hosttokens import DISCOVERY, KEYS
from vcproxy.core import status
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.view import NamespaceInfo, Phase, TenantView

ISSUER = "https://kubernetes.default.svc.cluster.local"
ACME, GLOBEX = TenantId("acme"), TenantId("globex")
OWN = "https://acme.vcproxy.local"


class Tenants:
    """Two tenants with the namespace `apps`."""

    def __init__(self) -> None:
        spaces = {VirtualName("apps"): NamespaceInfo(0.0, "1")}
        self.views = {one: TenantView(one, f"uid-{one}", Phase.ACTIVE, namespaces=spaces) for one in (ACME, GLOBEX)}

    def tenant(self, tenant: TenantId) -> TenantView | None:
        return self.views.get(tenant)


class Host:
    """`there` holds the metadata of objects by path; `asked` everything that was asked for, with the tenant."""

    def __init__(self) -> None:
        self.keys = [public(RSA, "one")]
        self.there: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.down = False
        self.silent = False
        """Whether it has no document of its issuer."""
        self.answer: dict[str, Any] = {}
        self.gate: asyncio.Event | None = None
        for tenant in (ACME, GLOBEX):
            self.put(f"/api/v1/namespaces/{tenant}-apps/serviceaccounts/robot", f"sa-{tenant}")

    def put(self, path: str, uid: str, **more: Any) -> None:
        self.there[path] = {"uid": uid, **more}

    async def document(self, path: str) -> dict[str, Any]:
        await self._ask(path)
        if self.silent:
            raise status.bad_gateway()
        return {"issuer": ISSUER, "jwks_uri": "https://10.0.0.1/keys"} if path == DISCOVERY else {"keys": self.keys}

    async def metadata(self, path: str, tenant: TenantId | None) -> dict[str, Any] | None:
        await self._ask(f"{tenant}: {path}")
        return self.there.get(path)

    async def review(self, token: str, audiences: Collection[str]) -> dict[str, Any]:
        await self._ask(f"review {sorted(audiences)}")
        return self.answer

    async def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise status.bad_gateway()


def token(tenant: str = "acme", name: str = "robot", *, key: Any = RSA, kid: str | None = "one", **claims: Any) -> str:
    """A token as the host would sign it; `bound` adds to its own claims, others replace."""
    private = {
        "namespace": f"{tenant}-apps",
        "serviceaccount": {"name": name, "uid": f"sa-{tenant}"},
        **claims.pop("bound", {}),
    }
    given = {
        "iss": ISSUER,
        "sub": f"system:serviceaccount:{tenant}-apps:{name}",
        "aud": [f"https://{tenant}.vcproxy.local"],
        "iat": int(NOW),
        "nbf": int(NOW),
        "exp": int(NOW) + 3600,
        "jti": "id-1",
        "kubernetes.io": private,
        **claims,
    }
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode({k: v for k, v in given.items() if v is not None}, key, "RS256", headers)


__all__ = ["ACME", "GLOBEX", "ISSUER", "KEYS", "NOW", "OWN", "Host", "Tenants", "token"]
