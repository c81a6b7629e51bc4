"""The condition AuthenticationReady of Tenants: what is wrong with `spec.authentication`, told where it was written.

Looked at beside everything else the controller does, for an issuer that does not answer takes its time; again now and
then, for issuers come and go.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from vcproxy.core.names import TenantId
from vcproxy.tenants.resource import Condition, Tenant
from vcproxy.tenants.workqueue import WorkQueue

TYPE: Final = "AuthenticationReady"
AGAIN: Final = 300.0
"""Seconds until the next look at what was in order."""
SOON: Final = 30.0
SIDE_BY_SIDE: Final = 8
TEXT_LIMIT: Final = 240
"""Characters of one problem in the message, which the status cuts at 1024."""
REST: Final = "what is right in spec.authentication counts meanwhile"

Assess = Callable[[TenantId, Mapping[str, Any]], Awaitable[tuple[list[str], list[str]]]]
"""Of a tenant's spec.authentication: its mistakes, and the issuers that cannot be asked, one text each."""


class _Found(msgspec.Struct, frozen=True):
    """What was found wrong with a spec."""

    spec: Mapping[str, Any]
    mistakes: tuple[str, ...]
    unreachable: tuple[str, ...]


class Assessments:
    """Keeps what was found. `tenant` gives a Tenant as it is now, `touched` is told where something else was found."""

    def __init__(
        self, assess: Assess, tenant: Callable[[TenantId], Tenant | None], touched: Callable[[TenantId], None]
    ) -> None:
        self._assess = assess
        self._tenant = tenant
        self._touched = touched
        self._found: dict[TenantId, _Found] = {}
        self._queue = WorkQueue(self._look, parallel=SIDE_BY_SIDE)

    async def run(self) -> None:
        """Looks until cancelled."""
        await self._queue.run()

    def condition(self, tenant: Tenant, authority: str) -> Condition | None:
        """What is known of this spec; None where there is nothing to know. `authority`: why there is no CA, or ""."""
        if not tenant.authentication:
            self._found.pop(tenant.id, None)
            return None
        found = self._found.get(tenant.id)
        if found is None or found.spec != tenant.authentication:
            self._queue.add(tenant.id)
            return _known(tenant) or Condition(TYPE, "Unknown", "Checking", "spec.authentication is being looked at")
        return _told(found, authority)

    async def _look(self, tenant: TenantId) -> float | None:
        found = self._tenant(tenant)
        if found is None or not found.authentication:
            self._found.pop(tenant, None)
            return None
        mistakes, unreachable = await self._assess(tenant, found.authentication)
        told = _Found(found.authentication, tuple(mistakes), tuple(unreachable))
        if told != self._found.get(tenant):
            self._found[tenant] = told
            self._touched(tenant)
        return SOON if unreachable else AGAIN


def _known(tenant: Tenant) -> Condition | None:
    """What another controller found of the very spec."""
    found = (one for one in tenant.status.conditions if one.type == TYPE)
    return next((one for one in found if one.generation == tenant.generation), None)


def _told(found: _Found, authority: str) -> Condition:
    if found.mistakes:
        texts = [f"spec.authentication.{text}" for text in found.mistakes]
        return Condition(TYPE, "False", "Invalid", _message([*texts, *found.unreachable], "correct it"))
    if found.unreachable:
        return Condition(TYPE, "False", "IssuerUnreachable", _message(found.unreachable, "its users are refused"))
    if authority:
        return Condition(TYPE, "False", "AuthorityMissing", _message([authority], "it is tried again"))
    return Condition(TYPE, "True", "Accepted", "")


def _message(texts: list[str] | tuple[str, ...], advice: str) -> str:
    """What is wrong first, so that nothing else is cut off."""
    shown = [text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 3]}..." for text in texts]
    return f"{'; '.join(shown)}: {advice}; {REST}"
