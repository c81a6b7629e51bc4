"""A real node: kubelet, containerd and kube-proxy in network, mount and process namespaces of their own.

The namespaces hang on one process (`pause`, process 1 inside). When it ends, however it ends, the kernel ends every
process, mount and interface of the node with it; only folders in the cgroup file systems remain to be removed.
Inside, /run is a folder of the run: sockets have short paths there, and nothing is written to the machine's own.
"""

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e.cluster.bridge import NodeNetwork
from e2e.cluster.certificates import Pki
from e2e.cluster.cgroups import Cgroups
from e2e.cluster.images import PAUSE
from e2e.cluster.preflight import cni_folder, overlay_works
from e2e.cluster.processes import Process, Processes, run_to_end

READY: Final = 60.0
IMPORT_DEADLINE: Final = 120.0
SOCKET: Final = "/run/containerd.sock"
BOUND: Final = {"run": "/run", "log": "/var/log", "cni": "/var/lib/cni"}
"""Folders of the run, and where they stand inside: the paths that a kubelet, CNI and containerd cannot be told."""
SERVICE_DNS: Final = "10.96.0.10"
DOMAIN: Final = "cluster.local"


@dataclass(frozen=True)
class Surroundings:
    """What all nodes of a cluster share. `get` asks the API server for a path as its administrator."""

    built: Path
    images: Path
    pki: Pki
    network: NodeNetwork
    get: Callable[[str], dict[str, Any]]


class RealNode:
    """Node `index`, counted from 0. `start` returns when it is Ready; `stop` leaves only files."""

    def __init__(self, index: int, folder: Path, around: Surroundings) -> None:
        self.index, self.folder = index, folder
        self.name = node_name(index)
        self._around = around
        self._cgroups = Cgroups(around.network.node(index))
        self._processes = Processes()
        self._holder: Process | None = None
        self.init = 0
        """Process 1 of the node, as the machine counts."""

    def start(self) -> None:
        """Raises ProcessError with the end of the logs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._cgroups.make()
        self._hold_namespaces()
        self._around.network.attach(self.index, self.init)
        self._bind_folders()
        self._start_containerd()
        self._start_kubelet()
        self._start_proxy()
        self._processes.wait_until(f"{self.name} is ready", self._ready, READY)

    def stop(self) -> None:
        """End process 1, and with it all others; then their cgroups."""
        if self.init:
            _kill(self.init)
            self.init = 0
        if self._holder is not None:
            self._holder.stop()
        self._processes.stop()
        self._cgroups.remove()

    def import_images(self, archive: Path) -> None:
        """Let pods of this node use the images of an archive. Raises ProcessError."""
        imported = ("ctr", f"--address={SOCKET}", "--namespace=k8s.io", "images", "import", str(archive))
        self._command(*imported, deadline=IMPORT_DEADLINE)

    def check(self) -> None:
        """Raises ProcessError where a part ended by itself."""
        self._processes.check()

    def pids(self) -> dict[str, int]:
        return self._processes.pids()

    def pods(self) -> str:
        """The range of its pods, empty until the controller manager has given it one."""
        found = self._around.get("/api/v1/nodes")["items"]
        mine = [one for one in found if one["metadata"]["name"] == self.name]
        return str(mine[0]["spec"].get("podCIDR", "")) if mine else ""

    def _run(self, name: str, *command: str) -> Process:
        """A program inside, its log beside the others'."""
        log = self.folder.parent / "log" / f"{self.name}-{name}.log"
        return self._processes.add(Process(f"{self.name}-{name}", [*self._inside, *command], log))

    @property
    def _inside(self) -> tuple[str, ...]:
        return ("nsenter", f"--target={self.init}", "--net", "--mount", "--pid", "--")

    def _command(self, *command: str, deadline: float = READY) -> None:
        """Run it inside to its end. Raises ProcessError with what it said."""
        run_to_end([*self._inside, *command], deadline)

    def _hold_namespaces(self) -> None:
        """The outer process dies with the harness, and process 1 with the outer one."""
        pause = str(self._around.built / "pause")
        own = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
        log = self.folder.parent / "log" / f"{self.name}.log"
        self._holder = Process(self.name, ["setpriv", "--pdeathsig", "KILL", "--", *own, "--", pause], log)
        self._processes.add(self._holder)
        self._processes.wait_until(f"{self.name} has its namespaces", lambda: self._find_init(pause), READY)

    def _find_init(self, program: str) -> bool:
        """Whether the child of `unshare` has become `program`: by then its namespaces are whole."""
        holder = self._holder.pid if self._holder else 0
        children = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
        if children and os.readlink(f"/proc/{children[0]}/exe") == os.path.realpath(program):
            self.init = int(children[0])
        return bool(self.init)

    def _bind_folders(self) -> None:
        for name, target in BOUND.items():
            (self.folder / "root" / name).mkdir(parents=True, exist_ok=True)
            Path(target).mkdir(exist_ok=True)
            self._command("mount", "--bind", str(self.folder / "root" / name), target)

    def _start_containerd(self) -> None:
        (self.folder / "cni").mkdir()
        config = self.folder / "containerd.toml"
        config.write_text(containerd_config(self.folder / "cni", overlay_works(self.folder)))
        self._run("containerd", "containerd", "--config", str(config))
        socket = self.folder / "root" / "run" / Path(SOCKET).name
        self._processes.wait_until(f"{self.name} has containerd", socket.exists, READY)
        self.import_images(self._around.images)

    def _start_kubelet(self) -> None:
        config = self.folder / "kubelet.json"
        address = self._around.network.address(self.index)
        config.write_text(json.dumps(kubelet_config(self._around.pki, self.name, address, self._cgroups.name)))
        self._run(
            "kubelet",
            str(self._around.built / "kubelet"),
            f"--config={config}",
            f"--kubeconfig={self._around.pki.kubeconfig(self.name)}",
            "--root-dir=/run/kubelet",
            "--cert-dir=/run/kubelet/certificates",
            f"--hostname-override={self.name}",
            f"--node-ip={address}",
        )
        self._processes.wait_until(f"{self.name} has a range for pods", lambda: bool(self.pods()), READY)
        pods = self.pods()
        (self.folder / "cni" / "10-bridge.conflist").write_text(json.dumps(cni_config(pods)))
        self._around.network.route(pods, self.index)

    def _start_proxy(self) -> None:
        config = self.folder / "kube-proxy.json"
        config.write_text(json.dumps(proxy_config(self._around.pki, self.name)))
        self._run("kube-proxy", str(self._around.built / "kube-proxy"), f"--config={config}")

    def _ready(self) -> bool:
        found = self._around.get(f"/api/v1/nodes/{self.name}")
        return any(one["type"] == "Ready" and one["status"] == "True" for one in found["status"]["conditions"])


