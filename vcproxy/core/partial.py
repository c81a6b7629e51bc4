"""Answers of the host rewritten as bytes: only what rules touch is parsed.

An answer is decoded one level at a time, each member as the slice of bytes that it was (`msgspec.Raw`), and only along
branches of the rule tree that are there. What no rule names is never looked at: it is copied from the host's bytes into
the reply, so numbers, order of keys and escapes stay as they were written. What comes out is, once decoded, what
`objects.to_view` makes of the decoded answer; that is the definition of this module and a property test of it.

Why most branches need not even be split up: every lens says which texts wake it (`Lens.wakes`), in nearly all cases the
tenant's id or `vcproxy`. A lens that promises nothing changes a value only where that value stands, so the longest key
on its path has to be there. A branch whose bytes hold none of the texts of its lenses is therefore left as it is. To
look for a text in encoded JSON is sound because all these texts are letters, digits, `-`, `.` and `/`, and the host's
encoder (Go's encoding/json) escapes none of these: it escapes quotes, backslashes, control characters, `<`, `>`, `&`,
U+2028 and U+2029. The only JSON that the host passes on as someone else wrote it is that of free fields (RawExtension,
as in a ControllerRevision); what a tenant wrote there was encoded by vcproxy, which escapes the same and less. A text
that is found by chance costs time and nothing else.

Searching pays while few texts are looked for (`core.wakes`); above that a branch is split up at once, its parts are
searched. Everything unusual (a Status, a lens at the root of a kind that wakes) goes the way of core.objects.
"""

from collections.abc import Mapping
from operator import is_
from typing import Any, Final

import msgspec

from vcproxy.core import bodies, objects, tables
from vcproxy.core.fields_groups import version_down
from vcproxy.core.kinds import Exposure, Kind
from vcproxy.core.lens import Lens
from vcproxy.core.objects import LAST_APPLIED, Direction
from vcproxy.core.scope import Scope
from vcproxy.core.wakes import Plan, plan_of

Raw = msgspec.Raw
Members = dict[str, Any]
"""A JSON object, one level of it: each value the Raw that it was."""

_LAST_APPLIED: Final = LAST_APPLIED.encode()

_any = msgspec.json.Decoder()
_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])
_lists_of_members = msgspec.json.Decoder(list[dict[str, Raw]])
_encode = msgspec.json.Encoder().encode


class _List(msgspec.Struct, forbid_unknown_fields=True):
    """The shape of a list as the host writes it, read in one pass."""

    kind: Raw
    apiVersion: Raw  # noqa: N815 - the name on the wire
    metadata: Raw
    items: list[dict[str, Raw]]


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """The same for a Table."""

    kind: Raw
    apiVersion: Raw  # noqa: N815 - the name on the wire
    metadata: Raw
    columnDefinitions: Raw  # noqa: N815 - the name on the wire
    rows: list[dict[str, Raw]]


_list = msgspec.json.Decoder(_List)
_table = msgspec.json.Decoder(_Table)


class Answer(msgspec.Struct):
    """An answer of the host, split up as far as callers need.

    `head` holds its members, without `items` or `rows`: these are the `entries`, each split up once, or as Raw where
    it is no object. None where the answer is no list. `place` is the name of the member that they came from.
    """

    head: Members
    kind: str
    group: str
    entries: list[Any] | None = None
    place: str = ""

    @property
    def is_table(self) -> bool:
        return self.kind == "Table"

    def list_metadata(self) -> Members:
        """Resource version and continue token, decoded, where they are."""
        known = _metadata_of(self.head)
        return {key: _any.decode(known[key]) for key in ("resourceVersion", "continue") if key in known}

    def set_continue(self, token: str) -> None:
        """Another continue token; the rest of ListMeta stays."""
        _metadata_of(self.head)["continue"] = Raw(_encode(token))

    def document(self) -> Members:
        """What is to be encoded."""
        return {**self.head, self.place: self.entries} if self.place else self.head


# Reading -------------------------------------------------------------------------------------------------------------


def read(raw: bytes) -> Answer:
    """An answer split up. Raises msgspec.DecodeError or RecursionError for anything but a JSON object."""
    start = raw[:64]
    if start.startswith(b'{"kind":"') and (b'List","apiVersion":' in start or b'"Table","apiVersion":' in start):
        try:
            return _of_shape(_table.decode(raw) if b'"Table"' in start else _list.decode(raw))
        except msgspec.ValidationError:
            pass  # an odd item, or a member that is not common
    return _of_members(_members.decode(raw))


def _of_shape(shape: _List | _Table) -> Answer:
    head: Members = {"kind": shape.kind, "apiVersion": shape.apiVersion, "metadata": shape.metadata}
    if isinstance(shape, _Table):
        head["columnDefinitions"] = shape.columnDefinitions
        return Answer(head, *_kind_of(head), shape.rows, "rows")
    return Answer(head, *_kind_of(head), shape.items, "items")


