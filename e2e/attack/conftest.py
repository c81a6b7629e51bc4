"""Two tenants on the real host, one of which attacks, and the host's audit log as witness.

After each test everything that the attacker received is searched for what is the victim's or the host's: only what the
attacker itself had sent in that test may come back.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.client import Answer, Client
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.objects import OBJECTS
from e2e.scan import leaks
from e2e.witness import PROXY, Arrived, AuditLog

VAULT: Final = "vault"
"""A namespace of the victim."""
Witness = Callable[[], list[Arrived]]


class Attacker(Client):
    """A user of a tenant whose requests bear a mark of their own. `sent` is what it said since the test began."""

    def __init__(self, kubeconfig: Path, tenant: str) -> None:
        super().__init__(kubeconfig)
        self.tenant = tenant
        self.agent = f"attacker/{secrets.token_hex(6)}"
        self.sent: list[bytes] = []

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Answer:
        self.sent += [target.encode(), body if isinstance(body, bytes) else json.dumps(body).encode()]
        self.sent.append(json.dumps(dict(headers or {})).encode())
        return super().call(method, target, body, headers={"User-Agent": self.agent, **(headers or {})}, token=token)

    def said(self, text: str) -> bool:
        return any(text.encode() in one for one in self.sent)


def root(version: str) -> str:
    """The path of an apiVersion."""
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


class Victim:
    """A tenant with things that nobody else may see or change. `needle` stands in all of them."""

    def __init__(self, cluster: TenantCluster) -> None:
        self.cluster, self.id = cluster, cluster.id
        self.needle = f"needle{secrets.token_hex(8)}"
        self.client = Client(cluster.kubeconfig)
        self._private = {f"{root(body['apiVersion'])}/{resource}": body for resource, body in OBJECTS.items()}
        self._fill()
        self.filled = self.state()

    def _fill(self) -> None:
        self._make("/api/v1/namespaces", {"metadata": {"name": VAULT}})
        for space in ("default", VAULT):
            path = f"/api/v1/namespaces/{space}"
            self._make(f"{path}/configmaps", {"metadata": {"name": "plans"}, "data": {"plan": self.needle}})
            self._make(f"{path}/secrets", {"metadata": {"name": "treasure"}, "stringData": {"key": self.needle}})
            self._make(f"{path}/serviceaccounts", {"metadata": {"name": self.needle}})
        container = {"name": "main", "image": "registry.example/app:1", "env": [{"name": "KEY", "value": self.needle}]}
        pod = {"metadata": {"name": "safe"}, "spec": {"containers": [container]}}
        self._make(f"/api/v1/namespaces/{VAULT}/pods", pod)
        for path, body in self._private.items():
            self._make(path, {**body, "metadata": {**body["metadata"], "annotations": {"plan": self.needle}}})

    def _make(self, path: str, body: Any) -> None:
        answer = self.client.call("POST", path, body)
        assert answer.code == 201, answer.body

    def state(self) -> list[Any]:
        """What an attack must not change: its things, by namespace, name, uid and data."""
        paths = [f"/api/v1/{kind}" for kind in ("configmaps", "secrets", "serviceaccounts")]
        items = [item for path in (*paths, *self._private) for item in self.client.call("GET", path).document["items"]]
        names = {"plans", "treasure", self.needle, *(body["metadata"]["name"] for body in self._private.values())}
        return [
            (item["metadata"].get("namespace"), item["metadata"]["name"], item["metadata"]["uid"], item.get("data"))
            for item in items
            if item["metadata"]["name"] in names
        ]


@pytest.fixture(scope="session")
def attacker_cluster(tenant_factory: Callable[..., TenantCluster]) -> TenantCluster:
    return tenant_factory()


@pytest.fixture(scope="session")
def victim(tenant_factory: Callable[..., TenantCluster]) -> Victim:
    return Victim(tenant_factory("--profile", "soft"))


@pytest.fixture
def attacker(attacker_cluster: TenantCluster, victim: Victim) -> Iterator[Attacker]:
    """The administrator of a tenant, after whose every test the bytes that it got are searched."""
    yield from watched(attacker_cluster, victim)


def watched(cluster: TenantCluster, victim: Victim) -> Iterator[Attacker]:
    """An attacker; at the end nothing of the victim's came back to it, and nothing of the victim's is changed."""
    client = Attacker(cluster.kubeconfig, cluster.id)
    yield client
    needles = (victim.needle, victim.id, f"{client.tenant}-", f"vcproxy:tenant:{client.tenant}")
    assert leaks(client.received, [needle for needle in needles if not client.said(needle)]) == []
    assert victim.state() == victim.filled


@pytest.fixture
def reader(attacker_cluster: TenantCluster, proxy: RunningProxy, attacker: Attacker) -> Attacker:
    """A user of the same tenant without any right in it."""
    issued = proxy.cli("token", "issue", attacker_cluster.id, "--user", "bob", "--group", "readers", "-o", "json")
    client = Attacker(attacker_cluster.kubeconfig, attacker_cluster.id)
    client.token = json.loads(issued.stdout)["token"]
    client.agent = attacker.agent
    return client


@pytest.fixture
def audit(control_plane: ControlPlane) -> AuditLog:
    return AuditLog(control_plane)


@pytest.fixture
def arrived(audit: AuditLog, attacker: Attacker) -> Witness:
    """What arrived of the attacker's tenant since the test began: sent by the proxy, in its name or at its word."""
    mark = audit.mark()
    user = f"vcproxy:tenant:{attacker.tenant}"

    def found() -> list[Arrived]:
        return [
            one
            for one in audit.since(mark)
            if one.acted_as == user or one.agent == attacker.agent or (one.user == PROXY and attacker.tenant in one.uri)
        ]

    return found


def is_status(answer: Answer, *allowed: int) -> None:
    """One Status with a code that is allowed."""
    assert answer.code in allowed, (answer.code, answer.body[:500])
    document = answer.document
    assert document["kind"] == "Status"
    assert document["code"] == answer.code
    assert document["message"]
