"""Bodies of the host that go to the client as they come: what a container says, what a pod or service answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from vcproxy.core import status
from vcproxy.core.hosting import HostResponse

PROGRESS: Final = 60.0
"""Seconds within which the next bytes of a body must come that is there already: a file, the logs of until now."""
QUIET: Final = 3600.0
"""The same for a body without a length, which may be one of events: there is something to tell once in a while."""


class HostStream:
    """A body as it comes. `within` is in seconds for the next bytes of it; None where quiet is no fault."""

    def __init__(self, response: HostResponse, within: float | None) -> None:
        self._response = response
        self._within = within

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises ApiError 502 where the host broke off, 504 where nothing came in time."""
        chunks = self._response.chunks()
        while True:
            try:
                async with asyncio.timeout(self._within):
                    data = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise status.timed_out() from None
            yield data

    async def close(self) -> None:
        await self._response.close()
