"""Protobuf bodies: against what Go wrote, against the rules, and against whatever else a client may send."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.objects_strategies import scope
from tests.core.protobuf_fixtures import NAMES, binary, differences, text
from tests.core.protobuf_strategies import KINDS, MARK, body, documents, marked
from vcproxy.core import objects
from vcproxy.core.protobuf import DEPTH_LIMIT, FIELD_LIMIT, MARKER, Envelope, decode, encode
from vcproxy.core.protobuf_scalars import Opaque
from vcproxy.core.protobuf_schema import HIDDEN, message_of, schema
from vcproxy.core.protobuf_wire import BYTES, VARINT, record, sized, varint
from vcproxy.core.status import ApiError

DEPLOYMENT = "apps-v1-Deployment-sparse"


def string(number: int, value: bytes) -> bytes:
    return record(number, BYTES, sized(value))


def refusal(raw: bytes) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        decode(raw)
    status = caught.value.status
    return status.code, status.message.removeprefix("the body is not valid protobuf: ")


def visible(value: Any) -> Any:
    """A decoded value without what has no JSON form."""
    if isinstance(value, dict):
        return {key: visible(inner) for key, inner in value.items() if not key.startswith(HIDDEN)}
    return [visible(inner) for inner in value] if isinstance(value, list) else value


def made(api_version: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, **fields}


def envelope(api_version: str, kind: str) -> Envelope:
    return Envelope(str(message_of(api_version, kind)), {"apiVersion": api_version, "kind": kind})


# Against Go ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_object_of_go_reads_as_its_json(name: str) -> None:
    assert differences(decode(binary(name))[0], text(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_object_that_nobody_touched_is_written_as_go_wrote_it(name: str) -> None:
    assert encode(*decode(binary(name))) == binary(name)


@pytest.mark.parametrize("name", [name for name in NAMES if "-Status-" not in name and "List-" not in name])
def test_rules_do_to_protobuf_what_they_do_to_json(name: str) -> None:
    document, around = decode(binary(name))
    kind = objects.group_of(document["apiVersion"]), document["kind"]
    host = objects.to_host(document, *kind, scope())
    expected = objects.to_host(text(name), *kind, scope())
    assert differences(host, expected) == []
    assert differences(decode(encode(host, around))[0], expected) == []


def test_what_is_json_text_on_the_wire_is_read_and_written_again() -> None:
    document, around = decode(binary("apps-v1-ControllerRevision-full"))
    document["data"]["spec"]["template"]["spec"] = {"priorityClassName": "acme-high"}
    again, _ = decode(encode(document, around))
    assert again["data"] == document["data"]
    assert isinstance(again["metadata"]["managedFields"][0]["fieldsV1"], dict)


def test_what_is_added_is_written() -> None:
    document, around = decode(binary("v1-PersistentVolumeClaim-sparse"))
    document["metadata"] |= {"namespace": "acme-web", "labels": {"vcproxy.io/tenant": "acme", "a": ""}}
    document["spec"]["selector"] = {"matchLabels": {"x": "y"}}
    assert visible(decode(encode(document, around))[0]) == visible(document)


def test_what_is_taken_away_or_none_is_not_written() -> None:
    document, around = decode(binary(DEPLOYMENT))
    del document["metadata"]["labels"]
    document["spec"]["template"]["metadata"] = None
    again, _ = decode(encode(document, around))
    assert "labels" not in again["metadata"]
    assert "metadata" not in again["spec"]["template"]


def test_an_empty_text_on_the_wire_stays_and_an_absent_one_stays_absent() -> None:
    raw = body("v1", "PersistentVolumeClaim", string(2, string(5, b"")))
    assert decode(raw)[0]["spec"] == {"storageClassName": ""}
    assert encode(*decode(raw))[-len(raw) :].count(string(5, b"")) == 1
    assert decode(body("v1", "PersistentVolumeClaim", string(2, b"")))[0]["spec"] == {}


def test_a_merged_message_that_was_there_but_empty_is_written_again() -> None:
    volumes = string(1, string(1, b"a") + string(2, b"")) + string(1, string(1, b"b"))
    raw = body("v1", "Pod", string(2, volumes))
    document, around = decode(raw)
    assert visible(document)["spec"] == {"volumes": [{"name": "a"}, {"name": "b"}]}
    assert volumes in encode(document, around)


# Round trips ---------------------------------------------------------------------------------------------------------


@given(st.data(), st.sampled_from(KINDS))
def test_any_object_is_read_as_it_was_written(data: st.DataObject, kind: tuple[str, str]) -> None:
    document = data.draw(documents(kind))
    raw = encode(document, envelope(*kind))
    again, around = decode(raw)
    assert visible(again) == document
    assert encode(again, around) == raw


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_stay_in_every_message(name: str) -> None:
    known, _ = decode(binary(name))
    raw = marked(binary(name), known["apiVersion"], known["kind"])
    document, around = decode(raw)
    assert raw.count(MARK) > 2
    assert visible(document) == visible(known)
    assert encode(document, around) == raw


def test_unknown_fields_stay_when_rules_change_what_is_beside_them() -> None:
    raw = marked(binary(DEPLOYMENT), "apps/v1", "Deployment")
    document, around = decode(raw)
    host = encode(objects.to_host(document, "apps", "Deployment", scope()), around)
    assert host.count(MARK) == raw.count(MARK)
    assert decode(host)[0]["metadata"]["namespace"] == "acme-web"


def test_fields_in_another_order_are_written_by_number_unknown_ones_among_them() -> None:
    metadata, data = string(1, string(1, b"a")), string(2, string(1, b"k") + string(2, b"v"))
    immutable, unknown = record(4, VARINT, b"\x01"), string(77, b"z")
    raw = body("v1", "ConfigMap", unknown + immutable + data + metadata)
    assert encode(*decode(raw)).endswith(metadata + data + immutable + unknown + string(3, b"") + string(4, b""))


def test_maps_are_written_by_key() -> None:
    document = made("v1", "ConfigMap", data={"b": "2", "a": "1"})
    raw = encode(document, envelope("v1", "ConfigMap"))
    assert raw.index(b"\x01a") < raw.index(b"\x01b")


def test_an_entry_of_a_map_without_key_or_value_is_empty() -> None:
    assert decode(body("v1", "ConfigMap", string(2, b"")))[0]["data"] == {"": ""}
    assert decode(body("v1", "ConfigMap", string(2, string(1, b"k"))))[0]["data"] == {"k": ""}
    assert decode(body("v1", "ConfigMap", string(3, string(1, b"k"))))[0]["binaryData"] == {"k": Opaque(b"")}


def test_numbers_of_a_list_may_stand_in_one_record() -> None:
    numbers = varint(7) + varint(300)
    one_by_one = b"".join(record(4, VARINT, varint(number)) for number in (7, 300))
    context = decode(body("v1", "Pod", string(2, string(14, string(4, numbers)))))[0]["spec"]["securityContext"]
    assert context == {"supplementalGroups": [7, 300]}
    assert encode(*decode(body("v1", "Pod", string(2, string(14, string(4, numbers)))))).count(one_by_one) == 1


# Refusals ------------------------------------------------------------------------------------------------------------


def test_a_body_without_the_marker_is_refused() -> None:
    assert refusal(b'{"kind":"Pod"}') == (400, "it does not start with the marker of Kubernetes")
    assert refusal(b"") == (400, "it does not start with the marker of Kubernetes")


@pytest.mark.parametrize(
    "raw",
    [
        MARKER,
        body("example.com/v1", "Widget", b""),
        body("v1", "", b""),
        body("v1", "Pod", b"", encoding=b"gzip"),
        body("v1", "Pod", b"{}", media=b"application/json"),
    ],
)
def test_what_has_no_table_or_another_form_is_sent_as_json(raw: bytes) -> None:
    code, message = refusal(raw)
    assert code == 415
    assert "send application/json" in message


def test_the_content_type_of_protobuf_itself_is_taken() -> None:
    raw = body("v1", "ConfigMap", b"", media=b"application/vnd.kubernetes.protobuf")
    assert encode(*decode(raw)) == raw


_TWICE = "a field that is no list, or a key of a map, stands twice"
_TYPE = "a field has the wrong wire type"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (string(1, b"") + string(1, b""), _TWICE),
        (string(1, string(3, b"a") + string(3, b"b")), _TWICE),
        (string(2, string(1, b"k")) + string(2, string(1, b"k")), _TWICE),
        (string(2, string(1, b"k") + string(1, b"k")), _TWICE),
        (record(1, VARINT, b"\x01"), _TYPE),
        (string(4, b"\x01"), _TYPE),
        (record(2, VARINT, b"\x01"), _TYPE),
        (string(2, record(1, VARINT, b"\x01")), _TYPE),
        (string(2, record(2, VARINT, b"\x01")), _TYPE),
        (string(2, string(1, b"\xff")), "a text is not UTF-8"),
        (string(1, string(1, b"\xc0\x80")), "a text is not UTF-8"),
        (b"\x0a\x05abc", "a field is longer than its message"),
    ],
)
def test_what_is_malformed_in_an_object_is_refused(raw: bytes, message: str) -> None:
    assert refusal(body("v1", "ConfigMap", raw)) == (400, message)


def test_a_merged_message_that_stands_twice_is_refused() -> None:
    volume = string(1, b"a") + string(2, b"") + string(2, b"")
    assert refusal(body("v1", "Pod", string(2, string(1, volume)))) == (400, _TWICE)


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 5000, b"1 2"])
def test_json_text_that_is_no_json_is_refused(raw: bytes) -> None:
    assert refusal(body("apps/v1", "ControllerRevision", string(2, string(1, raw))))[0] == 400


def test_json_text_of_another_wire_type_or_twice_is_refused() -> None:
    revision = "apps/v1", "ControllerRevision"
    assert refusal(body(*revision, string(2, record(1, VARINT, b"\x01")))) == (400, _TYPE)
    assert refusal(body(*revision, string(2, string(1, b"1") * 2))) == (400, _TWICE)


def nested(depth: int) -> bytes:
    """A Workload with that many messages below its spec, templates inside one another."""
    fields = schema("scheduling.v1alpha3.CompositePodGroupTemplate").by_name
    inner = b""
    for _ in range(depth - 1):
        inner = string(fields["compositePodGroupTemplates"].number, inner)
    return body("scheduling.k8s.io/v1alpha3", "Workload", string(2, string(3, inner)))


def test_nesting_without_end_is_refused() -> None:
    below_spec = DEPTH_LIMIT - 2
    document, around = decode(nested(below_spec))
    assert encode(document, around).startswith(nested(below_spec)[:40])
    assert refusal(nested(below_spec + 1)) == (400, f"it nests deeper than {DEPTH_LIMIT} messages")
    assert refusal(nested(5_000))[0] == 400


def test_a_body_of_too_many_fields_is_refused() -> None:
    volumes = string(1, b"") * (FIELD_LIMIT // 2)
    assert decode(body("v1", "Pod", string(2, volumes)))[0]["kind"] == "Pod"
    assert refusal(body("v1", "Pod", string(2, volumes * 2 + volumes))) == (
        400,
        f"it has more than {FIELD_LIMIT} fields",
    )
    packed = string(4, b"\x01" * FIELD_LIMIT)
    assert refusal(body("v1", "Pod", string(2, string(14, packed))))[0] == 400


@pytest.mark.parametrize("name", [DEPLOYMENT, "v1-Status-full", "autoscaling-v1-Scale-full", "v1-Event-full"])
def test_a_body_that_is_cut_off_anywhere_is_refused_or_read(name: str) -> None:
    raw = binary(name)
    codes = {answer(raw[:length]) for length in range(len(raw))}
    assert codes <= {200, 400, 415}
    assert answer(raw[: len(raw) - len(string(3, b"") * 2) - 1]) == 400


@given(st.sampled_from(NAMES), st.data())
def test_a_damaged_body_is_refused_or_read_to_the_same_object_again(name: str, data: st.DataObject) -> None:
    raw = bytearray(binary(name))
    for at in data.draw(st.lists(st.integers(4, len(raw) - 1), min_size=1, max_size=3)):
        raw[at] = data.draw(st.integers(0, 255))
    assert answer(bytes(raw)) in (200, 400, 415)


@given(st.sampled_from(KINDS), st.binary(max_size=60))
def test_any_bytes_are_refused_or_read(kind: tuple[str, str], content: bytes) -> None:
    assert answer(body(*kind, content)) in (200, 400)


def answer(raw: bytes) -> int:
    """The code of a refusal; 200 for a body that is read, and read the same again once it is written."""
    try:
        document, around = decode(raw)
    except ApiError as refused:
        return refused.status.code
    written = encode(copy.deepcopy(document), around)
    again, envelope_again = decode(written)
    assert visible(again) == visible(document)
    assert encode(again, envelope_again) == written
    return 200


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"a": 1}},
        {"data": []},
        {"data": "text"},
        {"metadata": "text"},
        {"metadata": {"name": 1}},
        {"metadata": {"ownerReferences": {}}},
        {"immutable": "yes"},
        {"binaryData": {"a": "text"}},
        {"nothing": 1},
        {"metadata": {"nothing": "x"}},
    ],
)
def test_what_the_tables_do_not_know_is_never_left_out_silently(change: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        encode(made("v1", "ConfigMap", **change), envelope("v1", "ConfigMap"))
    assert caught.value.status.code == 415
