"""Events of a watch as lines of JSON: what the proxy must know of one, and how a tenant gets it.

Of the host's line only the type, the metadata and the column definitions of a Table are decoded; the object stays the
bytes that it was until a tenant wants it. Shapes: https://kubernetes.io/docs/reference/using-api/api-concepts/#watch
"""

from typing import Any, Final

import msgspec

from vcproxy.core import partial
from vcproxy.core.framing import chunk
from vcproxy.core.kinds import Kind
from vcproxy.core.lens import Lens
from vcproxy.core.scope import Scope
from vcproxy.core.versions import version_of

INITIAL_END: Final = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends the initial events (KEP-3157)."""
PERSONAL: Final = b"vcproxy:tenant:"
"""Stands in the bytes of an object that names the tenant's user, whom each caller sees as itself."""
_NO_COLUMNS: Final = b'"columnDefinitions":null'

Raw = msgspec.Raw


class Heard(msgspec.Struct):
    """An event of the host. `object` is its JSON; `columns` the column definitions, where it is a Table with some."""

    type: str
    object: bytes
    version: int = 0
    namespace: str = ""
    name: str = ""
    labels: dict[str, str] = {}
    columns: bytes = b""


class _Line(msgspec.Struct):
    type: str
    object: Raw


class _Metadata(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    labels: dict[str, str] | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Row(msgspec.Struct):
    object: _Object = msgspec.field(default_factory=_Object)


class _Table(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    column_definitions: Raw = msgspec.field(name="columnDefinitions", default=Raw(b"null"))
    rows: list[_Row] | None = None


_line = msgspec.json.Decoder(_Line)
_object = msgspec.json.Decoder(_Object)
_table = msgspec.json.Decoder(_Table)


def read(line: bytes, *, table: bool) -> Heard:
    """An event of a line. `table`: objects are Tables of one row. Raises msgspec.DecodeError for what is none."""
    decoded = _line.decode(line)
    raw = bytes(decoded.object)
    if decoded.type == "ERROR":
        return Heard(decoded.type, raw)
    columns = b""
    if table:
        found = _table.decode(raw)
        metadata = found.rows[0].object.metadata if found.rows else found.metadata
        columns = bytes(found.column_definitions)
    else:
        metadata = _object.decode(raw).metadata
    if columns in (b"", b"null", b"[]"):
        columns = b""
    else:
        raw = raw.replace(b'"columnDefinitions":' + columns, _NO_COLUMNS, 1)
    version = version_of(metadata.resource_version)
    labels = metadata.labels or {}
    return Heard(decoded.type, raw, version, metadata.namespace, metadata.name, labels, columns)


def view(raw: bytes, row: Kind, scope: Scope, columns: dict[int, Lens]) -> bytes:
    """The JSON of an object as the tenant sees it. `columns` are the lenses of a Table's cells."""
    return partial.view_bytes(raw, row, scope, columns)


def with_columns(raw: bytes, columns: bytes) -> bytes:
    """A Table that has column definitions, as the first of each watch has."""
    return raw.replace(_NO_COLUMNS, b'"columnDefinitions":' + columns, 1) if columns else raw


def frame(kind: str, raw: bytes) -> bytes:
    """An event as a chunk of a chunked body: one line."""
    return chunk(b'{"type":"%b","object":%b}\n' % (kind.encode(), raw))


def bookmark(template: dict[str, Any], version: int, *, initial_end: bool = False) -> bytes:
    """A framed BOOKMARK at `version`. `template` is the object of one as the host makes it for this content."""
    return frame("BOOKMARK", msgspec.json.encode(bookmark_at(template, version, initial_end=initial_end)))


def bookmark_at(template: dict[str, Any], version: int, *, initial_end: bool = False) -> dict[str, Any]:
    """The object of a BOOKMARK at `version`."""
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    document = {**template, "metadata": metadata}
    annotated = {**metadata, "annotations": {INITIAL_END: "true"}} if initial_end else metadata
    if template.get("kind") == "Table":
        rows = [{**row, "object": {**row["object"], "metadata": annotated}} for row in template["rows"]]
        document["rows"] = rows
    else:
        document["metadata"] = annotated
    return document
