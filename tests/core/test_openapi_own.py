"""OpenAPI of a tenant's own kinds, against what a host says of the same definition without a tenant."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcproxy.core import openapi_own, openapi_protobuf
from vcproxy.core.names import TenantId
from vcproxy.core.openapi_own import Names

FIXTURES = Path(__file__).parent.parent / "fixtures" / "openapi"
JSON, PROTOBUF = (FIXTURES / "v2-own.json").read_bytes(), (FIXTURES / "v2-own.pb").read_bytes()
ACME, GLOBEX = TenantId("acme"), TenantId("globex")
GROUP = "example.com"
VERSIONS = [(GROUP, "v1")]
PREFIXES = {"paths": f"/apis/{GROUP}/", "definitions": "com.example."}


def plain() -> dict[str, dict[str, Any]]:
    """What the host says of the definition that was made on it."""
    whole = json.loads(JSON)
    return {
        member: {name: value for name, value in whole[member].items() if name.startswith(prefix)}
        for member, prefix in PREFIXES.items()
    }


def of_protobuf(raw: bytes) -> dict[str, bytes]:
    """Paths and definitions by name."""
    return {
        name: entry
        for number in (openapi_protobuf.PATHS, openapi_protobuf.DEFINITIONS)
        for _, name, entry in openapi_protobuf.entries(raw, number)
    }


def test_version_2_of_an_own_group_is_what_a_plain_host_says_of_the_same_definition() -> None:
    assert json.loads(openapi_own.of_v2(JSON, ACME, VERSIONS)) == plain()
    assert {"com.example.v1.Widget", "com.example.v1.WidgetList"} == plain()["definitions"].keys()


def test_as_protobuf_it_is_the_hosts_byte_by_byte() -> None:
    wanted = {name: entry for name, entry in of_protobuf(PROTOBUF).items() if name.startswith(tuple(PREFIXES.values()))}
    assert of_protobuf(openapi_own.of_v2_protobuf(PROTOBUF, ACME, VERSIONS)) == wanted
    assert len(wanted) == len(plain()["paths"]) + len(plain()["definitions"])


@pytest.mark.parametrize("tenant", ["globex", "acm"])
def test_another_tenants_groups_are_not_told_of(tenant: str) -> None:
    asked = [(group, "v1") for group in (GROUP, "com", "")]
    made = openapi_own.of_v2(JSON, TenantId(tenant), asked)
    assert json.loads(made) == {"paths": {}, "definitions": {}}
    assert openapi_own.of_v2_protobuf(PROTOBUF, TenantId(tenant), asked) == b""


INSIDE = "x.acme-example.com"
"""A group that another tenant may define: its name begins with acme's on the host, once both are reversed."""


def host_of_two() -> tuple[bytes, bytes]:
    """The host's document, JSON and protobuf, with the same kind of globex in the group INSIDE beside acme's."""
    stands, other = Names(ACME, GROUP, frozenset({"v1"})), Names(GLOBEX, INSIDE, frozenset({"v1"}))
    whole, own = json.loads(JSON), json.loads(openapi_own.of_v2(JSON, ACME, VERSIONS))
    assert other.name[0].startswith(stands.name[0])
    moved = {"paths": (stands.path[1], other.path[0]), "definitions": (stands.name[1], other.name[0])}
    for member, (was, now) in moved.items():
        whole[member] |= {now + name.removeprefix(was): value for name, value in own[member].items()}
    return json.dumps(whole).encode(), PROTOBUF + entries_of_the_other(stands, other)


def entries_of_the_other(stands: Names, other: Names) -> bytes:
    """Acme's paths and definitions under the names of the other, as a message behind the host's."""
    made = []
    for number, was, now in ((8, stands.path[0], other.path[0]), (9, stands.name[0], other.name[0])):
        for inner, name, entry in openapi_protobuf.entries(PROTOBUF, number):
            if name.startswith(was):
                body = b"".join(
                    openapi_protobuf.message(1, (now + name.removeprefix(was)).encode()) if field == 1 else whole
                    for field, whole, _ in openapi_protobuf.fields(entry)
                )
                made.append(openapi_protobuf.message(number, openapi_protobuf.message(inner, body)))
    return b"".join(made)


def test_a_group_that_begins_with_anothers_once_reversed_is_the_others_alone() -> None:
    document, message = host_of_two()
    assert openapi_own.of_v2(document, ACME, VERSIONS) == openapi_own.of_v2(JSON, ACME, VERSIONS)
    assert openapi_own.of_v2_protobuf(message, ACME, VERSIONS) == openapi_own.of_v2_protobuf(PROTOBUF, ACME, VERSIONS)


def test_whoever_has_such_a_group_sees_it_and_nothing_of_the_other() -> None:
    document, message = host_of_two()
    own = json.loads(openapi_own.of_v2(document, GLOBEX, [(INSIDE, "v1")]))
    names = {"com.acme-example.x.v1.Widget", "com.acme-example.x.v1.WidgetList"}
    assert own["definitions"].keys() == names
    assert len(own["paths"]) == len(plain()["paths"])
    assert (
        own["paths"].keys() | names == of_protobuf(openapi_own.of_v2_protobuf(message, GLOBEX, [(INSIDE, "v1")])).keys()
    )


@pytest.mark.parametrize("name", ["com.acme-example.v2.Widget", "com.acme-example.v1", "com.acme-example.v1."])
def test_a_name_without_a_version_of_the_tenant_and_a_kind_is_none_of_its(name: str) -> None:
    names = Names(ACME, GROUP, frozenset({"v1"}))
    assert not names.has_schema(name)
    assert names.of_schema(name) == name


def test_joined_documents_hold_both() -> None:
    base = json.dumps({"swagger": "2.0", "paths": {"/api/": {"get": {}}}, "definitions": {}, "parameters": {"p": {}}})
    joined = json.loads(openapi_own.joined_v2(base.encode(), openapi_own.of_v2(JSON, ACME, VERSIONS)))
    assert joined == {
        "swagger": "2.0",
        "paths": {"/api/": {"get": {}}, **plain()["paths"]},
        "definitions": plain()["definitions"],
        "parameters": {"p": {}},
    }


def test_a_document_joined_with_nothing_is_the_same() -> None:
    assert json.loads(openapi_own.joined_v2(JSON, b'{"paths":{},"definitions":{}}')) == json.loads(JSON)


def test_a_protobuf_message_behind_another_is_read_as_one() -> None:
    """As readers of protobuf merge them: both hold paths."""
    own = openapi_own.of_v2_protobuf(PROTOBUF, ACME, VERSIONS)
    assert of_protobuf(PROTOBUF + own).keys() == of_protobuf(PROTOBUF).keys() | of_protobuf(own).keys()
