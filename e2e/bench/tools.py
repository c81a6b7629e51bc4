"""The bench's own Go programs, built once into the cache folder: a load client, a plain proxy, a replaying host."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

from e2e.cluster.build import cache_folder, find_go

SOURCES: Final = Path(__file__).parent / "tools"


def key(sources: Path = SOURCES) -> str:
    """The name of the entry: a hash of all sources."""
    digest = hashlib.sha256()
    for path in sorted([*sources.rglob("*.go"), *sources.glob("go.*")]):
        digest.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def build() -> Path:
    """The folder with `load`, `proxy` and `replay`, built with the harness's Go where they are not there."""
    target = cache_folder() / f"bench-{key()}"
    if (target / "whole").exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    flags = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    command = [find_go(cache_folder()), "build", "-trimpath", "-o", str(target), "./..."]
    subprocess.run(command, cwd=SOURCES, env={**os.environ, **flags}, check=True)
    (target / "whole").touch()
    return target
