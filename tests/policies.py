"""The policies of tenants, kept by hand."""

from typing import Any

from vcproxy.core import rbac_defaults
from vcproxy.core.names import TenantId
from vcproxy.core.rbac_places import Place, Places
from vcproxy.core.rbac_policy import Identity, Policy
from vcproxy.core.rbac_words import WORDS, Room


class KeptPolicies:
    """Every tenant has what all have, and what it was given or wrote."""

    def __init__(self) -> None:
        self.limit = WORDS
        self._places = Places(lambda: 0.0)
        self._policies: dict[TenantId, Policy] = {}

    def policy(self, tenant: TenantId) -> Policy:
        return self._policies.get(tenant) or Policy(rbac_defaults.policy())

    def granted(self, tenant: TenantId) -> tuple[dict[str, Any], ...]:
        return ()

    def room(self, tenant: TenantId) -> Room:
        return Room(self._places.words(tenant), self.limit)

    def reserve(self, tenant: TenantId, named: Identity, more: int) -> Place:
        return self._places.take(tenant, named, more)

    def learn(self, tenant: TenantId, document: dict[str, Any]) -> None:
        self._policies[tenant] = self.policy(tenant).put(document)

    def forget(self, tenant: TenantId, document: dict[str, Any]) -> None:
        metadata = document["metadata"]
        where = str(metadata.get("namespace") or ""), str(metadata["name"])
        self._policies[tenant] = self.policy(tenant).remove(str(document["kind"]), *where)