def node_name(index: int) -> str:
    return f"real-{index + 1}"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def containerd_config(cni: Path, overlay: bool) -> str:
    """Version 2 of its format, which containerd 1 and 2 read. Scores of the OOM killer need CAP_SYS_RESOURCE: not all
    machines give it, and then no sandbox would start."""
    plugin = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "/run/containerd-root"
state = "/run/containerd-state"
[grpc]
  address = "{SOCKET}"
[{plugin}]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [{plugin}.containerd]
    snapshotter = "{"overlayfs" if overlay else "native"}"
  [{plugin}.cni]
    bin_dir = "{cni_folder()}"
    conf_dir = "{cni}"
"""


def cni_config(pods: str) -> Mapping[str, Any]:
    """A bridge inside the node, addresses from the node's own range (cni.dev, bridge and host-local)."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}


def kubelet_config(pki: Pki, name: str, address: str, cgroup: str) -> Mapping[str, Any]:
    """Authenticated and authorised as in production. A cgroup of its own keeps several kubelets on one machine apart;
    version 1 of cgroups and swap are taken as they are, and a full disk of the machine evicts nothing."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": pki.path("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.path(f"{name}-serving.crt"),
        "tlsPrivateKeyFile": pki.path(f"{name}-serving.key"),
        "address": address,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "clusterDNS": [SERVICE_DNS],
        "clusterDomain": DOMAIN,
        "resolvConf": os.devnull,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
    }


def proxy_config(pki: Pki, name: str) -> Mapping[str, Any]:
    """nftables in the node's own namespace; limits of connection tracking are the machine's and stay."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": name,
        "clientConnection": {"kubeconfig": str(pki.kubeconfig("kube-proxy"))},
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
