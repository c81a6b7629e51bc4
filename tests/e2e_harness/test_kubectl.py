"""Running kubectl: a script stands in for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.cluster.kubectl import Kubectl
from e2e.cluster.watch import Watch

Make = Callable[[str], Kubectl]


@pytest.fixture
def heard() -> list[bytes]:
    return []


@pytest.fixture
def make(tmp_path: Path, heard: list[bytes]) -> Make:
    def made(script: str) -> Kubectl:
        program = tmp_path / "kubectl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return Kubectl(program, tmp_path / "acme.kubeconfig", heard.append)

    return made


def test_it_says_what_the_command_said_and_tells_every_byte(make: Make, heard: list[bytes]) -> None:
    done = make('echo "$@"; cat; echo warned >&2')("get", "pods", input="given")
    assert (done.stdout, done.stderr) == ("get pods\ngiven", "warned\n")
    assert heard == [b"get pods\ngivenwarned\n"]


def test_a_failure_holds_command_code_and_words(make: Make) -> None:
    with pytest.raises(AssertionError, match=r"kubectl get pods -> 3\nnot found"):
        make("echo not found >&2; exit 3")("get", "pods")


def test_a_failure_that_is_expected_is_a_result(make: Make) -> None:
    assert make("exit 3")("get", check=False).returncode == 3


def test_json_is_decoded(make: Make) -> None:
    assert make("""echo "[\\"$*\\"]" """).json("get", "pods") == ["get pods -o json"]


def test_each_kubeconfig_has_its_own_cache_and_no_proxy_stands_between(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://192.0.2.1")
    monkeypatch.setenv("no_proxy", "nothing")
    environment = make("").environment
    assert environment["KUBECONFIG"] == str(tmp_path / "acme.kubeconfig")
    assert environment["KUBECACHEDIR"] == str(tmp_path / "acme.cache")
    assert environment["PATH"].startswith(f"{tmp_path}:")
    assert not {name for name in environment if name.lower().endswith("_proxy")}


def test_a_watch_collects_lines_until_it_is_left(make: Make) -> None:
    with Watch(make("echo one; echo two; exec sleep 60"), "get", "-w") as watch:
        assert watch.wait_for(lambda line: line.startswith("tw")) == "two"
    assert watch.lines == ["one", "two"]


def test_a_line_that_does_not_come_is_told_with_those_that_came(make: Make) -> None:
    with (
        Watch(make("echo one; exec sleep 60"), "get", "-w") as watch,
        pytest.raises(AssertionError, match=r"not said by get -w in 1 s:\none"),
    ):
        watch.wait_for(lambda line: line == "two", 1)


def test_settings_are_added_to_the_environment(tmp_path: Path) -> None:
    first = Kubectl(tmp_path / "kubectl", tmp_path / "a.kubeconfig")
    second = first.with_settings(KUBECTL_PORT_FORWARD_WEBSOCKETS="false")
    assert second.environment == {**first.environment, "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
    third = second.with_settings(KUBECTL_REMOTE_COMMAND_WEBSOCKETS="true")
    assert third.environment["KUBECTL_PORT_FORWARD_WEBSOCKETS"] == "false"
