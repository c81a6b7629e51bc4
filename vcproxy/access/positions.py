"""Where a list goes on, as a continue token that is good for that list, that tenant and its owner of then alone."""

import msgspec

from vcproxy.access.sealing import Sealer
from vcproxy.core import status
from vcproxy.core.plan import Position
from vcproxy.core.request import ApiRequest
from vcproxy.core.view import TenantView


class Positions:
    """Seals them and opens them."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def of(self, asked: ApiRequest, view: TenantView) -> Position | None:
        """The position that a request brings; None where it brings none. Raises ApiError 400 for a foreign one."""
        token = asked.parameter("continue")
        if not token:
            return None
        try:
            return msgspec.json.decode(self._sealer.open(view.id, _purpose(asked, view), token), type=Position)
        except (ValueError, msgspec.DecodeError):
            raise status.bad_request("continue key is not valid: start the list again without it") from None

    def seal(self, asked: ApiRequest, view: TenantView, position: Position) -> str:
        """The token. Raises ValueError without keys."""
        return self._sealer.seal(view.id, _purpose(asked, view), msgspec.json.encode(position))


def _purpose(asked: ApiRequest, view: TenantView) -> str:
    """What a continue token is for: it continues the very list that it came from, for the owner of then."""
    return f"list:{view.uid}:{asked.group}/{asked.resource}/{asked.namespace}"
