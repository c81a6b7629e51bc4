"""Plans carried out: each sort of plan by the module that knows how, each answer a Reply."""

from collections.abc import AsyncIterator, Callable

from vcproxy.core import content, media, plan
from vcproxy.core.http import Call, Feed, Reply, single
from vcproxy.core.kinds import Exposure
from vcproxy.core.media import Codec
from vcproxy.core.plan import Position
from vcproxy.core.request import ApiRequest
from vcproxy.core.scope import Scope
from vcproxy.core.status import not_acceptable
from vcproxy.host import initial, replies
from vcproxy.host.answers import HostRefusal
from vcproxy.host.forward import Forwarder
from vcproxy.host.identity import Exchange
from vcproxy.host.kept import KeptViews
from vcproxy.host.lists import ListReader
from vcproxy.host.nodes import NodeReader
from vcproxy.host.shadow_reads import ShadowReader
from vcproxy.host.shadow_rights import Rights
from vcproxy.host.shadow_store import ShadowStore
from vcproxy.host.shadow_watches import ShadowWatch
from vcproxy.host.shadows import Shadows
from vcproxy.host.shared import Client, Hubs
from vcproxy.host.watches import Changes, WatchStream


class Dispatcher:
    """Carries out the plans of one request. `seal` makes continue tokens.

    `body_limit` is in bytes, `clock` tells seconds since the epoch.
    """

    def __init__(
        self,
        exchange: Exchange,
        scope: Scope,
        hubs: Hubs,
        seal: Callable[[Position], str],
        kept: KeptViews,
        body_limit: int,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._kept = kept
        self._exchange = exchange
        self._scope = scope
        self._hubs = hubs
        self._seal = seal
        self._body_limit = body_limit

    async def forward(self, wanted: plan.Forward, request: ApiRequest, call: Call) -> Reply:
        """One request to the host."""
        if wanted.row.exposure is Exposure.SHARED:
            return await self._nodes().run(wanted, request, call)
        forwarder = Forwarder(self._exchange, self._scope, self._seal, self._kept, body_limit=self._body_limit)
        try:
            return await forwarder.run(wanted, request, call)
        except HostRefusal as refusal:
            return await replies.of_refusal(refusal, call)

    def _nodes(self) -> NodeReader:
        return NodeReader(self._exchange, self._scope, self._seal, self._clock)

    async def list(self, wanted: plan.List, call: Call) -> Reply:
        """A list over namespaces."""
        accepted = media.accept(single(call, "Accept"))
        reader = ListReader(self._exchange, self._scope, accepted.host_accept, self._seal)
        try:
            return await replies.of_document(await reader.read(wanted), accepted.codec, call)
        except HostRefusal as refusal:
            return await replies.of_refusal(refusal, call)

    async def shadow(
        self,
        wanted: plan.Shadow,
        request: ApiRequest,
        call: Call,
        rights: Rights,
        watching: "Watching",
    ) -> Reply:
        """A request about a Shadow kind."""
        if wanted.verb != "watch":
            shadows = Shadows(self._exchange, self._scope, rights, body_limit=self._body_limit, clock=self._clock)
            return await shadows.run(wanted, request, call)
        reader = ShadowReader(ShadowStore(self._exchange, self._scope), self._scope, rights)
        place = watching.place()
        try:
            one = ShadowWatch(self._exchange, self._scope, reader, watching.changes(), watching.valid)
            return await one.open(wanted, call, place.give_back, self._clock)
        except BaseException:
            place.give_back()
            raise

    async def watch(self, wanted: plan.Watch, call: Call, watching: "Watching") -> Reply:
        """A watch of what stands on the host as what it is."""
        accepted = media.accept(single(call, "Accept"))
        if accepted.codec is not Codec.JSON:
            raise not_acceptable(media.JSON)
        valid = watching.valid
        place = watching.place()
        try:
            if wanted.row.exposure is Exposure.SHARED:
                feed: Feed | None = await self._nodes().watch(
                    wanted, accepted.host_accept, self._hubs, valid, place.give_back
                )
            else:
                feed = await self._shared(wanted, accepted.host_accept, valid, place.give_back)
            if feed is not None:
                return Reply(200, replies.STREAMED, feed=feed)
            stream = WatchStream(self._exchange, self._scope, wanted, accepted.host_accept, watching.changes(), valid)
            return await self._alone(stream, place)
        except HostRefusal as refusal:
            place.give_back()
            return await replies.of_refusal(refusal, call)
        except BaseException:
            place.give_back()
            raise

    async def _shared(
        self, wanted: plan.Watch, accept: str, valid: Callable[[], bool], give_back: Callable[[], None]
    ) -> Feed | None:
        """A place in the host watch of all; None where this watch is to have its own."""
        about, wish = content.content_of(wanted, accept), content.wish(wanted)
        if about is None or wish is None:
            return None
        first = None
        if wish.after is None:
            names = tuple(
                sorted(name for name in self._scope.namespaces if not wanted.namespaces or name in wanted.namespaces)
            )
            first = await initial.read(self._exchange, self._scope, wanted, about, names)
            if first.version < max(wish.least, 1):
                return None
        namespaces = frozenset(wanted.namespaces) if wanted.namespaces else None
        return await self._hubs.join(about, wish, Client(self._scope, wanted.row, namespaces, valid, give_back), first)

    async def _alone(self, stream: WatchStream, place: "_Place") -> Reply:
        held = _Held(stream, place)
        try:
            await stream.open()
        except BaseException:
            await held.close()
            raise
        return Reply(200, replies.STREAMED, stream=held)


class Watching:
    """What a watch needs of its caller: what it follows, whether it may go on, and a place among the tenant's watches.

    `hold` takes (True) and gives back (False) a place; it raises ApiError 429 where there is none.
    """

    def __init__(
        self, changes: Callable[[], Changes], *, valid: Callable[[], bool], hold: Callable[[bool], None]
    ) -> None:
        self.changes = changes
        self.valid = valid
        self._hold = hold

    def place(self) -> "_Place":
        self._hold(True)
        return _Place(lambda: self._hold(False))


class _Place:
    """One of the tenant's places for watches, given back once."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def give_back(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class _Held:
    """A watch that gives its place back when it ends."""

    def __init__(self, stream: WatchStream, place: _Place) -> None:
        self._stream = stream
        self._place = place

    def chunks(self) -> AsyncIterator[bytes]:
        return self._stream.chunks()

    async def close(self) -> None:
        self._place.give_back()
        await self._stream.close()
