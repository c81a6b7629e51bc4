"""The generator of the field tables: how it reads its sources, and that its table is of the pinned modules."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vcproxy.core.protobuf_schema import table

ROOT = Path(__file__).parent.parent.parent

PROTO = """
syntax = "proto2";

package k8s.io.api.example.v1;

import "k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto";

option go_package = "k8s.io/api/example/v1";

// Thing is one.
message Thing {
  // +optional
  optional .k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta metadata = 1;

  optional Part part = 3;

  repeated string words = 2;

  map<string, Part> parts = 4;

  optional .k8s.io.apimachinery.pkg.apis.meta.v1.Time since = 5;

  optional .k8s.io.apimachinery.pkg.runtime.RawExtension data = 6;
}

message ThingList {
  optional .k8s.io.apimachinery.pkg.apis.meta.v1.ListMeta metadata = 1;

  repeated Thing items = 2;
}

message Part {
  optional int32 n = 1;

  repeated Part inner = 2;
}
"""
GO = """package v1

const GroupName = "example.io"

var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1"}

// Thing is one.
type Thing struct {
\tmetav1.TypeMeta `json:",inline"`
\t// +optional
\tmetav1.ObjectMeta `json:"metadata,omitempty" protobuf:"bytes,1,opt,name=metadata"`
\tPart `json:",inline" protobuf:"bytes,3,opt,name=part"`
\tWords []string `json:"wordList" protobuf:"bytes,2,rep,name=words"`
\tParts map[string]Part `json:"parts" protobuf:"bytes,4,rep,name=parts"`
\tSince metav1.Time `json:"since" protobuf:"bytes,5,opt,name=since"`
\tData runtime.RawExtension `json:"data" protobuf:"bytes,6,opt,name=data"`
}

type ThingList struct {
\tmetav1.TypeMeta `json:",inline"`
\tmetav1.ListMeta `json:"metadata,omitempty" protobuf:"bytes,1,opt,name=metadata"`
\tItems []Thing `json:"items" protobuf:"bytes,2,rep,name=items"`
}

type Part struct {
\tN int32 `json:"n,omitempty" protobuf:"varint,1,opt,name=n"`
\tInner []Part `json:"inner" protobuf:"bytes,2,rep,name=inner"`
}
"""
META_PROTO = """
package k8s.io.apimachinery.pkg.apis.meta.v1;

message ObjectMeta {
  optional string name = 1;
}

message ListMeta {
  optional string continue = 3;
}

message Time {
  optional int64 seconds = 1;
}
"""
META_GO = """package v1

type ObjectMeta struct {
\tName string `json:"name" protobuf:"bytes,1,opt,name=name"`
}

type ListMeta struct {
\tContinue string `json:"continue" protobuf:"bytes,3,opt,name=continue"`
}

type Time struct {
\ttime.Time `protobuf:"-"`
}

func (t *Time) MarshalJSON() ([]byte, error) {
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_protobuf", ROOT / "scripts" / "generate_protobuf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def package(script: ModuleType, folder: Path, proto: str, go: str) -> Any:
    folder.mkdir()
    (folder / "generated.proto").write_text(proto)
    (folder / "types.go").write_text(go)
    (folder / "types_test.go").write_text("type Part struct {\n}\n")
    return script.read_package(folder)


def test_rows_say_number_json_name_type_and_form(script: ModuleType, tmp_path: Path) -> None:
    example = package(script, tmp_path / "example", PROTO, GO)
    tables = script.Tables([example, package(script, tmp_path / "meta", META_PROTO, META_GO)])
    tables.add("example.v1.Thing")
    assert tables.rows == {
        "example.v1.Thing": [
            [1, "metadata", "meta.v1.ObjectMeta"],
            [2, "wordList", "string", "repeated"],
            [3, "Part", "example.v1.Part", "inline"],
            [4, "parts", "example.v1.Part", "map"],
            [5, "since", "opaque"],
            [6, "data", "json"],
        ],
        "meta.v1.ObjectMeta": [[1, "name", "string"]],
        "example.v1.Part": [[1, "n", "int32"], [2, "inner", "example.v1.Part", "repeated"]],
    }
    assert tables.names("example.v1.Thing") == ["metadata", "wordList", "n", "inner", "parts", "since", "data"]


def test_a_package_says_its_api_version_and_its_objects(script: ModuleType, tmp_path: Path) -> None:
    example = package(script, tmp_path / "example", PROTO, GO)
    assert example.api_version == "example.io/v1"
    assert example.objects == {"Thing", "ThingList"}


@pytest.mark.parametrize("line", ["  required string a = 1;", "  map<int32, string> a = 1;", "  oneof a {"])
def test_a_line_that_is_not_understood_is_an_error(script: ModuleType, line: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        script.parse_proto(f"message Thing {{\n{line}\n}}\n", "example.v1")


def test_the_table_is_that_of_the_modules_that_the_cluster_is_built_from() -> None:
    for folder in ("scripts/protobuf_fixtures", "e2e/cluster/modules/kubernetes"):
        text = (ROOT / folder / "go.mod").read_text()
        for module, source in table()["source"].items():
            pinned = re.search(rf"^\s*(?:require )?{re.escape(module)} (\S+)", text, re.M)
            assert pinned is not None
            assert source.split()[0] == pinned[1]


def test_the_table_is_of_the_sources_that_go_sum_names() -> None:
    sums = (ROOT / "scripts" / "protobuf_fixtures" / "go.sum").read_text().splitlines()
    assert {f"{module} {source}" for module, source in table()["source"].items()} <= set(sums)


def test_the_table_is_rendered_as_one_line_for_each_message(script: ModuleType) -> None:
    text = script.TABLE.read_text()
    assert script.render(table()) == text
    assert len(text.encode()) < script.SIZE_LIMIT
