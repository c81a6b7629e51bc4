"""The work queue: one look at a time for each key, failures retried, nothing lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.shell.fakehost import until
from vcproxy.core.names import TenantId
from vcproxy.tenants.hostapi import HostError
from vcproxy.tenants.workqueue import WorkQueue

A, B, C = map(TenantId, ("aa", "bb", "cc"))


@asynccontextmanager
async def running(queue: WorkQueue) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_happens_during_a_look_means_one_more_look() -> None:
    looks: list[str] = []
    inside: set[TenantId] = set()
    gate = asyncio.Event()

    async def handle(key: TenantId) -> None:
        assert key not in inside
        inside.add(key)
        looks.append(key)
        await gate.wait()
        inside.discard(key)

    queue = WorkQueue(handle)
    queue.add(A)
    async with running(queue):
        await until(lambda: looks == ["aa"])
        for _ in range(5):
            queue.add(A)
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        gate.set()
        await until(lambda: looks == ["aa", "aa"])
        await asyncio.sleep(0.02)
        assert looks == ["aa", "aa"]


async def test_keys_run_side_by_side_up_to_a_bound() -> None:
    inside: set[TenantId] = set()
    most = 0

    async def handle(key: TenantId) -> None:
        nonlocal most
        inside.add(key)
        most = max(most, len(inside))
        await asyncio.sleep(0.005)
        inside.discard(key)

    queue = WorkQueue(handle, parallel=2)
    for key in (A, B, C):
        queue.add(key)
    async with running(queue):
        await until(lambda: most == 2 and not inside)


async def test_failures_are_retried_and_do_not_stop_others() -> None:
    looks: list[str] = []

    async def handle(key: TenantId) -> None:
        looks.append(key)
        if key == A and looks.count(A) < 4:
            raise (HostError(500, "x", "y"), ValueError("odd"), TimeoutError())[looks.count(A) - 1]

    queue = WorkQueue(handle, first_pause=0.001)
    async with running(queue):
        queue.add(A)
        queue.add(B)
        await until(lambda: looks.count(A) == 4 and looks.count(B) == 1)


async def test_a_look_that_hangs_is_ended() -> None:
    looks = 0

    async def handle(key: TenantId) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            await asyncio.Event().wait()

    queue = WorkQueue(handle, deadline=0.01, first_pause=0.001)
    async with running(queue):
        queue.add(A)
        await until(lambda: looks == 2)


async def test_a_look_may_ask_for_the_next_and_an_event_comes_first() -> None:
    looks = 0

    async def handle(key: TenantId) -> float | None:
        nonlocal looks
        looks += 1
        return {1: 0.005, 2: 60.0}.get(looks)

    queue = WorkQueue(handle)
    async with running(queue):
        queue.add(A)
        await until(lambda: looks == 2)
        queue.add(A, 30.0)
        queue.add(A)
        await until(lambda: looks == 3)
        queue.add(A, 60.0)
    assert not queue._timers
