"""A body that somebody reads bit by bit, made a feed: copied into its sink by a task of its own, with backpressure."""

import asyncio
import logging
from typing import Final

from vcproxy.core import framing
from vcproxy.core.http import Feed, Reply, Sink, Stream
from vcproxy.drive import Signal

log = logging.getLogger(__name__)

_closing: Final = set[asyncio.Future[None]]()
"""Ends of streams that were never begun: a loop keeps no tasks."""


def feed_of(reply: Reply) -> Feed:
    """What pushes the body of a reply that is not whole: its feed, or its stream as one."""
    if reply.stream is not None:
        return StreamFeed(reply.stream, finite=reply.finite)
    assert reply.feed is not None
    return reply.feed


def _close(stream: Stream) -> None:
    closing = asyncio.ensure_future(stream.close())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


class StreamFeed:
    """A core.http.Feed. It ends cleanly when drained, but not `finite`; it breaks off when its stream does."""

    def __init__(self, stream: Stream, *, finite: bool) -> None:
        self._stream = stream
        self._finite = finite
        self._task: asyncio.Task[None] | None = None
        self._begun = self._drained = False
        self._behind: Signal[None] | None = None

    def start(self, sink: Sink) -> None:
        self._task = asyncio.create_task(self._copy(sink))

    def resume(self) -> None:
        if self._behind is not None:
            self._behind.set(None)

    def drain(self) -> None:
        """After its first step, where that is still to come: what a watch says at once is said."""
        if not self._finite:
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        if self._task is not None:
            self._drained = True
            self._task.cancel()

    def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        if not self._begun:  # a task that is cancelled before its first step takes none
            self._begun = True
            _close(self._stream)

    async def _copy(self, sink: Sink) -> None:
        self._begun = True
        try:
            async for data in self._stream.chunks():
                sink.write(framing.chunk(data))
                if sink.blocked:
                    self._behind = Signal()
                    await self._behind
        except asyncio.CancelledError:
            if not self._drained:
                raise
        except Exception as error:
            log.debug("a stream broke off: %s", type(error).__name__)
            sink.abort()
            return
        finally:
            self._task = None
            await self._stream.close()
        sink.end()