def _of_members(head: Members) -> Answer:
    kind, group = _kind_of(head)
    place = "rows" if kind == "Table" else "items"
    entries = _entries(head.get(place)) if kind != "Status" else None
    if entries is None:
        return Answer(head, kind, group)
    head[place] = None  # keeps its place among the keys
    return Answer(head, kind, group, entries, place)


def _entries(raw: Raw | None) -> list[Any] | None:
    if raw is None:
        return None
    try:
        return list(_lists_of_members.decode(raw))
    except msgspec.ValidationError:
        elements = _split_list(raw)
        return None if elements is None else [_split(element) for element in elements]


def _split(raw: Raw) -> Any:
    try:
        return _members.decode(raw)
    except msgspec.ValidationError:
        return raw


def _split_list(raw: Raw) -> list[Raw] | None:
    try:
        return _elements.decode(raw)
    except msgspec.ValidationError:
        return None


def _kind_of(members: Members) -> tuple[str, str]:
    """Kind and group, as `objects.to_view` reads them."""
    kind = str(_any.decode(members["kind"])) if "kind" in members else ""
    version = str(_any.decode(members["apiVersion"])) if "apiVersion" in members else ""
    return kind, objects.group_of(version)


def _decoded_object(raw: Raw | bytes) -> Members:
    decoded = _any.decode(raw)
    return decoded if isinstance(decoded, dict) else {}


def labels(members: Any) -> Members:
    """The labels of an object that was split up once, or of a row of a Table; empty where there are none."""
    if not isinstance(members, dict):
        return {}
    if "object" in members and "metadata" not in members:
        return labels(_split(members["object"]))
    metadata = _metadata_of(members)
    return _decoded_object(metadata["labels"]) if "labels" in metadata else {}


def _annotations(members: Any) -> Members:
    metadata = _metadata_of(members) if isinstance(members, dict) else {}
    return _decoded_object(metadata["annotations"]) if "annotations" in metadata else {}


def name(members: Any) -> str:
    """The name of such an object or row; empty where there is none."""
    return _named(members, "name")


def namespace(members: Any) -> str:
    """Its namespace, as it stands there."""
    return _named(members, "namespace")


def _named(members: Any, key: str) -> str:
    if not isinstance(members, dict):
        return ""
    if "object" in members and "metadata" not in members:
        return _named(_split(members["object"]), key)
    metadata = _metadata_of(members)
    return str(_any.decode(metadata[key])) if key in metadata else ""


def _metadata_of(members: Members) -> Members:
    """The metadata of an object, split up from now on; empty where it is absent or odd."""
    if "metadata" in members and isinstance(members["metadata"], Raw):
        members["metadata"] = _split(members["metadata"])
    metadata = members.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


# Rewriting -----------------------------------------------------------------------------------------------------------


class _Way(msgspec.Struct, frozen=True):
    """For whom: the scope, and the tenant's id as bytes."""

    scope: Scope
    ident: bytes


def view_bytes(raw: bytes, row: Kind, scope: Scope, columns: dict[int, Lens] | None = None) -> bytes:
    """`objects.to_view` over bytes. Raises msgspec.DecodeError or RecursionError for anything but a JSON object."""
    return _encode(view(read(raw), row, scope, columns).document())


def view(answer: Answer, row: Kind, scope: Scope, columns: dict[int, Lens] | None = None) -> Answer:
    """An answer as the tenant sees it, changed in place; arguments as those of `objects.to_view`."""
    way = _Way(scope, scope.tenant.encode())
    if answer.kind == "Status":
        answer.head = _packed(objects.status_to_view(_unpacked(answer.head), scope))
    elif answer.is_table:
        _table_down(answer, row, way, {} if columns is None else columns)
    elif answer.entries is None:
        object_down(plan_of(*objects.own_kind(answer.group, answer.kind, row), scope.exports), answer.head, way)
    else:
        plan = plan_of(*objects.item_kind(answer.group, answer.kind, row), scope.exports)
        if answer.group.startswith(scope.tenant):  # a list of custom resources says once more of which group they are
            version = str(_any.decode(answer.head["apiVersion"]))
            answer.head["apiVersion"] = Raw(_encode(version_down(version, scope)))
        for entry in answer.entries:
            if isinstance(entry, dict):
                object_down(plan, entry, way)
    return answer


def object_down(plan: Plan, members: Members, way: _Way) -> None:
    """One object that was split up once, as the tenant sees it."""
    if plan.node.lenses and _root_wakes(plan, members):
        view: Members = objects.object_down(plan.node, _unpacked(members), way.scope)
        members.clear()
        members.update(_packed(view))
        return
    metadata = _metadata_of(members)
    if metadata:
        _last_applied_down(plan, metadata, way)
        _members_down(plan.fields["metadata"].fields, metadata, way)
    _members_down(plan.rest, members, way)


