"""Parts of a HorizontalPodAutoscaler in annotations of autoscaling/v1: the groups and messages in them."""

import json
from typing import Any

import pytest

from tests.core.objects_strategies import scope
from vcproxy.core import objects
from vcproxy.core.fields_autoscaling import ANNOTATIONS
from vcproxy.core.kinds import TABLE
from vcproxy.core.status import ApiError

ROW = TABLE["autoscaling", "horizontalpodautoscalers"]
KEY = "autoscaling.alpha.kubernetes.io/"


def autoscaler(**annotations: Any) -> dict[str, Any]:
    texts = {f"{KEY}{name.replace('_', '-')}": value for name, value in annotations.items()}
    metadata = {"name": "x", "namespace": "acme-web", "annotations": texts}
    return {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": metadata}


def metric(version: str, **names: str) -> str:
    names = {"object": "object", "target": "target", "apiVersion": "apiVersion"} | names
    reference = {"kind": "Widget", "name": "a<b", names["apiVersion"]: version}
    text = json.dumps([{"type": "Object", names["object"]: {names["target"]: reference}}], separators=(",", ":"))
    return text.replace("<", "\\u003c")  # as Go writes it


def up(**annotations: str) -> dict[str, str]:
    document = autoscaler(**annotations)
    document["metadata"]["namespace"] = "web"
    return dict(objects.to_host(document, "autoscaling", "HorizontalPodAutoscaler", scope())["metadata"]["annotations"])


def down(**annotations: str) -> dict[str, str]:
    return dict(objects.to_view(autoscaler(**annotations), ROW, scope())["metadata"]["annotations"])


@pytest.mark.parametrize(("virtual", "host"), [("example.com/v1", "acme-example.com/v1"), ("apps/v1", "apps/v1")])
def test_groups_in_metrics_go_up_and_come_down(virtual: str, host: str) -> None:
    for name in ("metrics", "current_metrics"):
        key = f"{KEY}{name.replace('_', '-')}"
        assert up(**{name: metric(virtual)})[key] == metric(host)
        assert down(**{name: metric(host)})[key] == metric(virtual)


def test_a_group_of_another_tenant_is_only_a_name_on_the_way_up() -> None:
    assert up(metrics=metric("globex-example.com/v1"))[f"{KEY}metrics"] == metric("acme-globex-example.com/v1")


@pytest.mark.parametrize(
    "names",
    [{"object": "OBJECT"}, {"target": "Target"}, {"apiVersion": "apiversion"}, {"apiVersion": "apiVer\u017fion"}],
)
def test_names_count_in_any_case_as_they_do_for_the_api_server(names: dict[str, str]) -> None:
    assert json.loads(up(metrics=metric("globex-x.com/v1", **names))[f"{KEY}metrics"]) == json.loads(
        metric("acme-globex-x.com/v1", **names)
    )


def test_messages_of_conditions_are_in_the_tenants_words() -> None:
    text = '[{"type":"AbleToScale","message":"no matches for kind \\"Widget\\" in group \\"acme-example.com\\""}]'
    assert json.loads(down(conditions=text)[f"{KEY}conditions"])[0]["message"].endswith('in group "example.com"')
    assert up(conditions=text)[f"{KEY}conditions"] == text


def test_what_names_nothing_stays_byte_by_byte() -> None:
    texts = {"behavior": '{ "ScaleUp" : {} }', "metrics": "[ ]", "conditions": "none"}
    for way in (up, down):
        assert way(**texts) == {f"{KEY}{name}": text for name, text in texts.items()}


@pytest.mark.parametrize("text", ['[{"object":{"target":{"apiVersion":"globex-x.com/v1"', '[{"a":"\\ud800"}]', "a/b"])
def test_what_cannot_be_read_and_could_name_a_group_is_refused(text: str) -> None:
    for name in ANNOTATIONS:
        with pytest.raises(ApiError) as caught:
            up(**{name.removeprefix(KEY): text})
        assert (caught.value.status.code, "must be JSON" in caught.value.status.message) == (422, True)


def test_what_cannot_be_read_comes_down_as_text() -> None:
    assert down(metrics="{acme-example.com/v1")[f"{KEY}metrics"] == "{example.com/v1"


def test_json_of_great_depth_is_text() -> None:
    deep = "[" * 5000 + "]" * 5000
    assert down(metrics=deep)[f"{KEY}metrics"] == deep


@pytest.mark.parametrize("inner", ["{}", "null", '{"apiVersion":"apps/v1"}'])
def test_what_names_a_field_twice_is_refused(inner: str) -> None:
    reference = '{"apiVersion":"globex-x.com/v1","kind":"Widget","name":"a"}'
    text = f'[{{"type":"Object","object":{{"describedObject":{reference},"describedObject":{inner}}}}}]'
    with pytest.raises(ApiError) as refused:
        up(metrics=text)
    assert refused.value.status.code == 422
