"""The public keys of an OIDC issuer: from its discovery document, kept, asked for again with care.

What is asked is the configured address alone, or the `jwks_uri` that the document there names; nothing that a token
says is ever an address. All who wait for keys wait for one exchange.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import jwt

from vcproxy.access.fetching import UnreachableError

log = logging.getLogger(__name__)

REFRESH: Final = 900.0
"""Seconds after which keys are asked for again at their next use, so that a withdrawn one ends."""
PAUSE: Final = 10.0
"""Seconds between two exchanges: tokens with made-up key ids cannot make more."""
KEY_LIMIT: Final = 64
RSA_BITS: Final = 2048
_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
"""RFC 7518 3.4."""

Ask = Callable[[str], Awaitable[Any]]


class KeySet:
    """The keys of one issuer. `clock` gives seconds, monotonic."""

    def __init__(self, issuer: str, discovery: str, ask: Ask, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._discovery = discovery
        self._ask = ask
        self._clock = clock
        self._keys: tuple[tuple[dict[str, Any], jwt.PyJWK], ...] = ()
        self._asked = float("-inf")
        self._flight: asyncio.Task[None] | None = None

    async def candidates(self, kid: str | None, algorithm: str) -> list[jwt.PyJWK]:
        """The keys that may have signed a token with this head. Raises UnreachableError where there are none yet."""
        age = self._clock() - self._asked
        found = self._matching(kid, algorithm)
        if age > PAUSE and (not found or age > REFRESH):
            await self._refresh()
            found = self._matching(kid, algorithm)
        if not self._keys:
            raise UnreachableError(f"the keys of {self._issuer} are not known")
        return found

    def _matching(self, kid: str | None, algorithm: str) -> list[jwt.PyJWK]:
        return [
            key
            for entry, key in self._keys
            if (entry["kty"], entry.get("crv")) == (_TYPES[algorithm[:2]], _CURVES.get(algorithm))
            and (kid is None or entry.get("kid") == kid)
            and entry.get("alg", algorithm) == algorithm
        ]

    async def _refresh(self) -> None:
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fetch())
        await asyncio.wait({self._flight})  # it ends by the deadline of each exchange; others may wait for it too

    async def _fetch(self) -> None:
        try:
            self._keys = tuple(await read(self._issuer, self._discovery, self._ask))
        except UnreachableError as error:
            log.warning("the keys of an issuer cannot be read: %s", error)
        finally:
            self._asked = self._clock()


async def read(issuer: str, discovery: str, ask: Ask) -> list[tuple[dict[str, Any], jwt.PyJWK]]:
    """The usable keys of an issuer, each as it was written and as a key. Raises UnreachableError."""
    document = _object(await ask(discovery))
    if document.get("issuer") != issuer:
        raise UnreachableError(f"{discovery} speaks for another issuer")
    entries = _object(await ask(str(document.get("jwks_uri")))).get("keys")
    return _usable(entries if isinstance(entries, list) else [])


def _object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise UnreachableError("not a JSON object")
    return document


def _usable(entries: list[Any]) -> list[tuple[dict[str, Any], jwt.PyJWK]]:
    """Public keys for signatures that are strong enough; what is odd is left out."""
    found = []
    for entry in entries[:KEY_LIMIT]:
        if not isinstance(entry, dict) or entry.get("kty") not in _TYPES.values() or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK({name: value for name, value in entry.items() if name != "d"})
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if entry["kty"] == "EC" or key.key.key_size >= RSA_BITS:
            found.append((entry, key))
    return found
