"""A running vcproxy before a host: installed with its own command, configured by a file, probed, stopped."""

import json
import os
import secrets
import ssl
import string
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.cluster.control_plane import LOOPBACK
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.network import advertised_address
from e2e.cluster.processes import Process, Processes, free_ports
from e2e.cluster.realnode import SERVICE_DNS

READY: Final = 60.0
KNOWN: Final = 20.0
"""Seconds in which a replica hears of a tenant, even right after it had lost its host."""
COMMAND_DEADLINE: Final = 240.0
INSTALLATION: Final = "vcproxy-system"
PROGRAM: Final = (sys.executable, "-m", "vcproxy")


class RunningProxy:
    """vcproxy before `host`; files in `folder`. `start` installs and serves, `stop` ends it and tidies up.

    `program` stands in for `python -m vcproxy` where it serves.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        workers: int = 1,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._workers = workers
        self._program = program
        self.host, self.folder = host, folder
        self.port, self.webhook_port, self.operations_port = free_ports(3)  # further workers take ports after the last
        self.url = f"https://127.0.0.1:{self.port}"
        self.operations_url = f"http://127.0.0.1:{self.operations_port}"
        self.config = folder / "config.yaml"
        self.ca_file = folder / "ca.crt"
        self.log = folder / "vcproxy.log"
        self._settings = dict(settings or {})
        self._processes = Processes()
        self._process: Process | None = None
        self._installed_here = False

    @property
    def pid(self) -> int:
        """The process id of the running proxy, else 0."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Raises ProcessError with the end of the log where it does not become ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._wait_until_removed()
        self._installed_here = not self._is_installed()
        nameserver = SERVICE_DNS if self.host.control_plane else self.cluster_dns()
        self.config.write_text(yaml.safe_dump(configuration(self, self._settings, nameserver), sort_keys=False))
        self.cli("install", "--config", str(self.config), "--credentials", str(self.folder / "credentials"))
        command = [*self._program, "serve", "--config", str(self.config), "--workers", str(self._workers)]
        self._process = Process("vcproxy", command, self.log)
        try:
            self._processes.add(self._process)
            self.wait_ready()
            self._processes.wait_until("vcproxy has told its address", self._published, READY)
        except BaseException:
            self.stop()
            raise

    def wait_ready(self) -> None:
        """Returns when it serves. Raises ProcessError."""
        self._processes.wait_until("vcproxy is ready", self._ready, READY)

    def wait_known(self, tenant: str, token: str) -> None:
        """Returns when this replica serves a tenant that another one may have made. Raises ProcessError."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        request = urllib.request.Request(f"{self.url}/version", headers={"Authorization": f"Bearer {token}"})

        def serves() -> bool:
            try:
                with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                    return bool(answer.status == 200)
            except urllib.error.HTTPError:
                return False

        self._processes.wait_until(f"vcproxy serves tenant {tenant}", serves, KNOWN)

    def stop(self, grace: float = 20.0) -> int:
        """SIGTERM and its drain; on a host that stays, what was installed here is removed again. The exit code."""
        code = self.stop_serving(grace)
        if self._installed_here and not self.host.own:
            self.cli("uninstall", check=False)
            self._wait_until_removed()
        return code

    def stop_serving(self, grace: float = 20.0) -> int:
        """The exit code of the drained process; -9 where it had to be killed."""
        return self._process.stop(grace) if self._process else 0

    def kill_serving(self) -> None:
        """SIGKILL, without a drain."""
        if self._process is not None:
            self._process.kill()

    def start_serving(self) -> None:
        """Again after `stop_serving`, with the same configuration."""
        if self._process is None:
            raise RuntimeError("the proxy has not been started")
        self._process.start()
        self.wait_ready()

    def check(self) -> None:
        """Raises ProcessError where it ended by itself."""
        self._processes.check()

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A `vcproxy` command as the host's administrator. Raises AssertionError with what it said where it failed."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            env={**os.environ, "KUBECONFIG": str(self.host.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"vcproxy {' '.join(arguments)} -> {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def metrics(self) -> str:
        """The Prometheus page. Raises OSError."""
        with urllib.request.urlopen(f"{self.operations_url}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def cluster_dns(self) -> str | None:
        """The address of the Service kube-dns of a host that is not built here."""
        wanted = ("-n", "kube-system", "get", "service", "kube-dns", "--ignore-not-found")
        return self._administrator(*wanted, "-o=jsonpath={.spec.clusterIP}").stdout or None

    def _is_installed(self) -> bool:
        return bool(self._administrator("get", "namespace", INSTALLATION, "--ignore-not-found").stdout)

    def _wait_until_removed(self) -> None:
        """An installation that is on its way out takes seconds to go, and until then no other one can be made."""
        name = f"namespace/{INSTALLATION}"
        found = self._administrator("get", name, "--ignore-not-found", "-o=jsonpath={.metadata.deletionTimestamp}")
        if found.stdout:
            self._administrator("wait", "--for=delete", name, "--timeout=80s")

    @property
    def _administrator(self) -> Kubectl:
        return Kubectl(self.host.kubectl, self.host.kubeconfig)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.operations_url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False

    def _published(self) -> bool:
        """Whether the ConfigMap that the CLI reads names this proxy; keeps the CA that it names."""
        wanted = ("-n", INSTALLATION, "get", "configmap", "vcproxy-info", "-o", "json")
        found = self._administrator(*wanted, check=False)
        data = json.loads(found.stdout)["data"] if found.returncode == 0 else {}
        if data.get("publicURL") != self.url:
            return False
        self.ca_file.write_text(data["ca.crt"])
        return True


def configuration(proxy: RunningProxy, settings: Mapping[str, Any], nameserver: str | None = None) -> dict[str, Any]:
    """The file for `serve`; `settings` are put over it, section by section."""
    credentials = proxy.folder / "credentials"
    inside, outside = addresses(proxy.host)
    document: dict[str, Any] = {
        "apiVersion": "config.vcproxy.io/v1alpha1",
        "kind": "Configuration",
        "host": {
            "kubeconfig": str(credentials / "proxy.kubeconfig"),
            "controllerKubeconfig": str(credentials / "controller.kubeconfig"),
        },
        "listen": {"address": f"{'127.0.0.1' if inside is None else '0.0.0.0'}:{proxy.port}", "publicURL": proxy.url},
        "operations": {"address": f"127.0.0.1:{proxy.operations_port}"},
        "advertiseAddress": f"{inside or advertised_address()}:{proxy.port}",
        "webhook": {
            "listen": f"{outside}:{proxy.webhook_port}",
            "url": f"https://{outside}:{proxy.webhook_port}",
        },
        "pods": {"nameserver": nameserver},
    }
    for name, value in settings.items():
        document[name] = {**document.get(name, {}), **value} if isinstance(value, dict) else value
    return document


def addresses(host: Host) -> tuple[str | None, str]:
    """Where pods on real nodes reach this machine (None: there are none of ours), and where the API server does."""
    if host.control_plane is None:
        return None, advertised_address()
    address = host.control_plane.address
    return (None if address == LOOPBACK else address), address


class TenantCluster:
    """A tenant as its administrator sees it. `received` holds every byte that kubectl showed it."""

    def __init__(self, proxy: RunningProxy, tenant: str, folder: Path) -> None:
        self.id = tenant
        self.received: list[bytes] = []
        self._proxy = proxy
        self.kubeconfig = folder / f"{tenant}.kubeconfig"
        self.kubectl = Kubectl(proxy.host.kubectl, self.kubeconfig, self.received.append)

    def create(self, *options: str) -> "TenantCluster":
        """Make it on the host, wait until it can be used, get its kubeconfig; `options` go to `tenant create`."""
        self._proxy.cli("tenant", "create", self.id, "--wait", *options)
        self.write_kubeconfig(self.kubeconfig)
        self._proxy.wait_known(self.id, self.token)
        return self

    def write_kubeconfig(self, target: Path, *options: str) -> Path:
        """A kubeconfig for this very proxy, whichever told its address last; `options` such as --user and --group."""
        self._proxy.cli("kubeconfig", self.id, "--server", self._proxy.url, "--out", str(target), *options)
        return target

    def delete(self) -> None:
        """Remove it and wait until it is gone."""
        self._proxy.cli("tenant", "delete", self.id, "--wait")

    @property
    def token(self) -> str:
        """The bearer token of its kubeconfig, for clients that are not kubectl."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        return str(document["users"][0]["user"]["token"])


def random_id() -> str:
    """A tenant id that occurs nowhere by chance, so that a byte scan for it means something."""
    return secrets.choice(string.ascii_lowercase) + "".join(
        secrets.choice(string.ascii_lowercase + string.digits) for _ in range(9)
    )
