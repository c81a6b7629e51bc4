"""Questions under way: whoever asks the same one meanwhile waits for the one answer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from vcproxy.access.authenticator import Credential, UnreachableIssuerError

V = TypeVar("V")


class Flights(Generic[V]):
    """One task for each credential, `most` at a time. `look` is given the credential and the time of the request."""

    def __init__(self, look: Callable[[Credential, float], Coroutine[Any, Any, V]], most: int) -> None:
        self._look = look
        self._most = most
        self._tasks: dict[Credential, asyncio.Task[V]] = {}

    def begin(self, credential: Credential, now: float) -> None:
        """Look anew, where nobody does and there is room; nobody waits for it."""
        if credential not in self._tasks and len(self._tasks) < self._most:
            self._start(credential, now)

    async def wait(self, credential: Credential, now: float) -> V:
        """What comes of it, for all who wait. Raises what looking raises, UnreachableIssuerError without room."""
        task = self._tasks.get(credential)
        if task is None:
            if len(self._tasks) >= self._most:
                raise UnreachableIssuerError
            task = self._start(credential, now)
        await asyncio.wait({task})
        return task.result()

    def _start(self, credential: Credential, now: float) -> asyncio.Task[V]:
        task = self._tasks[credential] = asyncio.create_task(self._look(credential, now))
        task.add_done_callback(lambda done: self._landed(credential, done))
        return task

    def _landed(self, credential: Credential, task: asyncio.Task[V]) -> None:
        self._tasks.pop(credential, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have
