"""What `kubectl get` prints of kinds whose objects the proxy holds itself: Tables and metadata made of whole objects.

Columns are those of the API server (k8s.io/kubernetes/pkg/printers/internalversion); a kind is a row in `COLUMNS`. The
forms are those of https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vcproxy.core import media, printers_nodes
from vcproxy.core.columns import AGE, NAME, Column
from vcproxy.core.columns import Object as Object
from vcproxy.core.columns import metadata as metadata

META: Final = "meta.k8s.io"


class Form(msgspec.Struct, frozen=True):
    """A representation: `name` is empty for the object itself. `included` is a Table's includeObject."""

    name: str = ""
    version: str = "v1"
    included: str = "Metadata"


def _created(document: Object, now: float) -> Any:
    return metadata(document).get("creationTimestamp")


def _role(document: Object, now: float) -> str:
    reference = document.get("roleRef") or {}
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _subjects(kind: str) -> Callable[[Object, float], str]:
    def cell(document: Object, now: float) -> str:
        found = (one for one in document.get("subjects") or () if isinstance(one, dict) and one.get("kind") == kind)
        keys = ("namespace", "name") if kind == "ServiceAccount" else ("name",)
        return ", ".join("/".join(str(one.get(key, "")) for key in keys) for one in found)

    return cell


_CREATED: Final = Column("Created At", _created, type="date", description="When this object was created.")
_BINDING: Final = (
    NAME,
    Column("Role", _role, description="The role that is bound."),
    AGE,
    Column("Users", _subjects("User"), priority=1, description="Users in the binding"),
    Column("Groups", _subjects("Group"), priority=1, description="Groups in the binding"),
    Column("ServiceAccounts", _subjects("ServiceAccount"), priority=1, description="ServiceAccounts in the binding"),
)

COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = MappingProxyType(
    {
        "Role": (NAME, _CREATED),
        "ClusterRole": (NAME, _CREATED),
        "RoleBinding": _BINDING,
        "ClusterRoleBinding": _BINDING,
        **printers_nodes.COLUMNS,
    }
)
"""Columns by kind."""


def form_of(host_accept: str, query: Iterable[tuple[str, str]]) -> Form:
    """The form that the first clause of an Accept header asks for."""
    clause = media.clauses(host_accept)[0]
    included = dict(query).get("includeObject") or "Metadata"
    return Form(clause.parameters.get("as", ""), clause.parameters.get("v", "v1"), included)


def shown(document: Object, kind: str, form: Form, now: float, *, columns: bool = True) -> Object:
    """An object or a list (with `items`) of a kind, in a form. `columns`: whether a Table says what its cells are."""
    items = document.get("items")
    if form.name == "Table":
        return _table(document, kind, items if isinstance(items, list) else [document], form, now, columns)
    if not form.name:
        return document
    if not isinstance(items, list):
        return _partial(document, form)
    listed = [_partial(item, form) for item in items]
    return {**_head("PartialObjectMetadataList", form), "metadata": metadata(document), "items": listed}


def _head(kind: str, form: Form) -> Object:
    return {"kind": kind, "apiVersion": f"{META}/{form.version}"}


def _partial(document: Object, form: Form) -> Object:
    return {**_head("PartialObjectMetadata", form), "metadata": metadata(document)}


def _table(document: Object, kind: str, items: Iterable[Object], form: Form, now: float, columns: bool) -> Object:
    own = metadata(document)
    head = {key: own[key] for key in ("resourceVersion", "continue") if key in own}
    definitions = [column.definition() for column in COLUMNS[kind]] if columns else None
    rows = [_row(item, kind, form, now) for item in items]
    return {**_head("Table", form), "metadata": head, "columnDefinitions": definitions, "rows": rows}


def _row(item: Object, kind: str, form: Form, now: float) -> Object:
    row: Object = {"cells": [column.cell(item, now) for column in COLUMNS[kind]]}
    if form.included == "None":
        return row
    return row | {"object": item if form.included == "Object" else _partial(item, form)}
