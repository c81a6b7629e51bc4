"""vcproxy's own tokens: how they are issued, and how strictly one is read (RFC 7519, RFC 8725).

A token is a compact JWS with ES256. Its header decides nothing but which of our own keys is tried: any algorithm but
ES256 is refused before a key is looked up, and addresses of keys in a header (jku, x5u, jwk) are never read. There is
one way to write a token: no padding, no stray bits, no key twice in an object.
"""

import base64
import binascii
import json
import math
import secrets
from collections.abc import Iterable
from typing import Any, Final

import jwt
import msgspec

from vcproxy.access.keys import Keys
from vcproxy.access.records import LONGEST_LIFE, IssuedToken, TokenRecords, tokens_map_name
from vcproxy.core.names import TenantId, tenant_id

__all__ = ["InvalidTokenError", "IssuedToken", "Issuer", "TokenRecords", "VerifiedToken", "tokens_map_name", "verify"]

ISSUER: Final = "vcproxy"
AUDIENCE: Final = "vcproxy"
REFRESH_AUDIENCE: Final = "vcproxy:refresh"
"""Of tokens that are good for nothing but to be exchanged (access.refresh)."""
ALGORITHM: Final = "ES256"
TOKEN_LIMIT: Final = 16384
"""Bytes of a token: what is longer is refused unread."""
CLOCK_SKEW: Final = 60.0
"""Seconds by which the clock of whoever issues may run ahead of the proxy's: tokens count from that much earlier."""
GROUP_LIMIT: Final = 256

_jws = jwt.PyJWS(algorithms=[ALGORITHM])


class InvalidTokenError(Exception):
    """A token that is refused. The message is for tests and debugging; clients hear a plain 401."""


class VerifiedToken(msgspec.Struct, frozen=True):
    """The claims of a token whose signature is good. Times are seconds since the epoch."""

    id: str
    tenant: TenantId
    tenant_uid: str
    user: str
    groups: tuple[str, ...]
    issued: float
    not_before: float
    expires: float


