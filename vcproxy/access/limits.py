"""How much of the proxy one tenant may hold at a time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from vcproxy.core import status
from vcproxy.core.names import TenantId

RETRY_AFTER = 1
"""Seconds after which a refused client may ask again."""


class Limits:
    """Counts what is under way. `in_flight` requests and `watches` are per tenant."""

    def __init__(self, *, in_flight: int, watches: int) -> None:
        self._most = {"requests": in_flight, "watches": watches}
        self._held: dict[str, Counter[TenantId]] = {"requests": Counter(), "watches": Counter()}

    @contextmanager
    def request(self, tenant: TenantId) -> Iterator[None]:
        """Holds a place for one request. Raises ApiError 429 when the tenant has none left."""
        self.take("requests", tenant)
        try:
            yield
        finally:
            self.give("requests", tenant)

    def take(self, what: str, tenant: TenantId) -> None:
        """Take a place (`requests` or `watches`). Raises ApiError 429."""
        if self._held[what][tenant] >= self._most[what]:
            raise status.too_many_requests(
                f"too many {what} of this cluster at the same time, please try again later", RETRY_AFTER
            )
        self._held[what][tenant] += 1

    def give(self, what: str, tenant: TenantId) -> None:
        """Give a place back."""
        held = self._held[what]
        held[tenant] -= 1
        if not held[tenant]:
            del held[tenant]

    def held(self, what: str) -> int:
        """Places held by all tenants, for metrics."""
        return self._held[what].total()