def _root_wakes(plan: Plan, members: Members) -> bool:
    texts = [text.encode() for lens in plan.node.lenses for text in lens.wakes or ("",)]
    return any(text in value for value in map(_bytes, members.values()) for text in texts)


def _bytes(member: Any) -> bytes:
    """The JSON of a member, which may have been split up."""
    return bytes(member) if isinstance(member, Raw) else _encode(member)


def _last_applied_down(plan: Plan, metadata: Members, way: _Way) -> None:
    """`objects.last_applied_down` where it could matter."""
    annotations = bytes(metadata["annotations"]) if "annotations" in metadata else b""
    if _LAST_APPLIED not in annotations or way.ident not in annotations:
        return
    known = {key: _any.decode(metadata[key]) for key in ("name", "namespace", "annotations") if key in metadata}
    objects.last_applied_down(plan.node, {"metadata": known}, way.scope)
    metadata["annotations"] = Raw(bodies.encode_json(known["annotations"]))


def _members_down(fields: Mapping[str, Plan], members: Members, way: _Way) -> bool:
    """The members that rules name, rewritten in place; whether any changed."""
    changed = False
    for key, below in fields.items():
        raw = members.get(key)
        if raw is None:
            continue
        new = _down(below, raw, way)
        if new is raw:
            continue
        changed = True
        if new is None:
            del members[key]  # a lens that leaves nothing of a container leaves out the field itself
        else:
            members[key] = new
    return changed


def _down(plan: Plan, raw: Raw, way: _Way) -> Raw | None:
    """A value rewritten: the very Raw if nothing changed, None if it goes."""
    if plan.searched and not _wakes(plan, bytes(raw), way.ident):
        return raw
    if plan.only is not None:
        value = _any.decode(raw)
        return _made(plan.only.down(value, way.scope), value, raw)
    if plan.node.lenses and not plan.members:
        value = _any.decode(raw)
        return _made(objects.rewrite(plan.node, value, Direction.DOWN, way.scope), value, raw)
    try:
        if plan.items is not None:
            return _elements_down(plan.items, raw, way)
        members = _members.decode(raw)
    except msgspec.ValidationError:
        return raw  # another type than the rules expect passes unchanged
    changed = bool(plan.members) and _lenses_down(plan, members, way)
    return Raw(_encode(members)) if _members_down(plan.fields, members, way) or changed else raw


def _lenses_down(plan: Plan, members: Members, way: _Way) -> bool:
    """The members that the lenses of this very place look at, rewritten in place; whether any could have changed."""
    known = {key: members[key] for key in plan.members if key in members}
    if not any(text in bytes(raw) for raw in known.values() for text in plan.lens_texts):
        return False
    view = {key: _any.decode(raw) for key, raw in known.items()}
    for lens in plan.node.lenses:
        view = lens.down(view, way.scope)
    for key in known:
        if key in view:
            members[key] = Raw(bodies.encode_json(view[key]))
        else:
            del members[key]
    return True


def _wakes(plan: Plan, value: bytes, ident: bytes) -> bool:
    if plan.by_id and ident in value:
        return True
    for text in plan.texts:  # noqa: SIM110 - quicker than any() over a generator
        if text in value:
            return True
    return False


def _elements_down(plan: Plan, raw: Raw, way: _Way) -> Raw:
    elements = _elements.decode(raw)
    made = [_down(plan, element, way) for element in elements]
    if all(map(is_, made, elements)):
        return raw
    return Raw(_encode(made))


def _made(made: Any, value: Any, raw: Raw) -> Raw | None:
    """What a lens made of a value, encoded; the host's own bytes where nothing changed."""
    if isinstance(made, str):
        return raw if made is value else Raw(_encode(made))
    if made is None and value is not None:
        return None
    return raw if made is value and not isinstance(value, dict | list) else Raw(bodies.encode_json(made))


def _table_down(answer: Answer, row: Kind, way: _Way, columns: dict[int, Lens]) -> None:
    if tables.has_names(row.group, row.kind) and "columnDefinitions" in answer.head:
        columns.update(tables.columns(_any.decode(answer.head["columnDefinitions"]), row.group, row.kind))
    for line in answer.entries or ():
        if not isinstance(line, dict):
            continue
        known = _split(line["object"]) if "object" in line else None
        annotations = _annotations(known) if columns and row.exposure is Exposure.PRIVATE else {}
        if isinstance(known, dict):
            kind, group = _kind_of(known)
            object_down(plan_of(*objects.own_kind(group, kind, row), way.scope.exports), known, way)
            line["object"] = Raw(_encode(known))
        if columns and "cells" in line:
            cells = {"cells": _any.decode(line["cells"])}
            tables.rewrite_cells(cells, columns, way.scope, annotations)
            line["cells"] = Raw(bodies.encode_json(cells["cells"]))


def _unpacked(members: Members) -> Members:
    return {key: _any.decode(_bytes(value)) for key, value in members.items()}


def _packed(document: Members) -> Members:
    return {key: Raw(bodies.encode_json(value)) for key, value in document.items()}
