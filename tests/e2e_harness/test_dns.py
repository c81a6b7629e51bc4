"""Names in the cluster."""

import json
from pathlib import Path

from e2e.cluster.dns import corefile, dns_objects
from e2e.cluster.realnode import SERVICE_DNS


def test_the_service_leads_to_the_process_over_udp_and_tcp() -> None:
    service, endpoints = json.loads(dns_objects("10.200.0.1", 2053))["items"]
    assert service["spec"]["clusterIP"] == SERVICE_DNS
    assert "selector" not in service["spec"]
    assert endpoints["endpoints"] == [{"addresses": ["10.200.0.1"]}]
    assert [(one["port"], one["protocol"]) for one in endpoints["ports"]] == [(2053, "UDP"), (2053, "TCP")]


def test_cluster_names_come_from_kubernetes_and_all_others_do_not_exist() -> None:
    text = corefile("10.200.0.1", 2053, 2054, Path("/pki/coredns.kubeconfig"))
    assert "cluster.local:2053" in text
    assert "kubeconfig /pki/coredns.kubeconfig" in text
    assert "rcode NXDOMAIN" in text
    assert text.count("bind 10.200.0.1") == 2


def test_names_of_tenants_are_resolved_by_the_rules_that_are_shipped() -> None:
    text = corefile("10.200.0.1", 2053, 2054, Path("/pki/coredns.kubeconfig"))
    assert "vcproxy.local:2053" in text
    assert text.count("rewrite stop {") == 2
    assert text.index("rewrite stop") < text.index("kubernetes cluster.local")
