"""Inside a tenant's pods, on a real node: a program there sees the tenant's cluster and nothing of the host's."""

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.cluster.host import Host
from e2e.cluster.images import BUSYBOX, write_image
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.conftest import TenantFactory

pytestmark = [pytest.mark.real_nodes, pytest.mark.own_host]

INSIDER: Final = "vcproxy.test/insider:1"
FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
DOWNWARD: Final = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
OBJECTS: Final = f"""
apiVersion: v1
kind: Pod
metadata: {{name: box, namespace: web, labels: {{app: box}}}}
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
    - {{name: first, image: "{BUSYBOX}", command: [sh, -c, "echo $KUBERNETES_SERVICE_HOST"]}}
  containers:
    - name: box
      image: "{BUSYBOX}"
      command: [sleep, infinity]
      env:
        - {{name: NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}
        - {{name: KUBERNETES_SERVICE_PORT_HTTPS, value: "1"}}
      volumeMounts: [{{name: downward, mountPath: /downward}}]
  volumes:
    - name: downward
      downwardAPI: {{items: [{{path: namespace, fieldRef: {{fieldPath: metadata.namespace}}}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: bare, namespace: web}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  containers: [{{name: bare, image: "{BUSYBOX}", command: [sleep, infinity]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: box, namespace: web}}
spec: {{selector: {{app: box}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: set, namespace: web}}
spec: {{clusterIP: None, selector: {{app: set}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: set, namespace: web}}
spec:
  serviceName: set
  replicas: 1
  selector: {{matchLabels: {{app: set}}}}
  template:
    metadata: {{labels: {{app: set}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: set, image: "{BUSYBOX}", command: [sleep, infinity]}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: inside, namespace: web}}
spec:
  selector: {{matchLabels: {{app: inside}}}}
  template:
    metadata: {{labels: {{app: inside}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: inside
          image: "{INSIDER}"
          args: [wait]
          env: [{{name: NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}]
---
apiVersion: batch/v1
kind: Job
metadata: {{name: once, namespace: web}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: once, image: "{BUSYBOX}", command: [cat, {FOLDER}/namespace]}}]
"""


