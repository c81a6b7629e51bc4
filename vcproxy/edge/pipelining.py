"""Requests that a client sends before the one ahead is answered: how many may wait, and when it is read no further.

A watch may stand ahead for an hour, and nothing that waits behind it has a deadline. So no more is taken in than a
client may need: TCP holds it back until the first of them is begun.
"""

from collections.abc import Iterable, Sized
from typing import Final, Protocol

from vcproxy.edge.call import ClientCall
from vcproxy.edge.reader import Malformed

COUNT: Final = 64
"""Requests that may wait."""
WEIGHT: Final = 65536
"""Bytes of heads and bodies that may wait."""
SLICE: Final = 16384
"""Bytes that are read before it is looked at how much waits: one read of the loop may hold thousands of requests."""

Waiting = ClientCall | Malformed


class Queue(Sized, Iterable[Waiting], Protocol):
    """What waits, in order."""


def crowded(waiting: Queue) -> bool:
    """Whether as much waits as may."""
    if len(waiting) >= COUNT:
        return True
    return sum(call.weight for call in waiting if isinstance(call, ClientCall)) > WEIGHT
