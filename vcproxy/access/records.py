"""The issued tokens of one tenant, as they stand in its ConfigMap: pure functions over the map's data.

One key per token id with a JSON document, and one key for users whose older tokens are all refused. The record says
who got a token and whether it was revoked; it is not needed for a token to be good, so a watch that lags behind refuses
no fresh token.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from vcproxy.core.names import TenantId

REVOKED_USERS: Final = "_revoked-users"
TOKEN: Final = "token"  # noqa: S105 - a word
CERTIFICATE: Final = "certificate"
_ALWAYS: Final = float("inf")
_NEVER: Final = float("-inf")
RECORD_LIMIT: Final = 3000
"""Records in one ConfigMap: its data may hold 1 MiB, a record about 300 bytes."""
LONGEST_LIFE: Final = 366 * 86400.0
"""Seconds. No token lives longer, so that what is remembered of revoked users may be forgotten."""


def rfc3339(moment: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with microseconds."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(text: str) -> float:
    """RFC 3339 as seconds since the epoch. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()


def tokens_map_name(tenant: TenantId) -> str:
    """The name of a tenant's ConfigMap of tokens."""
    return f"tokens-{tenant}"


class IssuedToken(msgspec.Struct, frozen=True):
    """What is kept of a token or certificate. Times are seconds since the epoch; `revoked` is None while it counts.

    The `id` of a certificate is its serial number in hexadecimal.
    """

    id: str
    user: str
    groups: tuple[str, ...]
    issued: float
    expires: float
    tenant_uid: str
    revoked: float | None = None
    kind: str = TOKEN

    def encode(self) -> str:
        return json.dumps(
            {
                "user": self.user,
                "groups": list(self.groups),
                "issued": rfc3339(self.issued),
                "expires": rfc3339(self.expires),
                "revoked": None if self.revoked is None else rfc3339(self.revoked),
                "tenantUid": self.tenant_uid,
                "kind": self.kind,
            }
        )


_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
EVERYBODY: Final = ""
"""Among the revoked users: all of them (no user's name is empty)."""


