"""OpenAPI of a tenant's own kinds: what the host says of their groups, with the groups that the tenant gave them.

Names of definitions and operations are made of the group (k8s.io/kube-openapi: ToRESTFriendlyName, apiextensions
controller/openapi/builder): `com.acme-example.v1.Widget`, `listAcmeExampleComV1Widget`. A prefix does not tell reversed
groups apart: that of globex's `x.acme-a.com` begins with that of acme's `a.com`, `com.acme-a.globex-x.v1.K`. So the
name of a definition counts whole: the group, a version of it that the tenant has, and a kind, which holds no dot.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
import yaml

from vcproxy.core.names import TenantId, VirtualName, up
from vcproxy.core.openapi_protobuf import DEFINITIONS, PATHS, entries, message, renamed_message

_part = re.compile(r"[^A-Za-z0-9]+")


GroupVersion = tuple[str, str]


def renamed(document: Any, tenant: TenantId, group: str, version: str) -> Any:
    """A document of version 3 of `<id>-<group>` as one of `<group>`."""
    return _walk(document, Names(tenant, group, frozenset({version})))


class _Whole(msgspec.Struct):
    """A document of version 2, of which only what is looked for is decoded."""

    paths: dict[str, msgspec.Raw]
    definitions: dict[str, msgspec.Raw]


def of_v2(raw: bytes, tenant: TenantId, versions: Iterable[GroupVersion]) -> bytes:
    """The paths and definitions of a tenant's versions in the host's document of version 2, renamed: JSON."""
    whole = msgspec.json.decode(raw, type=_Whole)
    found: dict[str, dict[str, Any]] = {"paths": {}, "definitions": {}}
    for names in _all_names(tenant, versions):
        found["paths"] |= _walk(_decoded(whole.paths, names.has_path), names)
        found["definitions"] |= _walk(_decoded(whole.definitions, names.has_schema), names)
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


def of_v2_protobuf(raw: bytes, tenant: TenantId, versions: Iterable[GroupVersion]) -> bytes:
    """The same as protobuf: a message of its own, which readers merge with the one that it is written behind.

    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """
    made = []
    for names in _all_names(tenant, versions):
        for number, has in ((PATHS, names.has_path), (DEFINITIONS, names.has_schema)):
            made += [
                message(number, message(inner, renamed_message(f"{number}/{inner}", body, names)))
                for inner, name, body in entries(raw, number)
                if has(name)
            ]
    return b"".join(made)


def _decoded(values: Mapping[str, msgspec.Raw], has: Callable[[str], bool]) -> dict[str, Any]:
    return {name: msgspec.json.decode(value) for name, value in values.items() if has(name)}


def _all_names(tenant: TenantId, versions: Iterable[GroupVersion]) -> Iterator["Names"]:
    """Of each group, in order."""
    found: dict[str, set[str]] = {}
    for group, version in sorted(versions):
        found.setdefault(group, set()).add(version)
    return (Names(tenant, group, frozenset(served)) for group, served in found.items())


class Names:
    """The two names of one group, in all the forms that a document has them; `versions` are those that count."""

    def __init__(self, tenant: TenantId, own: str, versions: frozenset[str]) -> None:
        host = up(tenant, VirtualName(own))
        self.host, self.own, self._versions = host, own, versions
        self.path = f"/apis/{host}/", f"/apis/{own}/"
        self.name = f"{_reversed(host)}.", f"{_reversed(own)}."
        self.camel = _camel(host), _camel(own)

    def has_path(self, text: str) -> bool:
        """Whether a path is one of the group."""
        return text.startswith(self.path[0])

    def has_schema(self, text: str) -> bool:
        """Whether a definition is one of the group: its name and `<version>.<Kind>`."""
        version, _, kind = text.removeprefix(self.name[0]).partition(".")
        return text.startswith(self.name[0]) and version in self._versions and bool(kind) and "." not in kind

    def of_path(self, text: str) -> str:
        return self.path[1] + text[len(self.path[0]) :] if self.has_path(text) else text

    def of_schema(self, text: str) -> str:
        return self.name[1] + text[len(self.name[0]) :] if self.has_schema(text) else text

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
