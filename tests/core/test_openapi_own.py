"""OpenAPI of a tenant's own kinds, against what a host says of the same definition without a tenant."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcproxy.core import openapi_own, openapi_protobuf
from vcproxy.core.names import TenantId

FIXTURES = Path(__file__).parent.parent / "fixtures" / "openapi"
JSON, PROTOBUF = (FIXTURES / "v2-own.json").read_bytes(), (FIXTURES / "v2-own.pb").read_bytes()
ACME = TenantId("acme")
GROUP = "example.com"
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
    assert json.loads(openapi_own.of_v2(JSON, ACME, [GROUP])) == plain()
    assert {"com.example.v1.Widget", "com.example.v1.WidgetList"} == plain()["definitions"].keys()


def test_as_protobuf_it_is_the_hosts_byte_by_byte() -> None:
    wanted = {name: entry for name, entry in of_protobuf(PROTOBUF).items() if name.startswith(tuple(PREFIXES.values()))}
    assert of_protobuf(openapi_own.of_v2_protobuf(PROTOBUF, ACME, [GROUP])) == wanted
    assert len(wanted) == len(plain()["paths"]) + len(plain()["definitions"])


@pytest.mark.parametrize("tenant", ["globex", "acm"])
def test_another_tenants_groups_are_not_told_of(tenant: str) -> None:
    made = openapi_own.of_v2(JSON, TenantId(tenant), [GROUP, "com", ""])
    assert json.loads(made) == {"paths": {}, "definitions": {}}
    assert openapi_own.of_v2_protobuf(PROTOBUF, TenantId(tenant), [GROUP, "com", ""]) == b""


def test_joined_documents_hold_both() -> None:
    base = json.dumps({"swagger": "2.0", "paths": {"/api/": {"get": {}}}, "definitions": {}, "parameters": {"p": {}}})
    joined = json.loads(openapi_own.joined_v2(base.encode(), openapi_own.of_v2(JSON, ACME, [GROUP])))
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
    own = openapi_own.of_v2_protobuf(PROTOBUF, ACME, [GROUP])
    assert of_protobuf(PROTOBUF + own).keys() == of_protobuf(PROTOBUF).keys() | of_protobuf(own).keys()
