"""Real nodes of the harness: what pods on them can do, and that nothing of them stays behind, however a run ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.cluster.bridge import SLOTS, sweep_abandoned
from e2e.cluster.host import Host
from e2e.cluster.images import AGNHOST
from e2e.cluster.kubectl import Kubectl

pytestmark = [pytest.mark.real_nodes, pytest.mark.own_host]


@pytest.fixture(scope="module")
def kubectl(real_host: Host) -> Kubectl:
    """The administrator's, with a namespace `names`, a pod `site` and its service `front`."""
    found = Kubectl(real_host.kubectl, real_host.kubeconfig)
    found("create", "namespace", "names")
    found("wait", "serviceaccount/default", "-n", "names", "--for=create", "--timeout=60s")
    found("run", "site", "-n", "names", f"--image={AGNHOST}", "--", "netexec", "--http-port=8080")
    found("expose", "pod", "site", "-n", "names", "--name=front", "--port=80", "--target-port=8080")
    found("wait", "pod/site", "-n", "names", "--for=condition=Ready", "--timeout=80s")
    return found


def connected(kubectl: Kubectl, target: str) -> bool:
    """Whether a pod reaches it."""
    done = kubectl("exec", "-n", "names", "site", "--", "/agnhost", "connect", "--timeout=5s", target, check=False)
    return done.returncode == 0


def test_the_node_is_a_kubelet_of_the_pinned_version(kubectl: Kubectl) -> None:
    (found,) = kubectl.json("get", "nodes")["items"]
    assert found["status"]["nodeInfo"]["kubeletVersion"] == "v1.37.2"
    assert found["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")


def test_pods_find_services_by_name_and_other_names_do_not_exist(kubectl: Kubectl) -> None:
    wait_until(lambda: connected(kubectl, "front:80"))
    assert connected(kubectl, "front.names.svc.cluster.local:80")
    assert not connected(kubectl, "nobody.names.svc.cluster.local:80")
    assert not connected(kubectl, "example.com:80")


def test_pods_reach_the_api_server_by_its_service(kubectl: Kubectl) -> None:
    assert connected(kubectl, "kubernetes.default:443")


def test_a_pod_has_a_token_and_the_clusters_ca(kubectl: Kubectl) -> None:
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    said = kubectl("exec", "-n", "names", "site", "--", "ls", folder).stdout
    assert {"ca.crt", "namespace", "token"} <= set(said.split())


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_two_nodes_stays_behind_however_the_run_ends(tmp_path: Path, ending: signal.Signals) -> None:
    sweep_abandoned()
    before = traces()
    command = [sys.executable, "-m", "e2e.cluster", "up", "--dir", str(tmp_path / "run"), "--real-nodes", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        try:
            wait_until((tmp_path / "run" / "pids").exists, 100)
            during = traces()
            across_nodes(tmp_path / "run")
        finally:
            run.send_signal(ending)
    wait_until(lambda: not any(str(tmp_path) in one for one in commands() if "kube-apiserver" not in one))
    if ending == signal.SIGKILL:
        sweep_abandoned()
    assert len(during) > len(before)
    assert traces() == before
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def across_nodes(folder: Path) -> None:
    """A pod on one node reaches a pod on the other."""
    pids = dict(line.split() for line in (folder / "pids").read_text().splitlines())
    program = Path(os.readlink(f"/proc/{pids['kube-apiserver']}/exe")).with_name("kubectl")
    kubectl = Kubectl(program, folder / "admin.kubeconfig")
    for node in ("real-1", "real-2"):
        overrides = json.dumps({"spec": {"nodeName": node}})
        kubectl("run", node, f"--image={AGNHOST}", f"--overrides={overrides}", "--", "netexec", "--http-port=8080")
    kubectl("wait", "pod/real-1", "pod/real-2", "--for=condition=Ready", "--timeout=60s")
    address = kubectl.json("get", "pod", "real-2")["status"]["podIP"]
    kubectl("exec", "real-1", "--", "/agnhost", "connect", "--timeout=5s", f"{address}:8080")


def traces() -> set[str]:
    """What runs with real nodes leave on the machine: interfaces and cgroups, by path."""
    cgroups = [path for one in Path("/sys/fs/cgroup").glob("*/vcproxy*") for path in (one, *one.glob("*/"))]
    links = [Path(f"/sys/class/net/vcproxy{slot}") for slot in range(SLOTS)]
    return {str(path) for path in (*cgroups, *Path("/sys/fs/cgroup").glob("vcproxy*/"), *links) if path.exists()}


def commands() -> list[str]:
    """The command lines of all processes. (An API server that lost its etcd takes a minute to end by itself.)"""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not so after {seconds:.0f} s"
        time.sleep(0.2)
