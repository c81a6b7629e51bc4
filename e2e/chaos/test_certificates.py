"""The certificate of the host's API server is exchanged: by its owner, and by somebody else."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.client import Client
from e2e.clients.followers import Access, Follower
from e2e.cluster.certificates import make_pki
from e2e.cluster.control_plane import LOOPBACK, ControlPlane
from e2e.cluster.proxy import RunningProxy, TenantCluster

pytestmark = pytest.mark.own_host

MAPS = "/api/v1/namespaces/default/configmaps"


class Impostor:
    """A TLS server in the API server's place, with its names and another CA. `heard` is all that it was told."""

    def __init__(self, port: int, folder: Path) -> None:
        pki = make_pki(folder, f"https://{LOOPBACK}:{port}", [LOOPBACK])
        self.refused = 0
        self.heard: list[bytes] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(pki.path("serving.crt"), pki.path("serving.key"))
        self._listener = socket.create_server((LOOPBACK, port), backlog=64)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was stopped
            while True:
                thread = threading.Thread(target=self._listen_to, args=self._listener.accept()[:1], daemon=True)
                self._threads.append(thread)
                thread.start()

    def _listen_to(self, plain: socket.socket) -> None:
        plain.settimeout(5)
        try:
            with self._tls.wrap_socket(plain, server_side=True) as connection:
                while data := connection.recv(65536):
                    self.heard.append(data)
        except OSError:
            self.refused += 1  # an alert in place of the end of the handshake, or silence


@contextlib.contextmanager
def impersonated(plane: ControlPlane, folder: Path) -> Iterator[Impostor]:
    """Somebody else has the API server's address for a while."""
    plane.kill_api_server()
    try:
        impostor = Impostor(int(plane.url.rpartition(":")[2]), folder)
        try:
            yield impostor
        finally:
            impostor.stop()
    finally:
        plane.start_api_server()


@pytest.fixture
def client(tenant: TenantCluster) -> Client:
    return Client(tenant.kubeconfig)


def served(client: Client) -> None:
    """It serves again; a replica hears of that at its next try."""
    end = time.monotonic() + 30
    while client.call("GET", MAPS).code != 200:
        assert time.monotonic() < end
        time.sleep(0.2)


def created(client: Client, name: str) -> None:
    answer = client.call("POST", MAPS, {"metadata": {"name": name}})
    assert answer.code == 201, answer.body


def told(follower: Follower, wanted: int) -> None:
    end = time.monotonic() + 30
    while len(follower.events) < wanted:
        assert time.monotonic() < end, follower.events
        time.sleep(0.1)


def test_an_impostor_hears_not_one_byte_of_a_request(
    client: Client, proxy: RunningProxy, control_plane: ControlPlane, tmp_path: Path
) -> None:
    with impersonated(control_plane, tmp_path / "impostor") as impostor:
        asked = [
            client.call("GET", MAPS),
            client.call("POST", MAPS, {"metadata": {"name": "secret-plan"}}),
            client.call("DELETE", f"{MAPS}/anything"),
            client.call("GET", f"{MAPS}?watch=1&fieldSelector=metadata.name%3Dx&timeoutSeconds=2"),
        ]
        time.sleep(3)  # the proxy's own reads and the controller try too
    assert [answer.code for answer in asked] == [502] * len(asked), asked
    assert all(json.loads(answer.body)["kind"] == "Status" for answer in asked)
    assert not any(b"ertificate" in answer.body or b"127.0.0.1" in answer.body for answer in asked)
    assert impostor.heard == []
    assert impostor.refused >= len(asked)
    proxy.check()
    served(client)
    assert client.call("GET", f"{MAPS}/secret-plan").code == 404


def test_another_certificate_of_the_same_ca_changes_nothing(
    client: Client, tenant: TenantCluster, control_plane: ControlPlane
) -> None:
    address = LOOPBACK, int(control_plane.url.rpartition(":")[2])
    before = ssl.get_server_certificate(address)
    follower = Follower(Access(tenant.kubeconfig), MAPS).start()
    try:
        created(client, "before")
        control_plane.renew_serving_certificate()
        created(client, "meanwhile")
        control_plane.kill_api_server()  # so that every connection is made anew
        control_plane.start_api_server()
        assert ssl.get_server_certificate(address) != before
        served(client)
        created(client, "after")
        told(follower, 3)
        assert [one.type for one in follower.events] == ["ADDED"] * 3
        assert (follower.lists, follower.problems) == (1, [])
    finally:
        follower.stop()
