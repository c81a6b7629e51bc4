"""The controller against a host in memory: what it makes, heals and removes, and what it leaves alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.shell.fakehost import FakeHost, refused, until
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.names import TENANT_LABEL, TenantId
from vcproxy.core.status import bad_gateway
from vcproxy.tenants import bindings, removal
from vcproxy.tenants.controller import Controller
from vcproxy.tenants.lease import LeaseTiming
from vcproxy.tenants.manifests import Advertised
from vcproxy.tenants.reflector import Timing
from vcproxy.tenants.term import Term

VCPROXY = "/apis/vcproxy.io/v1alpha1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CORE = "/api/v1"
KINDS = (("", "v1", "pods"), ("", "v1", "configmaps"), ("apps", "v1", "deployments"))
OWN = ["acme-default", "acme-kube-node-lease", "acme-kube-public", "acme-kube-system", "acme-vcproxy"]
FAST = Timing(first_pause=0.001, longest_pause=0.002)


def installed() -> FakeHost:
    host = FakeHost()
    rule = {"apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": ["vcproxy:tenants"]}
    host.put(RBAC, "clusterroles", {"metadata": {"name": "vcproxy:impersonator"}, "rules": [rule]})
    for name in ("default", "kube-system"):
        host.put(CORE, "namespaces", {"metadata": {"name": name}})
    return host


def tenant(host: FakeHost, name: str = "acme", **spec: Any) -> None:
    found = host.find("tenants", name) or {"metadata": {"name": name}}
    generation = found["metadata"].get("generation", 0) + 1
    host.put(VCPROXY, "tenants", found | {"metadata": found["metadata"] | {"generation": generation}, "spec": spec})


def space(host: FakeHost, name: str, owner: str | None = "acme") -> None:
    labels = {"vcproxy.io/tenant": owner} if owner else {}
    host.put(CORE, "namespaces", {"metadata": {"name": name, "labels": labels}})


def config_map(host: FakeHost, place: str, name: str, *finalizers: str) -> None:
    host.put(CORE, "configmaps", {"metadata": {"name": name, "namespace": place, "finalizers": list(finalizers)}})


def delete(host: FakeHost, resource: str, name: str, place: str = "") -> None:
    for key in [key for key in host.objects if key[1:] == (resource, place, name)]:
        host._delete(key, "")


def phase(host: FakeHost, name: str = "acme") -> str:
    return str(((host.find("tenants", name) or {}).get("status") or {}).get("phase", ""))


def ready(host: FakeHost) -> dict[str, Any]:
    conditions = ((host.find("tenants", "acme") or {}).get("status") or {}).get("conditions") or [{}]
    found: dict[str, Any] = conditions[0]
    return found


def users(host: FakeHost) -> list[str]:
    rules = (host.find("clusterroles", "vcproxy:impersonator") or {})["rules"]
    return [name for rule in rules if rule["resources"] == ["users"] for name in rule["resourceNames"]]


def bound(host: FakeHost) -> list[str]:
    return [name.split("/")[0] for name in host.names("rolebindings")]


def complete(host: FakeHost) -> bool:
    return phase(host) == "Active" and bound(host) == OWN and users(host) == ["vcproxy:tenant:acme"]


@asynccontextmanager
async def running(host: Any, **options: Any) -> AsyncIterator[Term]:
    term = Term(host, kinds=KINDS, timing=FAST, **options)
    task = asyncio.create_task(term.run())
    try:
        yield term
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until_gone(host: FakeHost, condition: Callable[[], object]) -> None:
    """Play the host's namespace controller until a condition holds."""

    def round_of_it() -> object:
        host.end_namespaces()
        return condition()

    await until(round_of_it)


