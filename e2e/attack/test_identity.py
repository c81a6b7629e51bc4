"""Cases 1 to 4: whatever a client says of who it is, the host hears the tenant's identity and nothing else."""

import json

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import Attacker, Victim, Witness, is_status
from e2e.attack.wire import bearing, codes, exchange, request
from e2e.cluster.proxy import TenantCluster
from e2e.witness import PROXY, Arrived

pytestmark = pytest.mark.own_host

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
MAPS = "/api/v1/namespaces/default/configmaps"


def is_own(one: Arrived, tenant: str) -> None:
    """It is the proxy's request in the tenant's name."""
    assert one.user == PROXY
    assert one.acted_as == f"vcproxy:tenant:{tenant}"
    assert set(one.groups) == {"vcproxy:tenants", "system:authenticated"}


@case(1)
@pytest.mark.parametrize(
    "values",
    [
        ("Impersonate-User, Authorization",),
        ("impersonate-USER",),
        ("", "Impersonate-User, Impersonate-Group"),
        ("keep-alive", "Authorization,Impersonate-Extra-Vcproxy.io%2fuser"),
        ("close, Impersonate-Group",),
        ("Host, Content-Length, Impersonate-User",),
    ],
)
def test_no_connection_header_takes_the_identity_off(
    attacker: Attacker, arrived: Witness, values: tuple[str, ...]
) -> None:
    head = bearing(attacker, ("User-Agent", attacker.agent), *(("Connection", value) for value in values))
    answered = codes(exchange(attacker, request("GET", MAPS, head), 0.6))
    assert answered in ([200], [400])
    found = arrived()
    assert len(found) == (answered == [200])
    for one in found:
        is_own(one, attacker.tenant)


@case(2, 4)
@pytest.mark.parametrize(
    "headers",
    [
        [("Impersonate-User", "system:admin")],
        [("Impersonate-User", "system:admin"), ("Impersonate-Group", "system:masters")],
        [("Impersonate-User", "admin"), ("Impersonate-Group", "system:masters")],
        [("Impersonate-User", "a"), ("Impersonate-User", "b")],
        [("impersonate-user", "system:node:node-0"), ("Impersonate-Group", "system:nodes")],
        [("Impersonate-Group", "system:masters")],
        [("Impersonate-Uid", "0")],
        [("Impersonate-Extra-scopes", "all")],
        [("Impersonate_User", "system:admin")],
        [("Impersonate-User ", "system:admin")],
        [("IMPERSONATE-USER", "system:serviceaccount:kube-system:default")],
    ],
)
def test_whom_a_client_claims_to_be_never_reaches_the_host(
    reader: Attacker, arrived: Witness, headers: list[tuple[str, str]]
) -> None:
    raw = request("GET", MAPS, bearing(reader, ("User-Agent", reader.agent), *headers))
    assert codes(exchange(reader, raw, 0.6)) in ([400], [403])
    assert arrived() == []


@case(2, 4)
def test_an_administrator_acts_as_others_in_its_own_cluster_at_most(
    attacker: Attacker, victim: Victim, arrived: Witness
) -> None:
    for user in ("system:admin", f"vcproxy:tenant:{victim.id}", "system:node:node-0", "vcproxy:tenant:x"):
        for group in ("system:masters", "vcproxy:tenants", "system:nodes"):
            attacker.call("GET", MAPS, headers={"Impersonate-User": user, "Impersonate-Group": group})
    for one in arrived():
        is_own(one, attacker.tenant)


@case(4)
@pytest.mark.parametrize(
    ("user", "group"),
    [
        ("system:node:node-0", ""),
        ("vcproxy:tenant:x", ""),
        ("vcproxy:controller", ""),
        ("bob", "system:masters"),
        ("bob", "system:nodes"),
        ("bob", "vcproxy:tenants"),
        ("system:admin", "system:masters"),
    ],
)
def test_nobody_becomes_who_rights_do_not_count_for(
    attacker: Attacker, arrived: Witness, user: str, group: str
) -> None:
    """Not by a role for everything either: the administrator's holds `impersonate` of all."""
    headers = {"Impersonate-User": user} | ({"Impersonate-Group": group} if group else {})
    for target in (MAPS, "/api/v1/namespaces", "/version", "/apis/rbac.authorization.k8s.io/v1/clusterroles"):
        answer = attacker.call("GET", target, headers=headers)
        is_status(answer, 403)
        assert answer.document["message"].startswith("users " if not group else "groups ")
    assert arrived() == []


