"""Which class counts where a tenant's object names none."""

from typing import Any

from tests.shell.fakehost import FakeHost, settle
from tests.shell.test_registry import ACME, GLOBEX, VCPROXY, running, tenant
from vcproxy.core.kinds import GUARDED
from vcproxy.core.names import TenantId
from vcproxy.core.view import Defaults
from vcproxy.tenants.registry import Registry

STORAGE = "/apis/storage.k8s.io/v1"
FLAG = "storageclass.kubernetes.io/is-default-class"
KEPT = "vcproxy.io/default.storageclass.kubernetes.io"


def storage_class(name: str, made: str, owner: str = "", **annotations: str) -> dict[str, Any]:
    labels = {"vcproxy.io/tenant": owner} if owner else {}
    metadata = {"name": name, "labels": labels, "annotations": annotations, "creationTimestamp": made}
    return {"metadata": metadata}


async def storage(host: FakeHost, registry: Registry, owner: TenantId = ACME) -> str:
    await settle()
    view = registry.tenant(owner)
    assert view is not None
    return view.defaults.storage


async def test_the_newest_own_default_counts_and_then_the_hosts_where_it_is_lent() -> None:
    host = FakeHost()
    host.put(VCPROXY, "tenants", tenant(allowedClasses={"storage": ["standard"]}))
    host.put(VCPROXY, "tenants", tenant("globex"))
    async with running(host) as registry:
        assert await storage(host, registry) == ""
        host.put(STORAGE, "storageclasses", storage_class("standard", "2026-01-01T00:00:00Z", **{FLAG: "true"}))
        assert await storage(host, registry) == "standard"
        assert await storage(host, registry, GLOBEX) == ""
        own = storage_class("acme-a", "2026-02-01T00:00:00Z", "acme", **{KEPT: "true"})
        host.put(STORAGE, "storageclasses", own)
        assert await storage(host, registry) == "acme-a"
        newer = storage_class("acme-b", "2026-03-01T00:00:00Z", "acme", **{KEPT: "true"})
        host.put(STORAGE, "storageclasses", newer)
        assert await storage(host, registry) == "acme-b"
        host.remove("storageclasses", "acme-b")
        host.remove("storageclasses", "acme-a")
        assert await storage(host, registry) == "standard"


async def test_a_flag_of_a_tenant_that_the_host_would_read_counts_for_nobody() -> None:
    host = FakeHost()
    host.put(VCPROXY, "tenants", tenant())
    host.put(STORAGE, "storageclasses", storage_class("acme-a", "", "acme", **{FLAG: "true"}))
    async with running(host) as registry:
        assert await storage(host, registry) == ""


async def test_classes_of_priority_are_marked_in_a_field() -> None:
    host = FakeHost()
    host.put(VCPROXY, "tenants", tenant(allowedClasses={"priority": ["normal"]}))
    normal = {"metadata": {"name": "normal"}, "globalDefault": True}
    host.put("/apis/scheduling.k8s.io/v1", "priorityclasses", normal)
    async with running(host) as registry:
        await settle()
        view = registry.tenant(ACME)
        assert view is not None
        assert view.defaults == Defaults(priority="normal")


async def test_which_guarded_kinds_a_tenant_may_write_is_said_by_its_profile_or_by_itself() -> None:
    host = FakeHost()
    host.put(VCPROXY, "tenants", tenant("soft", profile="soft"))
    host.put(VCPROXY, "tenants", tenant("hard", profile="hard"))
    host.put(VCPROXY, "tenants", tenant("some", profile="hard", clusterKinds=["StorageClass", "Node"]))
    host.put(VCPROXY, "tenants", tenant("none", profile="soft", clusterKinds=[]))
    async with running(host) as registry:
        found = {view.id: view.writable for view in registry.tenants()}
    assert found == {"soft": GUARDED, "hard": set(), "some": {"StorageClass"}, "none": set()}
