"""What the transports of the loop would lose, were they left as they are."""

import asyncio
from typing import Final

ENCRYPTED: Final = (1, 0)
"""Bytes not yet decrypted at which the socket is read no further while a connection is held back, and at which it is
again. The loop drops what is left of them when the socket ends, so the end must not be read before them."""


def keep_encrypted(transport: asyncio.BaseTransport) -> None:
    """Let nothing be dropped that the other side sent before it ended. For plain connections there is nothing to do."""
    limit = getattr(transport, "set_read_buffer_limits", None)
    if limit is not None:
        limit(*ENCRYPTED)
