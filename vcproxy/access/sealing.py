"""Sealed texts: data that a client carries for the proxy and can neither read, change nor use elsewhere.

AES-256-GCM with a random nonce; tenant and purpose are associated data, so a text opens only for the tenant and the
purpose it was made for. Layout, in URL-safe base64 without padding: length of the key id (1 byte), key id, nonce (12),
ciphertext with tag.
"""

import base64
import binascii
import secrets
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vcproxy.access.keys import Keys
from vcproxy.core.names import TenantId

NONCE_BYTES: Final = 12
SEALED_LIMIT: Final = 16384
"""Characters of a sealed text: what is longer is refused unread."""


class Sealer:
    """Seals with the active key, opens with any that is still known. `keys` is asked each time."""

    def __init__(self, keys: Keys | Callable[[], Keys | None]) -> None:
        self._keys = keys

    def seal(self, tenant: TenantId, purpose: str, data: bytes) -> str:
        """A text that only `open` with the same tenant and purpose reads. Raises ValueError without keys."""
        keys = self._current()
        kid = keys.active_sealing
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(_key(keys, kid)).encrypt(nonce, data, _context(tenant, purpose))
        packed = bytes([len(kid)]) + kid.encode("ascii") + nonce + sealed
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    def open(self, tenant: TenantId, purpose: str, text: str) -> bytes:
        """What was sealed. Raises ValueError for everything that `seal` did not make for this tenant and purpose."""
        packed = _unpacked(text)
        size = packed[0]
        kid, nonce, sealed = packed[1 : 1 + size], packed[1 + size : 13 + size], packed[13 + size :]
        key = _key(self._current(), kid.decode("ascii", "replace"))
        try:
            return AESGCM(key).decrypt(nonce, sealed, _context(tenant, purpose))
        except InvalidTag:
            raise ValueError("not a text that was sealed here") from None

    def _current(self) -> Keys:
        keys = self._keys if isinstance(self._keys, Keys) else self._keys()
        if keys is None:
            raise ValueError("the keys are not loaded")
        return keys


def _unpacked(text: str) -> bytes:
    if not 0 < len(text) <= SEALED_LIMIT:
        raise ValueError("not a sealed text")
    try:
        packed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not a sealed text") from None
    if base64.urlsafe_b64encode(packed).rstrip(b"=").decode() != text or len(packed) < packed[0] + NONCE_BYTES + 17:
        raise ValueError("not a sealed text")
    return packed


def _key(keys: Keys, kid: str) -> bytes:
    key = keys.sealing_key(kid)
    if key is None:
        raise ValueError("not a text that was sealed here")
    return key


def _context(tenant: TenantId, purpose: str) -> bytes:
    """Tenant and purpose, unmistakably: an id holds no colon."""
    return f"{tenant}:{purpose}".encode()
