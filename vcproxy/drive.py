"""Coroutines driven by hand: the way of a request without a task for each of them.

A task, its future and the turns of the loop between them cost more than all the steps of a small request. A `Drive`
runs a coroutine in the stack of whoever has news for it: it starts at once, and where the coroutine awaits a `Signal`
it goes on the moment that the signal is set. asyncio's own futures (tasks, events, locks, sleeps) can be awaited too.
What cannot be used there is what asks for the current task: `asyncio.timeout`; such code belongs into a task that is
awaited. A Signal may also be awaited inside a task, where it behaves as a future does.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Signal(Generic[T]):
    """One result, set once, that at most one waits for."""

    __slots__ = ("_asyncio_future_blocking", "_done", "_error", "_value", "waiter")

    def __init__(self) -> None:
        self._asyncio_future_blocking = False
        self._done = False
        self._error: BaseException | None = None
        self._value: T | None = None
        self.waiter: Callable[[], None] | None = None

    @property
    def done(self) -> bool:
        return self._done

    @property
    def value(self) -> T | None:
        """The result, None while there is none."""
        return self._value

    def result(self) -> T | None:
        """The result. Raises what it failed with."""
        if self._error is not None:
            raise self._error
        return self._value

    def set(self, value: T) -> None:
        """Give the result; whoever waits goes on before this returns. Does nothing once done."""
        if not self._done:
            self._done, self._value = True, value
            self._wake()

    def fail(self, error: BaseException) -> None:
        """Let the waiter fail. Does nothing once done."""
        if not self._done:
            self._done, self._error = True, error
            self._wake()

    def _wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter()

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    # What a task asks of a future that it waits for (asyncio: "Future-like" objects) ---------------------------------

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def add_done_callback(self, callback: Callable[[Any], None], *, context: Context | None = None) -> None:
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon(callback, self, context=context)  # a task never runs inside another

        self.waiter = wake

    def cancel(self, msg: str | None = None) -> bool:
        done = self._done
        self.fail(asyncio.CancelledError())
        return not done


class Drive(Generic[T]):
    """Runs one coroutine to its end. `ended` is called once, with the result or with the error."""

    __slots__ = ("_coroutine", "_ended", "_error", "_waits_for")

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], ended: Callable[[T | None, BaseException | None], None]
    ) -> None:
        self._coroutine = coroutine
        self._ended = ended
        self._waits_for: Any = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Run until the first wait, or to the end."""
        self._step()

    def cancel(self) -> None:
        """Let the coroutine fail with CancelledError where it waits; if its news are there already, when it goes on."""
        waits_for, self._waits_for = self._waits_for, None
        if isinstance(waits_for, Signal) and not waits_for.done:
            waits_for.waiter = None
            self._error = asyncio.CancelledError()
            self._step()
        elif waits_for is None or not waits_for.cancel():
            self._error = asyncio.CancelledError()

    def _step(self) -> None:
        self._waits_for = None
        error, self._error = self._error, None
        try:
            yielded = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration as stop:
            result = stop.value
        except BaseException as raised:  # the driver is the last that could take it: it hands it on
            self._ended(None, raised)
            return
        else:
            self._wait(yielded)
            return
        self._ended(result, None)

    def _wait(self, yielded: Any) -> None:
        if yielded is None:  # asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(self._step)
            return
        self._waits_for = yielded
        yielded._asyncio_future_blocking = False  # what a task does with the future that it is given
        if isinstance(yielded, Signal):
            yielded.waiter = self._step
        else:
            yielded.add_done_callback(self._woken)
        if self._error is not None:  # it was cancelled while it ran
            self._error = None
            self.cancel()

    def _woken(self, future: Any) -> None:
        self._step()
