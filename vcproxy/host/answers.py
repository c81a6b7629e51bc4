"""Answers of the host, read whole: an object, or the refusal that the host gave, in the tenant's words."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from vcproxy.core import objects, partial, status
from vcproxy.core.hosting import HostResponse
from vcproxy.core.partial import Answer
from vcproxy.core.plan import Position
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError, Status

BODY_LIMIT: Final = 512 * 1024 * 1024
"""Bytes of one answer: what the host sends is trusted to end, not to be small."""

_json = msgspec.json.Decoder()


async def document(response: HostResponse, limit: int = BODY_LIMIT) -> dict[str, Any]:
    """The JSON object of an answer, decoded. Raises ApiError 502 for anything else."""
    return decoded(await response.read(limit))


def decoded(raw: bytes) -> dict[str, Any]:
    """The JSON object of bytes that were read. Raises ApiError 502."""
    try:
        document = _json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise status.bad_gateway() from None
    if not isinstance(document, dict):
        raise status.bad_gateway()
    return document


async def answer(response: HostResponse, limit: int = BODY_LIMIT) -> Answer:
    """The JSON object of an answer, split up as far as it is needed. Raises ApiError 502 for anything else."""
    return split(await response.read(limit))


def split(raw: bytes) -> Answer:
    """The same of bytes that were read. Raises ApiError 502."""
    try:
        return partial.read(raw)
    except (msgspec.DecodeError, RecursionError):
        raise status.bad_gateway() from None


def seal_continue(answer: Answer, seal: Callable[[Position], str]) -> None:
    """The host's continue tokens hold host names: `seal` makes one that holds none."""
    metadata = answer.list_metadata()
    if metadata.get("continue"):
        position = Position("", str(metadata["continue"]), str(metadata.get("resourceVersion", "")))
        answer.set_continue(seal(position))


class HostRefusal(ApiError):  # noqa: N818 - a Status, not a fault of the program
    """A refusal of the host, as the Status document that the tenant shall see."""

    def __init__(self, code: int, body: dict[str, Any]) -> None:
        super().__init__(Status(code, str(body.get("reason", "")), str(body.get("message", ""))))
        self.body = body


async def refusal(response: HostResponse, scope: Scope) -> HostRefusal:
    """The host's refusal in the tenant's words, whatever its body was."""
    raw = await response.read(BODY_LIMIT)
    try:
        body = _json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        body = None
    if not isinstance(body, dict) or body.get("kind") != "Status":
        body = Status(response.status, "Unknown", "the server could not complete the request").document()
    if response.status == 401:  # the proxy's own credential was refused: nothing that the tenant could mend
        return HostRefusal(502, status.bad_gateway().status.document())
    return HostRefusal(response.status, objects.status_to_view(body, scope))