async def test_a_new_tenant_gets_all_that_is_its_own() -> None:
    host = installed()
    async with running(host, advertised=Advertised("10.0.0.5", 8443)):
        tenant(host, profile="soft")
        await until(lambda: complete(host))
    found = host.find("tenants", "acme")
    assert found is not None
    assert found["metadata"]["finalizers"] == ["vcproxy.io/tenant"]
    assert (ready(host)["status"], ready(host)["reason"]) == ("True", "Provided")
    assert [name for name in host.names("namespaces") if name.startswith("acme-")] == OWN
    system = host.find("namespaces", "acme-vcproxy")
    assert system is not None
    assert system["metadata"]["labels"] == {
        "vcproxy.io/tenant": "acme",
        "vcproxy.io/profile": "soft",
        "vcproxy.io/hidden": "true",
    }
    binding = host.find("rolebindings", "vcproxy:tenant", "acme-default")
    assert binding is not None
    assert binding["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "vcproxy:tenant:acme"}
    ]
    assert binding["metadata"]["finalizers"] == ["vcproxy.io/last"]
    service = host.find("services", "kubernetes", "acme-default")
    endpoints = host.find("endpointslices", "kubernetes", "acme-default")
    assert service is not None
    assert endpoints is not None
    assert service["spec"]["ports"][0]["targetPort"] == endpoints["ports"][0]["port"] == 8443
    assert endpoints["endpoints"][0]["addresses"] == ["10.0.0.5"]


async def test_the_count_of_namespaces_follows() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        space(host, "acme-web")
        await until(lambda: (host.find("tenants", "acme") or {})["status"]["namespaces"] == 5)
    assert bound(host) == sorted([*OWN, "acme-web"])


async def test_a_birth_that_was_restored_from_another_host_is_noted_anew() -> None:
    host = installed()
    async with running(host):
        born = {"resourceVersion": "9000000", "eventsResourceVersion": "9000000"}
        metadata = {"name": "acme", "generation": 1}
        host.put(VCPROXY, "tenants", {"metadata": metadata, "spec": {}, "status": {"birth": born}})
        await until(lambda: complete(host))
        born = (host.find("tenants", "acme") or {})["status"]["birth"]
    assert int(born["resourceVersion"]) <= host._version


async def test_how_far_the_host_has_come_is_noted_with_active_and_stays() -> None:
    host = installed()
    told: list[Any] = []
    async with running(host):
        before = host._version
        tenant(host)
        await until(lambda: complete(host))
        first = (host.find("tenants", "acme") or {})["status"]
        told.append(first["birth"])
        assert before < int(first["birth"]["resourceVersion"]) < host._version
        assert before < int(first["birth"]["eventsResourceVersion"]) <= host._version
        space(host, "acme-web")
        await until(lambda: (host.find("tenants", "acme") or {})["status"]["namespaces"] == 5)
    assert (host.find("tenants", "acme") or {})["status"]["birth"] == told[0]
    assert "events" in host.lists


async def test_nothing_is_written_when_nothing_is_missing() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        await until(lambda: (host.find("tenants", "acme") or {})["status"]["namespaces"] == 4)
    host.log.clear()
    async with running(host) as term:
        await term.world.wait_synced()
        await term.look(TenantId("acme"))
    writes = [line for line in host.log if not line.startswith("GET ")]
    assert writes == []


@pytest.mark.parametrize("after", range(14))
async def test_a_crash_after_any_write_costs_nothing(after: int) -> None:
    host = installed()
    tenant(host)

    class Mortal:
        """Dies with the answer to a write: it was done, and nobody heard."""

        def __init__(self) -> None:
            self.left = after

        async def send(self, request: HostRequest) -> HostResponse:
            answer = await host.send(request)
            if request.method != "GET":
                self.left -= 1
            if self.left < 0:
                await asyncio.Event().wait()
            return answer

        async def close(self) -> None: ...

    mortal = Mortal()
    async with running(mortal):
        await until(lambda: mortal.left < 0 or complete(host))
    async with running(host):
        await until(lambda: complete(host))
    assert host.names("rolebindings") == [f"{name}/vcproxy:tenant" for name in OWN]


@pytest.mark.parametrize("fault", [refused(500, "InternalError"), bad_gateway(), refused(409, "Conflict")])
async def test_a_failure_is_told_and_tried_again(fault: Any) -> None:
    host = installed()
    host.fail["POST /api/v1/namespaces"] = [fault]
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))


