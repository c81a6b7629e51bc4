"""The Go informer: built once into the cache folder, run as a process, its lines read from a file."""

import hashlib
import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

from e2e.cluster.build import cache_folder, find_go
from e2e.cluster.processes import Process

SOURCES: Final = Path(__file__).parent / "informer"
FLAGS: Final = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}


def build() -> Path:
    """The program, built with the harness's Go where it is not there. Raises CalledProcessError."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.glob("*.go"), *SOURCES.glob("go.*")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    target = cache_folder() / f"informer-{digest.hexdigest()[:16]}" / "informer"
    if not target.exists():
        new = target.with_name(f".informer.{os.getpid()}")
        command = [find_go(cache_folder()), "build", "-trimpath", "-o", str(new), "."]
        subprocess.run(command, cwd=SOURCES, env={**os.environ, **FLAGS}, check=True)
        new.replace(target)
    return target


ACCOUNT: Final = 200
"""Lines of an account."""
Line = dict[str, Any]
Told = tuple[str, str, int]
"""(add, update or delete; uid; resourceVersion) of one notification."""


class GoInformer:
    """client-go reflectors of `resources` (as `configmaps`, `apps/v1/deployments`); lines go to `log`."""

    def __init__(self, kubeconfig: Path, resources: tuple[str, ...], log: Path) -> None:
        self.log = log
        self.process = Process("informer", [str(build()), str(kubeconfig), *resources], log)

    def lines(self) -> list[dict[str, Any]]:
        """Everything it has told so far; lines of client-go's own log are left out."""
        whole = self.log.read_bytes().rpartition(b"\n")[0] if self.log.exists() else b""
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]

    def events(self) -> list[dict[str, Any]]:
        """Notifications: event (add, update, delete), kind, namespace, name, uid, resourceVersion, counter."""
        return [line for line in self.lines() if "event" in line]

    def lists(self) -> list[dict[str, Any]]:
        """Requests that begin anew, plain lists and watches that ask for initial events: one each is the beginning."""
        return [line for line in self.lines() if line.get("request") == "list" or line.get("initial")]

    def account(self) -> str:
        """Everything it has told but events, client-go's own log too: why it did what it did."""
        whole = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([line for line in whole if not line.startswith('{"counter"')][-ACCOUNT:])

    @property
    def synced(self) -> bool:
        return any(line.get("synced") for line in self.lines())


def begun_anew(lines: list[Line]) -> list[Line]:
    """What came before each list but the first: how the request or the watch before it ended."""
    found, before = list[Line](), Line()
    for line in (one for one in lines if "request" in one or "ended" in one):
        if line.get("request") == "list" or line.get("initial"):
            found.append(before)
        before = line
    return found[1:]


def first_difference(found: list[Told], expected: list[Told]) -> str:
    """Where two logs part, with what stands around it; empty where they do not."""
    pairs = enumerate(itertools.zip_longest(found, expected))
    at = next((place for place, (one, other) in pairs if one != other), None)
    if at is None:
        return ""
    around = slice(max(0, at - 5), at + 5)
    return f"they part at {at} of {len(found)} and {len(expected)}: {found[around]} instead of {expected[around]}"
