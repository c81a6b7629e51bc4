"""What a thousand tenants cost the host: watches by kinds, never by tenants."""

from tests.flow.live import Registry, Sink, Watching, event, pod
from tests.flow.scripted import OLD
from vcproxy.core.names import HostName, TenantId, VirtualName
from vcproxy.core.view import Phase, TenantView

TENANTS = [TenantId(f"t{number}") for number in range(1000)]
KINDS = (
    "/api/v1/configmaps",
    "/api/v1/pods",
    "/api/v1/services",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
)


class Crowd(Registry):
    """A thousand tenants with a namespace `web` each."""

    def tenant(self, tenant: TenantId) -> TenantView | None:
        return TenantView(tenant, "uid-1", Phase.ACTIVE, namespaces={VirtualName("web"): OLD})

    def owner(self, namespace: HostName) -> tuple[TenantId, VirtualName] | None:
        tenant, _, name = namespace.partition("-")
        return TenantId(tenant), VirtualName(name)


async def test_a_thousand_tenants_with_informers_on_five_kinds_are_five_host_watches() -> None:
    at = Watching(registry=Crowd())
    sinks: dict[TenantId, Sink] = {}
    for tenant in TENANTS:
        for kind in KINDS:
            sink = await at.watch(f"{kind}?watch=1&resourceVersion=100&allowWatchBookmarks=true", tenant)
            if kind.endswith("/pods"):
                sinks[tenant] = sink
    assert len(at.live.streams) == len(KINDS)
    assert {stream.request.target.partition("?")[0] for stream in at.live.shared()} == set(KINDS)
    (pods,) = [stream for stream in at.live.shared() if stream.request.target.startswith("/api/v1/pods?")]
    await pods.put(event("ADDED", pod("t7-web", "a", 101)))
    assert sinks[TENANTS[7]].seen == ["BOOKMARK 100", "ADDED web/a 101"]
    assert sum(len(sink.writes) - 1 for sink in sinks.values()) == 1  # each has its first bookmark
