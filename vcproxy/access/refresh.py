"""Short-lived tokens for whoever holds a refresh token: POST to one path of the proxy itself.

A refresh token is a vcproxy token of another audience: good for this exchange alone, recorded and revoked like any
other. What it is exchanged for has its id, its user and its groups, so that revoking the one ends the other, and never
lives longer than it. Nothing is written on the host.
"""

from collections.abc import Callable
from typing import Any, Final

from vcproxy.access.authenticator import Revocations
from vcproxy.access.keys import Keys
from vcproxy.access.records import rfc3339
from vcproxy.access.tokens import CLOCK_SKEW, REFRESH_AUDIENCE, InvalidTokenError, Issuer, VerifiedToken, verify
from vcproxy.core import status
from vcproxy.core.caller import Caller

PATH: Final = b"/vcproxy/credential"
LIFE: Final = 900.0
"""Seconds of a token that is exchanged: an exec plugin asks for the next one before."""


class Refresher:
    """Exchanges. `keys` is asked each time; while it gives None every token is refused."""

    def __init__(self, keys: Callable[[], Keys | None], revocations: Revocations) -> None:
        self._keys = keys
        self._revocations = revocations

    def holder(self, token: str, now: float) -> Caller:
        """Whose refresh token this is. Raises ApiError 401, alike for all that is bad."""
        known = self._verified(token, now)
        return Caller(known.tenant, known.tenant_uid, known.user, known.groups, credential_id=known.id)

    def exchange(self, token: str, now: float) -> dict[str, Any]:
        """An ExecCredential (client.authentication.k8s.io/v1) with a token that lives from now. Raises ApiError 401."""
        known, keys = self._verified(token, now), self._keys()
        life = min(LIFE, known.expires - now)
        if keys is None or life < 1:
            raise status.unauthorized()
        text, record = Issuer(keys).issue(
            known.tenant, known.tenant_uid, known.user, known.groups, life, now, token_id=known.id
        )
        shown = {"token": text, "expirationTimestamp": rfc3339(record.expires)}
        return {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": shown}

    def _verified(self, token: str, now: float) -> VerifiedToken:
        keys = self._keys()
        if keys is None:
            raise status.unauthorized()
        try:
            known = verify(token, keys, REFRESH_AUDIENCE)
        except InvalidTokenError:
            raise status.unauthorized() from None
        counts = known.not_before <= now < known.expires and known.issued <= now + CLOCK_SKEW
        if not counts or self._revocations.refuses(known.tenant, known.id, known.user, known.issued):
            raise status.unauthorized()
        return known
