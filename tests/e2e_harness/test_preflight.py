"""Checks before real nodes: which one failed is said by its name, and packages are never taken away."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from e2e.cluster import preflight


def test_the_first_check_that_fails_is_named_and_ends_the_looking() -> None:
    asked: list[str] = []

    def check(name: str, reason: str) -> str:
        asked.append(name)
        return reason

    checks: preflight.Checks = {
        "root": lambda: check("root", ""),
        "cgroups": lambda: check("cgroups", "no controller pids"),
        "runc": lambda: check("runc", "never asked"),
    }
    assert preflight.failure(checks) == "cgroups: no controller pids"
    assert asked == ["root", "cgroups"]
    assert preflight.failure({"root": lambda: ""}) == ""


def test_a_check_that_breaks_has_failed_with_its_own_words() -> None:
    def hang() -> str:
        raise subprocess.TimeoutExpired(["runc"], 60.0)

    assert preflight.failure({"runc": hang}) == "runc: Command '['runc']' timed out after 60.0 seconds"


def test_every_check_has_a_name_that_people_know() -> None:
    assert list(preflight.CHECKS) == ["root", "packages", "namespaces", "cgroups", "runc"]


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing on the PATH but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(preflight, "CNI", (str(tmp_path / "cni"),))
    return folder


def test_a_machine_without_anything_is_told_every_package(empty_machine: Path) -> None:
    wanted = {*preflight.PROGRAMS.values(), preflight.CNI_PACKAGE, preflight.BUSYBOX_PACKAGE}
    assert preflight.missing_packages() == sorted(wanted)


def program(path: Path, content: bytes = b"#!/bin/sh\n") -> None:
    path.write_bytes(content)
    path.chmod(0o755)


def test_a_program_counts_whatever_package_it_came_from(empty_machine: Path, tmp_path: Path) -> None:
    for name in preflight.PROGRAMS:
        program(empty_machine / name)
    (tmp_path / "cni").mkdir()
    for name in ("bridge", "host-local"):
        program(tmp_path / "cni" / name)
    assert preflight.missing_packages() == [preflight.BUSYBOX_PACKAGE]
    program(empty_machine / "busybox", b"\x7fELF ... /lib64/ld-linux-x86-64.so.2 ...")
    assert preflight.missing_packages() == [preflight.BUSYBOX_PACKAGE]
    program(empty_machine / "busybox", b"\x7fELF")
    assert preflight.missing_packages() == []
    assert preflight.install_packages() == ""


def test_who_is_not_root_is_told_what_to_install(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "containerd" in preflight.install_packages()
    assert "as root" in preflight.install_packages()
    assert preflight.failure().startswith("root: needed")


def test_missing_packages_are_installed_and_none_is_removed(
    empty_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(empty_machine / "apt-get", f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n'.encode())
    assert preflight.install_packages() == ""
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update.startswith("update")
    assert "--no-remove" in install
    assert "containernetworking-plugins" in install


def test_why_packages_could_not_be_installed_is_said(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(empty_machine / "apt-get", b"#!/bin/sh\necho 'E: nothing to be had' >&2\nexit 100\n")
    assert preflight.install_packages().endswith("E: nothing to be had")


def test_the_trial_container_runs_one_program_in_its_own_cgroup(empty_machine: Path, tmp_path: Path) -> None:
    program(empty_machine / "busybox", b"\x7fELF")
    spec = json.dumps({"process": {"terminal": True, "args": ["sh"]}, "linux": {}})
    program(empty_machine / "runc", f"#!/bin/sh\necho '{spec}' > $3/config.json\n".encode())
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    preflight.write_bundle(bundle, "/trial")
    written = json.loads((bundle / "config.json").read_text())
    assert written == {
        "process": {"terminal": False, "args": ["/busybox", "true"]},
        "linux": {"cgroupsPath": "/trial"},
    }
    assert (bundle / "rootfs" / "busybox").exists()


def test_a_check_that_says_nothing_still_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = subprocess.CompletedProcess(["unshare"], 1, "", "")
    monkeypatch.setattr(preflight, "_run", lambda command, deadline=0.0: silent)
    assert preflight.CHECKS["namespaces"]() == "unshare ended with 1"
