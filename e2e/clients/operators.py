"""The operator of sites (e2e/clients/operator): its API, its objects, and itself as a process of this machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from e2e.clients.helm import CHARTS
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.processes import Process, Processes

CRD: Final = CHARTS / "operator" / "crds" / "sites.yaml"
LEASE: Final = "sites.example.com"
SETTLED: Final = 45.0
"""Seconds for a change to go through: the API server's answer, the operator's work, the controllers' and the pods'."""


class Place:
    """A namespace in somebody's cluster where an operator is at work, as its administrator sees it.

    The operator runs here where `run` was called; else it is thought to run in the cluster.
    """

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self.kubectl, self.namespace = kubectl, namespace
        self._processes = Processes()

    def run(self, program: Path, log: Path) -> Process:
        """An operator with the administrator's kubeconfig, its Lease in this namespace; returns at once."""
        kubeconfig = f"--kubeconfig={self.kubectl.kubeconfig}"
        return self._processes.add(
            Process("operator", [str(program), kubeconfig, f"--namespace={self.namespace}"], log)
        )

    def stop(self) -> None:
        self._processes.stop()

    def wait(self, what: str, probe: Callable[[], bool]) -> None:
        """Raises ProcessError where it does not come to hold, or where an operator that runs here has ended."""
        self._processes.wait_until(what, probe, SETTLED)

    def apply(self, name: str, *, version: str = "v1", **spec: Any) -> None:
        """A Site; `spec` holds content and replicas."""
        metadata = {"namespace": self.namespace, "name": name}
        document = {"apiVersion": f"example.com/{version}", "kind": "Site", "metadata": metadata, "spec": spec}
        self.kubectl("apply", "-f", "-", input=json.dumps(document))

    def serve(self, name: str, **spec: Any) -> None:
        """Apply it and wait until the operator says that its pods serve it as it is now."""
        self.apply(name, **spec)
        self.wait(f"{name} is served", lambda: self.served(name))

    def served(self, name: str) -> bool:
        found = self.get("site", name)
        current = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
        return bool(current) and self.condition(found)["status"] == "True"

    def condition(self, found: dict[str, Any]) -> dict[str, Any]:
        """The condition Ready of a Site."""
        (only,) = found["status"]["conditions"]
        return dict(only)

    def get(self, *what: str) -> Any:
        """An object or a list of this namespace, decoded."""
        return self.kubectl.json("get", *what, "-n", self.namespace)

    def there(self, *what: str) -> bool:
        return bool(self.kubectl("get", *what, "-n", self.namespace, "--ignore-not-found", "-o", "name").stdout)

    def page(self, name: str) -> str:
        """What the page of a site says; empty where there is none."""
        said = ("-o", r"jsonpath={.data.index\.html}", "--ignore-not-found")
        return self.kubectl("get", "configmap", f"{name}-page", "-n", self.namespace, *said).stdout


def install_api(kubectl: Kubectl) -> None:
    """The CRD, served when this returns."""
    kubectl("apply", "-f", str(CRD))
    kubectl("wait", "crd/sites.example.com", "--for=condition=Established", "--timeout=30s")
