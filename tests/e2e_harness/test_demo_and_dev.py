"""The parts of `make demo`, `make up` and `make down` that need no cluster."""

import argparse
import os
import subprocess
from pathlib import Path

import pytest

from e2e import demo
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.pids import write_pids
from e2e.demo import Person, Screen
from e2e.dev import Dev, nodes_option, read_nodes


@pytest.fixture
def screen() -> Screen:
    return Screen(colours=False)


def person(folder: Path, screen: Screen, script: str) -> Person:
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Person("acme", Kubectl(program, folder / "acme.kubeconfig"), screen, folder)


def test_a_command_is_shown_with_what_it_really_said(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert person(tmp_path, screen, 'echo "got $*"').types("kubectl get pods -n 'a b'") == "got get pods -n a b\n"
    assert capsys.readouterr().out == "acme$ kubectl get pods -n 'a b'\ngot get pods -n a b\n"


@pytest.mark.parametrize(("script", "fails"), [("exit 1", False), ("exit 0", True)])
def test_a_command_that_ends_otherwise_than_told_ends_the_demo(
    screen: Screen, tmp_path: Path, script: str, fails: bool
) -> None:
    with pytest.raises(AssertionError, match="exit code"):
        person(tmp_path, screen, script).types("kubectl get pods", fails=fails)


def test_checks_that_hold_are_counted_and_the_first_that_does_not_ends_the_demo(screen: Screen) -> None:
    screen.check("it holds", True)
    with pytest.raises(AssertionError, match="did not hold: it does not"):
        screen.check("it does not", False)
    assert screen.checks == 1


def test_a_failed_demo_says_so_and_keeps_only_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(screen: Screen, folder: Path) -> None:
        (folder / "admin.key").write_text("secret")
        (folder / "vcproxy.log").write_text("why")
        raise AssertionError("did not hold: x")

    monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(tmp_path))
    monkeypatch.setattr(demo, "_run", fail)
    assert demo.main() == 1
    assert "FAILED after 0 checks: did not hold: x" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["vcproxy.log"]


def test_down_stops_what_is_written_down_and_removes_the_pids_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = subprocess.Popen(["sleep", "60"])
    write_pids(tmp_path / "pids", {"supervisor": child.pid})
    (tmp_path / "acme.kubeconfig").write_text("x")
    assert Dev(tmp_path).down() == 0
    assert child.wait(5) != 0
    assert list(tmp_path.iterdir()) == []
    assert "stopped" in capsys.readouterr().err


def test_down_where_nothing_runs_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Dev(tmp_path).down() == 0
    assert "nothing was running" in capsys.readouterr().err


def test_down_leaves_a_process_alone_that_got_an_old_id(tmp_path: Path) -> None:
    (tmp_path / "pids").write_text(f"supervisor {os.getpid()} another-boot/1\n")
    assert Dev(tmp_path).down() == 0


def test_up_where_it_runs_already_only_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pids(tmp_path / "pids", {"supervisor": os.getpid()})
    (tmp_path / "ready").write_text("/cache/kubectl\n")
    assert Dev(tmp_path).up() == 0
    assert "running already" in capsys.readouterr().err


def test_logs_outlive_the_run(tmp_path: Path) -> None:
    for folder in ("run/host/log", "log"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "run/host/log/etcd.log").write_text("said")
    (tmp_path / "log/etcd.log").symlink_to(tmp_path / "run/host/log/etcd.log")
    Dev(tmp_path).down()
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "log/etcd.log").read_text() == "said"


@pytest.mark.parametrize(("text", "count"), [("", 0), ("real:1", 1), ("real:3", 3)])
def test_real_nodes_are_asked_for_by_number(text: str, count: int) -> None:
    assert read_nodes(text) == count
    assert nodes_option(count) == ([f"--nodes={text}"] if text else [])


@pytest.mark.parametrize("text", ["real", "real:", "real:0", "real:51", "3", "fake:3"])
def test_other_nodes_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="real:N"):
        read_nodes(text)
