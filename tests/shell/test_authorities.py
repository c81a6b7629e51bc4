"""The CA of a tenant: made, renewed before it ends, taken away, and its key never read again."""

from itertools import count

import pytest

from tests.shell.fakehost import FakeHost, refused, until
from tests.shell.test_controller import delete, installed, phase, running, tenant, until_gone
from vcproxy.core.names import TenantId
from vcproxy.tenants import authorities, resource
from vcproxy.tenants.authorities import RENEW, Authorities, Authority, Kept, Made, parse
from vcproxy.tenants.hostapi import HostApi
from vcproxy.tenants.resource import Tenant

ACME = TenantId("acme")
NOW = 1_800_000_000.0
YEAR = 366 * 86400.0
ASKS = {"clientCertificate": {"issue": True}}
PLACE = "vcproxy-system"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Maker:
    """CAs of two years, numbered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count(1)

    def __call__(self, tenant: TenantId) -> Made:
        number = next(self._numbers)
        return Made(f"CA {number} of {tenant}\n", f"key {number}".encode(), self._clock.now + 2 * YEAR)


def kept(host: FakeHost) -> Kept | None:
    found = host.find("configmaps", "authority-acme", PLACE)
    return parse(found) if found else None


def names(host: FakeHost) -> list[str]:
    return [one.removeprefix(f"{PLACE}/") for one in host.names("secrets")]


def bundle(host: FakeHost) -> str:
    found = kept(host)
    return found.bundle if found else ""


async def test_a_tenant_that_asks_gets_a_ca_whose_key_stands_in_a_secret_alone() -> None:
    host, clock = installed(), Clock()
    async with running(host, authority=Maker(clock), now=clock):
        tenant(host, authentication=ASKS)
        await until(lambda: bundle(host) == "CA 1 of acme\n")
    secret = host.find("secrets", "authority-acme-1", PLACE) or {}
    assert (secret["type"], secret["immutable"]) == ("vcproxy.io/authority", True)
    assert "key" not in str(host.find("configmaps", "authority-acme", PLACE))
    assert not any(line.startswith("GET") and "secrets" in line for line in host.log)
    found = kept(host)
    assert found is not None
    assert found.tenant_uid == (host.find("tenants", "acme") or {})["metadata"]["uid"]


async def test_a_tenant_that_does_not_ask_gets_none_and_loses_the_one_it_had() -> None:
    host, clock = installed(), Clock()
    async with running(host, authority=Maker(clock), now=clock):
        tenant(host)
        await until(lambda: phase(host) == "Active")
        assert kept(host) is None
        tenant(host, authentication=ASKS)
        await until(lambda: kept(host))
        tenant(host, authentication={"clientCertificate": {"issue": False}})
        await until(lambda: kept(host) is None)
        await until(lambda: names(host) == [])


def keeper(host: FakeHost, clock: Clock) -> tuple[Authorities, Tenant]:
    """What keeps the CA of a tenant that asks for one, without a controller around it."""
    tenant(host, authentication=ASKS)
    found = resource.parse(host.find("tenants", "acme") or {})
    assert found is not None
    return Authorities(HostApi(host), lambda owner: kept(host), Maker(clock), clock), found


async def test_the_next_ca_is_made_a_year_before_the_last_one_ends_and_both_count_until_then() -> None:
    host, clock = FakeHost(), Clock()
    keeping, acme = keeper(host, clock)
    assert await keeping.keep(acme) == YEAR
    clock.now = NOW + YEAR - 10
    assert await keeping.keep(acme) == 10
    assert bundle(host) == "CA 1 of acme\n"
    clock.now = NOW + YEAR
    assert await keeping.keep(acme) == YEAR
    assert bundle(host) == "CA 1 of acme\nCA 2 of acme\n"
    assert names(host) == ["authority-acme-1", "authority-acme-2"]
    newest = (kept(host) or Kept(ACME, "")).newest
    assert newest is not None
    assert (newest.number, newest.expires) == (2, NOW + 3 * YEAR)
    clock.now = NOW + 2 * YEAR
    await keeping.keep(acme)
    assert bundle(host) == "CA 2 of acme\nCA 3 of acme\n"
    assert names(host) == ["authority-acme-2", "authority-acme-3"]


async def test_whoever_was_slower_looks_again_soon_and_has_nothing_to_tell() -> None:
    host, clock = FakeHost(), Clock()
    keeping, acme = keeper(host, clock)
    host.fail[f"POST {authorities.CONFIG_MAPS}"] = [refused(409, "AlreadyExists")]
    assert await keeping.keep(acme) == authorities.AFTER_CONFLICT
    assert keeping.problem(ACME) == ""
    assert await keeping.keep(acme) == YEAR
    assert names(host) == ["authority-acme-1"]


async def test_a_key_whose_ca_never_came_to_count_is_replaced() -> None:
    host, clock = installed(), Clock()
    host.put("/api/v1", "secrets", {"metadata": {"name": "authority-acme-1", "namespace": PLACE}, "data": {"a": "b"}})
    async with running(host, authority=Maker(clock), now=clock):
        tenant(host, authentication=ASKS)
        await until(lambda: kept(host))
    assert "ca.key" in (host.find("secrets", "authority-acme-1", PLACE) or {})["data"]


async def test_a_ca_that_was_taken_away_by_hand_is_followed_by_another() -> None:
    host, clock = installed(), Clock()
    async with running(host, authority=Maker(clock), now=clock):
        tenant(host, authentication=ASKS)
        await until(lambda: kept(host))
        delete(host, "configmaps", "authority-acme", PLACE)
        await until(lambda: bundle(host) == "CA 2 of acme\n")


async def test_a_tenant_that_goes_takes_its_ca_with_it() -> None:
    host, clock = installed(), Clock()
    async with running(host, authority=Maker(clock), now=clock):
        tenant(host, authentication=ASKS)
        await until(lambda: kept(host) and phase(host) == "Active")
        delete(host, "tenants", "acme")
        await until_gone(host, lambda: host.find("tenants", "acme") is None)
    assert kept(host) is None
    assert names(host) == []


async def test_the_ca_of_an_earlier_tenant_of_that_name_is_not_taken_over() -> None:
    host, clock = installed(), Clock()
    old = Kept(ACME, "uid of before", (Authority(1, "old", NOW + 2 * YEAR),))
    host.put("/api/v1", "configmaps", old.document())
    async with running(host, authority=Maker(clock), now=clock):
        tenant(host, authentication=ASKS)
        await until(lambda: bundle(host) == "CA 1 of acme\n")


async def test_a_host_that_refuses_is_told_in_the_tenants_status_and_nothing_else_waits() -> None:
    host, clock = installed(), Clock()
    path = f"POST {authorities.SECRETS}"
    host.fail[path] = [refused(403, "Forbidden", "secrets is forbidden") for _ in range(100)]

    async def assess(tenant: TenantId, spec: object) -> tuple[list[str], list[str]]:
        return [], []

    async with running(host, authority=Maker(clock), now=clock, assess=assess):
        tenant(host, authentication=ASKS)

        def told() -> bool:
            conditions = ((host.find("tenants", "acme") or {}).get("status") or {}).get("conditions") or []
            return any("secrets is forbidden" in one["message"] for one in conditions)

        await until(told)
        assert phase(host) == "Active"


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "authority-acme"},
        {"name": "authority-globex", "labels": {"vcproxy.io/authority": "acme"}},
        {"name": "authority-", "labels": {"vcproxy.io/authority": ""}},
    ],
)
def test_a_map_speaks_for_the_tenant_of_its_label_and_name_alone(metadata: dict[str, object]) -> None:
    assert parse({"metadata": metadata, "data": {}}) is None


def test_what_cannot_be_read_is_left_out() -> None:
    one = Kept(ACME, "u", (Authority(3, "pem", NOW),))
    document = one.document()
    document["data"] |= {"4": "odd", "5": "{}", "note": "x"}
    assert parse(document) == one
    assert RENEW >= YEAR
