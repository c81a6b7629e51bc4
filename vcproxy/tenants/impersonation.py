"""The list of users that the proxy may impersonate: one rule of the ClusterRole `vcproxy:impersonator`.

RBAC knows no prefixes, so the users stand there by name, sorted. An empty list would mean every user there is: the rule
is left out instead. Many changes at once are one write.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from vcproxy.core.status import ApiError
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of
from vcproxy.tenants.manifests import RBAC

log = logging.getLogger(__name__)

ROLE: Final = "vcproxy:impersonator"
ROLES: Final = path_of(RBAC, "clusterroles")
PATH: Final = path_of(RBAC, "clusterroles", name=ROLE)
ATTEMPTS: Final = 8


class Impersonation:
    """Keeps the rule. `live` gives the users of all tenants that exist: a name beside them is taken out."""

    def __init__(self, api: HostApi, live: Callable[[], Iterable[str]]) -> None:
        self._api = api
        self._live = live
        self._wanted: set[str] = set()
        self._released: set[str] = set()
        self._lock = asyncio.Lock()
        self._started = 0
        self._done = 0
        self._role: Object | None = None
        self._role_changed = asyncio.Event()

    async def ensure(self, user: str) -> None:
        """Returns when the user is in the list."""
        self._released.discard(user)
        self._wanted.add(user)
        await self.flush()

    async def remove(self, user: str) -> None:
        """Returns when the user is not in the list."""
        self._wanted.discard(user)
        self._released.add(user)
        await self.flush()

    async def flush(self) -> None:
        """Make the role right. Whoever waits while another writes finds its change in the next write."""
        enough = self._started + 1
        async with self._lock:
            if self._done >= enough:  # a whole write began and ended after we came
                return
            self._started += 1
            await self._write()
            self._done = self._started
            live = set(self._live())
            self._wanted &= live
            self._released &= live

    def see(self, role: Object | None) -> None:
        """The role as the host has it now; None where there is none."""
        self._role = role
        self._role_changed.set()

    async def keep(self) -> None:
        """Heal the role when somebody wrote it anew (an installation does). Works until cancelled."""
        while True:
            await self._role_changed.wait()
            self._role_changed.clear()
            if self.differs(self._role):
                try:
                    await self.flush()
                except (HostError, ApiError) as error:
                    log.warning("impersonation: %s", error)
                    await asyncio.sleep(1.0)
                    self._role_changed.set()

    async def _write(self) -> None:
        for attempt in range(ATTEMPTS):
            role = await self._api.get(PATH)
            if role is None:
                raise HostError(404, "NotFound", f"ClusterRole {ROLE} is missing: run `vcproxy install`")
            rules = self._rules(role)
            if rules == role.get("rules"):
                return
            try:
                await self._api.replace(PATH, {**role, "rules": rules})
                return
            except HostError as error:
                if error.code != 409 or attempt == ATTEMPTS - 1:
                    raise

    def _rules(self, role: Object) -> list[Object]:
        rules: list[Object] = list(role.get("rules") or ())
        present = {name for rule in rules if _is_users(rule) for name in rule.get("resourceNames") or ()}
        live = set(self._live())
        users = sorted((present | self._wanted) & live - self._released)
        others = [rule for rule in rules if not _is_users(rule)]
        rule = {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": users}
        return [*others, rule] if users else others

    def differs(self, role: Object | None) -> bool:
        """Whether this state of the role lacks somebody (an installation wrote it anew)."""
        return role is not None and self._rules(role) != role.get("rules")


def _is_users(rule: Mapping[str, Any]) -> bool:
    return rule.get("resources") == ["users"] and rule.get("verbs") == ["impersonate"]
