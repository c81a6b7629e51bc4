"""The Python client of Kubernetes: its packages, pinned in python/packages.lock, and an image of a program with them.

It is no dependency of the project: 130 MB that only one test reads. The packages stand in the cache folder.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from e2e.cluster.build import cache_folder
from e2e.cluster.images import write_tree
from e2e.cluster.processes import Process

SOURCE: Final = Path(__file__).parent / "python"
PROGRAM: Final = SOURCE / "inside.py"
FOLLOWING: Final = SOURCE / "follow.py"
LOCK: Final = SOURCE / "packages.lock"
INSTALL_DEADLINE: Final = 240.0
HOME: Final = "/packages"
"""Where an image has the packages and the program."""
_LEFT_OUT: Final = frozenset(
    {"test", "idlelib", "tkinter", "site-packages", "dist-packages", "ensurepip", "aio", "lib2to3"}
)


def packages() -> Path:
    """The folder with the packages. Raises RuntimeError where they cannot be had."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_folder() / f"python-client-{digest}"
    if folder.exists():
        return folder
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--require-hashes", "--target", str(making), "-r", str(LOCK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError("Python client: its packages did not come in time") from None
    if done.returncode:
        raise RuntimeError("Python client: its packages cannot be had")
    making.rename(folder)
    return folder


def failure() -> str:
    """Why this machine cannot run the client; "" when it can."""
    try:
        packages()
    except RuntimeError as error:
        return str(error)
    return ""


class PythonFollower:
    """follow.py with a kubeconfig: an informer as programs write it; its lines go to `log`."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._log = log
        env = {"PYTHONPATH": str(packages()), "PYTHONUNBUFFERED": "1", "PATH": os.environ.get("PATH", "")}
        self.process = Process("follower", [sys.executable, str(FOLLOWING), str(kubeconfig)], log, env=env)

    def lines(self) -> list[dict[str, Any]]:
        """Lists (`list`: their version) and what was told (`event`, `uid`, `version`), in order."""
        whole = self._log.read_bytes().rpartition(b"\n")[0] if self._log.exists() else b""
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


def write_python_image(target: Path, name: str) -> None:
    """An archive of one image: this machine's Python at its own place, the packages, the program as its entrypoint."""
    python = Path(sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib"))
    found = packages()
    files = {str(python): python, **_tree(stdlib, str(stdlib)), **_tree(found, HOME), f"{HOME}/inside.py": PROGRAM}
    shared = [one for one in files.values() if one.suffix == ".so"]
    files |= {str(path): path for path in _libraries([python, *shared])}
    variables = [f"PYTHONPATH={HOME}", "PYTHONUNBUFFERED=1"]
    write_tree(target, name, files, {"Entrypoint": [str(python), f"{HOME}/inside.py"], "Env": variables})


def _tree(folder: Path, place: str) -> dict[str, Path]:
    """Files below a folder by their path in an image."""
    return {f"{place}/{path.relative_to(folder)}": path for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in _LEFT_OUT:
            yield from _files(path)
        elif path.is_file() and path.suffix not in (".a", ".pyi"):
            yield path


def _libraries(programs: list[Path]) -> set[Path]:
    """The shared libraries that programs and extensions need, at the places where the loader looks for them."""
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    return {Path(path) for path in re.findall(r"(/\S+\.so\S*)(?= \(0x)", said)}
