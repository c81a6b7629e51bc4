"""One list over several namespaces of a tenant, consistent at one resourceVersion.

The first namespace is asked as the client asked, the others at exactly the resourceVersion that it answered with, so
the merged list is one that a single cluster could have given. Its cost grows with the tenant, never with the cluster.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from vcproxy.core import media, partial, plan, status
from vcproxy.core.names import TENANT_LABEL, VirtualName, up
from vcproxy.core.parameters import Pairs
from vcproxy.core.partial import Answer
from vcproxy.core.plan import Identity, Position
from vcproxy.core.request import resource_path
from vcproxy.core.scope import Scope
from vcproxy.core.targets import namespace_target
from vcproxy.host import answers
from vcproxy.host.answers import HostRefusal
from vcproxy.host.identity import Exchange

PARALLEL: Final = 16
"""Namespaces of one list that are asked for at the same time."""

UNLIMITED: Final = sys.maxsize
LASTING: Final = ("default", "kube-system")
"""Namespaces that go with their tenant only."""
TOO_OLD: Final = (
    "The provided continue parameter is too old for a consistent list. Start again without it, or go on with the one "
    "in this answer: what that gives is of now, and need not fit what came before."
)

Seal = Callable[[Position], str]


class ListReader:
    """Reads one merged list. `seal` makes the continue token that the tenant gets."""

    def __init__(self, exchange: Exchange, scope: Scope, accept: str, seal: Seal) -> None:
        self._exchange = exchange
        self._scope = scope
        self._accept = accept
        self._seal = seal

    async def read(self, wanted: plan.List) -> dict[str, Any]:
        """The list as the tenant sees it. Raises ApiError as the host refused or failed."""
        return await (self._chunk(wanted) if wanted.limit or wanted.position else self._whole(wanted))

    async def _whole(self, wanted: plan.List) -> dict[str, Any]:
        first, *others = wanted.namespaces
        merged = await self._part(wanted, first, wanted.query)
        if merged is None:
            return await self._whole(msgspec.structs.replace(wanted, namespaces=tuple(others)))
        exact = _exactly(wanted.query, _version(merged))
        slots = asyncio.Semaphore(PARALLEL)

        async def one(namespace: VirtualName) -> Answer | None:
            async with slots:
                return await self._part(wanted, namespace, exact)

        parts = await _all([asyncio.create_task(one(namespace)) for namespace in others])
        return _merge([merged, *(part for part in parts if part is not None)])

    async def _chunk(self, wanted: plan.List) -> dict[str, Any]:
        """One chunk: on from the position, namespace after namespace, until the limit is reached."""
        position = wanted.position
        start = position.namespace if position else ""
        left, got = wanted.limit or UNLIMITED, list[Answer]()
        version, token = (position.resource_version, position.token) if position else ("", "")
        more = ""
        for namespace in (name for name in wanted.namespaces if name >= start):
            if not left:
                more = self._seal(Position(namespace, "", version))
                break
            resume = token if namespace == start else ""
            part = await self._chunk_part(
                wanted, namespace, _chunk_query(wanted.query, version, resume, left if wanted.limit else 0)
            )
            if part is None:
                continue
            version = version or _version(part)
            left -= min(left, len(part.entries or ()))
            got.append(part)
            if rest := str(part.list_metadata().get("continue") or ""):
                more = self._seal(Position(namespace, rest, version))
                break
        if not got:
            nowhere = (VirtualName("default"),)
            return await self._whole(msgspec.structs.replace(wanted, limit=0, position=None, namespaces=nowhere))
        return _merge(got, more)

    async def _chunk_part(self, wanted: plan.List, namespace: VirtualName, query: Pairs) -> Answer | None:
        """The part of one namespace in a chunk. A list that is too old can be gone on with, inconsistently."""
        try:
            return await self._part(wanted, namespace, query)
        except HostRefusal as refusal:
            if refusal.status.code == 410:
                self._go_on(refusal.body, namespace, begun=wanted.position is not None)
            raise

    def _go_on(self, refusal: dict[str, Any], namespace: VirtualName, *, begun: bool) -> None:
        """Seal the host's token for that with its namespace.

        Where a namespace was to be begun at a version that is gone the host has none: then it begins at the newest.
        """
        metadata = refusal.setdefault("metadata", {})
        token = str(metadata.pop("continue", "") or "")
        if token or begun:
            metadata["continue"] = self._seal(Position(namespace, token, ""))
        if begun and not token:
            refusal["message"] = TOO_OLD

    async def _part(self, wanted: plan.List, namespace: VirtualName, query: Pairs) -> Answer | None:
        """The part of one namespace, rewritten; None where the namespace went away in the meantime."""
        target = namespace_target(wanted.row, wanted.version, self._scope.tenant, namespace, query)
        response = await self._exchange.send(
            "GET",
            target,
            Identity.TENANT,
            headers=(("Accept", self._accept),),
            namespace=up(self._scope.tenant, namespace),
        )
        try:
            if response.status == 403 and namespace not in LASTING and not await self._stands(namespace):
                return None
            if response.status != 200:
                raise await answers.refusal(response, self._scope)
            return partial.view(await answers.answer(response), wanted.row, self._scope)
        finally:
            await response.close()

    async def _stands(self, namespace: VirtualName) -> bool:
        """Whether a namespace is there to stay. One that ends has its binding last: without rights nothing is left.

        The host is asked, for the news of its end may not have come yet. Were one without rights left out, its objects
        would look deleted.
        """
        target = resource_path("", "v1", "namespaces", "", up(self._scope.tenant, namespace))
        response = await self._exchange.send("GET", target, Identity.READER, headers=(("Accept", media.JSON),))
        try:
            if response.status not in (200, 404):
                raise status.bad_gateway()
            metadata = (await answers.document(response)).get("metadata") or {}
            owner = (metadata.get("labels") or {}).get(TENANT_LABEL)
            return response.status == 200 and owner == self._scope.tenant and "deletionTimestamp" not in metadata
        finally:
            await response.close()


async def _all(tasks: list[asyncio.Task[Answer | None]]) -> list[Answer | None]:
    """The results of all tasks; the first failure ends the others and is raised as it is."""
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _version(part: Answer) -> str:
    return str(part.list_metadata().get("resourceVersion", ""))


def _exactly(query: Pairs, version: str) -> Pairs:
    rest = tuple(pair for pair in query if pair[0] not in ("resourceVersion", "resourceVersionMatch"))
    return (*rest, ("resourceVersion", version), ("resourceVersionMatch", "Exact"))


def _chunk_query(query: Pairs, version: str, token: str, left: int) -> Pairs:
    limit = (("limit", str(left)),) if left else ()
    if token:
        rest = tuple(pair for pair in query if pair[0] not in ("resourceVersion", "resourceVersionMatch"))
        return (*rest, *limit, ("continue", token))
    return (*(_exactly(query, version) if version else query), *limit)


def _merge(parts: list[Answer], more: str = "") -> dict[str, Any]:
    """One list of several: the first one's head, all items in order; `more` is the continue token of the tenant."""
    merged = parts[0]
    metadata = {"resourceVersion": _version(merged)}
    merged.head["metadata"] = {**metadata, "continue": more} if more else metadata
    place = "rows" if merged.is_table else "items"
    return {**merged.document(), place: [entry for part in parts for entry in part.entries or ()]}
