"""Shared kinds read: what the host has, asked under the proxy's own read identity, and of it what a tenant may see.

Objects are read whole and shown in the form that was asked for by the proxy itself (core.printers): which of them a
tenant sees is written in them, and what it sees of them is less than what they hold.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from vcproxy.core import content, media, nodes, printers, selectors, status
from vcproxy.core.http import Call, Feed, Reply, single
from vcproxy.core.kinds import Kind
from vcproxy.core.node_events import Look
from vcproxy.core.nodes import Chosen
from vcproxy.core.parameters import Pairs
from vcproxy.core.plan import Forward, Identity, Position, Watch
from vcproxy.core.printers import Form, Object
from vcproxy.core.request import ApiRequest, render_query, resource_path
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError
from vcproxy.core.versions import version_of
from vcproxy.host import answers, replies
from vcproxy.host.answers import HostRefusal
from vcproxy.host.identity import Exchange
from vcproxy.host.initial import Initial, portions
from vcproxy.host.node_watches import frames_of
from vcproxy.host.shared import Client, Hubs

SLOW: Final = 256 * 1024
"""Bytes of an answer from which a thread makes the view of it."""


class NodeReader:
    """Reads Shared kinds for one caller. `seal` makes continue tokens, `clock` tells seconds since the epoch."""

    def __init__(
        self, exchange: Exchange, scope: Scope, seal: Callable[[Position], str], clock: Callable[[], float]
    ) -> None:
        self._exchange = exchange
        self._scope = scope
        self._seal = seal
        self._clock = clock

    async def run(self, wanted: Forward, request: ApiRequest, call: Call) -> Reply:
        """A get or a list. Raises ApiError; the host's own refusals come back as replies."""
        accepted = media.accept(single(call, "Accept"))
        form = printers.form_of(accepted.host_accept, request.query)
        chosen = Chosen.of(wanted.row.key, request.query)
        try:
            raw = await self._ask(wanted.target)
        except HostRefusal as refusal:
            self._seal_continue(refusal.body)
            return await replies.of_refusal(refusal, call)
        found = await _worked(raw, lambda: self._shown(raw, wanted, chosen, form))
        return await replies.of_document(found, accepted.codec, call)

    async def listed(self, row: Kind, version: str, query: Pairs, least: int) -> Object:
        """A whole list as the tenant sees it, not older than `least`. `query` holds selectors as the tenant wrote them.

        Raises ApiError as the host refused.
        """
        target = resource_path(row.group, version, row.resource) + render_query(list(self._query(row, query, least)))
        raw = await self._ask(target)
        chosen = Chosen.of(row.key, query)
        return await _worked(raw, lambda: self._list(answers.decoded(raw), row, chosen))

    async def watch(
        self, wanted: Watch, host_accept: str, hubs: Hubs, valid: Callable[[], bool], give_back: Callable[[], None]
    ) -> Feed:
        """A watch. Raises ApiError, as the host did for a query that it does not take."""
        row, scope = wanted.row, self._scope
        wish = content.wish(wanted)
        if wish is None:
            raise await self._odd(wanted)
        form = printers.form_of(host_accept, wanted.query)
        form = msgspec.structs.replace(form, name=form.name.removesuffix("List"))
        chosen = Chosen.of(row.key, wanted.query)
        look = Look(row, scope.tenant, scope.nodes, chosen, form, self._clock)
        first = await self._first(wanted, look, wish.least) if wish.after is None else None
        client = Client(scope, row, None, valid, give_back)
        return await hubs.join_shared(content.of_shared(wanted), wish, client, look, first)

    async def _first(self, wanted: Watch, look: Look, least: int) -> Initial:
        """What is there now."""
        listed = await self.listed(wanted.row, wanted.version, wanted.query, least)
        frames, headed = frames_of(look, listed)
        return Initial(portions(frames), headed, version_of(printers.metadata(listed).get("resourceVersion")))

    async def _odd(self, wanted: Watch) -> ApiError:
        """What the host says to a watch that is asked for oddly."""
        row = wanted.row
        query = [pair for pair in wanted.query if pair[0] not in ("labelSelector", "fieldSelector", "includeObject")]
        query.append(("labelSelector", selectors.NOTHING))
        try:
            await self._ask(resource_path(row.group, wanted.version, row.resource) + render_query(query))
        except ApiError as refusal:
            return refusal
        return status.bad_request("a watch cannot be asked for like this: leave out sendInitialEvents")

    def _query(self, row: Kind, query: Pairs, least: int) -> Pairs:
        selector = selectors.nodes_up(dict(query), row, self._scope)
        fresh = (("resourceVersion", str(least)), ("resourceVersionMatch", "NotOlderThan"))
        return (*(fresh if least else ()), *selector)

    async def _ask(self, target: str) -> bytes:
        response = await self._exchange.send("GET", target, Identity.READER, headers=(("Accept", media.JSON),))
        try:
            if response.status != 200:
                raise await answers.refusal(response, self._scope)
            return await response.read(answers.BODY_LIMIT)
        finally:
            await response.close()

    def _shown(self, raw: bytes, wanted: Forward, chosen: Chosen, form: Form) -> Object:
        row, document = wanted.row, answers.decoded(raw)
        if wanted.name:
            found = nodes.view(document, row.key, self._scope.tenant, self._scope.nodes)
            if found is None:
                raise status.not_found(row.group, row.resource, wanted.name)
        else:
            found = self._list(document, row, chosen)
            self._seal_continue(found)
            if form.name == "Table":
                head = {"kind": row.kind, "apiVersion": document.get("apiVersion")}
                found["items"] = [{**head, **item} for item in found["items"]]
        return printers.shown(found, row.kind, form, self._clock())

    def _list(self, document: Object, row: Kind, chosen: Chosen) -> Object:
        items = document.get("items")
        views = (
            nodes.view(item, row.key, self._scope.tenant, self._scope.nodes)
            for item in (items if isinstance(items, list) else ())
            if isinstance(item, dict)
        )
        known = printers.metadata(document)
        metadata = {key: known[key] for key in ("resourceVersion", "continue") if known.get(key)}
        return {**document, "metadata": metadata, "items": [one for one in views if one and chosen.holds(one)]}

    def _seal_continue(self, document: Object) -> None:
        """The host's continue tokens are not the tenant's; a 410 carries one too."""
        metadata = printers.metadata(document)
        if metadata.get("continue"):
            at = Position("", str(metadata["continue"]), str(metadata.get("resourceVersion", "")))
            metadata["continue"] = self._seal(at)


async def _worked(raw: bytes, work: Callable[[], Object]) -> Object:
    """What `work` makes of an answer; of a large one a thread does, so that the loop serves others meanwhile."""
    return await asyncio.to_thread(work) if len(raw) > SLOW else work()
