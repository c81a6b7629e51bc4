"""Live policies of tenants: what the host tells of one counts for that one alone."""

from typing import Any

import pytest

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


def test_many_changes_in_a_row_make_one_policy_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event copied all roles and bindings: a start with 10,000 of them took time by their square."""
    told, made, changed = Told(), [], Policy.changed
    monkeypatch.setattr(Policy, "changed", lambda *given: made.append(1) or changed(*given))  # type: ignore[func-returns-value]
    told.tell(*many(5_000))
    assert told.rights.policy(ACME).allows(User("ann", ()), ASKED)
    assert told.rights.policy(ACME) is told.rights.policy(ACME)
    assert made == [1]


def many(number: int) -> list[Event]:
    """Pairs of a role and its binding."""
    found = []
    for index in range(number):
        for event in events(ACME):
            metadata = event.object["metadata"] | {"name": f"r{index}", "uid": f"{event.object['kind']} {index}"}
            body = event.object | {"metadata": metadata}
            if "roleRef" in body:
                body["roleRef"] = {**body["roleRef"], "name": f"r{index}"}
            found.append(Event("ADDED", body))
    return found


def test_the_words_of_a_tenants_roles_and_bindings_are_counted() -> None:
    told = Told()
    told.tell(*events(ACME))
    assert told.rights.room(ACME).held == (1 + 3) + (1 + 3 + 1)
    told.tell(bigger("MODIFIED"))
    assert (told.rights.room(ACME).held, told.rights.room(GLOBEX).held) == (12, 0)
    told.tell(bigger("DELETED"))
    assert told.rights.room(ACME).held == 5
    told.tell(events(ACME, "DELETED")[1])
    assert told.rights.room(ACME).held == 0
    assert not told.rights._known


def bigger(type: str) -> Event:
    """The role with one rule more."""
    role = events(ACME)[0].object
    metadata = role["metadata"] | {"resourceVersion": "8"}
    return Event(type, role | {"metadata": metadata, "rules": [*role["rules"], *role["rules"]]})


@pytest.mark.parametrize("kind", ["Role", "RoleBinding"])
def test_nothing_stays_in_memory_that_is_not_counted(kind: str) -> None:
    """Labels of bindings and Roles stayed, of up to 256 KB each, and none of them was a word."""
    told, much = Told(), {f"key{number}": "much" * 15 for number in range(1000)}
    [event] = [one for one in events(ACME) if one.object["kind"] == kind]
    event.object["metadata"] |= {"labels": {**much}, "annotations": {**much}, "finalizers": [*much.values()]}
    told.tell(event)
    told.rights.learn(ACME, {**event.object, "metadata": {**event.object["metadata"], "resourceVersion": "8"}})
    kept = [dict(mirror.items) for mirror in told.rights._mirrors]
    assert "reader" in repr(kept)
    assert "much" not in repr((kept, told.rights._changes, told.rights._known))
    assert told.rights.room(ACME).held < 10


def test_what_is_being_written_takes_room_until_its_event_comes() -> None:
    told = Told()
    told.rights.reserve(ACME, ("Role", "web", "reader"), 100)
    assert (told.rights.room(ACME).held, told.rights.room(GLOBEX).held) == (100, 0)
    told.tell(events(ACME)[0])
    assert told.rights.room(ACME).held == 4
