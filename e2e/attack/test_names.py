"""Cases 27 and 28: no name and no id leads out of a tenant."""

from collections.abc import Iterator

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim, Witness, watched
from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.conftest import TenantFactory

pytestmark = pytest.mark.own_host

SPACES = "/api/v1/namespaces"
MAPS = f"{SPACES}/default/configmaps"


@pytest.fixture(scope="module")
def named(tenant_factory: TenantFactory) -> TenantCluster:
    return tenant_factory()


@pytest.fixture
def attacker(named: TenantCluster, victim: Victim) -> Iterator[Attacker]:
    """Of a tenant of these tests alone. What it received is searched for its own names on the host only: namespaces
    with the victim's name in theirs take a while to go, and are shown meanwhile."""
    for client in watched(named, victim):
        client.sent.append(victim.id.encode())
        yield client


@case(28)
@pytest.mark.parametrize(
    "name",
    [
        "{victim}-vault",
        "vcproxy",
        "vcproxy-system",
        "v\u0441proxy",
        "UPPER",
        "-vault",
        "vault-",
        "a" * 63,
        "a" * 253,
        "",
        ".",
        "..",
        "a.b",
        "*",
    ],
)
def test_a_namespace_whatever_its_name_is_the_tenants_or_none(
    attacker: Attacker, victim: Victim, arrived: Witness, name: str
) -> None:
    text = name.replace("{victim}", victim.id)
    answer = attacker.call("POST", SPACES, {"metadata": {"name": text}})
    assert answer.code in (201, 400, 403, 409, 422)
    assert victim.client.call("GET", f"{SPACES}/{VAULT}").code == 200
    if answer.code == 201:
        assert answer.document["metadata"]["name"] == text
        assert attacker.call("DELETE", f"{SPACES}/{text}").code in (200, 202)
    for one in arrived():
        assert not one.uri.startswith((f"{SPACES}/{victim.id}-", f"{SPACES}/vcproxy")), one.uri


@case(28)
def test_generated_names_stay_in_the_tenant(attacker: Attacker, host_kubectl: Kubectl, victim: Victim) -> None:
    for base in (f"{victim.id}-", "x-"):
        made = attacker.call("POST", SPACES, {"metadata": {"generateName": base}}).document["metadata"]["name"]
        assert made.startswith(base)
        found = host_kubectl.json("get", "namespace", f"{attacker.tenant}-{made}")
        assert found["metadata"]["labels"]["vcproxy.io/tenant"] == attacker.tenant
        attacker.call("DELETE", f"{SPACES}/{made}")


@case(28)
def test_longest_names_are_those_of_the_host(attacker: Attacker) -> None:
    for length, code in ((253, 201), (254, 422)):
        answer = attacker.call("POST", MAPS, {"metadata": {"name": "a" * length}})
        assert answer.code == code, answer.body[:300]


@case(27)
def test_an_id_that_begins_another_id_shares_nothing_with_it(
    attacker: Attacker, proxy: RunningProxy, named: TenantCluster, victim: Victim
) -> None:
    longer = TenantCluster(proxy, f"{attacker.tenant}b", named.kubeconfig.parent).create()
    try:
        other = Client(longer.kubeconfig)
        other.call("POST", SPACES, {"metadata": {"name": "web"}})
        attacker.call("POST", SPACES, {"metadata": {"name": "b-web"}})
        attacker.call("POST", f"{SPACES}/b-web/configmaps", {"metadata": {"name": "mine"}})
        seen = [one["metadata"]["name"] for one in other.call("GET", SPACES).document["items"]]
        assert sorted(seen) == ["default", "kube-node-lease", "kube-public", "kube-system", "web"]
        assert other.call("GET", f"{SPACES}/web/configmaps/mine").code == 404
        mine = [one["metadata"]["name"] for one in attacker.call("GET", SPACES).document["items"]]
        assert "web" not in mine
        assert "b-web" in mine
    finally:
        longer.delete()
    assert attacker.call("GET", f"{SPACES}/b-web/configmaps/mine").code == 200


@case(27)
@pytest.mark.parametrize("tenant", ["kube", "vcproxy"])
def test_an_id_that_begins_a_namespace_of_the_host_is_refused(
    proxy: RunningProxy, host_kubectl: Kubectl, tenant: str
) -> None:
    refused = proxy.cli("tenant", "create", tenant, "--timeout", "3", check=False)
    assert refused.returncode != 0
    proxy.cli("tenant", "delete", tenant, "--wait", check=False)
    for space in ("kube-system", "vcproxy-system"):
        assert host_kubectl("get", "namespace", space).returncode == 0


@case(27)
def test_a_host_namespace_that_only_looks_like_a_tenants_is_none_of_it(
    attacker: Attacker, host_kubectl: Kubectl, arrived: Witness
) -> None:
    """It has the prefix and not the label: made by the host's administrator, after the tenant."""
    name = f"{attacker.tenant}-looks"
    host_kubectl("create", "namespace", name)
    try:
        assert attacker.call("GET", f"{SPACES}/looks").code == 404
        assert attacker.call("GET", f"{SPACES}/looks/secrets").document["items"] == []
        assert attacker.call("POST", f"{SPACES}/looks/configmaps", {"metadata": {"name": "x"}}).code in (403, 404)
        assert attacker.call("DELETE", f"{SPACES}/looks").code == 404
        assert not any(f"/namespaces/{name}/" in one.uri for one in arrived())
    finally:
        host_kubectl("delete", "namespace", name, "--wait=false")
