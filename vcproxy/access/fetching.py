"""One small document from a configured https address: bounded in size and time, verified, never redirected."""

import asyncio
import importlib
import ssl
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import aiohttp

DOCUMENT_LIMIT: Final = 262144
"""Bytes of an answer."""
DEADLINE: Final = 10.0


class UnreachableError(Exception):
    """Nothing usable came. The message is for the log; it holds no credential."""


class Fetcher:
    """Asks one server. `ca` is a PEM text, "" for the system's own; `deadline` is in seconds for a whole exchange."""

    def __init__(self, ca: str = "", deadline: float = DEADLINE) -> None:
        self._ca = ca
        self._deadline = deadline
        self._context: ssl.SSLContext | None = None

    async def ask(self, url: str, body: bytes | None = None) -> Any:
        """The decoded JSON of a GET, or of a POST of `body` (JSON). Raises UnreachableError."""
        try:
            async with asyncio.timeout(self._deadline):
                return await self._ask(url, body)
        except (TimeoutError, OSError, ValueError, RecursionError, msgspec.DecodeError) as error:
            raise UnreachableError(f"{url}: {type(error).__name__}: {error}") from error

    async def _ask(self, url: str, body: bytes | None) -> Any:
        if not url.startswith("https://"):
            raise ValueError("not an https address")
        context = self._context = self._context or ssl.create_default_context(cadata=self._ca or None)
        headers = {"Accept": "application/json", "User-Agent": "vcproxy"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")  # a third of the start, else for nothing
        try:
            connector = aiohttp.TCPConnector(ssl=context, force_close=True)
            async with (
                aiohttp.ClientSession(connector=connector, headers=headers, auto_decompress=False) as session,
                session.request("GET" if body is None else "POST", url, data=body, allow_redirects=False) as answer,
            ):
                if answer.status not in (200, 201):
                    raise ValueError(f"answered {answer.status}")
                return msgspec.json.decode(await _bounded(answer.content))
        except aiohttp.ClientError as error:
            raise OSError(f"{type(error).__name__}: {error}") from error


async def _bounded(content: "aiohttp.StreamReader") -> bytes:
    found = bytearray()
    async for piece in content.iter_any():
        found += piece
        if len(found) > DOCUMENT_LIMIT:
            raise ValueError(f"more than {DOCUMENT_LIMIT} bytes")
    return bytes(found)
