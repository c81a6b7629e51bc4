#!/usr/bin/env python3
"""Write vcproxy/core/protobuf_fields.json: the fields of every message that a client may send as protobuf.

Sources are the generated.proto files and Go structs of the published modules k8s.io/api and k8s.io/apimachinery, in the
versions that scripts/protobuf_fixtures/go.mod pins. The .proto says how a field is written, the tags of the Go struct
say what it is called in JSON and whether its message is merged into its parent there.

    python scripts/generate_protobuf.py            write the table
    python scripts/generate_protobuf.py --check    fail if the table is not what the sources say

What is written is described in vcproxy/core/protobuf_schema.py, which reads it.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "vcproxy" / "core" / "protobuf_fields.json"
PINS = ROOT / "scripts" / "protobuf_fixtures"
MODULES = ("k8s.io/api", "k8s.io/apimachinery")
SIZE_LIMIT = 400_000
"""Bytes that the table may have: it is part of the package."""

ENVELOPE = "runtime.Unknown"
DELETE_OPTIONS = "meta.v1.DeleteOptions"
STATUS = "meta.v1.Status"
GENERIC_LIST = "List"
"""The kind List of v1 holds objects as JSON text, and exists in clients alone."""
NOT_SERVED = frozenset({"meta.v1", "meta.v1beta1", "testapigroup.v1"})
"""Packages of apimachinery that register a version but no resources of an API server."""
JSON_TEXT = frozenset({"meta.v1.FieldsV1", "runtime.RawExtension"})
"""Messages whose one field `raw` is JSON text, which is also their JSON form."""

_prefix = re.compile(r"^\.?k8s\.io\.(?:api|apimachinery\.pkg\.apis|apimachinery\.pkg)\.")
_message = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.M | re.S)
_field = re.compile(r"^  (?:(optional|repeated) ([\w.]+)|map<string, ([\w.]+)>) (\w+) = (\d+);$")
_struct = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
_member = re.compile(r"^\t([\w.*]+)(\s+[^`\s][^`]*?)?\s*`([^`]*)`", re.M)
_custom = re.compile(r"^func \(\w+ \*?(\w+)\) MarshalJSON\(\)", re.M)
_typed = re.compile(r"^\t(?:\w+\.)?TypeMeta\s+`json:\"(?:,inline)?\"`", re.M)
_group = re.compile(r"^(?:const|var) GroupName\s*=\s*\"([^\"]*)\"", re.M)
_version = re.compile(r"^var SchemeGroupVersion = schema\.GroupVersion\{Group: GroupName, Version: \"(\w+)\"\}", re.M)


class Field(NamedTuple):
    """A field of a .proto message. `label` is optional, repeated or map, `type` a scalar or a full message name."""

    number: int
    name: str
    label: str
    type: str


class Member(NamedTuple):
    """What a Go struct says of the field of one number: its name in JSON, and whether it is merged into the parent."""

    json: str
    inline: bool


class Package(NamedTuple):
    """One Go package: its messages, its structs by protobuf number, what is an object, what has a JSON of its own."""

    name: str
    api_version: str
    messages: dict[str, list[Field]]
    structs: dict[str, dict[int, Member]]
    objects: frozenset[str]
    customs: frozenset[str]


def short(name: str) -> str:
    """`.k8s.io.api.core.v1.Pod` is `core.v1.Pod`."""
    return _prefix.sub("", name)


def parse_proto(text: str, package: str) -> dict[str, list[Field]]:
    """The messages of a .proto file, by name. Raises ValueError for a line that is not understood."""
    return {name: [_parse_field(line, package) for line in _lines(body)] for name, body in _message.findall(text)}


def _lines(body: str) -> Iterator[str]:
    return (line for line in body.splitlines() if line.strip() and not line.lstrip().startswith("//"))


def _parse_field(line: str, package: str) -> Field:
    found = _field.match(line)
    if found is None:
        raise ValueError(f"{package}: cannot read {line!r}")
    label, single, value, name, number = found.groups()
    kind = single or value
    local = kind[0].isupper()
    return Field(int(number), name, label or "map", f"{package}.{kind}" if local else short(kind))


def parse_structs(text: str) -> dict[str, dict[int, Member]]:
    """The structs of Go source: name to members by their protobuf number."""
    return {name: dict(_members(body)) for name, body in _struct.findall(text)}


def _members(body: str) -> Iterator[tuple[int, Member]]:
    for name, kind, tags in _member.findall(body):
        wire = re.search(r'protobuf:"\w+,(\d+),', tags)
        if wire is None:
            continue
        tag = re.search(r'json:"([^",]*)', tags)
        json_name = tag[1] if tag else ""
        embedded = not kind.strip()
        yield int(wire[1]), Member(json_name or name.rpartition(".")[2], embedded and not json_name)


def read_package(folder: Path) -> Package:
    """One folder with a generated.proto. `api_version` is empty where no group is registered."""
    proto = (folder / "generated.proto").read_text()
    go = "\n".join(path.read_text() for path in sorted(folder.glob("*.go")) if not path.name.endswith("_test.go"))
    name = short(re.findall(r"^package (.*);$", proto, re.M)[0])
    objects = frozenset(struct for struct, body in _struct.findall(go) if _typed.search(body))
    customs = frozenset(_custom.findall(go))
    return Package(name, _api_version(go), parse_proto(proto, name), parse_structs(go), objects, customs)


def _api_version(go: str) -> str:
    group, version = _group.search(go), _version.search(go)
    if group is None or version is None:
        return ""
    return f"{group[1]}/{version[1]}" if group[1] else version[1]


def roots(packages: Iterable[Package]) -> dict[str, dict[str, str]]:
    """apiVersion to kind to message: what stands alone in a body, lists among it."""
    found: dict[str, dict[str, str]] = {}
    for package in packages:
        if not package.api_version or package.name in NOT_SERVED:
            continue
        kinds = sorted(name for name in package.objects if name in package.messages and name != GENERIC_LIST)
        found[package.api_version] = {kind: f"{package.name}.{kind}" for kind in kinds}
    found["v1"]["Status"] = STATUS
    return found


class Tables:
    """Messages as rows, each looked up once, from the roots down."""

    def __init__(self, packages: Iterable[Package]) -> None:
        self._packages = {package.name: package for package in packages}
        self.rows: dict[str, list[list[Any]]] = {}

    def add(self, message: str) -> str:
        """The type of a field with this message: its name, `json` or `opaque`."""
        if message in JSON_TEXT:
            return "json"
        package, _, name = message.rpartition(".")
        home = self._packages[package]
        if (name in home.customs and message != ENVELOPE) or name not in home.structs:
            return "opaque"
        if message not in self.rows:
            rows = self.rows[message] = []  # before its fields, since a message may contain itself
            rows += [self._row(field, home.structs[name], message) for field in sorted(home.messages[name])]
        return message

    def _row(self, field: Field, members: dict[int, Member], message: str) -> list[Any]:
        """[number, JSON name, type] and, unless it is optional, how it stands: repeated, map or inline."""
        member = members[field.number]
        json_name = field.name if member.json == "-" else member.json
        kind = self.add(field.type) if "." in field.type else field.type
        label = "inline" if member.inline else field.label
        if field.label != "optional" and (member.inline or kind == "json"):
            raise ValueError(f"{message}.{field.name}: a {field.label} field of this sort is not supported")
        return [field.number, json_name, kind, *([] if label == "optional" else [label])]

    def names(self, message: str) -> list[str]:
        """The JSON names of a message, those of merged messages among them."""
        return [
            name for row in self.rows[message] for name in (self.names(row[2]) if row[3:] == ["inline"] else [row[1]])
        ]


def table(packages: list[Package], source: dict[str, str]) -> dict[str, Any]:
    """The whole table: source, kinds, messages. Raises ValueError for what the codec could not tell apart."""
    tables, kinds = Tables(packages), roots(packages)
    for message in (ENVELOPE, DELETE_OPTIONS, *(name for by_kind in kinds.values() for name in by_kind.values())):
        tables.add(message)
    for message in tables.rows:
        names = tables.names(message)
        if len(names) != len(set(names)):
            raise ValueError(f"{message} has two fields of one JSON name")
    return {"source": source, "kinds": kinds, "messages": tables.rows}


def render(content: dict[str, Any]) -> str:
    """One line for each message, in order, so that a new version shows as a short difference."""
    return "{\n" + ",\n".join(f"{json.dumps(part)}: {_section(content[part])}" for part in content) + "\n}\n"


def _section(rows: dict[str, Any]) -> str:
    lines = (f" {json.dumps(key)}: {json.dumps(rows[key], separators=(',', ':'))}" for key in sorted(rows))
    return "{\n" + ",\n".join(lines) + "\n}"


def downloaded() -> list[dict[str, str]]:
    """The pinned modules as `go mod download -json` tells of them: Path, Version, Sum, Dir."""
    command = ["go", "mod", "download", "-json", *MODULES]
    text = subprocess.run(command, cwd=PINS, check=True, capture_output=True, text=True, timeout=300).stdout
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        module, at = decoder.raw_decode(text, at)
        found.append(module)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def generate() -> str:
    """The text of the table."""
    modules = downloaded()
    folders = sorted(proto.parent for module in modules for proto in Path(module["Dir"]).rglob("generated.proto"))
    source = {module["Path"]: f"{module['Version']} {module['Sum']}" for module in modules}
    text = render(table([read_package(folder) for folder in folders], source))
    if len(text.encode()) > SIZE_LIMIT:
        raise ValueError(f"the table has {len(text.encode())} bytes, which is more than {SIZE_LIMIT}")
    return text


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Write the field tables of the protobuf codec.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the table is out of date")
    check = parser.parse_args(arguments).check
    text = generate()
    if not check:
        TABLE.write_text(text)
    elif not TABLE.exists() or TABLE.read_text() != text:
        print(f"{TABLE.relative_to(ROOT)} is out of date: run python scripts/generate_protobuf.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
