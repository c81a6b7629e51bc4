"""Gateway API's definitions as they are published: the files of its pinned Go module, fetched and checked by go."""

import json
import os
import subprocess
from pathlib import Path
from typing import Final

from e2e.cluster.build import cache_folder, find_go

MODULE: Final = "sigs.k8s.io/gateway-api"
FOLDER: Final = Path(__file__).parent / "gateway"


def definitions() -> Path:
    """The folder with the CustomResourceDefinitions of the standard channel. Raises SystemExit with what go said."""
    command = [find_go(cache_folder()), "mod", "download", "-json", MODULE]
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{MODULE} could not be fetched: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Path(json.loads(done.stdout)["Dir"]) / "config" / "crd" / "standard"
