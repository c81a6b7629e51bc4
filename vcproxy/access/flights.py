"""Questions under way: whoever asks the same one meanwhile waits for the one answer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from vcproxy.access.authenticator import UnreachableIssuerError

K = TypeVar("K")
V = TypeVar("V")


class Flights(Generic[K, V]):
    """One task for each question, `most` at a time. `look` is given the question and the time of the request."""

    def __init__(self, look: Callable[[K, float], Coroutine[Any, Any, V]], most: int) -> None:
        self._look = look
        self._most = most
        self._tasks: dict[K, asyncio.Task[V]] = {}

    def begin(self, question: K, now: float) -> None:
        """Look anew, where nobody does and there is room; nobody waits for it."""
        if question not in self._tasks and len(self._tasks) < self._most:
            self._start(question, now)

    async def wait(self, question: K, now: float) -> V:
        """What comes of it, for all who wait. Raises what looking raises, UnreachableIssuerError without room."""
        task = self._tasks.get(question)
        if task is None:
            if len(self._tasks) >= self._most:
                raise UnreachableIssuerError
            task = self._start(question, now)
        await asyncio.wait({task})
        return task.result()

    def _start(self, question: K, now: float) -> asyncio.Task[V]:
        task = self._tasks[question] = asyncio.create_task(self._look(question, now))
        task.add_done_callback(lambda done: self._landed(question, done))
        return task

    def _landed(self, question: K, task: asyncio.Task[V]) -> None:
        self._tasks.pop(question, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have
