"""The configuration: every problem at once, each with its path and what it should be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.config import document as configuration
from vcproxy.config.document import ConfigErrors
from vcproxy.config.settings import API_VERSION, KIND
from vcproxy.config.values import duration

HEAD = {"apiVersion": API_VERSION, "kind": KIND}


def problems(document: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as errors:
        configuration.parse(document)
    return errors.value.problems


def test_nothing_but_the_head_is_a_configuration() -> None:
    found = configuration.parse(HEAD)
    assert found.listen.address == ("0.0.0.0", 8443)
    assert found.tokens.life == 30 * 86400
    assert found.advertise_address is None


def test_unknown_keys_are_refused_with_the_nearest_known_one() -> None:
    found = problems({**HEAD, "limits": {"bodybytes": 1}, "lisen": {}, "log": {"colour": "red"}})
    assert "limits.bodybytes: unknown; did you mean limits.bodyBytes?" in found
    assert "lisen: unknown; did you mean listen?" in found
    assert any(one.startswith("log.colour: unknown") for one in found)


def test_every_problem_is_told_at_once() -> None:
    document = {
        "apiVersion": "v2",
        "limits": {"drain": "soon", "inFlight": -1},
        "advertiseAddress": "127.0.0.1:1",
        "log": 7,
    }
    found = problems(document)
    assert {one.split(":")[0] for one in found} == {
        "apiVersion",
        "kind",
        "limits.drain",
        "limits.inFlight",
        "advertiseAddress",
        "log",
    }


@pytest.mark.parametrize("document", [None, [], "x", 7])
def test_what_is_no_object_is_refused(document: Any) -> None:
    assert len(problems(document)) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"listen": {"certificate": "a"}},
        {"host": {"kubeconfig": "a"}},
        {"tokens": {"life": "2h", "longestLife": "1h"}},
        {"listen": {"publicURL": "http://x"}},
        {"listen": {"address": "8443"}},
        {"advertiseAddress": "169.254.1.1:1"},
        {"controller": {"enabled": "yes"}},
        {"limits": {"bodyBytes": True}},
        {"authentication": {"order": ["webhook"]}},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    assert len(problems({**HEAD, **settings})) == 1


@given(st.integers(1, 10**6), st.sampled_from(["s", "m", "h", "d"]))
def test_durations_are_read_in_their_unit(number: int, unit: str) -> None:
    assert duration(f"{number}{unit}") == number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


@given(st.text(max_size=10))
def test_any_text_is_a_duration_or_is_refused(text: str) -> None:
    try:
        positive = duration(text) > 0
    except ValueError:
        positive = True
    assert positive


def test_every_setting_says_why() -> None:
    assert all(one["why"] for one in configuration.shown())
    assert {one["path"] for one in configuration.shown(HEAD | {"limits": {"drain": "7s"}}) if one["value"] == "7s"} == {
        "limits.drain"
    }


def test_the_webhook_is_reached_by_url_or_by_service_not_both() -> None:
    service = "vcproxy-system/vcproxy-webhook:443"
    assert configuration.parse({**HEAD, "webhook": {"service": service}}).webhook.service == (
        "vcproxy-system",
        "vcproxy-webhook",
        443,
    )
    both = {"service": service, "url": "https://192.0.2.10:9443"}
    assert problems({**HEAD, "webhook": both}) == ["webhook.url and webhook.service: give one of them"]
    assert problems({**HEAD, "webhook": {"service": "here"}})
    assert problems({**HEAD, "pods": {"nameserver": "dns.example.com"}})
    assert configuration.parse({**HEAD, "pods": {"nameserver": "10.96.0.10"}}).pods.nameserver == "10.96.0.10"
