"""Bindings at the end of a namespace: who is still needed, and what is taken off when nobody may be asked."""

import pytest

from tests.shell.fakehost import FakeHost
from vcproxy.core.names import HostName
from vcproxy.tenants.bindings import Bindings
from vcproxy.tenants.hostapi import HostApi
from vcproxy.tenants.reflector import Timing
from vcproxy.tenants.world import World

CORE = "/api/v1"
WEB = HostName("acme-web")
KINDS = (("", "v1", "pods"), ("", "v1", "configmaps"), ("example.com", "v1", "absent"))


def bindings(host: FakeHost) -> Bindings:
    host.absent.add("absent")
    world = World(host, lambda tenant: None, lambda role: None, timing=Timing())
    return Bindings(HostApi(host), world, KINDS)


@pytest.mark.parametrize(
    ("resource", "finalizers", "held"),
    [
        ("configmaps", [], False),
        ("configmaps", ["kubernetes.io/pvc-protection", "foregroundDeletion"], False),
        ("configmaps", ["example.com/a"], True),
        ("configmaps", ["orphan", "example.com/a"], True),
        ("pods", [], True),
    ],
)
async def test_pods_and_foreign_finalizers_hold_a_namespace(resource: str, finalizers: list[str], held: bool) -> None:
    host = FakeHost()
    metadata = {"name": "x", "namespace": "acme-web", "finalizers": finalizers}
    host.put(CORE, resource, {"metadata": metadata})
    host.put(CORE, "pods", {"metadata": {"name": "elsewhere", "namespace": "acme-other"}})
    assert bool(await bindings(host)._held(WEB)) is held


async def test_only_foreign_finalizers_are_taken_off_and_only_from_the_object_that_was_seen() -> None:
    host = FakeHost()
    for name in ("one", "two"):
        metadata = {"name": name, "namespace": "acme-web", "finalizers": ["orphan", "example.com/a"]}
        host.put(CORE, "configmaps", {"metadata": metadata})
    mine = bindings(host)
    held = await mine._held(WEB)
    host.remove("configmaps", "one", "acme-web")
    await mine._strip(held)
    assert (host.find("configmaps", "two", "acme-web") or {})["metadata"]["finalizers"] == ["orphan"]


async def test_secrets_are_looked_for_but_not_in_the_system_namespace() -> None:
    host = FakeHost()
    world = World(host, lambda tenant: None, lambda role: None, timing=Timing())
    mine = Bindings(HostApi(host), world, [("", "v1", "secrets")])
    for space in ("acme-web", "acme-vcproxy"):
        metadata = {"name": "x", "namespace": space, "finalizers": ["example.com/a"]}
        host.put(CORE, "secrets", {"metadata": metadata})
    assert len(await mine._held(WEB)) == 1
    assert await mine._held(HostName("acme-vcproxy")) == []
