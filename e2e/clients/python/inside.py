"""What a program in a pod does with the Python client of Kubernetes: each step as its documentation shows it.

    inside.py [--files FOLDER] NAMESPACE

FOLDER holds `token` and `ca.crt`, else they are where the kubelet puts them; KUBERNETES_SERVICE_HOST and _PORT say
where the API server is. Prints one JSON object with what was seen.
"""

import argparse
import json
import queue
import threading
from collections.abc import Callable
from typing import Any

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.informer import SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

DEADLINE = 20.0
MANAGER = "inside"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", default="")
    parser.add_argument("namespace")
    given = parser.parse_args()
    if given.files:
        InClusterConfigLoader(f"{given.files}/token", f"{given.files}/ca.crt").load_and_set()
    else:
        config.load_incluster_config()
    seen: dict[str, Any] = {}
    for name, step in STEPS.items():
        try:
            seen[name] = step(given.namespace)
        except ApiException as refused:
            seen[name] = {"refused": refused.status, "body": str(refused.body)}
    print(json.dumps(seen))


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"made": "here"}), data=data)


def who(namespace: str) -> Any:
    answer = client.AuthenticationV1Api().create_self_subject_review(client.V1SelfSubjectReview())
    return answer.status.user_info.username


def objects(namespace: str) -> Any:
    """Create, read, patch in three ways, replace, list in pages, delete one and all."""
    core = client.CoreV1Api()
    made = [core.create_namespaced_config_map(namespace, config_map(f"inside-{at}", n=str(at))) for at in range(3)]
    first = made[0].metadata.name
    core.patch_namespaced_config_map(first, namespace, {"data": {"merged": "yes"}})
    core.patch_namespaced_config_map(first, namespace, [{"op": "add", "path": "/data/listed", "value": "yes"}])
    found = core.read_namespaced_config_map(first, namespace)
    found.data["replaced"] = "yes"
    replaced = core.replace_namespaced_config_map(first, namespace, found)
    names, token = [], None
    while token != "":
        page = core.list_namespaced_config_map(namespace, label_selector="made=here", limit=2, _continue=token)
        names += [one.metadata.name for one in page.items]
        token = page.metadata._continue or ""
    core.delete_namespaced_config_map(first, namespace)
    core.delete_collection_namespaced_config_map(namespace, label_selector="made=here")
    left = core.list_namespaced_config_map(namespace, label_selector="made=here").items
    return {"namespace": replaced.metadata.namespace, "data": replaced.data, "names": names, "left": len(left)}


def applied(namespace: str) -> Any:
    """Server-side apply with the dynamic client, which reads discovery itself."""
    maps = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "b"}}
    versions = [
        maps.server_side_apply(body=body, name="applied", namespace=namespace, field_manager=MANAGER) for _ in "ab"
    ]
    maps.delete(name="applied", namespace=namespace)
    return {
        "namespace": versions[0].metadata.namespace,
        "again": len({one.metadata.resourceVersion for one in versions}),
    }


def informed(namespace: str) -> Any:
    """An informer is told of what comes, changes and goes, and keeps what is there."""
    core, told = client.CoreV1Api(), queue.Queue[str]()
    informer = SharedInformer(core.list_namespaced_config_map, namespace=namespace, label_selector="for=informer")
    for event in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(event, _told(told, event))
    informer.start()
    body = config_map("informed", a="b")
    body.metadata.labels["for"] = "informer"
    core.create_namespaced_config_map(namespace, body)
    events = [told.get(timeout=DEADLINE)]
    core.patch_namespaced_config_map("informed", namespace, {"data": {"a": "c"}})
    events.append(told.get(timeout=DEADLINE))
    keys = informer.cache.list_keys()
    core.delete_namespaced_config_map("informed", namespace)
    events.append(told.get(timeout=DEADLINE))
    threading.Thread(target=informer.stop, daemon=True).start()  # it would wait for the watch's next event
    return {"events": events, "keys": keys, "left": informer.cache.list_keys()}


def _told(events: "queue.Queue[str]", event: str) -> Callable[[Any], None]:
    return lambda found: events.put(f"{event} {found.metadata.namespace}/{found.metadata.name}")


def watched(namespace: str) -> Any:
    """A watch from a list's version on, ended by its own timeout."""
    core = client.CoreV1Api()
    since = core.list_namespaced_secret(namespace).metadata.resource_version
    core.create_namespaced_secret(namespace, client.V1Secret(metadata=client.V1ObjectMeta(name="watched")))
    core.delete_namespaced_secret("watched", namespace)
    options = {"resource_version": since, "timeout_seconds": 2}
    events = watch.Watch().stream(core.list_namespaced_secret, namespace, **options)
    return [f"{one['type']} {one['object'].metadata.name}" for one in events]


def elected(namespace: str) -> Any:
    """Who leads by a Lease, and who is said to."""
    leads = threading.Event()
    settings = electionconfig.Config(
        LeaseLock("inside", namespace, MANAGER),
        lease_duration=17,
        renew_deadline=15,
        retry_period=5,
        onstarted_leading=leads.set,
        onstopped_leading=None,
    )
    threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()
    if not leads.wait(DEADLINE):
        return None
    return client.CoordinationV1Api().read_namespaced_lease("inside", namespace).spec.holder_identity


def pods(namespace: str) -> Any:
    """Whole Pods through the client's own models, which are strict."""
    return sorted(
        f"{one.metadata.namespace}/{one.metadata.name}"
        for one in client.CoreV1Api().list_namespaced_pod(namespace).items
    )


def refused(namespace: str) -> Any:
    return len(client.CoreV1Api().list_namespaced_secret("kube-system").items)


STEPS: dict[str, Callable[[str], Any]] = {
    "who": who,
    "objects": objects,
    "applied": applied,
    "informed": informed,
    "watched": watched,
    "elected": elected,
    "pods": pods,
    "refused": refused,
}

if __name__ == "__main__":
    main()
