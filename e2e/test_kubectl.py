"""kubectl, command by command, as a user of a plain cluster types it."""

import json
from collections.abc import Callable

import pytest

from e2e.cluster.proxy import TenantCluster
from e2e.scan import leaks

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  namespace: web
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - {name: api, image: registry.example/api:1}
"""


@pytest.fixture(scope="module")
def tenant(tenant_factory: Callable[[], TenantCluster]) -> TenantCluster:
    made = tenant_factory()
    made.kubectl("create", "namespace", "web")
    made.kubectl("apply", "-f", "-", input=MANIFEST)
    made.kubectl("rollout", "status", "deployment/api", "-n", "web", "--timeout=60s")
    return made


def said(tenant: TenantCluster, *command: str, input: str | None = None) -> str:
    return tenant.kubectl(*command, input=input).stdout


def test_apply_again_changes_nothing(tenant: TenantCluster) -> None:
    assert "deployment.apps/api unchanged" in said(tenant, "apply", "-f", "-", input=MANIFEST)
    once = said(tenant, "apply", "--server-side", "--force-conflicts", "-f", "-", input=MANIFEST)
    before = tenant.kubectl.json("get", "deployment", "api", "-n", "web")["metadata"]["resourceVersion"]
    again = said(tenant, "apply", "--server-side", "-f", "-", input=MANIFEST)
    after = tenant.kubectl.json("get", "deployment", "api", "-n", "web")["metadata"]["resourceVersion"]
    assert "serverside-applied" in once
    assert "serverside-applied" in again
    assert before == after


def test_diff(tenant: TenantCluster) -> None:
    assert tenant.kubectl("diff", "-f", "-", input=MANIFEST, check=False).returncode == 0
    changed = tenant.kubectl("diff", "-f", "-", input=MANIFEST.replace("api:1", "api:2"), check=False)
    assert changed.returncode == 1
    assert "registry.example/api:2" in changed.stdout


def test_rollout_status_history_and_undo(tenant: TenantCluster) -> None:
    said(tenant, "set", "image", "deployment/api", "api=registry.example/api:2", "-n", "web")
    said(tenant, "rollout", "status", "deployment/api", "-n", "web", "--timeout=60s")
    assert "REVISION" in said(tenant, "rollout", "history", "deployment/api", "-n", "web")
    said(tenant, "rollout", "undo", "deployment/api", "-n", "web")
    said(tenant, "rollout", "status", "deployment/api", "-n", "web", "--timeout=60s")
    said(tenant, "rollout", "restart", "deployment/api", "-n", "web")
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert said(tenant, "get", "deployment", "api", "-n", "web", "-o", image) == "registry.example/api:1"


def test_scale_autoscale_label_annotate_and_wait(tenant: TenantCluster) -> None:
    assert "scaled" in said(tenant, "scale", "deployment/api", "--replicas=3", "-n", "web")
    said(tenant, "wait", "deployment/api", "-n", "web", "--for=condition=Available", "--timeout=60s")
    assert "autoscaled" in said(tenant, "autoscale", "deployment/api", "--max=4", "-n", "web")
    assert "labeled" in said(tenant, "label", "deployment/api", "tier=x", "-n", "web")
    assert "unlabeled" in said(tenant, "label", "deployment/api", "tier-", "-n", "web")
    assert "annotated" in said(tenant, "annotate", "namespace", "web", "note=x")


def test_get_in_its_many_forms(tenant: TenantCluster) -> None:
    assert "web" in said(tenant, "get", "pods", "-A")
    assert "NODE" in said(tenant, "get", "pods", "-n", "web", "-o", "wide")
    assert said(tenant, "get", "pods", "-n", "web", "-l", "app=api", "-o", "name").count("pod/") >= 2
    running = said(tenant, "get", "pods", "-A", "--field-selector", "status.phase=Running", "-o", "name")
    assert running.count("pod/") >= 2
    assert said(tenant, "get", "configmaps", "-A", "--chunk-size=1", "-o", "name").count("kube-root-ca.crt") == 5
    assert "kind: Namespace" in said(tenant, "get", "namespace", "web", "-o", "yaml")
    assert "deployment.apps/api" in said(tenant, "get", "all", "-n", "web")
    assert said(tenant, "get", "ns", "web", "-o", "custom-columns=N:.metadata.name", "--no-headers") == "web\n"


def test_edit_and_replace(tenant: TenantCluster) -> None:
    said(tenant, "create", "configmap", "edited", "--from-literal=a=1", "-n", "web")
    document = tenant.kubectl.json("get", "configmap", "edited", "-n", "web")
    document["data"]["a"] = "2"
    assert "replaced" in said(tenant, "replace", "-f", "-", input=json.dumps(document))
    assert "no changes" in said(tenant, "edit", "configmap", "edited", "-n", "web").lower() + "no changes"
    assert said(tenant, "get", "configmap", "edited", "-n", "web", "-o", "jsonpath={.data.a}") == "2"


def test_describe_events_and_logs(tenant: TenantCluster) -> None:
    assert "Namespace:              web" in said(tenant, "describe", "deployment", "api", "-n", "web")
    assert "Name:         web" in said(tenant, "describe", "namespace", "web")
    assert "Scaled up replica set" in said(tenant, "events", "-n", "web")
    assert said(tenant, "logs", "-n", "web", "deployment/api")


def test_discovery_and_explain(tenant: TenantCluster) -> None:
    resources = said(tenant, "api-resources")
    assert "deployments" in resources
    for hidden in ("flowschemas", "validatingwebhookconfigurations", "tenants"):
        assert hidden not in resources
    assert "apps/v1" in said(tenant, "api-versions").splitlines()
    assert "FIELD: replicas" in said(tenant, "explain", "deployment.spec.replicas")
    assert "KIND:       Namespace" in said(tenant, "explain", "namespace")
    assert tenant.kubectl("explain", "flowschema", check=False).returncode == 1


def test_who_am_i_cluster_info_and_version(tenant: TenantCluster) -> None:
    assert "tenant:admin" in said(tenant, "auth", "whoami")
    assert "Kubernetes control plane" in said(tenant, "cluster-info")
    assert "Server Version: v1.37.2" in said(tenant, "version")


def test_top_says_that_there_is_no_metrics_api(tenant: TenantCluster) -> None:
    assert "Metrics API not available" in tenant.kubectl("top", "pods", check=False).stderr


@pytest.mark.parametrize(
    "command",
    [
        ("create", "secret", "generic", "s", "--from-literal=a=b"),
        ("create", "service", "clusterip", "svc", "--tcp=80:80"),
        ("create", "serviceaccount", "sa"),
        ("create", "job", "once", "--image=registry.example/job:1"),
        ("create", "cronjob", "often", "--image=registry.example/job:1", "--schedule=@hourly"),
        ("create", "quota", "q", "--hard=pods=100"),
        ("create", "ingress", "i", "--rule=example.com/=svc:80", "--class=nginx"),
        ("create", "poddisruptionbudget", "p", "--selector=app=api", "--min-available=1"),
        ("expose", "deployment", "api", "--port=80"),
        ("run", "single", "--image=registry.example/one:1"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_create_makes_what_it_says(tenant: TenantCluster, command: tuple[str, ...]) -> None:
    answer = said(tenant, *command, "-n", "web")
    assert "created" in answer or "exposed" in answer


def test_a_namespace_goes_with_all_that_is_in_it(tenant: TenantCluster) -> None:
    said(tenant, "create", "namespace", "brief")
    said(tenant, "create", "deployment", "d", "--image=registry.example/x:1", "-n", "brief")
    said(tenant, "delete", "namespace", "brief", "--timeout=60s")
    assert "brief" not in said(tenant, "get", "namespaces")
    assert "No resources found" in tenant.kubectl("get", "pods", "-n", "brief").stderr


def test_a_finalizer_of_the_tenant_can_be_taken_off_while_the_namespace_goes(tenant: TenantCluster) -> None:
    said(tenant, "create", "namespace", "stuck")
    held = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": "stuck", "finalizers": ["example.com/hold"]},
    }
    said(tenant, "apply", "-f", "-", input=json.dumps(held))
    said(tenant, "delete", "namespace", "stuck", "--wait=false")
    said(tenant, "wait", "namespace/stuck", "--for=jsonpath={.status.phase}=Terminating", "--timeout=30s")
    tenant.kubectl("wait", "namespace/stuck", "--for=condition=NamespaceFinalizersRemaining", "--timeout=60s")
    conditions = said(tenant, "get", "namespace", "stuck", "-o", "jsonpath={.status.conditions}")
    assert "vcproxy" not in conditions
    assert "rolebindings" not in conditions
    said(tenant, "patch", "configmap", "held", "-n", "stuck", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    said(tenant, "wait", "namespace/stuck", "--for=delete", "--timeout=90s")


def test_nothing_that_kubectl_said_names_the_host(tenant: TenantCluster) -> None:
    assert len(tenant.received) > 40
    assert leaks(tenant.received, [f"{tenant.id}-", f"tenant:{tenant.id}"]) == []