async def test_without_an_installation_the_tenant_says_so() -> None:
    host = installed()
    host.remove("clusterroles", "vcproxy:impersonator")
    async with running(host):
        tenant(host)
        await until(lambda: "vcproxy install" in ready(host).get("message", ""))
    assert phase(host) == "Pending"


@pytest.mark.parametrize(
    ("root", "resource", "name", "told"),
    [
        (CORE, "namespaces", "acme-theirs", "namespaces/acme-theirs"),
        (CORE, "namespaces", "acme-default", "namespaces/acme-default"),
        ("/apis/storage.k8s.io/v1", "storageclasses", "acme-fast", "storageclasses/acme-fast"),
        (
            "/apis/apiextensions.k8s.io/v1",
            "customresourcedefinitions",
            "things.acme-corp.example.com",
            "customresourcedefinitions/things.acme-corp.example.com",
        ),
    ],
)
async def test_a_prefix_that_is_in_use_is_refused(root: str, resource: str, name: str, told: str) -> None:
    host = installed()
    before = host.put(root, resource, {"metadata": {"name": name}})
    async with running(host):
        tenant(host)
        await until(lambda: ready(host).get("reason") == "NameTaken")
        assert phase(host) == "Pending"
        assert told in ready(host)["message"]
        assert users(host) == []
        delete(host, "tenants", "acme")
        await until(lambda: host.find("tenants", "acme") is None)
    assert host.find(resource, name) == before
    assert host.names("rolebindings") == []


async def test_a_like_prefix_is_not_in_use() -> None:
    host = installed()
    space(host, "acme2-web", None)
    space(host, "acme", None)
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))


async def test_a_foreign_namespace_that_wins_the_race_is_not_taken_over() -> None:
    host = installed()

    class Racing:
        async def send(self, request: HostRequest) -> HostResponse:
            if request.method == "POST" and host.find("namespaces", "acme-default") is None:
                space(host, "acme-default", None)
            return await host.send(request)

        async def close(self) -> None: ...

    async with running(Racing()):
        tenant(host)
        await until(lambda: ready(host).get("reason") == "NameTaken")
    foreign = host.find("namespaces", "acme-default")
    assert foreign is not None
    assert foreign["metadata"]["labels"] == {}
    assert "acme-default" not in bound(host)


async def test_a_binding_is_made_for_each_new_namespace_and_for_no_foreign_one() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        for name, owner in (("acme-web", "acme"), ("other", "acme"), ("globex-web", "globex"), ("acme-x", None)):
            space(host, name, owner)
        await until(lambda: "acme-web" in bound(host))
    assert bound(host) == sorted([*OWN, "acme-web"])


async def test_bindings_changed_or_removed_by_hand_are_healed() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        first = host.find("rolebindings", "vcproxy:tenant", "acme-default")
        assert first is not None
        delete(host, "rolebindings", "vcproxy:tenant", "acme-default")
        host.put(
            RBAC,
            "rolebindings",
            first | {"metadata": first["metadata"] | {"namespace": "acme-kube-system"}, "subjects": []},
        )
        host.remove("rolebindings", "vcproxy:tenant", "acme-kube-public")

        def healed() -> bool:
            found = [host.find("rolebindings", "vcproxy:tenant", name) for name in OWN]
            return all(
                item and len(item["subjects"]) == 1 and "deletionTimestamp" not in item["metadata"] for item in found
            )

        await until(healed)


async def test_protected_namespaces_come_back() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        delete(host, "namespaces", "acme-kube-public")
        await until_gone(host, lambda: host.log.count("POST /api/v1/namespaces") == 6 and complete(host))


async def test_a_suspended_tenant_keeps_everything() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        tenant(host, suspended=True)
        await until(lambda: phase(host) == "Suspended")
        assert bound(host) == OWN
        tenant(host, suspended=False)
        await until(lambda: phase(host) == "Active")


