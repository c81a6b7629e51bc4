"""Helm from the build, run as somebody: its charts are folders here, and it never asks a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from e2e.cluster.kubectl import Kubectl

CHARTS: Final = Path(__file__).parent / "charts"
APP: Final = str(CHARTS / "app")
OPERATOR: Final = str(CHARTS / "operator")


class Helm(Kubectl):
    """Helm with one kubeconfig, and with directories of its own in `folder`; used as `Kubectl` is."""

    def __init__(
        self, program: Path, kubeconfig: Path, folder: Path, heard: Callable[[bytes], None] | None = None
    ) -> None:
        kinds = ("CACHE", "CONFIG", "DATA")
        own = {f"HELM_{kind}_HOME": str(folder / f"helm-{kind.lower()}") for kind in kinds}
        super().__init__(program, kubeconfig, heard, own)

    def releases(self, *where: str) -> list[dict[str, Any]]:
        """`helm list`, decoded; `where` is `-A` or `-n NAMESPACE`. Without the time, which differs from run to run."""
        return [{key: one[key] for key in one if key != "updated"} for one in self.json("list", *where)]
