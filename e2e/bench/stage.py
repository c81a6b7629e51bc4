"""What a bench stands on: a host, vcproxy and plain proxies before it, a tenant, the load client."""

import contextlib
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from e2e.bench import rivals, tools
from e2e.bench.measure import Target
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import BuiltHost
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.processes import Processes
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id
from vcproxy.config.settings import SETTINGS

SMALL: Final = "/configmaps/small"
NOT_INSTALLED: Final = "not run: nginx is not installed"
PLENTY: Final = 20000
"""What limits of counts are set to, so that a bench of thousands of connections measures no refusals."""


class Stage(msgspec.Struct):
    """Everything that is up. `targets` by name: direct, go, vcproxy, and nginx where it is installed."""

    folder: Path
    tools: Path
    host: BuiltHost
    proxy: RunningProxy
    tenant: TenantCluster
    targets: dict[str, Target]
    processes: Processes
    pods: dict[int, str]
    """Namespaces that were filled: the name of one pod, by how many there are."""

    @property
    def control_plane(self) -> ControlPlane:
        return self.host.control_plane

    @property
    def pki(self) -> Path:
        return self.control_plane.folder / "pki"

    @property
    def host_kubectl(self) -> Kubectl:
        return Kubectl(self.host.kubectl, self.host.kubeconfig)

    def path(self, target: Target, rest: str, namespace: str = "default") -> str:
        """A path in a namespace of the tenant, as the target names it."""
        own = namespace if target.name == "vcproxy" else f"{self.tenant.id}-{namespace}"
        return f"/api/v1/namespaces/{own}{rest}"

    def made(self, kind: str, name: str, namespace: str) -> None:
        """A namespace of the tenant with one object in it, where they are not there yet."""
        kubectl = self.tenant.kubectl
        kubectl("create", "namespace", namespace, check=False)
        kubectl("-n", namespace, "create", kind, name, check=False)
        kubectl("-n", namespace, "get", kind, name)

    def filled(self, pods: int) -> str:
        """The name of a pod in `pods-N`, a namespace of the tenant with a Deployment of N running pods."""
        if pods not in self.pods:
            tell(f"making {pods} pods ...")
            namespace, kubectl = f"pods-{pods}", self.tenant.kubectl
            kubectl("create", "namespace", namespace)
            options = ("--image=registry.example/many:1", f"--replicas={pods}")
            kubectl("-n", namespace, "create", "deployment", "many", *options)
            kubectl("-n", namespace, "rollout", "status", "deployment/many", "--timeout=180s", timeout=200)
            found = kubectl("-n", namespace, "get", "pods", "-o=jsonpath={.items[0].metadata.name}")
            self.pods[pods] = found.stdout
        return self.pods[pods]

    def load(self, kind: str, target: Target, path: str, **flags: object) -> list[str]:
        """The command of a load on a path of a target; a flag that is True stands alone."""
        command = [str(self.tools / "load"), kind, "-url", target.url + path, *target.client]
        for name, value in flags.items():
            flag = "-" + name.replace("_", "-")
            command += [flag] if value is True else [flag, str(value)] if value is not False else []
        return command


def tell(text: str) -> None:
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A stage with a tenant that has a ConfigMap; everything that it started is stopped at the end."""
    more_files()
    built = tools.build()
    with contextlib.ExitStack() as running:
        host = BuiltHost(folder / "host")
        running.callback(host.stop)
        host.start()
        proxy = RunningProxy(host, folder / "proxy", settings())
        running.callback(proxy.stop)
        proxy.start()
        tenant = TenantCluster(proxy, random_id(), folder).create()
        tenant.kubectl("create", "configmap", "small", "--from-literal=key=value")
        processes = Processes()
        running.callback(processes.stop)
        stage = Stage(folder, built, host, proxy, tenant, {}, processes, {})
        stage.targets = _targets(stage)
        yield stage


def settings(known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything on as it is by default, log included; only counts per tenant are out of the way.

    `known`: the settings of this vcproxy by path, with their units.
    """
    rows = known if known is not None else {row.path: row.unit for row in SETTINGS}
    counted = [path for path, unit in rows.items() if path.startswith("limits.") and _counts(str(unit))]
    return {"limits": {path.partition(".")[2]: PLENTY for path in counted}} if counted else {}


def _counts(unit: str) -> bool:
    """Whether a setting of this unit bounds how much clients may hold."""
    return unit.endswith("per tenant") or unit.startswith("connections")


def more_files() -> None:
    """As many open files as the machine allows, for this process and all that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _targets(stage: Stage) -> dict[str, Target]:
    pki = stage.pki
    direct = ("-ca", str(pki / "ca.crt"), "-cert", str(pki / "admin.crt"), "-key", str(pki / "admin.key"))
    server = stage.control_plane.pids().get("kube-apiserver", 0)
    found = [
        Target("direct", stage.control_plane.url, direct, server),
        rivals.go_proxy(stage.processes, stage.tools, stage.folder, pki, stage.control_plane.url),
        rivals.nginx(stage.processes, stage.folder, pki, stage.control_plane.url),
        own_target(stage, stage.proxy),
    ]
    return {target.name: target for target in found if target is not None}


def own_target(stage: Stage, proxy: RunningProxy) -> Target:
    """vcproxy, asked with the tenant's token."""
    token = stage.folder / "token"
    token.touch(mode=0o600)
    token.write_text(stage.tenant.token)
    return Target("vcproxy", proxy.url, ("-ca", str(proxy.ca_file), "-token", str(token)), proxy.pid)


@contextlib.contextmanager
def replayed(stage: Stage) -> Iterator[Stage]:
    """The same with a host that answers the ConfigMap from memory; vcproxy of the stage has been stopped before."""
    direct = stage.targets["direct"]
    path = stage.path(direct, SMALL)
    url = rivals.replay_host(stage.processes, stage.tools, stage.folder, stage.pki, stage.control_plane.url, [path])
    folder = stage.folder / "replayed"
    credentials = {name: _pointed(stage, name, folder, url) for name in ("proxy", "controller")}
    host = {"kubeconfig": str(credentials["proxy"]), "controllerKubeconfig": str(credentials["controller"])}
    proxy = RunningProxy(stage.host, folder / "proxy", {**settings(), "host": host})
    proxy.start()
    try:
        plain = rivals.go_proxy(stage.processes, stage.tools, folder, stage.pki, url)
        yield msgspec.structs.replace(stage, proxy=proxy, targets={"go": plain, "vcproxy": own_target(stage, proxy)})
    finally:
        proxy.stop()


def _pointed(stage: Stage, name: str, folder: Path, url: str) -> Path:
    """A copy of a kubeconfig of the first vcproxy for another address."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{name}.kubeconfig"
    copy.touch(mode=0o600)
    text = (stage.proxy.folder / "credentials" / f"{name}.kubeconfig").read_text()
    copy.write_text(text.replace(stage.control_plane.url, url))
    return copy
