"""Subscriptions: in order, bounded, and over when they are closed."""

import asyncio

from tests.shell.fakehost import settle
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.tenants.subscriptions import NamespaceRemoved, Subscription, Subscriptions

ACME = TenantId("acme")


def event(number: int) -> NamespaceRemoved:
    return NamespaceRemoved(VirtualName(f"n{number}"))


async def test_events_come_in_order_and_the_end_after_them() -> None:
    subscriptions = Subscriptions()
    subscription = subscriptions.subscribe(ACME)
    for number in range(3):
        subscriptions.publish(ACME, event(number))
    subscription.close()
    subscriptions.publish(ACME, event(9))
    assert [item async for item in subscription] == [event(0), event(1), event(2)]


async def test_a_waiting_reader_is_woken_by_events_and_by_the_end() -> None:
    subscriptions = Subscriptions()
    subscription = subscriptions.subscribe(ACME)
    heard: list[object] = []

    async def read() -> None:
        async for item in subscription:
            heard.append(item)

    task = asyncio.create_task(read())
    await settle()
    subscriptions.publish(ACME, event(1))
    await settle()
    assert heard == [event(1)]
    subscription.close()
    await asyncio.wait_for(task, 1)


async def test_a_reader_that_lags_too_far_is_cut_off_and_told() -> None:
    closed: list[Subscription] = []
    subscription = Subscription(closed.append, limit=2)
    for number in range(4):
        subscription.push(event(number))
    assert subscription.overflowed
    assert closed == [subscription]
    assert [item async for item in subscription] == []


async def test_closing_forgets_and_may_be_done_twice() -> None:
    subscriptions = Subscriptions()
    one, other = subscriptions.subscribe(ACME), subscriptions.subscribe(ACME)
    one.close()
    one.close()
    assert subscriptions._open == {ACME: {other}}
    other.close()
    assert subscriptions._open == {}
