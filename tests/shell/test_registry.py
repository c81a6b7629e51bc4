"""The registry: what it shows of the host, at once, and what it never shows."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.shell.fakehost import Answer, FakeHost, refused, settle, until
from vcproxy.core import status
from vcproxy.core.names import HostName, TenantId, VirtualName
from vcproxy.core.status import ApiError
from vcproxy.core.view import NamespaceInfo, Phase
from vcproxy.tenants.authorities import Authority, Kept
from vcproxy.tenants.namespaces import EARLY_SECONDS
from vcproxy.tenants.reflector import Timing
from vcproxy.tenants.registry import GONE_SECONDS, Registry
from vcproxy.tenants.subscriptions import NamespaceAdded, NamespaceRemoved, TenantChanged

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
WEB = VirtualName("web")
FAST = Timing(first_pause=0.001, longest_pause=0.002)
VCPROXY = "/apis/vcproxy.io/v1alpha1"

LOOKUP = "GET /api/v1/namespaces/acme-web"
MADE = b'{"metadata": {"name": "acme-web", "labels": {"vcproxy.io/tenant": "acme"}}}'


class Late(Answer):
    """An answer whose body comes when it is set free."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status, [])
        self.free = asyncio.Event()
        self._answer = answer

    async def read(self, limit: int) -> bytes:
        await self.free.wait()
        return await self._answer.read(limit)

    async def chunks(self) -> AsyncIterator[bytes]:
        await self.free.wait()
        async for chunk in self._answer.chunks():
            yield chunk


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def tenant(name: str = "acme", *, phase: str = "Active", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


def space(name: str, owner: str | None = "acme", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": ({"vcproxy.io/tenant": owner} if owner else {}) | labels}}


@asynccontextmanager
async def running(host: FakeHost, **options: Any) -> AsyncIterator[Registry]:
    registry = Registry(host, timing=FAST, **options)
    task = asyncio.create_task(registry.run())
    try:
        async with asyncio.timeout(5):
            await registry.wait_synced()
        yield registry
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def shown(registry: Registry, owner: TenantId = ACME) -> list[str]:
    view = registry.tenant(owner)
    return sorted(view.namespaces) if view is not None else ["no tenant"]


async def test_it_is_synced_when_all_is_listed_and_says_why_not() -> None:
    host = FakeHost()
    registry = Registry(host, timing=FAST)
    assert not registry.synced
    assert len(registry.reasons()) == 10
    async with running(host) as live:
        assert live.synced
        assert live.reasons() == []


async def test_only_namespaces_whose_label_and_prefix_agree_are_shown() -> None:
    host = FakeHost()
    host.put(VCPROXY, "tenants", tenant())
    for document in (
        space("acme-web"),
        space("acme-vcproxy"),
        space("acme-secret", **{"vcproxy.io/hidden": "true"}),
        space("globex-web"),
        space("acme-stolen", "globex"),
        space("acme-unlabelled", None),
        space("acme-"),
        space("acme"),
        space("acme-bad", "acme-x"),
    ):
        host.put("/api/v1", "namespaces", document)
    async with running(host) as registry:
        assert shown(registry) == ["web"]
        assert shown(registry, GLOBEX) == ["no tenant"]
        assert registry.known_namespace(GLOBEX, VirtualName("web")) is None


async def test_namespaces_come_and_go_with_their_events() -> None:
    host = FakeHost()
    host.put(VCPROXY, "tenants", tenant())
    async with running(host) as registry:
        before = registry.tenant(ACME)
        host.put("/api/v1", "namespaces", space("acme-web"))
        await until(lambda: shown(registry) == ["web"])
        assert before is not None
        assert dict(before.namespaces) == {}
        assert registry.tenant(ACME) is registry.tenant(ACME)
        host.remove("namespaces", "acme-web")
        await until(lambda: shown(registry) == [])


@pytest.mark.parametrize(
    ("document", "phase"),
    [
        (tenant(), Phase.ACTIVE),
        (tenant(phase=""), Phase.PENDING),
        (tenant(phase="Pending"), Phase.PENDING),
        (tenant(suspended=True), Phase.SUSPENDED),
        (tenant(phase="Suspended"), Phase.ACTIVE),
        (tenant() | {"metadata": {"name": "acme", "deletionTimestamp": "x"}}, Phase.TERMINATING),
    ],
)
async def test_the_phase_follows_the_spec_before_the_status(document: dict[str, Any], phase: Phase) -> None:
    host = FakeHost()
    host.put(VCPROXY, "tenants", document)
    async with running(host) as registry:
        view = registry.tenant("acme")
        assert view is not None
        assert view.phase is phase
        assert registry.tenants() == (view,)


async def test_a_namespace_that_no_event_told_of_is_asked_once_for_all() -> None:
    host = FakeHost()
    async with running(host) as registry:
        host.end_watches()
        host.fail[LOOKUP] = [Answer(200, [MADE])]
        found = await asyncio.gather(*(registry.namespace(ACME, WEB, 1.0) for _ in range(5)))
        assert all(isinstance(item, NamespaceInfo) for item in found)
        assert host.fail[LOOKUP] == []
        assert host.log == []


async def test_a_known_namespace_costs_no_request() -> None:
    host = FakeHost()
    host.put("/api/v1", "namespaces", space("acme-web"))
    async with running(host) as registry:
        assert await registry.namespace(ACME, WEB, 1.0) is not None
        assert host.log == []


@pytest.mark.parametrize("document", [None, space("acme-web", None), space("acme-web", "globex")])
async def test_absence_is_asked_for_each_time(document: dict[str, Any] | None) -> None:
    """Its event may come late, and another replica may have made it: what was absent may be there a moment later."""
    host = FakeHost()
    if document is not None:
        host.put("/api/v1", "namespaces", document)
    async with running(host) as registry:
        host.end_watches()
        assert [await registry.namespace(ACME, WEB, 1.0) for _ in range(2)] == [None, None]
        host.fail[LOOKUP] = [Answer(200, [MADE])]
        assert await registry.namespace(ACME, WEB, 1.0) is not None


async def test_who_comes_while_the_host_is_asked_does_not_take_an_older_no() -> None:
    host, late = FakeHost(), Late(refused(404, "NotFound"))
    async with running(host) as registry:
        host.fail[LOOKUP] = [late, Answer(200, [MADE])]
        first = asyncio.create_task(registry.namespace(ACME, WEB, 1.0))
        await settle()
        second = asyncio.create_task(registry.namespace(ACME, WEB, 1.0))
        await settle()
        late.free.set()
        assert await first is None
        assert await second is not None


async def test_an_event_ends_what_was_found_before_it() -> None:
    host = FakeHost()
    async with running(host) as registry:
        host.fail[LOOKUP] = [Answer(200, [MADE])]
        assert await registry.namespace(ACME, WEB, 1.0) is not None
        host.put("/api/v1", "namespaces", space("acme-web"))
        await settle()
        host.remove("namespaces", "acme-web")
        await settle()
        assert await registry.namespace(ACME, WEB, 1.0) is None


async def test_an_early_answer_is_not_believed_for_ever() -> None:
    host, clock = FakeHost(), Clock()
    async with running(host, clock=clock) as registry:
        host.fail[LOOKUP] = [Answer(200, [MADE])]
        assert await registry.namespace(ACME, WEB, 1.0) is not None
        assert await registry.namespace(ACME, WEB, 1.0) is not None
        clock.time += EARLY_SECONDS + 0.01
        assert await registry.namespace(ACME, WEB, 1.0) is None


async def test_the_system_namespace_is_nobodys() -> None:
    host = FakeHost()
    host.put("/api/v1", "namespaces", space("acme-vcproxy"))
    async with running(host) as registry:
        assert await registry.namespace(ACME, VirtualName("vcproxy"), 1.0) is None
        assert host.log == []


@pytest.mark.parametrize(
    ("step", "code"), [(refused(403, "Forbidden"), 502), (status.timed_out(), 504), (Answer(200, [None]), 504)]
)
async def test_a_host_that_does_not_say_is_an_error_of_the_way(step: Answer | ApiError, code: int) -> None:
    host = FakeHost()
    async with running(host) as registry:
        host.fail[LOOKUP] = [step]
        with pytest.raises(ApiError) as caught:
            await registry.namespace(ACME, WEB, 0.02)
        assert caught.value.status.code == code


async def test_a_subscriber_hears_of_its_own_tenant_only() -> None:
    host = FakeHost()
    host.put(VCPROXY, "tenants", tenant())
    async with running(host) as registry:
        subscription = registry.subscribe(ACME)
        host.put("/api/v1", "namespaces", space("globex-web", "globex"))
        host.put("/api/v1", "namespaces", space("acme-web"))
        host.put("/api/v1", "namespaces", space("acme-web", app="x"))
        host.put(VCPROXY, "tenants", tenant(suspended=True))
        host.remove("namespaces", "acme-web")
        host.remove("tenants", "acme")
        heard = [await anext(subscription) for _ in range(4)]
        spaces = [event for event in heard if not isinstance(event, TenantChanged)]
        assert [(type(event), event.name) for event in spaces] == [(NamespaceAdded, "web"), (NamespaceRemoved, "web")]
        changed = [event.view.phase if event.view else None for event in heard if isinstance(event, TenantChanged)]
        assert changed == [Phase.SUSPENDED, None]
        subscription.close()
        assert [event async for event in subscription] == []


async def test_a_namespace_made_anew_is_removed_and_added() -> None:
    host = FakeHost()
    host.put("/api/v1", "namespaces", space("acme-web"))
    async with running(host) as registry:
        subscription = registry.subscribe(ACME)
        host.end_watches()
        host.remove("namespaces", "acme-web")
        host.put("/api/v1", "namespaces", space("acme-web"))
        registry._namespace_changed(*_reborn())
        assert [type(await anext(subscription)) for _ in range(2)] == [NamespaceRemoved, NamespaceAdded]


def _reborn() -> Any:
    from vcproxy.tenants.namespaces import OwnedNamespace

    first = OwnedNamespace(ACME, WEB, "uid-a", NamespaceInfo(1.0, "1"))
    return ("", "acme-web"), first, OwnedNamespace(ACME, WEB, "uid-b", NamespaceInfo(2.0, "2"))


async def test_the_version_of_a_namespace_stays_that_of_its_first_event() -> None:
    host = FakeHost()
    first = host.put("/api/v1", "namespaces", space("acme-web"))["metadata"]["resourceVersion"]
    async with running(host) as registry:
        host.put("/api/v1", "namespaces", space("acme-web") | {"status": {"phase": "Terminating"}})
        document = space("acme-web")
        document["metadata"]["deletionTimestamp"] = "x"
        host.put("/api/v1", "namespaces", document)
        await until(lambda: (info := registry.known_namespace(ACME, WEB)) is not None and info.terminating)
        info = registry.known_namespace(ACME, WEB)
        assert info is not None
        assert info.resource_version == first


async def test_tokens_and_keys_are_handed_on_as_they_change() -> None:
    host = FakeHost()
    tokens: list[tuple[TenantId, Mapping[str, str] | None]] = []
    keys: list[Mapping[str, bytes] | None] = []

    def token_map(owner: str, name: str, **data: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "vcproxy-system", "labels": {"vcproxy.io/tokens": owner}}
        return {"metadata": metadata, "data": data}

    secret = {"metadata": {"name": "vcproxy-keys", "namespace": "vcproxy-system"}}
    host.put("/api/v1", "secrets", secret | {"data": {"a": base64.b64encode(b"x").decode(), "odd": "%"}})
    host.put("/api/v1", "secrets", {"metadata": {"name": "other", "namespace": "vcproxy-system"}})
    host.put("/api/v1", "configmaps", token_map("acme", "tokens-acme", t="1"))
    host.put("/api/v1", "configmaps", token_map("acme", "tokens-globex", t="evil"))
    on_tokens: Callable[..., None] = lambda owner, data: tokens.append((owner, data))  # noqa: E731
    async with running(host, on_tokens=on_tokens, on_keys=keys.append):
        assert tokens == [(ACME, {"t": "1"})]
        assert keys == [{"a": b"x"}]
        host.put("/api/v1", "configmaps", token_map("acme", "tokens-acme", t="2"))
        host.remove("configmaps", "tokens-acme", "vcproxy-system")
        host.remove("secrets", "vcproxy-keys", "vcproxy-system")
        await until(lambda: keys[-1] is None and tokens[-1] == (ACME, None))
        assert tokens[1] == (ACME, {"t": "2"})


async def test_any_object_can_be_watched() -> None:
    host = FakeHost()
    host.put("/api/v1", "configmaps", {"metadata": {"name": "ca", "namespace": "default"}, "data": {"a": "1"}})
    heard: list[Any] = []
    registry = Registry(host, timing=FAST)
    registry.watch_object("/api/v1/namespaces/default/configmaps", "ca", heard.append)
    task = asyncio.create_task(registry.run())
    await registry.wait_synced()
    host.remove("configmaps", "ca", "default")
    await until(lambda: len(heard) == 2)
    assert heard[0]["data"] == {"a": "1"}
    assert heard[1] is None
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_owner_of_a_namespace_is_known_for_a_while_after_it_went() -> None:
    host, clock = FakeHost(), Clock()
    host.put(VCPROXY, "tenants", tenant())
    for document in (space("acme-web"), space("acme-foreign", None), space("acme-vcproxy")):
        host.put("/api/v1", "namespaces", document)
    async with running(host, clock=clock) as registry:
        names = [HostName(name) for name in ("acme-web", "acme-foreign", "acme-vcproxy", "acme", "web")]
        assert [registry.owner(name) for name in names] == [(ACME, WEB), None, None, None, None]
        host.remove("namespaces", "acme-web")
        await until(lambda: registry.known_namespace(ACME, WEB) is None)
        assert registry.owner(HostName("acme-web")) == (ACME, WEB)
        clock.time += GONE_SECONDS + 1
        assert registry.owner(HostName("acme-web")) is None


async def test_grants_are_told_when_they_change_and_when_the_tenant_goes() -> None:
    host, told = FakeHost(), list[tuple[str, int]]()
    granted = [{"role": "tenant-view", "users": ["ann"]}]
    host.put(VCPROXY, "tenants", tenant(grants=granted))
    host.put(VCPROXY, "tenants", tenant("globex"))
    async with running(host, on_grants=lambda name, found: told.append((name, len(found.grants) if found else 0))):
        host.put(VCPROXY, "tenants", tenant(grants=granted, displayName="Acme"))
        host.put(VCPROXY, "tenants", tenant(grants=granted * 2))
        await until(lambda: len(told) == 2)
        host.remove("tenants", "acme")
        await until(lambda: len(told) == 3)
    assert told == [("acme", 1), ("acme", 2), ("acme", 0)]


async def test_the_authorities_of_a_tenant_are_told_when_they_come_change_and_go() -> None:
    host, told = FakeHost(), []
    first = Kept(ACME, "u", (Authority(1, "one", 1e9),))
    both = Kept(ACME, "u", (*first.authorities, Authority(2, "two", 2e9)))
    stranger = first.document() | {"metadata": {"name": "authority-acme", "namespace": "vcproxy-system"}}
    async with running(host, on_authorities=lambda tenant, found: told.append((tenant, found))):
        for document in (stranger, first.document(), both.document()):
            host.put("/api/v1", "configmaps", document)
        await until(lambda: told[-1:] == [(ACME, both)])
        host.remove("configmaps", "authority-acme", "vcproxy-system")
        await until(lambda: told[-1] == (ACME, None))
    assert told == [(ACME, first), (ACME, both), (ACME, None)]
