"""Plans carried out: each sort of plan by the module that knows how, each answer a Reply."""

from collections.abc import AsyncIterator, Callable

from vcproxy.core import media, plan
from vcproxy.core.fields import Scope
from vcproxy.core.http import Call, Reply, single
from vcproxy.core.media import Codec
from vcproxy.core.plan import Position
from vcproxy.core.request import ApiRequest
from vcproxy.core.status import not_acceptable
from vcproxy.host import replies
from vcproxy.host.answers import HostRefusal
from vcproxy.host.forward import Forwarder
from vcproxy.host.identity import Exchange
from vcproxy.host.lists import ListReader
from vcproxy.host.watches import Changes, WatchStream


class Dispatcher:
    """Carries out the plans of one request. `seal` makes continue tokens, `body_limit` is in bytes."""

    def __init__(self, exchange: Exchange, scope: Scope, seal: Callable[[Position], str], body_limit: int) -> None:
        self._exchange = exchange
        self._scope = scope
        self._seal = seal
        self._body_limit = body_limit

    async def forward(self, wanted: plan.Forward, request: ApiRequest, call: Call) -> Reply:
        """One request to the host."""
        forwarder = Forwarder(self._exchange, self._scope, self._seal, body_limit=self._body_limit)
        try:
            return await forwarder.run(wanted, request, call)
        except HostRefusal as refusal:
            return await replies.of_refusal(refusal, call)

    async def list(self, wanted: plan.List, call: Call) -> Reply:
        """A list over namespaces."""
        accepted = media.accept(single(call, "Accept"))
        reader = ListReader(self._exchange, self._scope, accepted.host_accept, self._seal)
        try:
            return await replies.of_document(await reader.read(wanted), accepted.codec, call)
        except HostRefusal as refusal:
            return await replies.of_refusal(refusal, call)

    async def watch(
        self,
        wanted: plan.Watch,
        call: Call,
        changes: Changes,
        *,
        valid: Callable[[], bool],
        hold: Callable[[bool], None],
    ) -> Reply:
        """A watch. `hold` takes (True) and gives back (False) one of the tenant's places for watches."""
        accepted = media.accept(single(call, "Accept"))
        if accepted.codec is not Codec.JSON:
            raise not_acceptable(media.JSON)
        hold(True)
        stream = WatchStream(self._exchange, self._scope, wanted, accepted.host_accept, changes, valid)
        held = _Held(stream, lambda: hold(False))
        try:
            await stream.open()
        except HostRefusal as refusal:
            await held.close()
            return await replies.of_refusal(refusal, call)
        except BaseException:
            await held.close()
            raise
        head = (("Content-Type", "application/json"), ("Cache-Control", "no-cache, private"))
        return Reply(200, head, stream=held)


class _Held:
    """A watch that gives its place back when it ends."""

    def __init__(self, stream: WatchStream, give_back: Callable[[], None]) -> None:
        self._stream = stream
        self._give_back: Callable[[], None] | None = give_back

    def chunks(self) -> AsyncIterator[bytes]:
        return self._stream.chunks()

    async def close(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()
            await self._stream.close()
