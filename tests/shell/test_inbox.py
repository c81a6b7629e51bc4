"""A queue that is bounded by count and by bytes."""

import asyncio

import pytest

from tests.flow.live import settle
from vcproxy.host.inbox import Inbox


@pytest.mark.parametrize(("count", "size"), [(2, 1000), (100, 20)])
async def test_whoever_puts_waits_for_room_and_order_is_kept(count: int, size: int) -> None:
    inbox = Inbox[int](count, size)

    async def fill() -> None:
        for number in range(6):
            await inbox.put(number, 10)

    filling = asyncio.create_task(fill())
    await settle()
    assert (len(inbox), filling.done()) == (2, False)
    assert [await inbox.get() for _ in range(6)] == [0, 1, 2, 3, 4, 5]
    await filling
    assert len(inbox) == 0


async def test_what_is_larger_than_the_bound_goes_alone() -> None:
    inbox = Inbox[str](10, 100)
    await inbox.put("huge", 1000)
    waiting = asyncio.create_task(inbox.put("small", 1))
    await settle()
    assert not waiting.done()
    assert inbox.take() == "huge"
    await waiting
    assert inbox.take() == "small"


async def test_whoever_takes_waits_for_an_item() -> None:
    inbox = Inbox[str](1, 1)
    taking = asyncio.create_task(inbox.get())
    await settle()
    assert not taking.done()
    await inbox.put("a")
    assert await taking == "a"
