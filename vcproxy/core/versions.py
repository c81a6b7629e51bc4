"""resourceVersions as numbers, which may be compared within one etcd (KEP-5504)."""

from typing import Any, Final

DIGITS: Final = 20
"""Of the largest 64-bit number. Python takes longer and longer for longer ones, and refuses some thousands."""


def version_of(text: Any) -> int:
    """The number; 0 for what is no resourceVersion."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= DIGITS else 0
