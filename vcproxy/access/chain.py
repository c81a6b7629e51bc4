"""All authenticators in one: asked in order, the first that knows the credential answers.

What the caches know is answered without waiting. Where a credential is of one sort and bad, no other sort is asked, and
all bad ones are answered alike. For watches and tunnels a credential that fell out of the caches is looked at again in
the background, so that a check never waits and never ends what is in order.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from vcproxy.access.authenticator import Authenticator, Credential, UndecidedError, UnreachableIssuerError
from vcproxy.access.remembering import SMALL_ROOM, Remembered
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.status import ApiError

log = logging.getLogger(__name__)

CHECKS: Final = 64
"""Credentials of running watches that are looked at again at one time."""
ENDED_LIMIT: Final = 4096
ENDED_SECONDS: Final = 30.0
"""How long the result of such a look is believed where it was bad: longer than a watch goes on without a check."""


class Chain:
    """Tells callers by any of the authenticators given."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)
        self._checks: dict[Credential, asyncio.Task[None]] = {}
        self._ended = Remembered[Credential, float](ENDED_LIMIT, SMALL_ROOM)

    def recall(self, credential: Credential, now: float) -> Caller | None:
        """The caller, where an authenticator knows it without waiting; else None. Raises ApiError 401."""
        for one in self._authenticators:
            caller = one.recall(credential, now)
            if caller is not None:
                return caller
        return None

    async def authenticate(self, credential: Credential, now: float) -> Caller:
        """The caller. Raises ApiError 401 where no authenticator knows the credential or one finds it bad."""
        refusal = status.unauthorized()
        for one in self._authenticators:
            try:
                caller = await one.authenticate(credential, now)
            except UndecidedError as undecided:
                refusal = undecided
            else:
                if caller is not None:
                    return caller
        raise refusal

    def reconsider(self) -> None:
        """Forget what was found bad: with another configuration an authenticator before may know it."""
        for one in self._authenticators:
            one.reconsider()

    def counts(self, credential: Credential, caller: Caller, now: float) -> bool:
        """Whether what `caller` began with this credential may go on. Waits for nothing."""
        if now >= caller.expires or (self._ended.get(credential) or 0.0) > now:
            return False
        try:
            known = self.recall(credential, now)
        except ApiError:
            return False
        if known is not None:
            return _same(known, caller)
        if credential not in self._checks and len(self._checks) < CHECKS:
            self._checks[credential] = asyncio.create_task(self._check(credential, caller, now))
        return True

    async def _check(self, credential: Credential, caller: Caller, now: float) -> None:
        try:
            counts = _same(await self.authenticate(credential, now), caller)
        except ApiError as refusal:
            counts = (
                isinstance(refusal, UnreachableIssuerError) or refusal.status.code >= 500
            )  # who cannot be asked has not said no
        except Exception:  # the boundary of a task: a look that failed is made again
            log.exception("a credential could not be looked at again")
            counts = True
        finally:
            del self._checks[credential]
        if not counts:
            self._ended.keep(credential, now + ENDED_SECONDS)


def _same(known: Caller, caller: Caller) -> bool:
    user = caller.actor or caller.user
    return (known.tenant, known.tenant_uid, known.user) == (caller.tenant, caller.tenant_uid, user)
