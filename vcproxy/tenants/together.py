"""Requests to the host side by side: a few at a time, and none left running behind a failure."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Final, TypeVar

SIDE_BY_SIDE: Final = 8
"""How many requests of one look at a tenant are on their way at a time."""

T = TypeVar("T")


async def together(*work: Awaitable[T]) -> list[T]:
    """The results of all, some side by side. The first failure is raised once none is running any more."""
    slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(item: Awaitable[T]) -> T:
        async with slots:
            return await item

    try:
        results = await asyncio.gather(*map(one, work), return_exceptions=True)
    finally:  # who is cancelled leaves nothing behind that never began
        for item in work:
            if inspect.iscoroutine(item) and inspect.getcoroutinestate(item) == inspect.CORO_CREATED:
                item.close()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
