"""Which host is taken."""

from pathlib import Path

import pytest

from e2e.cluster.host import GIVEN, BuiltHost, GivenHost, KindHost, choose_host, start_host
from e2e.cluster.processes import ProcessError


def test_a_given_cluster_goes_first(tmp_path: Path) -> None:
    found = choose_host(tmp_path, {GIVEN: "/a/kubeconfig"}, lambda command: True)
    assert isinstance(found, GivenHost)
    assert found.kubeconfig == Path("/a/kubeconfig")
    assert GIVEN in found.description
    assert not found.own


def test_kind_is_taken_where_the_engine_and_kind_answer(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def probe(command: list[str]) -> bool:
        asked.append(command)
        return True

    assert isinstance(choose_host(tmp_path, {}, probe), KindHost)
    assert asked == [["docker", "info"], ["kind", "version"]]


@pytest.mark.parametrize("answering", [(), ("docker",), ("kind",)])
def test_else_the_control_plane_is_built(tmp_path: Path, answering: tuple[str, ...]) -> None:
    found = choose_host(tmp_path, {}, lambda command: command[0] in answering)
    assert isinstance(found, BuiltHost)
    assert found.own
    assert found.control_plane.audit_log == tmp_path / "audit.log"


def test_two_kind_clusters_have_two_names(tmp_path: Path) -> None:
    assert KindHost(tmp_path).description != KindHost(tmp_path).description


def test_where_kind_fails_the_built_one_is_started_and_both_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def refuse(host: KindHost) -> None:
        raise ProcessError("kind could not make a cluster: no space")

    monkeypatch.delenv(GIVEN, raising=False)
    monkeypatch.setattr("e2e.cluster.host._answers", lambda command: True)
    monkeypatch.setattr(KindHost, "start", refuse)
    monkeypatch.setattr(BuiltHost, "start", lambda host: started.append("built"))
    said: list[str] = []
    assert isinstance(start_host(tmp_path, said.append), BuiltHost)
    assert started == ["built"]
    assert [line.split()[0:3] for line in said] == [
        ["host:", "a", "cluster"],
        ["kind", "could", "not"],
        ["host:", "a", "control"],
    ]


def test_a_given_cluster_that_fails_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: GivenHost) -> None:
        raise ProcessError("it does not answer")

    monkeypatch.setenv(GIVEN, str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(GivenHost, "start", refuse)
    with pytest.raises(ProcessError, match="does not answer"):
        start_host(tmp_path, lambda text: None)
