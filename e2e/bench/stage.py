"""What a bench stands on: a host, vcproxy and the Go proxy before it, a tenant with pods, the load client."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from e2e.bench.measure import Target
from e2e.cluster.build import cache_folder, find_go
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import BuiltHost
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.processes import Process, free_ports
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

PODS: Final = 100
TOOLS: Final = Path(__file__).parent / "tools"


class Stage(msgspec.Struct):
    """Everything that is up; `pod` is the name of one of the tenant's pods."""

    load: Path
    targets: list[Target]
    proxy: RunningProxy
    tenant: TenantCluster
    host_kubectl: Kubectl
    pod: str


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A stage; everything that it started is stopped at the end."""
    host = BuiltHost(folder / "host")
    host.start()
    proxy = RunningProxy(host, folder / "proxy", {"log": {"level": "warning"}})
    plain: Process | None = None
    try:
        proxy.start()
        tools = _build(folder)
        tenant = TenantCluster(proxy, random_id(), folder).create()
        assert host.control_plane is not None
        plain, target = _plain_proxy(folder, tools, host.control_plane)
        admin = Kubectl(host.kubectl, host.kubeconfig)
        yield Stage(
            tools / "load",
            _targets(folder, host.control_plane, proxy, tenant, target),
            proxy,
            tenant,
            admin,
            _fill(tenant),
        )
    finally:
        if plain is not None:
            plain.stop()
        proxy.stop()
        host.stop()


def _build(folder: Path) -> Path:
    """The Go proxy and the load client, built with the toolchain of the harness."""
    target = folder / "tools"
    target.mkdir(parents=True, exist_ok=True)
    flags = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    command = [find_go(cache_folder()), "build", "-trimpath", "-o", str(target), "./..."]
    subprocess.run(command, cwd=TOOLS, env={**os.environ, **flags}, check=True)
    return target


def _plain_proxy(folder: Path, tools: Path, control_plane: ControlPlane) -> tuple[Process, Target]:
    (port,) = free_ports(1)
    pki = control_plane.folder / "pki"
    command = [str(tools / "proxy"), "-target", control_plane.url, "-listen", f"127.0.0.1:{port}"]
    command += ["-ca", str(pki / "ca.crt"), "-cert", str(pki / "serving.crt"), "-key", str(pki / "serving.key")]
    command += ["-client-cert", str(pki / "admin.crt"), "-client-key", str(pki / "admin.key")]
    process = Process("go-proxy", command, folder / "go-proxy.log")
    process.start()
    time.sleep(1.0)  # it has no probe of its own
    process.check()
    return process, Target("go", f"https://127.0.0.1:{port}", ("-ca", str(pki / "ca.crt")), process.pid)


def _targets(
    folder: Path, control_plane: ControlPlane, proxy: RunningProxy, tenant: TenantCluster, plain: Target
) -> list[Target]:
    pki = control_plane.folder / "pki"
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(tenant.token)
    direct = ("-ca", str(pki / "ca.crt"), "-cert", str(pki / "admin.crt"), "-key", str(pki / "admin.key"))
    own = ("-ca", str(proxy.ca_file), "-token", str(token))
    return [
        Target("direct", control_plane.url, direct, 0),
        Target("go", plain.url, plain.client, plain.pid),
        Target("vcproxy", proxy.url, own, proxy.pid),
    ]


def _fill(tenant: TenantCluster) -> str:
    """A ConfigMap and a Deployment of 100 pods; the name of one of them."""
    tenant.kubectl("create", "configmap", "small", "--from-literal=key=value")
    tenant.kubectl("create", "deployment", "many", "--image=registry.example/many:1", f"--replicas={PODS}")
    tenant.kubectl("rollout", "status", "deployment/many", "--timeout=180s", timeout=200)
    found = json.loads(tenant.kubectl("get", "pods", "-o", "json").stdout)["items"]
    return str(found[0]["metadata"]["name"])
