"""The cache of host binaries: what counts as built, and what is built again. A script stands in for Go."""

import json
from pathlib import Path

import pytest

from e2e.cluster import build

GO = """#!/bin/sh
case "$1" in
    version) echo "go version go1.26.8 linux/amd64" ;;
    env) echo go1.26.8 ;;
    list) echo '{"Dir": "@module@"}' ;;
    build)
        echo "$*" >> "@calls@"
        while [ "$1" != -o ]; do shift; done
        case "$3" in *@broken@) echo "it does not compile" >&2; exit 1 ;; esac
        echo "$3" > "$2" ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a stand-in for Go and an empty cache; the file lists every build."""
    install_go(tmp_path, monkeypatch)
    for stage in build.STAGES:
        folder = tmp_path / "module" / "kustomize" / "stage" / stage
        folder.mkdir(parents=True)
        (folder / "stage.yaml").write_text("kind: Stage\n")
        (folder / "kustomization.yaml").write_text("kind: Kustomization\n")
    monkeypatch.setenv("VCPROXY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "calls"


def install_go(folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str = "nothing") -> None:
    go = folder / "bin" / "go"
    go.parent.mkdir(exist_ok=True)
    values = {"@module@": str(folder / "module"), "@calls@": str(folder / "calls"), "@broken@": broken}
    text = GO
    for name, value in values.items():
        text = text.replace(name, value)
    go.write_text(text)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")


def built(calls: Path) -> list[str]:
    return [line.rsplit("/", 1)[-1] for line in calls.read_text().splitlines()] if calls.exists() else []


def test_everything_is_built_once(calls: Path) -> None:
    entry = build.binaries()
    assert {path.name for path in entry.iterdir()} == {name for name, _, _ in build.BINARIES} | {"manifest", "stages"}
    assert build.binaries() == entry
    assert len(built(calls)) == len(build.BINARIES)


def test_a_damaged_binary_alone_is_built_again(calls: Path) -> None:
    entry = build.binaries()
    calls.unlink()
    (entry / "kubectl").write_text("damaged")
    build.binaries()
    assert built(calls) == ["kubectl"]
    assert build.sound(entry, "kubectl")


def test_a_binary_without_a_manifest_is_built_again(calls: Path) -> None:
    entry = build.binaries()
    calls.unlink()
    (entry / "manifest" / "kwok.json").unlink()
    (entry / "manifest" / "etcd.json").write_text("{")
    build.binaries()
    assert sorted(built(calls)) == ["kwok", "v3"]


def test_damage_of_the_same_length_is_seen(calls: Path) -> None:
    entry = build.binaries()
    content = (entry / "etcd").read_bytes()
    (entry / "etcd").write_bytes(bytes(reversed(content)))
    assert not build.sound(entry, "etcd")


def test_a_failed_build_says_what_the_compiler_said_and_leaves_no_file(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_go(tmp_path, monkeypatch, broken="kube-scheduler")
    with pytest.raises(SystemExit, match=r"kube-scheduler failed:\nit does not compile"):
        build.binaries()
    entry = next((tmp_path / "cache").glob("host-*"))
    assert {path.name for path in entry.iterdir()} == {"kube-apiserver", "kube-controller-manager", "manifest"}


def test_the_stages_come_without_kustomizations(calls: Path) -> None:
    stages = build.binaries() / "stages"
    assert sorted(path.name for path in stages.rglob("*.yaml")) == ["stage.yaml"] * len(build.STAGES)


def test_the_key_follows_pins_and_toolchain(tmp_path: Path) -> None:
    pins = tmp_path / "kubernetes" / "go.sum"
    pins.parent.mkdir()
    pins.write_text("a")
    first = build.key("go1.26.8", tmp_path)
    assert build.key("go1.26.8", tmp_path) == first
    assert build.key("go1.27.0", tmp_path) != first
    pins.write_text("b")
    assert build.key("go1.26.8", tmp_path) != first


def test_the_cache_stands_where_people_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCPROXY_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert build.cache_folder() == Path("/a")
    monkeypatch.delenv("VCPROXY_CACHE")
    assert build.cache_folder() == Path("/b/vcproxy")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert build.cache_folder() == Path.home() / ".cache" / "vcproxy"


@pytest.mark.parametrize(("version", "found"), [("go1.26.8", True), ("go1.25.9", False), ("devel", False)])
def test_an_old_go_is_not_taken(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, found: bool
) -> None:
    go = tmp_path / "bin" / "go"
    go.write_text(go.read_text().replace("env) echo go1.26.8", f"env) echo {version}"))
    name = build.TOOLCHAIN.read_text().split()[0]
    toolchain = tmp_path / f"toolchain-{name.replace('==', '-')}" / "bin" / "go"
    toolchain.parent.mkdir(parents=True)
    toolchain.write_text("#!/bin/sh\necho go1.27.3\n")
    assert build.find_go(tmp_path) == str(go if found else toolchain)


def test_the_pins_are_those_of_the_version_that_is_built() -> None:
    text = (build.MODULES / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes {build.KUBERNETES}" in text
    assert all((build.MODULES / module / "go.sum").exists() for _, module, _ in build.BINARIES)


def test_manifests_hold_size_and_hash(calls: Path) -> None:
    entry = build.binaries()
    found = json.loads((entry / "manifest" / "etcd.json").read_text())
    assert found == {"size": (entry / "etcd").stat().st_size, "sha256": build.file_hash(entry / "etcd")}


def test_real_nodes_have_an_entry_of_their_own_without_stages(calls: Path) -> None:
    host = build.binaries()
    calls.unlink()
    nodes = build.binaries(build.REAL_NODES)
    assert nodes != host
    assert {path.name for path in nodes.iterdir()} == {name for name, _, _ in build.NODE_BINARIES} | {"manifest"}
    assert built(calls) == ["kubelet", "kube-proxy", "agnhost", "coredns", "pause"]


def test_pins_of_real_nodes_do_not_touch_the_hosts_entry(tmp_path: Path) -> None:
    source = tmp_path / "pause" / "main.go"
    source.parent.mkdir()
    source.write_text("a")
    host, nodes = (build.key("go1.26.8", tmp_path, one) for one in (build.HOST, build.REAL_NODES))
    source.write_text("b")
    assert build.key("go1.26.8", tmp_path, build.HOST) == host
    assert build.key("go1.26.8", tmp_path, build.REAL_NODES) != nodes


def test_nodes_are_of_the_same_version_as_the_control_plane() -> None:
    text = (build.MODULES / "node" / "go.mod").read_text()
    assert f"k8s.io/kubernetes {build.KUBERNETES}" in text


def test_helm_says_the_version_of_its_pin() -> None:
    text = (build.MODULES / "helm" / "go.mod").read_text()
    version = build.HELM.flags["helm"].rpartition("=")[2]
    assert f"helm.sh/helm/v4 {version} " in text


def test_the_operator_is_built_of_its_own_sources_and_anew_where_they_changed(calls: Path, tmp_path: Path) -> None:
    assert {path.name for path in build.binaries(build.OPERATOR).iterdir()} == {"operator", "manifest"}
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "main.go").write_text("package main")
    before = build.key("go1.26.8", tmp_path, build.OPERATOR)
    (tmp_path / "operator" / "main.go").write_text("package main // changed")
    assert build.key("go1.26.8", tmp_path, build.OPERATOR) != before
