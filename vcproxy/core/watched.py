"""What a watch's events are about: objects decoded whole, or Tables of one row, and whose they are."""

from typing import Any

from vcproxy.core import private
from vcproxy.core.kinds import Kind
from vcproxy.core.scope import Scope
from vcproxy.core.versions import version_of

Object = dict[str, Any]


def metadata(document: Object) -> Object:
    """The metadata of an event's object; of a Table, that of its only row."""
    if document.get("kind") == "Table":
        rows = document.get("rows") or ()
        return metadata(rows[0].get("object") or {}) if rows else document.get("metadata") or {}
    return document.get("metadata") or {}


def version(document: Object) -> int:
    """The resourceVersion; 0 where there is none."""
    return version_of(metadata(document).get("resourceVersion"))


def labels(document: Object) -> Object:
    """The labels of an object, or of the only row of a Table."""
    found = metadata(document).get("labels")
    return found if isinstance(found, dict) else {}


def owned(document: Object, row: Kind, scope: Scope) -> bool:
    """Whether the tenant sees an object of a Private kind (or each row of a Table)."""
    if document.get("kind") == "Table":
        return all(owned(one.get("object") or {}, row, scope) for one in document.get("rows") or ())
    return private.shown(row, scope, str(metadata(document).get("name", "")), labels(document))
