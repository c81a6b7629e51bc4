"""A control plane on this machine: etcd, API server, controller manager, scheduler, and nodes, fake or real.

Everything listens on 127.0.0.1 and free ports, keeps its files in one folder, and is stopped with the object. With
real nodes the API server listens on the address of their bridge instead, where they and their pods reach it.
"""

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from e2e.cluster.bridge import NodeNetwork
from e2e.cluster.build import REAL_NODES, binaries
from e2e.cluster.certificates import Pki, make_pki, renew
from e2e.cluster.dns import corefile, dns_objects
from e2e.cluster.images import write_images
from e2e.cluster.network import advertised_address
from e2e.cluster.nodes import NODES, node, write_kwok_config
from e2e.cluster.preflight import failure, static_busybox
from e2e.cluster.processes import Process, ProcessError, Processes, free_ports
from e2e.cluster.realnode import RealNode, Surroundings, node_name

LOOPBACK: Final = "127.0.0.1"
READY: Final = 60.0
"""Seconds in which each component must answer its probe; 3 to 5 are usual for all together."""
SERVICES: Final = "10.96.0.0/16"
PODS: Final = "10.244.0.0/16"
AUDIT: Final = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


class ControlPlane:
    """One cluster. `start` returns when it is ready for use; `stop` leaves only files.

    `real_nodes` of them stand in for the fake ones, if there are any.
    """

    def __init__(self, folder: Path, real_nodes: int = 0) -> None:
        self.folder = folder
        self.address = LOOPBACK
        """Where the API server listens; known for sure after `start`."""
        self._real_nodes = real_nodes
        self._network: NodeNetwork | None = None
        self._nodes: list[RealNode] = []
        self.audit_log = folder / "audit.log"
        self._bin: Path | None = None
        self._etcd, self._peer, self._api, self._manager, self._scheduler, self._kwok = free_ports(6)
        self._processes = Processes()
        self._pki = Pki(folder / "pki")
        self._server: Process | None = None
        self._store: Process | None = None

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self._api}"

    @property
    def store_url(self) -> str:
        """Where etcd listens."""
        return f"http://{LOOPBACK}:{self._etcd}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._pki.kubeconfig("admin")

    @property
    def kubectl(self) -> Path:
        return self._binary("kubectl")

    def pids(self) -> dict[str, int]:
        """Process ids of what runs, by component."""
        found = self._processes.pids()
        for one in self._nodes:
            found |= one.pids()
        return found

    def check(self) -> None:
        """Raises ProcessError where a component ended by itself."""
        self._processes.check()
        for one in self._nodes:
            one.check()

    def import_images(self, archive: Path) -> None:
        """Let pods on all real nodes use the images of an archive. Raises ProcessError."""
        for one in self._nodes:
            one.import_images(archive)

    def start(self) -> None:
        """Raises ProcessError with the end of the logs where a component does not come up."""
        self._bin = binaries()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._take_network()
            self._make_pki()
            self._start_etcd()
            self._start_api_server()
            self._start_controllers()
            self._start_real_nodes() if self._network else self._start_fake_nodes()
            self._wait("the first ServiceAccount is there", self._accounts_ready)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every process, the last first; then what only a machine's administrator sees: bridge and cgroups."""
        for one in reversed(self._nodes):
            one.stop()
        self._nodes.clear()
        self._processes.stop()
        if self._network:
            self._network.remove()
            self._network = None

    def stop_api_server(self) -> None:
        """As an administrator would: SIGTERM, open requests end in order."""
        self._running_server().stop(grace=60.0)

    def kill_api_server(self) -> None:
        """As a power cut would."""
        self._running_server().kill()

    def start_api_server(self) -> None:
        """Again, on the same port, with the same data. Returns when it is ready."""
        self._running_server().start()
        self._wait("the API server is ready", self._api_ready)

    def renew_serving_certificate(self) -> None:
        """Another certificate of the same CA, in use at the latest when the API server is started again."""
        renew(self._pki, "serving")

    def restart_etcd(self, away: float) -> None:
        """Killed, away for some seconds, and back with the same data."""
        if self._store is None:
            raise RuntimeError("the control plane has not been started")
        self._store.kill()
        time.sleep(away)
        self._store.start()
        self._wait("etcd is ready", lambda: _answers(f"{self.store_url}/readyz", None))

    def compact(self) -> None:
        """Let etcd forget everything but the newest state (its JSON gateway: /v3/kv/compaction)."""
        revision = self._of_etcd("range", {"key": "AA=="})["header"]["revision"]
        self._of_etcd("compaction", {"revision": revision, "physical": True})

    def _of_etcd(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.store_url}/v3/kv/{call}"
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=10) as answer:
            return dict(json.loads(answer.read()))

    def _running_server(self) -> Process:
        if self._server is None:
            raise RuntimeError("the control plane has not been started")
        return self._server

    def _binary(self, name: str) -> Path:
        self._bin = self._bin or binaries()
        return self._bin / name

    def _run(self, name: str, *arguments: str, cwd: Path | None = None) -> Process:
        process = Process(name, [str(self._binary(name)), *arguments], self.folder / "log" / f"{name}.log", cwd=cwd)
        return self._processes.add(process)

    def _wait(self, what: str, probe: Callable[[], bool]) -> None:
        self._processes.wait_until(what, probe, READY)

    def _take_network(self) -> None:
        """For real nodes only. Raises ProcessError where this machine cannot run them."""
        if not self._real_nodes:
            return
        if reason := failure():
            raise ProcessError(f"this machine cannot run real nodes: {reason}")
        self._network = NodeNetwork.take()
        self.address = self._network.gateway

    def _make_pki(self) -> None:
        addresses = [LOOPBACK, "10.96.0.1", advertised_address(), self.address]
        network = self._network
        nodes = {node_name(index): network.address(index) for index in range(self._real_nodes)} if network else {}
        self._pki = make_pki(self.folder / "pki", self.url, addresses, nodes)

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        self._store = self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            *(f"--{which}-client-urls={client}" for which in ("listen", "advertise")),
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        self._wait("etcd is ready", lambda: _answers(f"{client}/readyz", None))

    def _start_api_server(self) -> None:
        policy = self.folder / "audit-policy.yaml"
        policy.write_text(AUDIT)
        self._server = self._run("kube-apiserver", *self._api_server_flags(policy))
        self._wait("the API server is ready", self._api_ready)

    def _api_server_flags(self, policy: Path) -> list[str]:
        address = self._network.gateway if self._network else None
        return api_server_flags(self._pki, self._etcd, self._api, policy, address)

    def _api_ready(self) -> bool:
        return _answers(f"{self.url}/readyz", self._tls())

    def _start_controllers(self) -> None:
        self._run("kube-controller-manager", *manager_flags(self._pki, self._manager, self._pod_range))
        self._run("kube-scheduler", *_component_flags(self._pki, "scheduler", self._scheduler))
        for name, port in (("the controller manager", self._manager), ("the scheduler", self._scheduler)):
            url = f"https://127.0.0.1:{port}/healthz"
            self._wait(f"{name} is ready", lambda url=url: _answers(url, self._tls()))  # type: ignore[misc]

    @property
    def _pod_range(self) -> str:
        return self._network.pods if self._network else PODS

    def _start_real_nodes(self) -> None:
        """One after the other; each then knows the way to the pods of all before it, and they to its own."""
        around = self._surroundings()
        self._start_dns(around)
        for index in range(self._real_nodes):
            added = RealNode(index, self.folder / node_name(index), around)
            self._nodes.append(added)
            added.start()
            for other in self._nodes[:-1]:
                around.network.route(added.pods(), index, other.init)
                around.network.route(other.pods(), other.index, added.init)

    def _surroundings(self) -> Surroundings:
        built, busybox = binaries(REAL_NODES), static_busybox()
        if self._network is None or busybox is None:
            raise ProcessError("real nodes need a network and a busybox")
        images = self.folder / "images.tar"
        write_images(images, built, busybox)
        return Surroundings(built, images, self._pki, self._network, self.get)

    def _start_dns(self, around: Surroundings) -> None:
        port, ready = free_ports(2, self.address)
        config = self.folder / "Corefile"
        config.write_text(corefile(self.address, port, ready, self._pki.kubeconfig("coredns")))
        command = [str(around.built / "coredns"), f"-conf={config}"]
        self._processes.add(Process("coredns", command, self.folder / "log" / "coredns.log"))
        self.kubectl_run("create", "-f", "-", input=dns_objects(self.address, port))
        self._wait("CoreDNS is ready", lambda: _answers(f"http://{self.address}:{ready}/ready", None))

    def _start_fake_nodes(self) -> None:
        config, work = self.folder / "kwok.yaml", self.folder / "kwok"
        work.mkdir(exist_ok=True)
        write_kwok_config(config, self._binary("stages"), self.folder / "container.log")
        for name in NODES:
            self.kubectl_run("create", "-f", "-", input=json.dumps(node(name)))
        self._run("kwok", *kwok_flags(self._pki, self._kwok, config), cwd=work)
        self._wait("the nodes are ready", self._nodes_ready)

    def _nodes_ready(self) -> bool:
        return all(_is_ready(found) for found in self.get("/api/v1/nodes")["items"])

    def _accounts_ready(self) -> bool:
        found = self.get("/api/v1/namespaces/default/serviceaccounts")["items"]
        return any(one["metadata"]["name"] == "default" for one in found)

    def get(self, path: str) -> dict[str, Any]:
        """An object or list, asked as the administrator. Raises OSError."""
        with urllib.request.urlopen(self.url + path, timeout=5, context=self._tls()) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def kubectl_run(self, *arguments: str, input: str | None = None) -> str:
        """Run kubectl as the administrator; its output. Raises CalledProcessError."""
        command = [str(self.kubectl), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=input, text=True, check=True, stdout=subprocess.PIPE, timeout=60).stdout

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._pki.path("ca.crt"))
        context.load_cert_chain(self._pki.path("admin.crt"), self._pki.path("admin.key"))
        return context


