"""Shadow kinds read: what stands on the host, and the defaults that nobody stored.

Lists come whole, whatever `limit` says: the API server may do so too (api-concepts, "Retrieving large results sets in
chunks").
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from vcproxy.core import printers, selectors, shadow
from vcproxy.core.names import VirtualName
from vcproxy.core.plan import Shadow
from vcproxy.core.printers import Object
from vcproxy.core.request import render_query
from vcproxy.core.scope import Scope
from vcproxy.host.answers import HostRefusal
from vcproxy.host.shadow_rights import Rights
from vcproxy.host.shadow_store import ShadowStore

PARALLEL: Final = 16
"""Namespaces of one list that are asked for at the same time."""
Query = list[tuple[str, str]]


class ShadowReader:
    """Reads for one caller."""

    def __init__(self, store: ShadowStore, scope: Scope, rights: Rights) -> None:
        self._store = store
        self._scope = scope
        self._rights = rights

    async def get(self, wanted: Shadow) -> Object:
        """One object. Raises HostRefusal."""
        default = self.default(wanted)
        return default if default is not None else await self._stored(wanted)

    def default(self, wanted: Shadow) -> Object | None:
        """The object of that name that every tenant has."""
        named = (one for one in self.defaults(wanted) if one["metadata"]["name"] == wanted.name)
        found = next(named, None)
        return self._rights.completed(found) if found is not None else None

    async def _stored(self, wanted: Shadow) -> Object:
        query = render_query([pair for pair in wanted.query if pair[0] == "resourceVersion"])
        return self._rights.completed(await self._store.ask(wanted, "GET", self._store.object_path(wanted) + query))

    async def list(self, wanted: Shadow) -> Object:
        """All that were selected, over all namespaces that are asked for. Raises HostRefusal."""
        names = self.parts(wanted)
        first = await self._part(wanted, names[0], self._query(wanted))
        version = str(printers.metadata(first).get("resourceVersion", ""))
        exact = [pair for pair in self._query(wanted) if not pair[0].startswith("resourceVersion")]
        exact += [("resourceVersion", version), ("resourceVersionMatch", "Exact")]
        slots = asyncio.Semaphore(PARALLEL)

        async def one(name: VirtualName) -> Object:
            async with slots:
                try:
                    return await self._part(wanted, name, exact)
                except HostRefusal as refusal:
                    if refusal.status.code != 403:
                        raise
                    return {"items": []}  # its binding goes last: without rights there is no namespace

        parts = [first, *await asyncio.gather(*(one(name) for name in names[1:]))]
        items = [*self.listed_defaults(wanted), *(item for part in parts for item in part["items"])]
        items.sort(key=lambda item: (item["metadata"].get("namespace", ""), item["metadata"]["name"]))
        row = wanted.row
        head = {"kind": f"{row.kind}List", "apiVersion": f"{row.group}/v1", "metadata": {"resourceVersion": version}}
        return head | {"items": [_bare(self._rights.completed(item)) for item in items]}

    def parts(self, wanted: Shadow) -> Sequence[VirtualName]:
        """The namespaces that are asked for; at least one, since the host says which version a list has."""
        if wanted.absent:
            return (VirtualName("default"),)
        return wanted.namespaces if wanted.namespaces is not None else sorted(self._scope.namespaces)

    def _query(self, wanted: Shadow) -> Query:
        """The query of a list: whole, of what is visible and was selected."""
        rest = [pair for pair in wanted.query if pair[0] in ("resourceVersion", "resourceVersionMatch")]
        rest += [pair for pair in wanted.query if pair[0] == "timeoutSeconds"]
        return rest + self.selecting(wanted)

    def selecting(self, wanted: Shadow) -> Query:
        """The selectors for the host."""
        pairs = dict(wanted.query)
        row = shadow.stored(wanted.row)
        labels = (
            selectors.NOTHING if wanted.absent else selectors.labels_up(pairs.get("labelSelector"), row, self._scope)
        )
        fields = shadow.fields_up(pairs.get("fieldSelector"), wanted.row, self._scope)
        return [("labelSelector", labels), *([("fieldSelector", fields)] if fields and not wanted.absent else [])]

    def listed_defaults(self, wanted: Shadow) -> Sequence[Object]:
        """The defaults that were selected."""
        pairs = dict(wanted.query)
        select = pairs.get("labelSelector"), pairs.get("fieldSelector")
        return [one for one in self.defaults(wanted) if shadow.matches(one, *select)]

    def made(self, wanted: Shadow) -> Mapping[str, object]:
        """What lists show that stands nowhere: grants, and what aggregated roles have gathered. To be compared."""
        return self._rights.made(wanted.row)

    def defaults(self, wanted: Shadow) -> Sequence[Object]:
        """What every tenant has of a kind, in the namespaces that are asked for."""
        found = self._rights.defaults(wanted.row)
        if not wanted.row.namespaced:
            return found
        spaces = self._scope.namespaces if wanted.namespaces is None else wanted.namespaces
        return [one for one in found if one["metadata"].get("namespace") in spaces]

    async def _part(self, wanted: Shadow, namespace: VirtualName, query: Sequence[tuple[str, str]]) -> Object:
        path = shadow.path(wanted.row, self._scope.tenant, namespace) + render_query(list(query))
        listed = await self._store.send(wanted, "GET", path, namespace)
        return {**listed, "items": [shadow.to_view(item, wanted.row, self._scope) for item in listed["items"]]}

    def event(self, wanted: Shadow, document: Object) -> Object:
        """The object of an event as the tenant sees it."""
        if document.get("kind") == "Status":
            return shadow.status_to_view(document, wanted.row, wanted.name, self._scope)
        return self._rights.completed(shadow.to_view(document, wanted.row, self._scope))


def _bare(item: Object) -> Object:
    """An item of a list says not once more what it is (the API server: items of built-in kinds)."""
    return {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}
