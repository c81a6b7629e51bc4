"""Names in the cluster: CoreDNS as a process beside the control plane, and the Service that leads to it."""

import json
from pathlib import Path
from typing import Any, Final

from e2e.cluster.realnode import DOMAIN, SERVICE_DNS

TENANTS: Final = "vcproxy.local"
NAMESPACE: Final = "kube-system"
NAME: Final = "kube-dns"
PROTOCOLS: Final = ("UDP", "TCP")


RULES: Final = Path(__file__).parents[2] / "config" / "coredns.conf"
"""What a provider puts into its own Corefile, so that pods of tenants find services by the tenant's names."""


def corefile(address: str, port: int, ready: int, kubeconfig: Path) -> str:
    """Services and pods of the cluster; no other name exists, as there is no way out of it."""
    rules = "\n".join("    " + line for line in RULES.read_text().splitlines() if line and not line.startswith("#"))
    return f"""\
{DOMAIN}:{port} {TENANTS}:{port} in-addr.arpa:{port} ip6.arpa:{port} {{
    bind {address}
    errors
    ready {address}:{ready}
{rules}
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
}}
.:{port} {{
    bind {address}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def dns_objects(address: str, port: int) -> str:
    """The Service has no selector: its one endpoint is the process. For `kubectl create -f -`."""
    ports = [{"name": one.lower(), "port": 53, "targetPort": port, "protocol": one} for one in PROTOCOLS]
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"clusterIP": SERVICE_DNS, "ports": ports},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": [{"name": one.lower(), "port": port, "protocol": one} for one in PROTOCOLS],
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [service, endpoints]})