def api_server_flags(pki: Pki, etcd: int, port: int, policy: Path, address: str | None = None) -> list[str]:
    """A production-like API server: RBAC, no anonymous requests, service-account tokens, aggregation, audit.

    `address` is the one where real nodes reach it; the machine has no way to service addresses, so webhooks and
    aggregated APIs are reached at their endpoints.
    """
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        f"--secure-port={port}",
        f"--bind-address={address or LOOPBACK}",
        f"--advertise-address={address or advertised_address()}",
        *(["--enable-aggregator-routing=true"] if address else []),
        *_serving(pki),
        f"--client-ca-file={pki.path('ca.crt')}",
        f"--service-account-key-file={pki.path('accounts.pub')}",
        f"--service-account-signing-key-file={pki.path('accounts.key')}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--anonymous-auth=false",
        "--allow-privileged=true",
        "--shutdown-watch-termination-grace-period=3s",  # else watches keep it for a minute when it is told to end
        f"--service-cluster-ip-range={SERVICES}",
        f"--kubelet-client-certificate={pki.path('kubelet-client.crt')}",
        f"--kubelet-client-key={pki.path('kubelet-client.key')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki.path('ca.crt')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki.path('front-proxy.crt')}",
        f"--proxy-client-key-file={pki.path('front-proxy.key')}",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={policy.parent / 'audit.log'}",
        "--audit-log-maxsize=10000",
    ]