async def test_the_profile_stands_on_every_namespace() -> None:
    host = installed()
    async with running(host):
        tenant(host, profile="soft")
        await until(lambda: complete(host))
        space(host, "acme-web")

        def labels() -> set[str]:
            found = [(host.find("namespaces", name) or {})["metadata"]["labels"] for name in (*OWN, "acme-web")]
            return {item.get("vcproxy.io/profile", "") for item in found}

        await until(lambda: labels() == {"soft"})
        tenant(host, profile="hard")
        await until(lambda: labels() == {"hard"})


async def test_an_ending_namespace_that_needs_nobody_is_let_go_at_once() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        space(host, "acme-web")
        config_map(host, "acme-web", "plain")
        config_map(host, "acme-web", "held-by-the-host", "foregroundDeletion")
        await until(lambda: "acme-web" in bound(host))
        delete(host, "namespaces", "acme-web")
        await until(
            lambda: (host.find("rolebindings", "vcproxy:tenant", "acme-web") or {})["metadata"]["finalizers"] == []
        )


@pytest.mark.parametrize("holder", ["configmap", "pod", "unknown kind"])
async def test_an_ending_namespace_keeps_its_binding_while_the_tenant_is_needed(
    holder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings, "FIRST_LOOK", 0.01)
    monkeypatch.setattr(bindings, "LONGEST_LOOK", 0.02)
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        space(host, "acme-web")
        if holder == "configmap":
            config_map(host, "acme-web", "held", "example.com/hold")
        elif holder == "pod":
            host.put(
                CORE, "pods", {"metadata": {"name": "runs", "namespace": "acme-web", "finalizers": ["kubernetes"]}}
            )
        await until(lambda: "acme-web" in bound(host))
        ending = host.find("namespaces", "acme-web")
        assert ending is not None
        remaining = "Some resources are remaining: widgets.example.com has 1 resource instances"
        if holder == "unknown kind":
            status = {"conditions": [{"type": "NamespaceContentRemaining", "status": "True", "message": remaining}]}
            host.put(
                CORE,
                "namespaces",
                ending | {"status": status, "metadata": ending["metadata"] | {"deletionTimestamp": "x"}},
            )
        delete(host, "namespaces", "acme-web")
        await asyncio.sleep(0.1)
        assert host.end_namespaces() == ["acme-web"]
        binding = host.find("rolebindings", "vcproxy:tenant", "acme-web")
        assert binding is not None
        assert binding["metadata"]["finalizers"] == ["vcproxy.io/last"]
        host.remove("configmaps", "held", "acme-web")
        host.remove("pods", "runs", "acme-web")
        if holder == "unknown kind":
            host.put(CORE, "namespaces", ending | {"metadata": ending["metadata"] | {"deletionTimestamp": "x"}})
        await until_gone(host, lambda: host.find("namespaces", "acme-web") is None)


async def test_a_controller_without_rights_there_binds_itself_for_the_end() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        space(host, "acme-web")
        config_map(host, "acme-web", "held", "example.com/hold")
        await until(lambda: "acme-web" in bound(host))
        host.fail["GET /api/v1/namespaces/acme-web/configmaps"] = [refused(403, "Forbidden")]
        delete(host, "namespaces", "acme-web")
        await until(lambda: len((host.find("rolebindings", "vcproxy:tenant", "acme-web") or {})["subjects"]) == 2)
    binding = host.find("rolebindings", "vcproxy:tenant", "acme-web")
    assert binding is not None
    assert [subject["name"] for subject in binding["subjects"]] == ["vcproxy:tenant:acme", "vcproxy-controller"]


