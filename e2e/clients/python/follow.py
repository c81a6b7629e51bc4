"""What a program with the Python client of Kubernetes does to follow ConfigMaps: list, watch on, list anew after a 410.

    follow.py KUBECONFIG

It goes on until it is ended. Prints a JSON line for each list and each event.
"""

import json
import sys
import time
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

PAUSE = 0.2


def main() -> None:
    config.load_kube_config(sys.argv[1])
    core = client.CoreV1Api()
    version = ""
    while True:
        try:
            version = version or listed(core)
            for event in watch.Watch().stream(
                core.list_config_map_for_all_namespaces, resource_version=version, timeout_seconds=300
            ):
                version = event["object"].metadata.resource_version
                told(event=event["type"], uid=event["object"].metadata.uid, version=int(version))
        except ApiException as refused:
            version = "" if refused.status == 410 else version
        except HTTPError:
            pass  # it is away
        time.sleep(PAUSE)


def listed(core: client.CoreV1Api) -> str:
    found = core.list_config_map_for_all_namespaces()
    told(list=found.metadata.resource_version)
    for one in found.items:
        told(event="LISTED", uid=one.metadata.uid, version=int(one.metadata.resource_version))
    return str(found.metadata.resource_version)


def told(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