class Issuer:
    """Makes tokens with the active key."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def issue(
        self,
        tenant: TenantId,
        tenant_uid: str,
        user: str,
        groups: Iterable[str],
        life_seconds: float,
        now: float,
        *,
        audience: str = AUDIENCE,
        token_id: str = "",
    ) -> tuple[str, IssuedToken]:
        """A token and its record; without `token_id` with a new id.

        Raises ValueError for an empty user, too many groups or a life out of bounds.
        """
        wanted = tuple(groups)
        _check_order(tenant_uid, user, wanted, life_seconds)
        issued = round(now, 6)
        record = IssuedToken(
            token_id or secrets.token_hex(16), user, wanted, issued, float(int(now + life_seconds)), tenant_uid
        )
        claims = {
            "iss": ISSUER,
            "aud": [audience],
            "sub": user,
            "groups": list(wanted),
            "tenant": tenant_id(tenant),
            "tenantUid": tenant_uid,
            "jti": record.id,
            "iat": issued,
            "nbf": int(now - CLOCK_SKEW),
            "exp": int(record.expires),
        }
        return self._sign(claims), record

    def _sign(self, claims: dict[str, Any]) -> str:
        headers = {"kid": self._keys.active_signing}
        return _jws.encode(msgspec.json.encode(claims), self._keys.signing_key(), ALGORITHM, headers)


def _check_order(tenant_uid: str, user: str, groups: tuple[str, ...], life: float) -> None:
    if not user or not tenant_uid or not all(groups):
        raise ValueError("a token needs a user, a tenant's uid, and no empty group")
    if len(groups) > GROUP_LIMIT:
        raise ValueError(f"a token holds {GROUP_LIMIT} groups at most")
    if not 1 <= life <= LONGEST_LIFE:
        raise ValueError(f"a token lives from 1 second to {LONGEST_LIFE / 86400:.0f} days")


def verify(token: str, keys: Keys, audience: str = AUDIENCE) -> VerifiedToken:
    """The claims of a token that one of our keys signed. Times are not looked at. Raises InvalidTokenError."""
    header, payload = _split(token)
    if header.get("alg") != ALGORITHM or header.get("typ", "JWT") != "JWT" or "crit" in header or "b64" in header:
        raise InvalidTokenError("the header is not one of ours")
    kid = header.get("kid")
    key = keys.public_key(kid) if isinstance(kid, str) else None
    if key is None:
        raise InvalidTokenError("the key is not known")
    try:
        _jws.decode_complete(token, key, [ALGORITHM])
    except jwt.PyJWTError as error:
        raise InvalidTokenError("the signature is not good") from error
    return _claims(_object(payload), audience)


def issuer_of(token: str) -> str:
    """Who a token says it is from, unverified: only good to choose who verifies it. "" of what is no token."""
    parts = token.split(".", 3) if len(token) <= TOKEN_LIMIT else ()
    try:
        issuer = _object(_decoded(parts[1])).get("iss") if len(parts) == 3 else None
    except InvalidTokenError:
        return ""
    return issuer if isinstance(issuer, str) else ""


def _split(token: str) -> tuple[dict[str, Any], bytes]:
    if not 0 < len(token) <= TOKEN_LIMIT or token.count(".") != 2:
        raise InvalidTokenError("not a token")
    header, payload, _ = map(_decoded, token.split("."))
    return _object(header), payload


def _decoded(part: str) -> bytes:
    """One base64url part. Only its canonical writing counts, so that a token has one text."""
    try:
        raw = base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidTokenError("not base64url") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise InvalidTokenError("not canonical base64url")
    return raw


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError("not a JSON object with each key once") from error
    if not isinstance(value, dict):
        raise InvalidTokenError("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _claims(claims: dict[str, Any], audience: str) -> VerifiedToken:
    if claims.get("iss") != ISSUER or claims.get("aud") not in (audience, [audience]):
        raise InvalidTokenError("the token is for someone else")
    try:
        tenant = tenant_id(_text(claims, "tenant"))
    except ValueError as error:
        raise InvalidTokenError("tenant is not an id") from error
    return VerifiedToken(
        id=_text(claims, "jti"),
        tenant=tenant,
        tenant_uid=_text(claims, "tenantUid"),
        user=_text(claims, "sub"),
        groups=_groups(claims),
        issued=_moment(claims, "iat"),
        not_before=_moment(claims, "nbf"),
        expires=_moment(claims, "exp"),
    )


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidTokenError(f"{name} is missing")
    return value


def _groups(claims: dict[str, Any]) -> tuple[str, ...]:
    value = claims.get("groups")
    if not isinstance(value, list) or len(value) > GROUP_LIMIT:
        raise InvalidTokenError("groups is missing")
    if not all(isinstance(group, str) and group for group in value):
        raise InvalidTokenError("groups is not a list of names")
    return tuple(value)


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < 1e12
        or not math.isfinite(value)
    ):
        raise InvalidTokenError(f"{name} is missing")
    return float(value)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a compact JWS, read strictly and unverified. Raises InvalidTokenError."""
    header, payload = _split(token)
    return header, _object(payload)


def ends(token: str) -> float:
    """The `exp` of a token that somebody else vouches for, in seconds since the epoch; infinity where none is read."""
    try:
        return _moment(parts(token)[1], "exp")
    except InvalidTokenError:
        return math.inf


def check_times(claims: dict[str, Any], now: float, leeway: float) -> None:
    """Nothing if `exp` and, where they are, `nbf` and `iat` allow a token now. Raises InvalidTokenError."""
    if _moment(claims, "exp") <= now:
        raise InvalidTokenError("the token has expired")
    if any(_moment(claims, name) > now + leeway for name in ("nbf", "iat") if name in claims):
        raise InvalidTokenError("the token is of the future")
