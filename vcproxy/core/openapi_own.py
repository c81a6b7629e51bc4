"""OpenAPI of a tenant's own kinds: what the host says of their groups, with the groups that the tenant gave them.

Names of definitions and operations are made of the group (k8s.io/kube-openapi: ToRESTFriendlyName, apiextensions
controller/openapi/builder): `com.acme-example.v1.Widget`, `listAcmeExampleComV1Widget`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import yaml

from vcproxy.core.names import TenantId, VirtualName, up
from vcproxy.core.openapi_protobuf import DEFINITIONS, PATHS, entries, message, renamed_message

_part = re.compile(r"[^A-Za-z0-9]+")


def renamed(document: Any, tenant: TenantId, group: str) -> Any:
    """A document of version 3 of `<id>-<group>` as one of `<group>`."""
    return _walk(document, Names(tenant, group))


class _Whole(msgspec.Struct):
    """A document of version 2, of which only what is looked for is decoded."""

    paths: dict[str, msgspec.Raw]
    definitions: dict[str, msgspec.Raw]


def of_v2(raw: bytes, tenant: TenantId, groups: Iterable[str]) -> bytes:
    """The paths and definitions of a tenant's groups in the host's document of version 2, renamed: JSON."""
    whole = msgspec.json.decode(raw, type=_Whole)
    found: dict[str, dict[str, Any]] = {"paths": {}, "definitions": {}}
    for names in (Names(tenant, group) for group in groups):
        found["paths"] |= _walk(_decoded(whole.paths, names.path[0]), names)
        found["definitions"] |= _walk(_decoded(whole.definitions, names.name[0]), names)
    return msgspec.json.encode(found)


def joined_v2(base: bytes, own: bytes) -> bytes:
    """A document of version 2 with the paths and definitions of another, which nobody decodes for that."""
    whole, more = (msgspec.json.decode(raw, type=dict[str, msgspec.Raw]) for raw in (base, own))
    joined = {member: _joined(bytes(whole[member]), bytes(added)) for member, added in more.items()}
    return msgspec.json.encode({**whole, **joined})


def _joined(first: bytes, second: bytes) -> msgspec.Raw:
    """Two objects as one: {"a":1} and {"b":2} are {"a":1,"b":2}."""
    comma = b"," if len(first) > 2 and len(second) > 2 else b""
    return msgspec.Raw(first[:-1] + comma + second[1:])


def of_v2_protobuf(raw: bytes, tenant: TenantId, groups: Iterable[str]) -> bytes:
    """The same as protobuf: a message of its own, which readers merge with the one that it is written behind.

    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """
    made = []
    for names in (Names(tenant, group) for group in groups):
        for number, prefix in ((PATHS, names.path[0]), (DEFINITIONS, names.name[0])):
            made += [
                message(number, message(inner, renamed_message(f"{number}/{inner}", body, names)))
                for inner, name, body in entries(raw, number)
                if name.startswith(prefix)
            ]
    return b"".join(made)


def _decoded(values: Mapping[str, msgspec.Raw], prefix: str) -> dict[str, Any]:
    return {name: msgspec.json.decode(value) for name, value in values.items() if name.startswith(prefix)}


class Names:
    """The two names of one group, in all the forms that a document has them."""

    def __init__(self, tenant: TenantId, own: str) -> None:
        host = up(tenant, VirtualName(own))
        self.host, self.own = host, own
        self.path = f"/apis/{host}/", f"/apis/{own}/"
        self.name = f"{_reversed(host)}.", f"{_reversed(own)}."
        self.camel = _camel(host), _camel(own)

    def of_path(self, text: str) -> str:
        return self.path[1] + text[len(self.path[0]) :] if text.startswith(self.path[0]) else text

    def of_schema(self, text: str) -> str:
        return self.name[1] + text[len(self.name[0]) :] if text.startswith(self.name[0]) else text

    def of_reference(self, text: str) -> str:
        """A `$ref`: the name of a definition behind the way to it."""
        head, slash, name = text.rpartition("/")
        return head + slash + self.of_schema(name)

    def of_yaml(self, text: str) -> str:
        """A vendor extension as gnostic writes it."""
        return yaml.safe_dump(_walk(yaml.safe_load(text), self)) if self.host in text else text

    def of_operation(self, text: str) -> str:
        """An operationId or a tag: the name of the group stands in it with capitals; in a tag the first is small."""
        (host, own), small = self.camel, text[:1].lower() == text[:1]
        text = text.replace(host, own)
        return own[:1].lower() + own[1:] + text[len(host) :] if small and text[1:].startswith(host[1:]) else text


def _reversed(group: str) -> str:
    return ".".join(reversed(group.split(".")))


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in _part.split(text))


def _walk(value: Any, names: Names) -> Any:
    if isinstance(value, list):
        return [_walk(inner, names) for inner in value]
    if not isinstance(value, dict):
        return value
    return {names.of_schema(names.of_path(key)): _member(key, inner, names) for key, inner in value.items()}


def _member(key: str, value: Any, names: Names) -> Any:
    known: dict[str, Callable[[str], str]] = {
        "$ref": names.of_reference,
        "operationId": names.of_operation,
        "group": lambda text: names.own if text == names.host else text,
    }
    if key == "tags" and isinstance(value, list):
        return [names.of_operation(one) if isinstance(one, str) else one for one in value]
    if isinstance(value, str) and key in known:
        return known[key](value)
    return _walk(value, names)