@pytest.fixture(scope="module")
def tenant(
    real_host: Host, real_tenant_factory: TenantFactory, insider_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> TenantCluster:
    """With everything of OBJECTS running in its namespace `web`."""
    archive = tmp_path_factory.mktemp("images") / "insider.tar"
    write_image(archive, INSIDER, insider_program)
    assert real_host.control_plane is not None
    real_host.control_plane.import_images(archive)
    made = real_tenant_factory()
    kubectl = made.kubectl
    kubectl("create", "namespace", "web")
    kubectl("create", "rolebinding", "inside", "-n", "web", "--clusterrole=admin", "--serviceaccount=web:default")
    kubectl("wait", "serviceaccount/default", "-n", "web", "--for=create", "--timeout=60s")
    kubectl("apply", "-f", "-", input=OBJECTS)
    kubectl("wait", "pod/box", "pod/bare", "-n", "web", "--for=condition=Ready", "--timeout=80s")
    kubectl("rollout", "status", "statefulset/set", "deployment/inside", "-n", "web", "--timeout=80s")
    return made


def run(tenant: TenantCluster, target: str, *command: str, check: bool = True) -> str:
    """What a command in a pod of namespace `web` prints."""
    return tenant.kubectl("exec", "-n", "web", target, "--", *command, check=check).stdout


def variables(tenant: TenantCluster, pod: str) -> dict[str, str]:
    lines = run(tenant, pod, "env").splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def advertised(tenant: TenantCluster) -> tuple[str, str]:
    """Address and port where pods reach the proxy."""
    found = tenant.kubectl.json("get", "endpointslice", "kubernetes", "-n", "default")
    return found["endpoints"][0]["addresses"][0], str(found["ports"][0]["port"])


def server(tenant: TenantCluster) -> str:
    document = yaml.safe_load(tenant.kubeconfig.read_text())
    return str(document["clusters"][0]["cluster"]["server"])


def insider(tenant: TenantCluster, *arguments: str) -> str:
    return run(tenant, "deployment/inside", "/insider", *arguments)


def test_a_pod_sees_its_namespace_as_its_tenant_calls_it(tenant: TenantCluster) -> None:
    assert run(tenant, "box", "cat", f"{FOLDER}/namespace") == "web"
    assert run(tenant, "box", "cat", "/downward/namespace") == "web"
    assert variables(tenant, "box")["NAMESPACE"] == "web"


def test_a_pod_finds_the_proxy_by_variables_but_keeps_those_of_its_own(tenant: TenantCluster) -> None:
    host, port = advertised(tenant)
    found = variables(tenant, "box")
    assert (found["KUBERNETES_SERVICE_HOST"], found["KUBERNETES_SERVICE_PORT"]) == (host, port)
    assert found["KUBERNETES_PORT"] == found["KUBERNETES_PORT_443_TCP"] == f"tcp://{host}:{port}"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "1"
    assert tenant.kubectl("logs", "-n", "web", "box", "-c", "first").stdout.strip() == host


def test_the_ca_in_a_pod_is_that_of_the_proxy(tenant: TenantCluster) -> None:
    shown = tenant.kubectl.json("get", "configmap", "kube-root-ca.crt", "-n", "web")["data"]["ca.crt"]
    assert run(tenant, "box", "cat", f"{FOLDER}/ca.crt") == shown
    document = yaml.safe_load(tenant.kubeconfig.read_text())
    assert document["clusters"][0]["cluster"]["certificate-authority-data"]


def test_a_pod_without_a_token_stays_without(tenant: TenantCluster) -> None:
    assert tenant.kubectl("exec", "-n", "web", "bare", "--", "ls", FOLDER, check=False).returncode
    assert variables(tenant, "bare")["KUBERNETES_SERVICE_HOST"] == advertised(tenant)[0]


def test_a_program_with_client_go_works_in_its_namespace(tenant: TenantCluster) -> None:
    found = json.loads(insider(tenant, "look"))
    assert (found["namespace"], found["written"]) == ("web", "web")
    assert found["variables"]["NAMESPACE"] == "web"
    assert {"web/box", "web/set-0", "web/bare"} <= set(found["pods"])
    assert tenant.id not in json.dumps(found["pods"])


def test_a_pod_has_the_rights_of_its_account_and_is_called_by_it(tenant: TenantCluster) -> None:
    token = run(tenant, "box", "cat", f"{FOLDER}/token")
    request = urllib.request.Request(f"{server(tenant)}/api/v1/namespaces/default/pods")
    request.add_header("Authorization", f"Bearer {token}")
    document = yaml.safe_load(tenant.kubeconfig.read_text())
    authority = base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context(cadata=authority))
    assert caught.value.code == 403
    assert 'User \\"system:serviceaccount:web:default\\" cannot list resource' in caught.value.read().decode()


def test_leader_election_works(tenant: TenantCluster) -> None:
    assert insider(tenant, "lead", "leader").endswith("leads\n")
    lease = tenant.kubectl.json("get", "lease", "leader", "-n", "web")
    assert lease["spec"]["holderIdentity"].startswith("inside-")


SERVICES: Final = ("box", "box.web", "box.web.svc", "box.web.svc.cluster.local")
PODS: Final = ("set-0.set", "set-0.set.web", "set-0.set.web.svc", "set-0.set.web.svc.cluster.local")


def test_services_and_pods_are_found_by_all_forms_of_their_names(tenant: TenantCluster) -> None:
    service = tenant.kubectl.json("get", "service", "box", "-n", "web")["spec"]["clusterIP"]
    pod = tenant.kubectl.json("get", "pod", "set-0", "-n", "web")["status"]["podIP"]
    wanted = {name: [service] for name in SERVICES} | {name: [pod] for name in PODS} | {"set": [pod]}
    until(lambda: json.loads(insider(tenant, "look", *wanted))["addresses"] == wanted)


