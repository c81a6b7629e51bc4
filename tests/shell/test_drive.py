"""Coroutines driven by hand: results, errors, and cancellation wherever one can wait."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from vcproxy.drive import Drive, Signal


class Ended:
    """Takes the end of a drive, and counts."""

    def __init__(self) -> None:
        self.ends: list[tuple[Any, BaseException | None]] = []

    def __call__(self, result: Any, error: BaseException | None) -> None:
        self.ends.append((result, error))

    @property
    def cancelled(self) -> bool:
        return len(self.ends) == 1 and isinstance(self.ends[0][1], asyncio.CancelledError)


def started(coroutine: Coroutine[Any, Any, Any]) -> tuple[Drive[Any], Ended]:
    ended = Ended()
    drive = Drive(coroutine, ended)
    drive.start()
    return drive, ended


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def waiting(on: Awaitable[Any], log: list[str] | None = None) -> Any:
    try:
        return await on
    finally:
        if log is not None:
            log.append("cleaned")


async def test_a_coroutine_that_waits_for_nothing_ends_before_start_returns() -> None:
    async def nothing() -> int:
        return 5

    assert started(nothing())[1].ends == [(5, None)]


async def test_a_signal_wakes_in_the_stack_of_whoever_sets_it() -> None:
    signal: Signal[int] = Signal()
    _, ended = started(waiting(signal))
    assert ended.ends == []
    signal.set(7)
    assert ended.ends == [(7, None)]


async def test_a_signal_is_set_once_and_the_first_word_counts() -> None:
    signal: Signal[int] = Signal()
    signal.set(1)
    signal.set(2)
    signal.fail(ValueError())
    assert (signal.done, signal.value, signal.result()) == (True, 1, 1)
    assert await signal == 1


async def test_an_error_goes_to_the_end_and_not_into_the_stack_of_whoever_caused_it() -> None:
    signal: Signal[int] = Signal()
    error = ValueError("x")
    _, ended = started(waiting(signal))
    signal.fail(error)
    assert ended.ends == [(None, error)]
    with pytest.raises(ValueError, match="x"):
        signal.result()


async def test_an_error_at_once_goes_to_the_end_as_well() -> None:
    async def broken() -> None:
        raise KeyError("k")

    _, ended = started(broken())
    assert isinstance(ended.ends[0][1], KeyError)


async def test_futures_tasks_sleeps_events_and_locks_can_be_awaited() -> None:
    event, lock = asyncio.Event(), asyncio.Lock()

    async def five() -> int:
        await asyncio.sleep(0)
        return 5

    async def way() -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        await event.wait()
        async with lock:
            both = await asyncio.gather(five(), asyncio.create_task(five()))
        return sum(both)

    await lock.acquire()
    _, ended = started(way())
    await asyncio.sleep(0.02)
    event.set()
    await turns()
    lock.release()
    await turns(10)
    assert ended.ends == [(10, None)]


async def test_the_error_of_a_task_reaches_the_coroutine_that_awaits_it() -> None:
    async def broken() -> None:
        raise KeyError("k")

    async def way() -> str:
        try:
            await asyncio.create_task(broken())
        except KeyError:
            return "caught"
        return "missed"

    _, ended = started(way())
    await turns()
    assert ended.ends == [("caught", None)]


async def forever() -> None:
    await asyncio.Event().wait()


async def held_lock() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()


@pytest.mark.parametrize(
    "wait",
    [
        lambda: Signal[None](),
        lambda: asyncio.get_running_loop().create_future(),
        lambda: asyncio.create_task(forever()),
        lambda: asyncio.sleep(0),
        lambda: asyncio.sleep(60),
        lambda: asyncio.Event().wait(),
        held_lock,
        lambda: asyncio.gather(forever(), forever()),
    ],
    ids=["signal", "future", "task", "turn", "sleep", "event", "lock", "gather"],
)
async def test_cancelled_wherever_it_waits_it_cleans_up_and_ends_once(wait: Callable[[], Awaitable[Any]]) -> None:
    log: list[str] = []
    drive, ended = started(waiting(wait(), log))
    await turns(0)
    drive.cancel()
    await turns()
    assert ended.cancelled
    assert log == ["cleaned"]
    drive.cancel()
    await turns()
    assert len(ended.ends) == 1


async def test_cancelled_when_the_news_are_there_but_not_told_it_fails_when_it_goes_on() -> None:
    """As a task does: the cancellation is not lost because a future was done first."""
    future = asyncio.get_running_loop().create_future()

    async def way() -> str:
        await future
        await asyncio.Event().wait()
        return "never"

    drive, ended = started(way())
    future.set_result(None)
    drive.cancel()
    await turns()
    assert ended.cancelled


async def test_cancelled_from_inside_itself_it_fails_at_its_next_wait() -> None:
    drives: list[Drive[Any]] = []

    for next_wait in (Signal[None](), asyncio.get_running_loop().create_future(), asyncio.sleep(0)):
        begin: Signal[None] = Signal()

        async def way(begin: Signal[None] = begin, next_wait: Awaitable[Any] = next_wait) -> None:
            await begin
            drives[-1].cancel()
            await next_wait

        drive, ended = started(way())
        drives.append(drive)
        begin.set(None)
        await turns()
        assert ended.cancelled


async def test_a_coroutine_may_outlive_one_cancellation() -> None:
    async def way() -> str:
        try:
            await Signal[None]()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "tidied up"

    drive, ended = started(way())
    drive.cancel()
    await turns()
    assert ended.ends == [("tidied up", None)]


async def test_a_signal_that_nobody_waits_for_any_more_wakes_nobody() -> None:
    signal: Signal[int] = Signal()
    drive, ended = started(waiting(signal))
    drive.cancel()
    signal.set(1)
    assert ended.cancelled


async def test_inside_a_task_a_signal_is_like_a_future() -> None:
    good, bad, never = Signal[int](), Signal[int](), Signal[int]()
    tasks = [asyncio.create_task(waiting(signal)) for signal in (good, bad, never)]
    await turns(1)
    good.set(3)
    bad.fail(ValueError("x"))
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == 3
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], asyncio.CancelledError)
    assert never.done


async def test_a_task_never_runs_in_the_stack_of_whoever_sets_its_signal() -> None:
    signal: Signal[int] = Signal()
    task = asyncio.create_task(waiting(signal))
    await turns(1)
    signal.set(1)
    assert not task.done()
    assert await task == 1


async def test_a_timeout_inside_a_task_ends_the_wait_for_a_signal() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Signal[None]()


async def test_drives_may_be_nested_by_their_signals() -> None:
    first, second = Signal[int](), Signal[int]()

    async def relay() -> None:
        second.set(await first + 1)

    _, relayed = started(relay())
    _, ended = started(waiting(second))
    first.set(1)
    assert relayed.ends == [(None, None)]
    assert ended.ends == [(2, None)]