def manager_flags(pki: Pki, port: int, pods: str = PODS) -> list[str]:
    return [
        *_component_flags(pki, "controller-manager", port),
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki.path('accounts.key')}",
        f"--root-ca-file={pki.path('ca.crt')}",
        f"--cluster-signing-cert-file={pki.path('ca.crt')}",
        f"--cluster-signing-key-file={pki.path('ca.key')}",
        "--allocate-node-cidrs",
        f"--cluster-cidr={pods}",
    ]


def _component_flags(pki: Pki, name: str, port: int) -> list[str]:
    return [
        *(f"--{use}kubeconfig={pki.kubeconfig(name)}" for use in ("", "authentication-", "authorization-")),
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        *_serving(pki),
    ]


def kwok_flags(pki: Pki, port: int, config: Path) -> list[str]:
    """kwok is the kubelet of its nodes too: it answers logs on its port."""
    return [
        f"--kubeconfig={pki.kubeconfig('kwok')}",
        f"--config={config}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        f"--cidr={PODS}",
        "--node-ip=127.0.0.1",
        f"--node-port={port}",
        f"--server-address=127.0.0.1:{port}",
        "--node-lease-duration-seconds=40",
        *_serving(pki),
    ]


def _serving(pki: Pki) -> list[str]:
    return [f"--tls-cert-file={pki.path('serving.crt')}", f"--tls-private-key-file={pki.path('serving.key')}"]


def _answers(url: str, context: ssl.SSLContext | None) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def _is_ready(found: dict[str, Any]) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
