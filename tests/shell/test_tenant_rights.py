"""Live policies of tenants: what the host tells of one counts for that one alone."""

from typing import Any

from tests.shell.fakehost import Scripted, json_answer
from vcproxy.core.grants import Grant
from vcproxy.core.names import TenantId
from vcproxy.core.rbac import Attributes, User
from vcproxy.core.rbac_policy import Policy
from vcproxy.tenants import rights
from vcproxy.tenants.hostapi import HostApi
from vcproxy.tenants.mirror import Mirror
from vcproxy.tenants.reflector import Event
from vcproxy.tenants.rights import Rights

ASKED = Attributes(verb="get", group="", resource="configmaps", subresource="", namespace="web", name="x", path="")
ACME, GLOBEX = TenantId("acme"), TenantId("globex")


def stored(tenant: TenantId, kind: str, **content: Any) -> dict[str, Any]:
    metadata = {"namespace": f"{tenant}-web", "name": "reader", "uid": f"{kind} of {tenant}", "resourceVersion": "7"}
    return {"apiVersion": "shadow.vcproxy.io/v1", "kind": kind, "metadata": metadata, **content}


def events(tenant: TenantId, type: str = "ADDED") -> list[Event]:
    """A role and its binding, as watches tell of them."""
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    binding = stored(tenant, "RoleBinding", subjects=[subject], roleRef=reference)
    return [Event(type, stored(tenant, "Role", rules=[rule])), Event(type, binding)]


class Told:
    """Rights that are told events as their watches would tell them."""

    def __init__(self) -> None:
        self.rights = Rights(Scripted(), Policy())
        mirrors: list[Mirror[Any]] = self.rights._mirrors
        self._mirrors = {mirror.reflector.path.rpartition("/")[2]: mirror for mirror in mirrors}

    def tell(self, *told: Event) -> None:
        for event in told:
            self._mirrors[event.object["kind"].lower() + "s"].deliver(event)

    def allows(self, tenant: TenantId) -> bool:
        return self.rights.policy(tenant).allows(User("ann", ()), ASKED)


async def test_a_role_of_the_same_name_in_another_tenant_takes_nothing_away() -> None:
    told = Told()
    told.tell(*events(ACME))
    assert (told.allows(ACME), told.allows(GLOBEX)) == (True, False)
    told.tell(*events(GLOBEX))
    assert (told.allows(ACME), told.allows(GLOBEX)) == (True, True)


async def test_a_role_that_somebody_else_deleted_no_longer_counts() -> None:
    told = Told()
    told.tell(*events(ACME))
    told.tell(events(ACME, "DELETED")[0])
    assert not told.allows(ACME)


def test_what_is_granted_counts_beside_what_the_tenant_wrote_and_for_it_alone() -> None:
    told = Told()
    granted = Grant("reader", ("ann",), (), ("web",))
    role = {"kind": "ClusterRole", "metadata": {"name": "reader", "uid": "r", "resourceVersion": "9"}}
    told.rights.learn(ACME, role | {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]})
    told.rights.grant(ACME, (granted,), "7")
    assert (told.allows(ACME), told.allows(GLOBEX)) == (True, False)
    assert [one["metadata"]["name"] for one in told.rights.granted(ACME)] == ["vcproxy:grant:reader"]
    told.rights.forget(ACME, role)
    assert not told.allows(ACME)
    told.rights.learn(ACME, role | {"metadata": {"name": "reader", "uid": "s", "resourceVersion": "11"}, "rules": []})
    told.rights.grant(ACME, (), "8")
    assert (told.rights.granted(ACME), told.allows(ACME)) == ((), False)


def test_what_is_granted_before_the_tenant_wrote_anything_outlives_what_it_writes() -> None:
    told = Told()
    told.rights.grant(ACME, (Grant("reader", ("bob",)),), "7")
    told.tell(*events(ACME))
    told.tell(*events(ACME, "DELETED"))
    role = {"kind": "ClusterRole", "metadata": {"name": "reader", "uid": "r", "resourceVersion": "9"}}
    told.rights.learn(ACME, role | {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]})
    assert [one.name for one in told.rights.policy(ACME).holders(ASKED)] == ["bob"]


async def test_rights_are_read_from_the_host_for_one_namespace() -> None:
    role, binding = (event.object for event in events(ACME))
    host = Scripted(*(json_answer(200, {"items": items}) for items in ([role], [], [binding], [])))
    found = await rights.read(HostApi(host), ACME, (Grant("tenant-view", ("bob",)),), "web")
    assert {one.name for one in found.holders(ASKED)} >= {"ann", "bob"}
    assert [target.partition("?")[0] for target in host.targets] == [
        "/apis/shadow.vcproxy.io/v1/namespaces/acme-web/roles",
        "/apis/shadow.vcproxy.io/v1/namespaces/acme-vcproxy/clusterroles",
        "/apis/shadow.vcproxy.io/v1/namespaces/acme-web/rolebindings",
        "/apis/shadow.vcproxy.io/v1/namespaces/acme-vcproxy/clusterrolebindings",
    ]
