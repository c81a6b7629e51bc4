"""How much of the proxy one tenant may hold at a time."""

from collections import Counter

from vcproxy.core import status
from vcproxy.core.names import TenantId

RETRY_AFTER = 1
"""Seconds after which a refused client may ask again."""


class Place:
    """A place for one request, for as long as a `with` lasts. A generator would cost three times as much."""

    __slots__ = ("_limits", "_tenant")

    def __init__(self, limits: "Limits", tenant: TenantId) -> None:
        self._limits = limits
        self._tenant = tenant

    def __enter__(self) -> None:
        self._limits.take("requests", self._tenant)

    def __exit__(self, *_: object) -> None:
        self._limits.give("requests", self._tenant)


class Limits:
    """Counts what is under way. `in_flight` requests and `watches` are per tenant."""

    def __init__(self, *, in_flight: int, watches: int) -> None:
        self._most = {"requests": in_flight, "watches": watches}
        self._held: dict[str, Counter[TenantId]] = {"requests": Counter(), "watches": Counter()}

    def request(self, tenant: TenantId) -> "Place":
        """Holds a place for one request, as a context. Raises ApiError 429 when the tenant has none left."""
        return Place(self, tenant)

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
