"""Marks on the host's volumes: whose claim each is bound to."""

from typing import Any

from tests.shell.fakehost import FakeHost, until
from tests.shell.test_controller import delete, installed, running, space, tenant


def volume(host: FakeHost, name: str, namespace: str, **labels: str) -> None:
    host.put(
        "/api/v1",
        "persistentvolumes",
        {"metadata": {"name": name, "labels": labels}, "spec": {"claimRef": {"namespace": namespace, "name": "c"}}},
    )


def mark(host: FakeHost, name: str) -> Any:
    found = host.find("persistentvolumes", name) or {}
    return (found["metadata"].get("labels") or {}).get("vcproxy.io/bound")


async def test_a_volume_is_marked_with_the_tenant_of_its_claim() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: host.find("namespaces", "acme-default"))
        volume(host, "pvc-1", "acme-default")
        volume(host, "pvc-2", "kube-system")
        await until(lambda: mark(host, "pvc-1") == "acme")
    assert mark(host, "pvc-2") is None


async def test_a_mark_that_is_wrong_is_taken_off() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: host.find("namespaces", "acme-default"))
        volume(host, "pvc-1", "elsewhere", **{"vcproxy.io/bound": "acme"})
        await until(lambda: mark(host, "pvc-1") is None)


async def test_a_namespace_with_the_prefix_alone_is_nobodys() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: host.find("namespaces", "acme-default"))
        space(host, "acme-foreign", None)
        volume(host, "pvc-1", "acme-foreign")
        volume(host, "pvc-2", "acme-default")
        await until(lambda: mark(host, "pvc-2") == "acme")
        assert mark(host, "pvc-1") is None
        delete(host, "persistentvolumes", "pvc-2")
