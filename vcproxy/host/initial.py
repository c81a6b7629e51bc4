"""What is there when a watch begins: a list, told as ADDED events (KEP-3157, and the old watch without a version)."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from vcproxy.core import bodies, events, objects, plan, selectors
from vcproxy.core.content import Content
from vcproxy.core.names import VirtualName
from vcproxy.core.plan import Identity
from vcproxy.core.scope import Scope
from vcproxy.core.targets import namespace_target
from vcproxy.core.versions import version_of
from vcproxy.core.watched import owned
from vcproxy.host import answers
from vcproxy.host.identity import Exchange
from vcproxy.host.lists import ListReader

PORTION: Final = 64 * 1024
"""Bytes of one write of initial events."""


class Initial(msgspec.Struct):
    """The frames of the initial events, in portions; whether a Table's columns are in them; the list's version."""

    frames: list[bytes]
    headed: bool
    version: int


class _Metadata(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Listed(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    items: list[dict[str, msgspec.Raw]] | None = None
    rows: list[msgspec.Raw] | None = None
    column_definitions: msgspec.Raw = msgspec.field(name="columnDefinitions", default=msgspec.Raw(b"null"))


class _Object(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Row(msgspec.Struct):
    object: _Object = msgspec.field(default_factory=_Object)


async def read(
    exchange: Exchange, scope: Scope, wanted: plan.Watch, content: Content, names: tuple[VirtualName, ...]
) -> Initial:
    """The objects of now. `names` are the namespaces that are watched and there. Raises ApiError as the host did."""
    if wanted.row.namespaced:
        document = await _namespaced(exchange, scope, wanted, content, names)
    else:
        document = await _private(exchange, scope, wanted, content)
    listed = msgspec.json.decode(bodies.encode_json(document), type=_Listed)
    version = listed.metadata.resource_version
    frames = [events.frame("ADDED", raw) for raw in (_tables if listed.rows else _objects)(listed, content)]
    headed = bool(frames) or content.form != "Table"
    return Initial(portions(frames), headed, version_of(version))


async def _namespaced(
    exchange: Exchange, scope: Scope, wanted: plan.Watch, content: Content, names: tuple[VirtualName, ...]
) -> dict[str, Any]:
    pairs = (("labelSelector", selectors.VISIBLE if names else selectors.NOTHING),)
    query = (*pairs, ("includeObject", content.rows)) if content.rows else pairs
    listing = plan.List(wanted.row, wanted.version, names or (VirtualName("default"),), query)
    return await ListReader(exchange, scope, content.list_accept, lambda at: "").read(listing)


async def _private(exchange: Exchange, scope: Scope, wanted: plan.Watch, content: Content) -> dict[str, Any]:
    """Objects of the cluster that carry the owner's label; looked at once more."""
    selector = dict(wanted.query)["labelSelector"]
    target = namespace_target(wanted.row, wanted.version, scope.tenant, None, (("labelSelector", selector),))
    response = await exchange.send("GET", target, Identity.READER, headers=(("Accept", content.list_accept),))
    try:
        if response.status != 200:
            raise await answers.refusal(response, scope)
        document = await answers.document(response)
    finally:
        await response.close()
    if document.get("kind") == "Table":
        rows = document.get("rows") or ()
        document["rows"] = [row for row in rows if owned(row.get("object") or {}, wanted.row, scope)]
    else:
        document["items"] = [item for item in document.get("items") or () if owned(item, wanted.row, scope)]
    return objects.to_view(document, wanted.row, scope)


def _objects(listed: _Listed, content: Content) -> Iterator[bytes]:
    """Each item, with the kind that items of a list leave out."""
    api_version, kind = content.own
    for item in listed.items or ():
        yield msgspec.json.encode({"kind": kind, "apiVersion": api_version, **item})


def _tables(listed: _Listed, content: Content) -> Iterator[bytes]:
    """A Table of one row for each; only the first has the column definitions."""
    columns = listed.column_definitions
    for row in listed.rows or ():
        metadata = msgspec.json.decode(row, type=_Row).object.metadata
        table = {"kind": "Table", "apiVersion": content.own[0], "metadata": metadata}
        yield msgspec.json.encode({**table, "columnDefinitions": columns, "rows": [row]})
        columns = msgspec.Raw(b"null")


def portions(frames: Iterable[bytes]) -> list[bytes]:
    """Frames put together, so that each is a write of a good size."""
    found, part, size = list[bytes](), list[bytes](), 0
    for frame in frames:
        part.append(frame)
        size += len(frame)
        if size >= PORTION:
            found.append(b"".join(part))
            part, size = [], 0
    return [*found, b"".join(part)] if part else found