@case(4)
def test_an_administrator_who_acts_as_another_is_named_in_the_hosts_audit_log(
    attacker: Attacker, victim: Victim, arrived: Witness
) -> None:
    """It becomes a user of its own cluster, whatever the name: one that another tenant has too, or the host."""
    as_admin = {"Impersonate-Group": "tenant:admin"}
    names = ("bob", "system:admin", "kubernetes-admin", "system:serviceaccount:kube-system:default")
    for name in names:
        assert attacker.call("GET", MAPS, headers={"Impersonate-User": name, **as_admin}).code == 200
        review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
        found = attacker.call("POST", WHO, review, headers={"Impersonate-User": name, **as_admin}).document
        assert found["status"]["userInfo"]["username"] == name
        strange = f"/api/v1/namespaces/{victim.id}-default/configmaps"
        assert attacker.call("GET", strange, headers={"Impersonate-User": name, **as_admin}).document["items"] == []
    asked = [one for one in arrived() if one.verb == "list"]
    for one in asked:
        is_own(one, attacker.tenant)
    told = [json.loads(one.line)["impersonatedUser"]["extra"]["vcproxy.io/user"] for one in asked]
    assert [who[0] for who in told] == ["admin"] * len(told)
    assert {who[-1] for who in told} == set(names)


@case(4)
def test_the_right_to_act_as_one_user_is_no_right_to_act_as_another(
    attacker: Attacker, reader: Attacker, attacker_cluster: TenantCluster
) -> None:
    kubectl, rule = attacker_cluster.kubectl, ("--verb=impersonate", "--resource=users", "--resource-name=carl")
    kubectl("create", "clusterrole", "as-carl", *rule)
    kubectl("create", "clusterrolebinding", "as-carl", "--clusterrole=as-carl", "--user=bob")
    kubectl("create", "clusterrolebinding", "carl", "--clusterrole=view", "--user=carl")
    as_carl = {"Impersonate-User": "carl"}
    assert reader.call("GET", MAPS, headers=as_carl).code == 200
    assert reader.call("POST", MAPS, {"metadata": {"name": "x"}}, headers=as_carl).code == 403
    for more in ({"Impersonate-Group": "tenant:admin"}, {"Impersonate-Uid": "1"}, {"Impersonate-Extra-scopes": "all"}):
        is_status(reader.call("GET", MAPS, headers=as_carl | more), 403)
    for other in ("admin", "carla", "system:serviceaccount:default:default"):
        is_status(reader.call("GET", MAPS, headers={"Impersonate-User": other}), 403)
    kubectl("delete", "clusterrolebinding/as-carl", "clusterrolebinding/carl", "clusterrole/as-carl")


@case(3)
def test_what_proxies_say_of_a_client_is_not_believed_and_goes_no_further(attacker: Attacker, arrived: Witness) -> None:
    lies = {
        "X-Remote-User": "system:admin",
        "X-Remote-Group": "system:masters",
        "X-Remote-Extra-Scopes": "all",
        "X-Forwarded-For": "192.0.2.99",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Real-IP": "192.0.2.99",
        "Forwarded": "for=192.0.2.99",
        "X-Original-URL": "/api/v1/nodes",
        "X-HTTP-Method-Override": "DELETE",
    }
    assert attacker.call("GET", MAPS, headers=lies).code == 200
    assert attacker.call("GET", MAPS, headers=lies, token="").code == 401
    found = arrived()
    assert [one.verb for one in found] == ["list"]
    is_own(found[0], attacker.tenant)
    for lie in ("192.0.2.99", "evil.example", "system:masters"):
        assert lie not in found[0].line
