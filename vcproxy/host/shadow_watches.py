"""Watches of Shadow kinds: what stands on the host, and before it what every tenant has in any case."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec

from vcproxy.core import bodies, media, printers, shadow, status
from vcproxy.core.fields_shadow import SHADOW_VERSION
from vcproxy.core.http import Call, Reply, single
from vcproxy.core.media import Codec
from vcproxy.core.names import SYSTEM_NAMESPACE, VirtualName
from vcproxy.core.parameters import Pairs
from vcproxy.core.plan import Identity, Shadow, Watch
from vcproxy.core.printers import Form, Object
from vcproxy.core.scope import Scope
from vcproxy.core.view import ClassLists, NamespaceInfo
from vcproxy.host import replies
from vcproxy.host.answers import HostRefusal
from vcproxy.host.identity import Exchange
from vcproxy.host.shadow_reads import ShadowReader
from vcproxy.host.watches import Changes, WatchStream

_PASSING: Final = (
    "allowWatchBookmarks",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
)


class ShadowWatch:
    """One watch of a tenant. `changes` is what it follows, `valid` whether it may go on."""

    def __init__(
        self, exchange: Exchange, scope: Scope, reader: ShadowReader, changes: Changes, valid: Callable[[], bool]
    ) -> None:
        self._exchange = exchange
        self._scope = scope
        self._reader = reader
        self._changes = changes
        self._valid = valid

    async def open(self, wanted: Shadow, call: Call, done: Callable[[], None], clock: Callable[[], float]) -> Reply:
        """The reply; `done` is called once, when it has ended. Raises ApiError; `done` is then the caller's."""
        accepted = media.accept(single(call, "Accept"))
        if accepted.codec is not Codec.JSON:
            raise status.not_acceptable(media.JSON)
        lines = _Lines(self._reader, wanted, printers.form_of(accepted.host_accept, wanted.query), clock)
        made = _Made(self._reader, wanted)
        stream = self._stream(wanted, lines.shown, made)
        try:
            await stream.open()
        except HostRefusal as refusal:
            await stream.close()
            body = shadow.status_to_view(refusal.body, wanted.row, wanted.name, self._scope)
            done()
            return await replies.of_refusal(HostRefusal(refusal.status.code, body), call)
        except BaseException:
            await stream.close()
            raise
        first = self._reader.listed_defaults(wanted) if _from_start(wanted.query) else []
        return Reply(
            200, replies.STREAMED, stream=_Following(stream, [lines.added(one) for one in first], made.moved, done)
        )

    def _stream(self, wanted: Shadow, shown: Callable[[Object], Object], made: "_Made") -> WatchStream:
        changes = self._changes if wanted.row.namespaced else _SystemChanges(self._changes)
        plan = self._plan(wanted)
        valid: Callable[[], bool] = lambda: self._valid() and not made.moved()  # noqa: E731
        return WatchStream(self._exchange, self._scope, plan, media.JSON, changes, valid, shown)

    def _plan(self, wanted: Shadow) -> Watch:
        names = wanted.namespaces if wanted.row.namespaced else (SYSTEM_NAMESPACE,)
        query: Pairs = tuple(pair for pair in wanted.query if pair[0] in _PASSING)
        selecting = self._reader.selecting(msgspec.structs.replace(wanted, absent=False))
        query = (*query, *selecting, ("watch", "true"))
        return Watch(shadow.stored(wanted.row), SHADOW_VERSION, query, Identity.TENANT, names)


def _from_start(query: Pairs) -> bool:
    """Whether a watch begins with what is there."""
    pairs = dict(query)
    return pairs.get("resourceVersion", "") in ("", "0") or "sendInitialEvents" in pairs


class _Made:
    """What the host tells nobody of: grants, and the rules that aggregated roles gather. As it was, and as it is.

    Neither has a version of its own that a watch could go on from, so whoever watches is sent to list anew.
    """

    def __init__(self, reader: ShadowReader, wanted: Shadow) -> None:
        self._reader = reader
        self._wanted = wanted
        self._then = reader.made(wanted)
        self._moved = False

    def moved(self) -> bool:
        """Whether a list would show another than when the watch began. Roles that came or went have events."""
        now = self._reader.made(self._wanted)
        if now is not self._then:
            self._moved = self._moved or any(now[key] != self._then[key] for key in now.keys() & self._then.keys())
            self._then = now
        return self._moved


class _SystemChanges:
    """The changes of a tenant, seen by a watch of its system namespace: that is there as long as the tenant is."""

    def __init__(self, inner: Changes) -> None:
        self._inner = inner

    def namespaces(self) -> Mapping[VirtualName, NamespaceInfo] | None:
        return {SYSTEM_NAMESPACE: NamespaceInfo(0.0, "")} if self._inner.namespaces() is not None else None

    def classes(self) -> ClassLists | None:
        return self._inner.classes()

    async def changed(self) -> None:
        await self._inner.changed()

    async def close(self) -> None:
        await self._inner.close()


class _Lines:
    """The events of one watch in its form; of Tables only the first says what its columns are."""

    def __init__(self, reader: ShadowReader, wanted: Shadow, form: Form, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._wanted = wanted
        self._form = msgspec.structs.replace(form, name=form.name.removesuffix("List"))
        self._clock = clock
        self._begun = False

    def shown(self, document: Object) -> Object:
        """An object of the host as the tenant gets it."""
        view = self._reader.event(self._wanted, document)
        return view if view.get("kind") == "Status" else self._formed(view)

    def added(self, view: Object) -> bytes:
        """The event of an object that is there in any case."""
        return bodies.encode_json({"type": "ADDED", "object": self._formed(view)}) + b"\n"

    def _formed(self, view: Object) -> Object:
        columns, self._begun = not self._begun, True
        return printers.shown(view, self._wanted.row.kind, self._form, self._clock(), columns=columns)


class _Following:
    """What is there in any case, then what the host tells."""

    def __init__(
        self, stream: WatchStream, first: Sequence[bytes], moved: Callable[[], bool], done: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._first = first
        self._moved = moved
        self._done: Callable[[], None] | None = done

    async def chunks(self) -> AsyncIterator[bytes]:
        for line in self._first:
            yield line
        async for chunk in self._stream.chunks():
            yield chunk
        if self._moved():
            expired = status.gone("what the roles of this cluster allow has changed: list again").status
            yield bodies.encode_json({"type": "ERROR", "object": msgspec.json.decode(expired.encode())}) + b"\n"

    async def close(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()
        await self._stream.close()