async def test_a_deleted_tenant_takes_all_of_its_own_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "REMOVAL_LOOK", 0.01)
    monkeypatch.setattr(bindings, "FIRST_LOOK", 0.01)
    host = installed()
    async with running(host):
        tenant(host)
        tenant(host, "globex")
        await until(lambda: phase(host) == "Active" and phase(host, "globex") == "Active" and len(bound(host)) == 10)
        space(host, "acme-web")
        config_map(host, "acme-web", "held", "example.com/hold")
        host.put(CORE, "pods", {"metadata": {"name": "runs", "namespace": "acme-web"}})
        space(host, "acme-foreign", None)
        space(host, "mislabelled", "acme")
        label = {"vcproxy.io/tenant": "acme"}
        for name, labels in (("acme-fast", label), ("acme-old", {}), ("fast", label)):
            host.put("/apis/storage.k8s.io/v1", "storageclasses", {"metadata": {"name": name, "labels": labels}})
        for name, owner in (("tokens-acme", "acme"), ("tokens-globex", "globex")):
            metadata = {"name": name, "namespace": "vcproxy-system", "labels": {"vcproxy.io/tokens": owner}}
            host.put(CORE, "configmaps", {"metadata": metadata})
        others = {key: value for key, value in host.objects.items() if key[2].startswith("globex-")}
        delete(host, "tenants", "acme")
        await until(lambda: phase(host) == "Terminating")
        assert "still being deleted" in ready(host)["message"]
        await until_gone(host, lambda: host.find("tenants", "acme") is None)
    left = [name for name in host.names("namespaces") if not name.startswith("globex-")]
    assert left == ["acme-foreign", "default", "kube-system", "mislabelled"]
    assert host.names("storageclasses") == ["acme-old", "fast"]
    assert host.names("configmaps") == ["vcproxy-system/tokens-globex"]
    assert users(host) == ["vcproxy:tenant:globex"]
    assert {key: host.objects[key] for key in others} == others


async def test_the_last_user_leaves_no_rule_that_means_everybody() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        delete(host, "tenants", "acme")
        await until_gone(host, lambda: host.find("tenants", "acme") is None)
    rules = (host.find("clusterroles", "vcproxy:impersonator") or {})["rules"]
    assert [rule["resources"] for rule in rules] == [["groups"]]


@pytest.mark.parametrize("after", range(12))
async def test_a_crash_in_the_middle_of_a_removal_is_gone_on_from(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "REMOVAL_LOOK", 0.01)
    monkeypatch.setattr(bindings, "FIRST_LOOK", 0.01)
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
    config_map(host, "acme-default", "held", "example.com/hold")
    delete(host, "tenants", "acme")
    left = after

    class Mortal:
        async def send(self, request: HostRequest) -> HostResponse:
            nonlocal left
            answer = await host.send(request)
            left -= request.method != "GET"
            if left < 0:
                await asyncio.Event().wait()
            return answer

        async def close(self) -> None: ...

    async with running(Mortal()):
        await until_gone(host, lambda: left < 0 or host.find("tenants", "acme") is None)
    async with running(host):
        await until_gone(host, lambda: host.find("tenants", "acme") is None)
    assert host.names("namespaces") == ["default", "kube-system"]
    assert users(host) == []


async def test_bindings_of_a_tenant_that_was_torn_out_hold_nothing_up() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        host.remove("tenants", "acme")
        delete(host, "namespaces", "acme-default")
        await until_gone(host, lambda: host.find("namespaces", "acme-default") is None)


async def test_users_that_an_installation_forgot_are_put_back() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        rule = {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["someone"]}
        host.put(RBAC, "clusterroles", {"metadata": {"name": "vcproxy:impersonator"}, "rules": [rule]})
        await until(lambda: users(host) == ["vcproxy:tenant:acme"])


async def test_many_tenants_at_once_share_writes_of_the_role() -> None:
    host = installed()
    names = [f"t{number}x" for number in range(30)]
    for name in names:
        tenant(host, name)
    async with running(host):
        await until(lambda: all(phase(host, name) == "Active" for name in names), 20)
    assert users(host) == sorted(f"vcproxy:tenant:{name}" for name in names)
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/vcproxy:impersonator"
    assert host.log.count(f"PUT {path}") < 15


async def test_a_controller_leads_works_and_gives_the_lease_back() -> None:
    host = installed()
    tenant(host)
    timing = LeaseTiming(duration=1, renew=0.5, retry=0.01)
    candidate = Controller(host, identity="a", term=lambda: Term(host, kinds=KINDS, timing=FAST), timing=timing)
    task = asyncio.create_task(candidate.run())
    await until(lambda: complete(host))
    assert candidate.leading
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    lease = host.find("leases", "vcproxy-controller", "vcproxy-system")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == ""


