"""The tables of fields, against the kinds that are served and the rules that look into them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vcproxy.core import kinds, rules
from vcproxy.core.objects import parts
from vcproxy.core.protobuf_scalars import Opaque
from vcproxy.core.protobuf_schema import ENVELOPE, Field, Form, message_of, schema, table
from vcproxy.core.protobuf_wire import BYTES, VARINT

DISCOVERY = Path(__file__).parent.parent / "fixtures" / "discovery"
ONLY_KEYS = frozenset({"spec.hard", "status.hard", "status.used"})
"""Rules that look at the keys of a map and leave its values."""

EXTENSIONS = "apiextensions.k8s.io"
"""Definitions of kinds are JSON or YAML: kubectl and Helm have them from files."""


def sent() -> set[tuple[str, str]]:
    """(apiVersion, kind) of what may stand in a body of a request for a served kind, by recorded discovery."""
    found = set()
    for name in ("api", "apis"):
        for group in json.loads((DISCOVERY / f"{name}.json").read_text())["items"]:
            for version in group["versions"]:
                for resource in version["resources"]:
                    row = kinds.TABLE[group["metadata"].get("name", ""), resource["resource"]]
                    if row.served:
                        found |= {_kind(one, row.group, version["version"]) for one in _parts(resource)}
    return found


def _parts(resource: dict[str, Any]) -> list[dict[str, Any]]:
    bodies = ("create", "update", "patch")
    parts = [part for part in resource.get("subresources", ()) if set(part["verbs"]) & set(bodies)]
    return [one for one in (resource, *parts) if not one.get("responseKind", {}).get("kind", "").endswith("Options")]


def _kind(part: dict[str, Any], group: str, version: str) -> tuple[str, str]:
    kind = part["responseKind"]
    group, version = kind.get("group") or group, kind.get("version") or version
    return f"{group}/{version}" if group else version, kind["kind"]


@pytest.mark.parametrize("kind", sorted(one for one in sent() if not one[0].startswith(EXTENSIONS)), ids=" ".join)
def test_each_kind_that_a_tenant_may_send_has_a_table(kind: tuple[str, str]) -> None:
    assert message_of(*kind) is not None


def test_delete_options_are_of_every_version() -> None:
    assert message_of("v1", "DeleteOptions") == message_of("apps/v1", "DeleteOptions") == "meta.v1.DeleteOptions"


@pytest.mark.parametrize("kind", [("v1", "Nothing"), ("example.com/v1", "Pod"), ("", "Pod"), ("v1", "List"), ("", "")])
def test_other_kinds_have_none(kind: tuple[str, str]) -> None:
    assert message_of(*kind) is None


def served_messages(group: str, kind: str) -> Iterator[str]:
    for version, found in table()["kinds"].items():
        if version.rpartition("/")[0] == group and kind in found:
            yield found[kind]


def ends(message: str, path: tuple[str, ...]) -> Iterator[Field]:
    """The fields at which a rule's path ends, or where it leaves the tables for JSON text."""
    for field in schema(message).by_number.values():
        if field.form is Form.INLINE:
            yield from ends(field.message, path)
        elif path and field.name == path[0]:
            rest = path[1:] if field.form in (Form.SINGLE, Form.JSON) else path[2:]
            if rest and field.message:
                yield from ends(field.message, rest)
            else:
                yield field


ROWS = sorted(
    {
        (group, kind, path)
        for group, kind in rules.KINDS
        if group != EXTENSIONS
        for path, _ in rules.rows(group, kind)
        if path
    }
)


@pytest.mark.parametrize(("group", "kind", "path"), ROWS)
def test_no_rule_looks_into_a_value_that_is_kept_as_bytes(group: str, kind: str, path: str) -> None:
    found = [end for message in served_messages(group, kind) for end in ends(message, parts(path))]
    if path not in ONLY_KEYS:
        assert [field.name for field in found if field.read is Opaque] == []


def test_every_rule_names_a_field_of_some_kind() -> None:
    found = {
        path for group, kind, path in ROWS for name in served_messages(group, kind) if any(ends(name, parts(path)))
    }
    assert {path for _, _, path in ROWS} - found == set()


def test_a_message_has_each_number_and_each_name_once() -> None:
    for name, rows in table()["messages"].items():
        shape = schema(name)
        counts = len(shape.by_key), len(shape.by_number), len(shape.by_name) + len(shape.inline)
        assert (name, *counts) == (name, *[len(rows)] * 3)


def test_the_fields_of_a_merged_message_are_names_of_its_parent() -> None:
    volume = schema("core.v1.Volume")
    assert {"name", "configMap", "emptyDir"} < volume.names
    assert [field.message for field in volume.inline] == ["core.v1.VolumeSource"]


def test_a_field_knows_how_it_is_written() -> None:
    replicas, labels = (
        schema("apps.v1.DeploymentSpec").by_name["replicas"],
        schema("meta.v1.ObjectMeta").by_name["labels"],
    )
    assert (replicas.wire, replicas.head, replicas.plain) == (VARINT, b"\x08", True)
    assert (labels.wire, labels.form, labels.plain, labels.key & 7) == (BYTES, Form.MAP, False, BYTES)


def test_the_envelope_is_one_of_the_messages() -> None:
    assert {"apiVersion", "kind", "raw"} < schema(ENVELOPE).names
