"""The proxy's CA for pods: in each namespace of a tenant, hidden, healed, and nowhere else."""

from tests.shell.fakehost import FakeHost, until
from tests.shell.test_controller import config_map, delete, installed, running, space, tenant
from vcproxy.core.pods import OWN_ROOT_CA


def authority(host: FakeHost, place: str) -> str:
    found = host.find("configmaps", OWN_ROOT_CA, place) or {}
    hidden = found.get("metadata", {}).get("labels", {}).get("vcproxy.io/hidden") == "true"
    return str(found["data"]["ca.crt"]) if hidden else ""


async def test_every_visible_namespace_has_the_ca() -> None:
    host = installed()
    async with running(host, ca=lambda: "CA"):
        tenant(host)
        space(host, "acme-web")
        space(host, "foreign", None)
        await until(lambda: authority(host, "acme-web") and authority(host, "acme-default"))
    assert authority(host, "acme-web") == "CA"
    assert not authority(host, "acme-vcproxy")
    assert not authority(host, "foreign")


async def test_what_is_changed_or_removed_by_hand_is_healed() -> None:
    host = installed()
    async with running(host, ca=lambda: "CA"):
        tenant(host)
        await until(lambda: authority(host, "acme-default"))
        config_map(host, "acme-default", OWN_ROOT_CA)
        await until(lambda: authority(host, "acme-default"))
        delete(host, "configmaps", OWN_ROOT_CA, "acme-default")
        await until(lambda: authority(host, "acme-default"))


async def test_while_no_ca_is_known_nothing_is_written() -> None:
    host = installed()
    async with running(host) as term:
        tenant(host)
        await until(lambda: host.find("rolebindings", "vcproxy:tenant", "acme-default"))
        await term.world.wait_synced()
    assert host.find("configmaps", OWN_ROOT_CA, "acme-default") is None
