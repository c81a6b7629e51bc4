"""What is wrong with a tenant's `spec.authentication`, for whoever wrote it. Nobody's request waits for this.

Mistakes are found by reading it as the proxy does; whether an issuer can be asked, by asking it for its keys.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from vcproxy.access import clientcerts, jwks, paths, trust
from vcproxy.access.fetching import Fetcher, UnreachableError
from vcproxy.access.remembering import ROOM, Remembered
from vcproxy.access.trust import Issuer
from vcproxy.core.names import TenantId

KEPT: Final = 240.0
"""Seconds for which an issuer that answered is not asked again."""
KEPT_BAD: Final = 20.0
ISSUERS: Final = 1024
CLASH: Final = (
    "does not count: a CA that was there before has its name, the same key identifier or none, and another key; give "
    "it another name"
)

Ask = Callable[[Issuer], jwks.Ask]


def _fetcher(issuer: Issuer) -> jwks.Ask:
    return Fetcher(issuer.ca).ask


class Assessor:
    """Looks at specs. `clashing` tells which CAs of a tenant's bundle TLS cannot tell from others (access.callers);
    `ask` gives what asks an issuer; `now` is in seconds since the epoch.

    Tenants may have an issuer in common: it is not asked again for each of them.
    """

    def __init__(
        self,
        clashing: Callable[[TenantId, str], list[str]],
        ask: Ask = _fetcher,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._clashing = clashing
        self._ask = ask
        self._now = now
        self._heard = Remembered[tuple[str, str, str], tuple[str, float]](ISSUERS, ROOM)

    async def __call__(self, tenant: TenantId, spec: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """Mistakes in a spec, and what is wrong with issuers although they are written well: one text each."""
        issuers, mistakes = trust.sound(spec.get("jwt") or [])
        mistakes += self._certificates(tenant, spec)
        found = await asyncio.gather(*map(self._reach, issuers))  # each ends by the deadline of its exchanges
        return mistakes, [text for text in found if text]

    def _certificates(self, tenant: TenantId, spec: Mapping[str, Any]) -> list[str]:
        bundle = str(clientcerts.settings(spec).get("caBundle") or "")
        try:
            found, clashing = clientcerts.read(bundle), self._clashing(tenant, bundle)
        except ValueError as error:
            return [f"clientCertificate.caBundle: {error}"]
        return [f"clientCertificate.caBundle: {text} {CLASH}" for text in clashing] + [
            f"clientCertificate.caBundle: certificate {index} ({one.subject.rfc4514_string()}) is not valid now: its "
            f"time is {one.not_valid_before_utc:%Y-%m-%d} to {one.not_valid_after_utc:%Y-%m-%d}"
            for index, one in enumerate(found, 1)
            if not paths.is_valid(one, self._now())
        ]

    async def _reach(self, issuer: Issuer) -> str:
        """What is wrong with an issuer, as was heard a short while ago; "" for nothing."""
        key = issuer.url, issuer.discovery, issuer.ca
        problem, until = self._heard.get(key) or ("", 0.0)
        if self._now() >= until:
            problem = await self._tried(issuer)
            kept = KEPT_BAD if problem else KEPT
            self._heard.keep(key, (problem, self._now() + kept))
        return problem

    async def _tried(self, issuer: Issuer) -> str:
        try:
            keys = await jwks.read(issuer.url, issuer.discovery, self._ask(issuer))
        except UnreachableError as error:
            return f"issuer {issuer.url}: {error}"
        return "" if keys else f"issuer {issuer.url} has no key that can be used (RSA of 2048 bits, or EC)"
