"""Work by key: one at a time for each key, several keys side by side, failures retried with growing pauses.

The work is level-based: it looks at the state and does what is missing, so many reasons to look are one reason.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError
from vcproxy.tenants.hostapi import HostError

log = logging.getLogger(__name__)


class WorkQueue:
    """`handle(key)` does the work and returns in how many seconds to look again, or None for when something happens."""

    def __init__(
        self,
        handle: Callable[[TenantId], Awaitable[float | None]],
        *,
        parallel: int = 16,
        deadline: float = 60.0,
        first_pause: float = 0.2,
        longest_pause: float = 30.0,
    ) -> None:
        self._handle = handle
        self._slots = asyncio.Semaphore(parallel)
        self._deadline = deadline
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._group: asyncio.TaskGroup | None = None
        self._early: set[TenantId] = set()
        self._timers: dict[TenantId, tuple[float, asyncio.Handle]] = {}
        self._running: set[TenantId] = set()
        self._again: set[TenantId] = set()
        self._failures: dict[TenantId, int] = {}

    def add(self, key: TenantId, after: float = 0.0) -> None:
        """Look at a key in `after` seconds, or earlier if that was asked before."""
        if self._group is None:
            self._early.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + after
        known = self._timers.get(key)
        if known is not None:
            if known[0] <= due:
                return
            known[1].cancel()
        self._timers[key] = due, loop.call_at(due, self._fire, key, self._group)

    async def run(self) -> None:
        """Works until cancelled; what is running then is cancelled too."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for key in self._early:
                    self.add(key)
                self._early.clear()
                await asyncio.Event().wait()
        finally:
            self._group = None
            for _, timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    def _fire(self, key: TenantId, group: asyncio.TaskGroup) -> None:
        self._timers.pop(key, None)
        if key in self._running:
            self._again.add(key)
        else:
            work = self._work(key)
            try:
                group.create_task(work, name=f"tenant {key}")
            except RuntimeError:  # a timer that fires while the queue ends
                work.close()
                return
            self._running.add(key)

    async def _work(self, key: TenantId) -> None:
        try:
            async with self._slots, asyncio.timeout(self._deadline):
                after = await self._handle(key)
            self._failures.pop(key, None)
            if key in self._again:
                after = 0.0
        except (HostError, ApiError, TimeoutError) as error:
            after = self._pause(key)
            log.info("tenant %s: %s; again in %.1f s", key, error or "took too long", after)
        except Exception:  # one odd tenant must not stop the others: it is told in full, and tried again
            after = self._pause(key)
            log.exception("tenant %s; again in %.1f s", key, after)
        self._running.discard(key)
        self._again.discard(key)
        if after is not None:
            self.add(key, after)

    def _pause(self, key: TenantId) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        longest = min(self._first_pause * 2.0 ** min(failures - 1, 16), self._longest_pause)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