class TokenRecords(msgspec.Struct, frozen=True):
    """The records of one tenant. Each change is a new value; what is unreadable is kept as it is."""

    tokens: Mapping[str, IssuedToken] = {}
    revoked_users: Mapping[str, float] = {}
    unreadable: Mapping[str, str] = {}
    unreadable_users: Mapping[str, Any] = {}
    """Revoked users of whom nobody can tell since when: all they have is refused."""

    @staticmethod
    def parse(data: Mapping[str, str] | None) -> "TokenRecords":
        """The records in a ConfigMap's data. Raises nothing: what cannot be read counts as revoked."""
        tokens: dict[str, IssuedToken] = {}
        unreadable: dict[str, str] = {}
        users: dict[str, float] = {}
        odd: dict[str, Any] = {}
        for key, text in (data or {}).items():
            try:
                if key == REVOKED_USERS:
                    users, odd = _users(text)
                else:
                    tokens[key] = _token(key, text)
            except _UNREADABLE:
                unreadable[key] = text
        return TokenRecords(tokens, users, unreadable, odd)

    def data(self) -> dict[str, str]:
        """The ConfigMap's data."""
        data = dict(self.unreadable) | {key: token.encode() for key, token in self.tokens.items()}
        users = {user: rfc3339(at) for user, at in self.revoked_users.items()} | dict(self.unreadable_users)
        if users:
            data[REVOKED_USERS] = json.dumps(users, sort_keys=True)
        return data

    def problems(self) -> list[str]:
        """What cannot be read, each by its key, of users with their names."""
        return [*self.unreadable, *(f"{REVOKED_USERS}: {user or 'everybody'}" for user in self.unreadable_users)]

    def listed(self) -> list[IssuedToken]:
        """All tokens, the oldest first."""
        return sorted(self.tokens.values(), key=lambda token: (token.issued, token.id))

    def add(self, token: IssuedToken, now: float) -> "TokenRecords":
        """With one more token, without expired ones. Raises ValueError when the map is full."""
        live = self.without_expired(now)
        if len(live.tokens) >= RECORD_LIMIT:
            raise ValueError(f"the tenant has {RECORD_LIMIT} tokens that have not expired: no more can be recorded")
        return msgspec.structs.replace(live, tokens={**live.tokens, token.id: token})

    def revoke(self, token_id: str, now: float) -> "TokenRecords":
        """With one token revoked (a second time changes nothing). Raises KeyError for an id without record."""
        token = self.tokens[token_id]
        revoked = token if token.revoked is not None else msgspec.structs.replace(token, revoked=now)
        live = self.without_expired(now)
        return msgspec.structs.replace(live, tokens={**live.tokens, token_id: revoked})

    def revoke_user(self, user: str, now: float) -> "TokenRecords":
        """With every token of a user revoked that was issued up to now, recorded or not.

        Raises ValueError where it cannot be read which users were revoked before: nothing of that is written over.
        """
        if REVOKED_USERS in self.unreadable:
            raise ValueError(f"{REVOKED_USERS} cannot be read: correct it, or revoke all that the tenant has")
        live = self.without_expired(now)
        tokens = {
            key: msgspec.structs.replace(token, revoked=now) if token.user == user and token.revoked is None else token
            for key, token in live.tokens.items()
        }
        return msgspec.structs.replace(live._since(user, now), tokens=tokens)

    def revoke_all(self, now: float) -> "TokenRecords":
        """With every token of the tenant revoked that was issued up to now, recorded or not.

        Whoever was revoked before was so for less than that, so this is right where that cannot be read.
        """
        live = self.without_expired(now)
        tokens = {
            key: msgspec.structs.replace(token, revoked=now) if token.revoked is None else token
            for key, token in live.tokens.items()
        }
        unreadable = {key: text for key, text in live.unreadable.items() if key != REVOKED_USERS}
        return msgspec.structs.replace(live._since(EVERYBODY, now), tokens=tokens, unreadable=unreadable)

    def _since(self, user: str, now: float) -> "TokenRecords":
        odd = {name: value for name, value in self.unreadable_users.items() if name != user}
        users = {**self.revoked_users, user: now}
        return msgspec.structs.replace(self, revoked_users=users, unreadable_users=odd)

    def without_expired(self, now: float) -> "TokenRecords":
        """Without what no longer matters: expired tokens, and users revoked so long ago that no token is left."""
        tokens = {key: token for key, token in self.tokens.items() if token.expires > now}
        users = {user: at for user, at in self.revoked_users.items() if at + LONGEST_LIFE > now}
        return msgspec.structs.replace(self, tokens=tokens, revoked_users=users)

    def refuses(self, token_id: str, user: str, issued: float) -> bool:
        """Whether a token or certificate whose signature is good was taken back.

        Where it is recorded the record says when it was issued: a certificate is valid from a while before that.
        """
        known = self.tokens.get(token_id)
        if known is not None:
            return known.revoked is not None or known.issued <= self._revoked(user)
        return token_id in self.unreadable or issued <= self._revoked(user)

    def _revoked(self, user: str) -> float:
        """Up to when what was issued to a user was revoked."""
        unreadable, revoked = self.unreadable_users, self.revoked_users
        if REVOKED_USERS in self.unreadable or user in unreadable or EVERYBODY in unreadable:
            return _ALWAYS
        return max(revoked.get(user, _NEVER), revoked.get(EVERYBODY, _NEVER)) if revoked else _NEVER


def _token(key: str, text: str) -> IssuedToken:
    entry: dict[str, Any] = json.loads(text)
    revoked = entry.get("revoked")
    return IssuedToken(
        id=key,
        user=str(entry["user"]),
        groups=tuple(map(str, entry.get("groups") or ())),
        issued=seconds(entry["issued"]),
        expires=seconds(entry["expires"]),
        tenant_uid=str(entry.get("tenantUid") or ""),
        revoked=None if revoked is None else seconds(revoked),
        kind=str(entry.get("kind") or TOKEN),
    )


def _users(text: str) -> tuple[dict[str, float], dict[str, Any]]:
    """Since when users are revoked, and what is written of those of whom that cannot be read."""
    users: dict[str, float] = {}
    odd: dict[str, Any] = {}
    for user, at in json.loads(text).items():
        try:
            users[user] = seconds(at)
        except _UNREADABLE:
            odd[user] = at
    return users, odd
