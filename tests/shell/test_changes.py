"""What an open watch follows of its tenant."""

import asyncio

import msgspec
import pytest

from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.view import NamespaceInfo, Phase, TenantView
from vcproxy.tenants.changes import TenantChanges
from vcproxy.tenants.subscriptions import QUEUE_LIMIT, NamespaceAdded, Subscriptions

ACME = TenantId("acme")
INFO = NamespaceInfo(1.0, "1")
VIEW = TenantView(ACME, "uid-1", Phase.ACTIVE, namespaces={VirtualName("web"): INFO})
EVENT = NamespaceAdded(VirtualName("web"), INFO)


async def test_many_changes_are_one_reason_to_look() -> None:
    subscriptions = Subscriptions()
    changes = TenantChanges(VIEW, lambda tenant: VIEW, subscriptions.subscribe)
    for _ in range(3):
        subscriptions.publish(ACME, EVENT)
    await asyncio.wait_for(changes.changed(), 1)
    assert changes.namespaces() == {"web": INFO}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(changes.changed(), 0.01)
    subscriptions.publish(ACME, EVENT)
    await asyncio.wait_for(changes.changed(), 1)


async def test_too_many_changes_are_a_reason_to_look_and_no_end() -> None:
    subscriptions = Subscriptions()
    changes = TenantChanges(VIEW, lambda tenant: VIEW, subscriptions.subscribe)
    for _ in range(QUEUE_LIMIT + 1):
        subscriptions.publish(ACME, EVENT)
    await asyncio.wait_for(changes.changed(), 1)
    subscriptions.publish(ACME, EVENT)
    await asyncio.wait_for(changes.changed(), 1)
    await changes.close()
    assert subscriptions._open == {}


@pytest.mark.parametrize(
    "now",
    [
        None,
        msgspec.structs.replace(VIEW, uid="uid-2"),
        *(msgspec.structs.replace(VIEW, phase=phase) for phase in Phase if phase is not Phase.ACTIVE),
    ],
)
async def test_a_tenant_that_may_not_watch_has_no_namespaces(now: TenantView | None) -> None:
    changes = TenantChanges(VIEW, lambda tenant: now, Subscriptions().subscribe)
    assert changes.namespaces() is None
