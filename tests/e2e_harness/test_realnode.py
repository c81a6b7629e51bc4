"""What the parts of a real node are told. That pods run, the end-to-end tests show."""

from pathlib import Path

from e2e.cluster.certificates import Pki
from e2e.cluster.images import PAUSE
from e2e.cluster.realnode import (
    SERVICE_DNS,
    SOCKET,
    cni_config,
    containerd_config,
    kubelet_config,
    node_name,
    proxy_config,
)

PKI = Pki(Path("/pki"))


def test_a_kubelet_lets_nobody_in_without_a_name_and_asks_the_api_server() -> None:
    found = kubelet_config(PKI, "real-1", "10.200.0.2", "vcproxy0-1")
    assert found["authentication"]["anonymous"] == {"enabled": False}
    assert found["authorization"] == {"mode": "Webhook"}
    assert found["tlsCertFile"] == "/pki/real-1-serving.crt"


def test_two_kubelets_have_cgroups_of_their_own() -> None:
    first, second = (kubelet_config(PKI, "real-1", "10.200.0.2", f"vcproxy0-{n}")["cgroupRoot"] for n in (1, 2))
    assert (first, second) == ("/vcproxy0-1", "/vcproxy0-2")


def test_pods_ask_the_clusters_dns_and_never_the_machines() -> None:
    found = kubelet_config(PKI, "real-1", "10.200.0.2", "vcproxy0-1")
    assert found["clusterDNS"] == [SERVICE_DNS]
    assert found["resolvConf"] == "/dev/null"


def test_containerd_has_the_pause_image_that_was_made_and_a_socket_inside() -> None:
    text = containerd_config(Path("/cni"), overlay=True)
    assert f'sandbox_image = "{PAUSE}"' in text
    assert f'address = "{SOCKET}"' in text
    assert 'snapshotter = "overlayfs"' in text
    assert 'snapshotter = "native"' in containerd_config(Path("/cni"), overlay=False)


def test_pods_get_addresses_of_their_nodes_range() -> None:
    bridge, _ = cni_config("10.200.129.0/24")["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.200.129.0/24"}]]


def test_kube_proxy_writes_nftables_for_its_node() -> None:
    found = proxy_config(PKI, "real-2")
    assert (found["mode"], found["hostnameOverride"]) == ("nftables", "real-2")
    assert found["clientConnection"] == {"kubeconfig": "/pki/kube-proxy.kubeconfig"}


def test_nodes_are_counted_from_one() -> None:
    assert [node_name(index) for index in range(2)] == ["real-1", "real-2"]