def test_the_api_servers_names_lead_to_the_proxy_and_other_names_do_not_exist(tenant: TenantCluster) -> None:
    service = tenant.kubectl.json("get", "service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    names = ("kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    absent = ("nobody", "kube-dns.kube-system.svc.cluster.local.other", "box.other")
    found = json.loads(insider(tenant, "look", *names, *absent))["addresses"]
    assert found == {name: [service] for name in names} | {name: [] for name in absent}


def test_a_job_runs_to_its_end(tenant: TenantCluster) -> None:
    tenant.kubectl("wait", "job/once", "-n", "web", "--for=condition=Complete", "--timeout=60s")
    assert tenant.kubectl("logs", "-n", "web", "job/once").stdout == "web"


def test_the_tenant_sees_what_it_wrote(tenant: TenantCluster) -> None:
    pod = tenant.kubectl.json("get", "pod", "box", "-n", "web")
    assert pod["spec"]["dnsPolicy"] == "ClusterFirst"
    assert "dnsConfig" not in pod["spec"]
    (container,) = pod["spec"]["containers"]
    assert container["env"] == [
        {"name": "NAMESPACE", "valueFrom": DOWNWARD},
        {"name": "KUBERNETES_SERVICE_PORT_HTTPS", "value": "1"},
    ]
    assert "env" not in pod["spec"]["initContainers"][0]
    assert "vcproxy" not in json.dumps({key: pod[key] for key in ("metadata", "spec")})
    (sources,) = (one["projected"]["sources"] for one in pod["spec"]["volumes"] if "projected" in one)
    assert sources[0]["serviceAccountToken"] == {"expirationSeconds": 3607, "path": "token"}
    assert sources[1]["configMap"]["name"] == "kube-root-ca.crt"
    assert sources[2]["downwardAPI"]["items"] == [{"path": "namespace", **DOWNWARD}]


def test_our_config_map_is_not_to_be_seen(tenant: TenantCluster) -> None:
    assert "vcproxy" not in tenant.kubectl("get", "configmaps", "-A", "-o", "name").stdout
    assert tenant.kubectl("get", "configmap", "vcproxy-root-ca.crt", "-n", "web", check=False).returncode
    assert tenant.kubectl("delete", "configmap", "vcproxy-root-ca.crt", "-n", "web", check=False).returncode


@pytest.mark.parametrize("how", [("apply",), ("apply", "--server-side", "--force-conflicts"), ("replace",)], ids=str)
def test_what_was_written_is_accepted_again_and_changes_nothing(tenant: TenantCluster, how: tuple[str, ...]) -> None:
    before = stored(tenant.kubectl)
    documents = [one for one in yaml.safe_load_all(OBJECTS) if one["kind"] == "Pod"]
    if how == ("replace",):
        documents = [tenant.kubectl.json("get", "pod", name, "-n", "web") for name in ("box", "bare")]
    for document in documents:
        tenant.kubectl(*how, "-f", "-", input=json.dumps(document))
    assert stored(tenant.kubectl) == before
    assert run(tenant, "box", "cat", f"{FOLDER}/namespace") == "web"


def stored(kubectl: Kubectl) -> dict[str, Any]:
    """Spec and generation of the pods that were made by hand."""
    pods = [kubectl.json("get", "pod", name, "-n", "web") for name in ("box", "bare")]
    return {pod["metadata"]["name"]: (pod["spec"], pod["metadata"].get("generation")) for pod in pods}


def test_annotations_that_are_all_taken_off_do_not_take_ours_along(tenant: TenantCluster, real_host: Host) -> None:
    patch = json.dumps({"metadata": {"annotations": None}})
    tenant.kubectl("patch", "pod", "box", "-n", "web", "--type=merge", "-p", patch)
    host = Kubectl(real_host.kubectl, real_host.kubeconfig)
    kept = host.json("get", "pod", "box", "-n", f"{tenant.id}-web")["metadata"]["annotations"]
    assert kept["vcproxy.io/namespace"] == "web"
    assert "annotations" not in tenant.kubectl.json("get", "pod", "box", "-n", "web")["metadata"]


def test_a_debug_container_finds_the_proxy(tenant: TenantCluster) -> None:
    command = ("debug", "-n", "web", "bare", f"--image={BUSYBOX}", "--container=look", "--", "env")
    tenant.kubectl(*command)
    logs = ("logs", "-n", "web", "bare", "-c", "look")
    until(lambda: "KUBERNETES_SERVICE_HOST=" in tenant.kubectl(*logs, check=False).stdout)
    said = tenant.kubectl(*logs).stdout
    assert f"KUBERNETES_SERVICE_HOST={advertised(tenant)[0]}\n" in said


def test_a_rollout_is_seen_through_and_undone(tenant: TenantCluster) -> None:
    here = ("-n", "web", "deployment/inside")
    tenant.kubectl("rollout", "restart", *here)
    tenant.kubectl("rollout", "status", *here, "--timeout=80s")
    tenant.kubectl("rollout", "undo", *here)
    tenant.kubectl("rollout", "status", *here, "--timeout=80s")


def until(holds: Callable[[], bool], seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not so after {seconds:.0f} s"
        time.sleep(0.5)
