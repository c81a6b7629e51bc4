"""Whether this machine can run real nodes: checks by name, each tried and not guessed, each leaving nothing behind."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from e2e.cluster.build import say
from e2e.cluster.cgroups import Cgroups

PROGRAMS: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
"""A program, and the Debian package that has it."""
CNI: Final = ("/usr/lib/cni", "/opt/cni/bin")
CNI_PACKAGE: Final = "containernetworking-plugins"
BUSYBOX_PACKAGE: Final = "busybox-static"
ALONE: Final = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
"""Namespaces of their own for a command; they end with it, and with them all interfaces and mounts in them."""
TRIAL: Final = """set -e
ip link add trial type bridge
ip link add trial-a type veth peer name trial-b
ip link set trial-a master trial up
nft add table inet trial
mount -t tmpfs trial /mnt
"""
DEADLINE: Final = 60.0
INSTALL_DEADLINE: Final = 600.0

Checks = dict[str, Callable[[], str]]


def failure(checks: Checks | None = None) -> str:
    """The first check that fails, as `name: reason`; empty where real nodes can run."""
    for name, check in (checks or CHECKS).items():
        try:
            reason = check()
        except (OSError, subprocess.SubprocessError) as error:
            reason = str(error)
        if reason:
            return f"{name}: {reason}"
    return ""


def install_packages() -> str:
    """Install the Debian packages that are missing, and take none away. Why it could not be done, or nothing.

    Only what has no program yet is installed: where Docker brings its own containerd, Debian's stays away.
    """
    missing = missing_packages()
    if not missing:
        return ""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"missing: {' '.join(missing)} (apt-get install, as root)"
    say(f"installing {' '.join(missing)} ...")
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "--no-remove", *missing]
    for command in (["apt-get", "update", "--quiet"], install):
        done = _run(command, INSTALL_DEADLINE)
    return f"{' '.join(install)}: {_reason(done)}" if done.returncode else ""


def missing_packages() -> list[str]:
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if cni_folder() is None:
        missing.add(CNI_PACKAGE)
    if static_busybox() is None:
        missing.add(BUSYBOX_PACKAGE)
    return sorted(missing)


def cni_folder() -> Path | None:
    """Where the plugins are."""
    return next((Path(one) for one in CNI if all(Path(one, name).exists() for name in ("bridge", "host-local"))), None)


def static_busybox() -> Path | None:
    """A busybox that needs no library: an image of it alone runs."""
    found = shutil.which("busybox")
    return Path(found) if found and b"/ld-linux" not in Path(found).read_bytes()[:4096] else None


def _root() -> str:
    return "" if os.geteuid() == 0 else f"needed, and this is user {os.geteuid()}"


def _packages() -> str:
    missing = missing_packages()
    return f"missing: apt-get install {' '.join(missing)}" if missing else ""


def _namespaces() -> str:
    done = _run([*ALONE, "sh", "-c", TRIAL])
    return _reason(done) if done.returncode else ""


def _cgroups() -> str:
    trial = Cgroups(f"vcproxy-trial-{os.getpid()}")
    if missing := trial.missing():
        return f"no controller {', '.join(sorted(missing))}"
    trial.make()
    trial.remove()
    return ""


def _runc() -> str:
    """A container of one program, in a cgroup of its own."""
    name = f"vcproxy-trial-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder), f"/{name}")
        try:
            done = _run([*ALONE, "runc", "--root", f"{folder}/state", "run", "--bundle", folder, name])
        finally:
            Cgroups(name).remove()
    return _reason(done) if done.returncode else ""


def write_bundle(folder: Path, cgroup: str) -> None:
    """What runc needs for `busybox true` (github.com/opencontainers/runtime-spec, bundle.md). Raises AssertionError."""
    busybox = static_busybox()
    assert busybox is not None, BUSYBOX_PACKAGE
    (folder / "rootfs").mkdir()
    shutil.copy(busybox, folder / "rootfs" / "busybox")
    subprocess.run(["runc", "spec", "--bundle", folder], check=True, capture_output=True, timeout=DEADLINE)
    spec = json.loads((folder / "config.json").read_text())
    spec["process"] |= {"terminal": False, "args": ["/busybox", "true"]}
    spec["linux"]["cgroupsPath"] = cgroup
    (folder / "config.json").write_text(json.dumps(spec))


def overlay_works(folder: Path) -> bool:
    """Whether overlayfs can stand on this folder's file system (not on another overlay)."""
    with tempfile.TemporaryDirectory(dir=folder) as trial:
        for name in ("lower", "upper", "work", "top"):
            Path(trial, name).mkdir()
        options = f"lowerdir={trial}/lower,upperdir={trial}/upper,workdir={trial}/work"
        return _run([*ALONE, "mount", "-t", "overlay", "trial", "-o", options, f"{trial}/top"]).returncode == 0


def _run(command: list[str], deadline: float = DEADLINE) -> "subprocess.CompletedProcess[str]":
    """In English, whatever the machine speaks."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=deadline, env=environment)


def _reason(done: "subprocess.CompletedProcess[str]") -> str:
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"{done.args[0]} ended with {done.returncode}"


CHECKS: Final[Checks] = {
    "root": _root,
    "packages": _packages,
    "namespaces": _namespaces,
    "cgroups": _cgroups,
    "runc": _runc,
}
"""In this order: each needs those before it."""
