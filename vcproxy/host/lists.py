"""One list over several namespaces of a tenant, consistent at one resourceVersion.

The first namespace is asked as the client asked, the others at exactly the resourceVersion that it answered with, so
the merged list is one that a single cluster could have given. Its cost grows with the tenant, never with the cluster.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from vcproxy.core import partial, plan
from vcproxy.core.names import VirtualName, up
from vcproxy.core.parameters import Pairs
from vcproxy.core.partial import Answer
from vcproxy.core.plan import Identity, Position
from vcproxy.core.scope import Scope
from vcproxy.core.targets import namespace_target
from vcproxy.host import answers
from vcproxy.host.identity import Exchange

PARALLEL: Final = 16
"""Namespaces of one list that are asked for at the same time."""

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
        return await (self._chunk(wanted) if wanted.limit else self._whole(wanted))

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
        left, got = wanted.limit, list[Answer]()
        version, token = (position.resource_version, position.token) if position else ("", "")
        more = ""
        for namespace in (name for name in wanted.namespaces if name >= start):
            if not left:
                more = self._seal(Position(namespace, "", version))
                break
            resume = token if namespace == start else ""
            part = await self._part(wanted, namespace, _chunk_query(wanted.query, version, resume, left))
            if part is None:
                continue
            version = version or _version(part)
            left -= min(left, len(part.entries or ()))
            got.append(part)
            if rest := str(part.list_metadata().get("continue") or ""):
                more = self._seal(Position(namespace, rest, version))
                break
        if not got:
            return await self._whole(msgspec.structs.replace(wanted, limit=0, namespaces=(VirtualName("default"),)))
        return _merge(got, more)

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
            if response.status == 403 and namespace not in ("default", "kube-system"):
                return None  # its binding goes last: without rights there is no namespace
            if response.status != 200:
                raise await answers.refusal(response, self._scope)
            return partial.view(await answers.answer(response), wanted.row, self._scope)
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
    if token:
        rest = tuple(pair for pair in query if pair[0] not in ("resourceVersion", "resourceVersionMatch"))
        return (*rest, ("limit", str(left)), ("continue", token))
    return (*(_exactly(query, version) if version else query), ("limit", str(left)))


def _merge(parts: list[Answer], more: str = "") -> dict[str, Any]:
    """One list of several: the first one's head, all items in order; `more` is the continue token of the tenant."""
    merged = parts[0]
    metadata = {"resourceVersion": _version(merged)}
    merged.head["metadata"] = {**metadata, "continue": more} if more else metadata
    place = "rows" if merged.is_table else "items"
    return {**merged.document(), place: [entry for part in parts for entry in part.entries or ()]}
