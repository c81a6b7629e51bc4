"""The installation's keys, as they stand in the Secret `vcproxy-keys`: what signs tokens and seals continue tokens.

Each document names one active key and holds older ones beside it, by key id, so that a rotation refuses nothing that
was made before it. Private parts never show in `repr`.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SIGNING_DOCUMENT: Final = "signing.json"
SEALING_DOCUMENT: Final = "sealing.json"
SEALING_KEY_BYTES: Final = 32
KEY_LIMIT: Final = 16
"""Keys of one sort that a Secret may hold: the newest ones stay when it is rotated."""


class KeysError(ValueError):
    """Keys that cannot be used; the message names the document and never holds key material."""


class Keys:
    """The keys at one moment. Immutable: a rotation makes a new one."""

    def __init__(
        self,
        signing: Mapping[str, ec.EllipticCurvePrivateKey],
        active_signing: str,
        sealing: Mapping[str, bytes],
        active_sealing: str,
    ) -> None:
        self.active_signing = active_signing
        self.active_sealing = active_sealing
        self._signing = dict(signing)
        self._public = {kid: key.public_key() for kid, key in signing.items()}
        self._sealing = dict(sealing)

    def __repr__(self) -> str:
        return f"Keys(signing={sorted(self._signing)}, sealing={sorted(self._sealing)})"

    @staticmethod
    def from_secret(data: Mapping[str, bytes]) -> "Keys":
        """The keys in a Secret's data (base64 already undone). Raises KeysError."""
        active_signing, signing = _document(data, SIGNING_DOCUMENT)
        active_sealing, sealing = _document(data, SEALING_DOCUMENT)
        return Keys(
            {kid: _private_key(kid, entry) for kid, entry in signing.items()},
            active_signing,
            {kid: _sealing_key(kid, entry) for kid, entry in sealing.items()},
            active_sealing,
        )

    @staticmethod
    def generate(now: float | None = None) -> dict[str, bytes]:
        """Secret data with one fresh key of each sort: signing.json and sealing.json (the CA is made elsewhere)."""
        return Keys.rotate({}, now)

    @staticmethod
    def rotate(data: Mapping[str, bytes], now: float | None = None) -> dict[str, bytes]:
        """The same Secret data with a fresh active key of each sort; older keys stay, up to KEY_LIMIT in all."""
        signing = _rotated(data, SIGNING_DOCUMENT, _new_signing_key(now))
        sealing = _rotated(data, SEALING_DOCUMENT, base64.b64encode(secrets.token_bytes(SEALING_KEY_BYTES)).decode())
        return {**data, SIGNING_DOCUMENT: signing, SEALING_DOCUMENT: sealing}

    @property
    def signing_count(self) -> int:
        """How many keys' tokens are good."""
        return len(self._signing)

    def signing_key(self) -> ec.EllipticCurvePrivateKey:
        """The active private key: the newest tokens are signed with it."""
        return self._signing[self.active_signing]

    def public_key(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        """What verifies tokens of a key id, or None where the id is not known."""
        return self._public.get(kid)

    def sealing_key(self, kid: str) -> bytes | None:
        """The 32 bytes of a sealing key, or None where the id is not known."""
        return self._sealing.get(kid)


def _document(data: Mapping[str, bytes], name: str) -> tuple[str, dict[str, Any]]:
    try:
        document = json.loads(data[name])
        active, keys = document["active"], document["keys"]
    except KeyError as error:
        raise KeysError(f"{name}: {error} is missing") from None
    except (ValueError, TypeError):
        raise KeysError(f"{name}: not a JSON document of keys") from None
    if not isinstance(keys, dict) or not isinstance(active, str) or active not in keys:
        raise KeysError(f"{name}: the active key is not among the keys")
    return active, keys


def _private_key(kid: str, entry: Any) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(entry["private"].encode(), None)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise KeysError(f"{SIGNING_DOCUMENT}: key {kid!r} is not a PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise KeysError(f"{SIGNING_DOCUMENT}: key {kid!r} is not on the curve P-256")
    return key


def _sealing_key(kid: str, entry: Any) -> bytes:
    try:
        key = base64.b64decode(entry, validate=True)
    except (TypeError, ValueError):
        raise KeysError(f"{SEALING_DOCUMENT}: key {kid!r} is not base64") from None
    if len(key) != SEALING_KEY_BYTES:
        raise KeysError(f"{SEALING_DOCUMENT}: key {kid!r} is not {SEALING_KEY_BYTES} bytes long")
    return key


def _new_signing_key(now: float | None) -> dict[str, str]:
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    created = datetime.now(UTC) if now is None else datetime.fromtimestamp(now, UTC)
    return {"private": private.decode(), "created": created.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _rotated(data: Mapping[str, bytes], name: str, entry: Any) -> bytes:
    older = _document(data, name)[1] if name in data else {}
    kept = dict(list(older.items())[-(KEY_LIMIT - 1) :])
    kid = secrets.token_hex(4)
    return json.dumps({"active": kid, "keys": {**kept, kid: entry}}, indent=1).encode()
