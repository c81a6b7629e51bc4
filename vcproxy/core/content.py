"""Content of a shared watch: which representation of which kind, chosen from a plan and an Accept header.

Every tenant's watch of the same content can stand on one host watch. There are few contents, whatever clients send, so
nobody can make the proxy open host watches without end.
"""

from typing import Any, Final

import msgspec

from vcproxy.core import media, selectors
from vcproxy.core.kinds import Exposure
from vcproxy.core.names import TENANT_LABEL
from vcproxy.core.plan import Watch
from vcproxy.core.request import render_query, resource_path

_FORMS: Final = ("", "Table", "PartialObjectMetadata")
_VERSIONS: Final = ("v1", "v1beta1")
_META: Final = "meta.k8s.io"


class Content(msgspec.Struct, frozen=True):
    """What one host watch is about. `form` is empty, Table or PartialObjectMetadata; `rows` what a Table's rows hold.

    `form_version` is that of meta.k8s.io. An exported kind stands in no table, so what is needed of it is here;
    `everybodys`: its objects need no owner's label to be told of.
    """

    group: str
    version: str
    resource: str
    kind: str
    everybodys: bool
    form: str = ""
    form_version: str = ""
    rows: str = ""

    @property
    def accept(self) -> str:
        """The host's Accept header."""
        return f"{media.JSON};as={self.form};v={self.form_version};g={_META}" if self.form else media.JSON

    @property
    def list_accept(self) -> str:
        """The same for a list: metadata come as a list of their own kind."""
        return self.accept.replace("as=PartialObjectMetadata", "as=PartialObjectMetadataList")

    @property
    def own(self) -> tuple[str, str]:
        """apiVersion and kind of an object of this content."""
        if self.form:
            return f"{_META}/{self.form_version}", self.form
        return (f"{self.group}/{self.version}" if self.group else self.version), self.kind

    def target(self, *pairs: tuple[str, str]) -> str:
        """The host's path over all namespaces, and a query that shows no hidden object and none without owner."""
        selector = selectors.VISIBLE if self.everybodys else f"{TENANT_LABEL},{selectors.VISIBLE}"
        query = [*pairs, *([("includeObject", self.rows)] if self.rows else [])]
        if not any(key == "labelSelector" for key, _ in pairs):
            query.append(("labelSelector", selector))
        return resource_path(self.group, self.version, self.resource) + render_query(query)

    def bookmark(self) -> dict[str, Any]:
        """The object of a bookmark before the host has sent one."""
        api_version, kind = self.own
        document: dict[str, Any] = {"kind": kind, "apiVersion": api_version, "metadata": {}}
        if kind == "Table":
            inner = {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": {}}
            document |= {"columnDefinitions": None, "rows": [{"cells": [], "object": inner}]}
        return document


class Wish(msgspec.Struct, frozen=True):
    """How a client wants to watch. `after`: from which resourceVersion; None: first what is there now.

    What is there now is to be not older than `least`. `life` is in seconds, 0 where the client says nothing.
    `initial_end`: the initial events end with a bookmark.
    """

    after: int | None
    least: int
    bookmarks: bool
    initial_end: bool
    life: int


def content_of(wanted: Watch, host_accept: str) -> Content | None:
    """The content of a watch, or None for one that gets host watches of its own."""
    shared = wanted.row.exposure is Exposure.NAMESPACED or wanted.row.key == ("", "namespaces")
    if wanted.row.key == ("", "secrets") or not shared:
        return None
    form, version = _form(host_accept)
    pairs = dict(wanted.query)
    rows = pairs.get("includeObject", "") if form == "Table" else ""
    if form is None or rows not in ("", "Metadata", "Object") or not _plain(wanted, pairs):
        return None
    rows = rows if rows == "Object" else ""
    row = wanted.row
    return Content(row.group, wanted.version, row.resource, row.kind, row.namespaced, form, version, rows)


def of_alone(wanted: Watch, host_accept: str) -> Content | None:
    """What a watch that gets host watches of its own is about; None for a form that is not known."""
    form, version = _form(host_accept)
    row = wanted.row
    return None if form is None else Content(row.group, wanted.version, row.resource, row.kind, True, form, version)


def of_shared(wanted: Watch) -> Content:
    """The content of every watch of a Shared kind: forms and selections are the proxy's to make (core.node_events)."""
    return Content(wanted.row.group, wanted.version, wanted.row.resource, wanted.row.kind, everybodys=True)


def _plain(wanted: Watch, pairs: dict[str, str]) -> bool:
    """Whether the client has no selector of its own, and says nothing twice."""
    own = f"{TENANT_LABEL}=" if not wanted.row.namespaced else selectors.VISIBLE
    selector = pairs.get("labelSelector", "")
    visible = selector == own if wanted.row.namespaced else selector.startswith(own) and selector.count(",") == 1
    return visible and "fieldSelector" not in pairs and len(pairs) == len(wanted.query)


def _form(accept: str) -> tuple[str | None, str]:
    """The form that the host would choose of an Accept header: that of its first clause."""
    clause = media.clauses(accept)[0]
    form, version = clause.parameters.get("as", ""), clause.parameters.get("v", "")
    if clause.media != media.JSON or form not in _FORMS or (form and version not in _VERSIONS):
        return None, ""
    return form, version


def wish(wanted: Watch) -> Wish | None:
    """How to watch, or None for a query that is best answered by the host: it is odd, or none that it takes."""
    pairs = dict(wanted.query)
    version, match = pairs.get("resourceVersion", ""), pairs.get("resourceVersionMatch", "")
    initial = pairs.get("sendInitialEvents")
    if (version and not version.isdecimal()) or not version.isascii() or len(version) > 20:
        return None
    if (match or initial is not None) and (match, initial) != ("NotOlderThan", "true"):
        return None
    bookmarks, life = flag(pairs, "allowWatchBookmarks"), pairs.get("timeoutSeconds", "")
    least = int(version or 0)
    after = least if least and not match else None
    return Wish(after, least, bookmarks, bookmarks and after is None, min(int(life), 86400) if _number(life) else 0)


def _number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def flag(pairs: dict[str, str], key: str) -> bool:
    """A boolean parameter, read as the API server reads it."""
    return key in pairs and pairs[key].lower() not in ("false", "0")
