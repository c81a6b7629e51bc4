"""The Python client of Kubernetes as a program in a pod uses it: in-cluster configuration, informers, a Lease."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.clients import pythons
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.conftest import TenantFactory
from e2e.scan import leaks

pytestmark = pytest.mark.python_client

SPACE: Final = "web"
IMAGE: Final = "vcproxy.test/python-client:1"
JOB: Final = f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: python, namespace: {SPACE}}}
spec:
  backoffLimit: 0
  template:
    spec:
      serviceAccountName: robot
      restartPolicy: Never
      containers: [{{name: python, image: "{IMAGE}", args: [{SPACE}]}}]
"""


def prepared(kubectl: Kubectl) -> None:
    """A namespace and the account `robot`, which may do everything there and nothing elsewhere."""
    kubectl("create", "namespace", SPACE)
    kubectl("create", "serviceaccount", "robot", "-n", SPACE)
    kubectl("create", "rolebinding", "robot", "-n", SPACE, "--clusterrole=admin", f"--serviceaccount={SPACE}:robot")
    leases = ("--verb=get,create,update", "--resource=leases.coordination.k8s.io")
    kubectl("create", "role", "leader", "-n", SPACE, *leases)
    kubectl("create", "rolebinding", "leader", "-n", SPACE, "--role=leader", f"--serviceaccount={SPACE}:robot")


def check(seen: dict[str, Any], pods: list[str]) -> None:
    account = f"system:serviceaccount:{SPACE}:robot"
    data = {"n": "0", "merged": "yes", "listed": "yes", "replaced": "yes"}
    names = ["inside-0", "inside-1", "inside-2"]
    body = json.loads(seen["refused"].pop("body"))
    assert seen == {
        "who": account,
        "objects": {"namespace": SPACE, "data": data, "names": names, "left": 0},
        "applied": {"namespace": SPACE, "again": 1},
        "informed": {
            "events": [f"{event} {SPACE}/informed" for event in ("ADDED", "MODIFIED", "DELETED")],
            "keys": [f"{SPACE}/informed"],
            "left": [],
        },
        "watched": ["ADDED watched", "DELETED watched"],
        "elected": "inside",
        "pods": pods,
        "refused": {"refused": 403},
    }
    words = f'User "{account}" cannot list resource "secrets" in API group "" in the namespace "kube-system"'
    assert body["message"] == f"secrets is forbidden: {words}"


def test_with_the_files_and_variables_of_a_pod(tenant: TenantCluster, proxy: RunningProxy, tmp_path: Path) -> None:
    prepared(tenant.kubectl)
    tenant.kubectl("run", "one", "-n", SPACE, "--image=registry.example/one:1")
    cluster = yaml.safe_load(tenant.kubeconfig.read_text())["clusters"][0]["cluster"]
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    quiet = Kubectl(tenant.kubectl.program, tenant.kubeconfig)  # claims of tokens are the host's
    (tmp_path / "token").write_text(quiet("create", "token", "robot", "-n", SPACE).stdout.strip())
    address = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(proxy.port)}
    done = subprocess.run(
        [sys.executable, str(pythons.PROGRAM), "--files", str(tmp_path), SPACE],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(pythons.packages()), **address},
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    check(json.loads(done.stdout), [f"{SPACE}/one"])
    assert leaks([done.stdout, done.stderr, *tenant.received], [f"{tenant.id}-"]) == []


@pytest.mark.real_nodes
@pytest.mark.own_host
def test_in_a_pod_of_a_real_node(real_host: Host, real_tenant_factory: TenantFactory, tmp_path: Path) -> None:
    pythons.write_python_image(tmp_path / "python.tar", IMAGE)
    assert real_host.control_plane is not None
    real_host.control_plane.import_images(tmp_path / "python.tar")
    tenant = real_tenant_factory()
    prepared(tenant.kubectl)
    tenant.kubectl("apply", "-f", "-", input=JOB)
    tenant.kubectl("wait", "job/python", "-n", SPACE, "--for=condition=complete", "--timeout=85s", check=False)
    said = tenant.kubectl("logs", "-n", SPACE, "job/python").stdout
    name = tenant.kubectl("get", "pods", "-n", SPACE, "-o", "name").stdout.strip().removeprefix("pod/")
    check(json.loads(said.splitlines()[-1]), [f"{SPACE}/{name}"])
    assert leaks([said.encode()], [f"{tenant.id}-"]) == []