async def test_a_namespace_that_lost_its_owners_label_gets_it_back_by_its_binding() -> None:
    host = installed()
    async with running(host):
        tenant(host, profile="soft")
        await until(lambda: complete(host))
        space(host, "acme-web")
        await until(lambda: "acme-web" in bound(host))
        for labels in ({}, {"vcproxy.io/tenant": "globex"}, {"other": "label"}):
            host.put(CORE, "namespaces", {"metadata": {"name": "acme-web", "labels": labels}})
            await until(lambda: label_of(host, "acme-web") == "acme")
        for name in OWN:
            host.put(CORE, "namespaces", {"metadata": {"name": name, "labels": {}}})
        await until(lambda: all(label_of(host, name) == "acme" for name in OWN))
        system = host.find("namespaces", "acme-vcproxy")
        assert system is not None
        assert system["metadata"]["labels"]["vcproxy.io/hidden"] == "true"


async def test_a_namespace_that_only_has_the_prefix_is_not_taken() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        space(host, "acme-looks", None)
        binding = {"name": "vcproxy:tenant", "namespace": "acme-looks"}
        subject = {"kind": "User", "name": "vcproxy:tenant:other"}
        host.put(RBAC, "rolebindings", {"metadata": binding, "roleRef": {}, "subjects": [subject]})
        space(host, "acme-web")
        await until(lambda: "acme-web" in bound(host))
        assert label_of(host, "acme-looks") is None


async def test_the_system_namespace_is_hidden_again() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: complete(host))
        space(host, "acme-vcproxy")
        await until(
            lambda: "vcproxy.io/hidden" in (host.find("namespaces", "acme-vcproxy") or {})["metadata"]["labels"]
        )


def label_of(host: FakeHost, name: str) -> str | None:
    found = host.find("namespaces", name) or {"metadata": {}}
    label: str | None = (found["metadata"].get("labels") or {}).get("vcproxy.io/tenant")
    return label


def definition_of_acme() -> dict[str, Any]:
    metadata = {"name": "things.acme-example.com", "labels": {TENANT_LABEL: "acme"}}
    spec = {"group": "acme-example.com", "names": {"plural": "things"}, "versions": [{"name": "v1", "served": True}]}
    return {"metadata": metadata, "spec": spec}


async def test_rights_to_the_kinds_of_a_tenant_that_are_changed_or_removed_are_put_back() -> None:
    host = installed()
    host.put("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", definition_of_acme())
    kinds, name = ("clusterroles", "clusterrolebindings"), "vcproxy:apis:acme"

    def said(kind: str) -> tuple[Any, ...]:
        found = host.find(kind, name) or {}
        return tuple(found.get(key) for key in ("rules", "aggregationRule", "subjects", "roleRef"))

    async with running(host):
        tenant(host)
        await until(lambda: complete(host) and all(host.find(kind, name) for kind in kinds))
        before = {kind: said(kind) for kind in kinds}
        for kind in kinds:
            host.remove(kind, name)
            await until(lambda kind=kind: said(kind) == before[kind])  # type: ignore[misc]
        damages: tuple[tuple[str, dict[str, Any]], ...] = (
            ("clusterroles", {"rules": []}),
            ("clusterroles", {"aggregationRule": {"clusterRoleSelectors": [{}]}}),
            ("clusterrolebindings", {"subjects": []}),
            ("clusterrolebindings", {"roleRef": {"kind": "ClusterRole", "name": "other"}}),
        )
        for kind, damage in damages:
            host.put(RBAC, kind, {**(host.find(kind, name) or {}), **damage})
            await until(lambda kind=kind: said(kind) == before[kind])  # type: ignore[misc]
        host.remove("customresourcedefinitions", "things.acme-example.com")
        await until(lambda: not any(host.find(kind, name) for kind in kinds))
