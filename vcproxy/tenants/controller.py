"""The controller: makes of each Tenant what its spec says, and removes what is a tenant's when it goes.

Runs behind a Lease under the controller's credential; the work of one time of leading is a Term.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from vcproxy.core.hosting import Upstream
from vcproxy.tenants import manifests
from vcproxy.tenants.hostapi import HostApi
from vcproxy.tenants.lease import Lease, LeaseTiming

log = logging.getLogger(__name__)

LEASE: Final = "vcproxy-controller"
RESTART: Final = 2.0
"""Seconds until the controller starts again after its work ended."""


class Work(Protocol):
    """What is done while leading: `vcproxy.tenants.term.Term`."""

    async def run(self) -> None:
        """Works until cancelled."""
        ...


class Controller:
    """Candidate for the Lease; while it leads, work is done. `term` makes it anew for each time of leading."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        identity: str,
        term: Callable[[], Work],
        timing: LeaseTiming = LeaseTiming(),  # noqa: B008 - frozen
    ) -> None:
        api = HostApi(upstream, timeout=5.0)
        self._lease = Lease(api, manifests.INSTALLATION, LEASE, identity, timing=timing)
        self._term = term

    @property
    def leading(self) -> bool:
        return self._lease.leading

    async def run(self) -> None:
        """Runs until cancelled; gives the Lease back at the end. What goes wrong is told in full, and tried again."""
        while True:
            try:
                await self._lease.lead(lambda: self._term().run())
            except Exception:  # the proxy serves on while its controller starts anew
                log.exception("the controller starts again in %.0f s", RESTART)
            await asyncio.sleep(RESTART)
