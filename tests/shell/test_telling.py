"""What a status tells, and when it is written."""

from typing import Any

import pytest

from tests.shell.fakehost import FakeHost, until
from tests.shell.test_controller import installed, phase, ready, running, space, tenant
from vcproxy.core.names import TenantId
from vcproxy.tenants import resource
from vcproxy.tenants.hostapi import HostApi, HostError
from vcproxy.tenants.resource import Condition, Tenant
from vcproxy.tenants.telling import COUNT_PAUSE, Telling
from vcproxy.tenants.world import World

ACME = TenantId("acme")
OTHER = Condition("Other", "True", "Said", "so")


def telling(host: FakeHost, moment: list[float]) -> Telling:
    world = World(host, lambda owner: None, lambda role: None)
    return Telling(HostApi(host), world, lambda tenant: [OTHER], lambda: moment[0], lambda: moment[0])


def found(host: FakeHost) -> Tenant:
    parsed = resource.parse(host.find("tenants", "acme") or {})
    assert parsed is not None
    return parsed


def told(host: FakeHost) -> dict[str, Any]:
    return dict((host.find("tenants", "acme") or {}).get("status") or {})


async def test_other_conditions_stand_beside_ready_in_every_phase() -> None:
    host = installed()
    tenant(host)
    one = telling(host, [100.0])
    await one.tell_pending(found(host), "NameTaken", "choose another")
    assert (phase(host), ready(host)["reason"]) == ("Pending", "NameTaken")
    await one.tell(found(host))
    assert (phase(host), ready(host)["reason"]) == ("Active", "Provided")
    await one.tell_deleting(found(host), "2 namespaces", 2)
    assert (phase(host), told(host)["namespaces"]) == ("Terminating", 2)
    assert [one["type"] for one in told(host)["conditions"]] == ["Ready", "Suspended", "Other"]


async def test_the_same_again_is_not_written_again() -> None:
    host = installed()
    tenant(host)
    one = telling(host, [100.0])
    await one.tell(found(host))
    host.log.clear()
    await one.tell(found(host))
    assert host.log == []


@pytest.mark.parametrize(("before", "after"), [("", "Pending"), ("Active", "Active")])
async def test_a_refusal_of_the_host_is_told_of_tenants_that_are_not_there_yet(before: str, after: str) -> None:
    host = installed()
    tenant(host)
    one = telling(host, [100.0])
    if before:
        await one.tell(found(host))
    await one.tell_failure(found(host), HostError(403, "Forbidden", "no"))
    assert phase(host) == after


async def test_a_mere_count_waits_for_more_of_it() -> None:
    host = installed()
    async with running(host):
        tenant(host)
        await until(lambda: told(host).get("namespaces") == 4)
        space(host, "acme-web")
        space(host, "acme-shop")
        await until(lambda: told(host)["namespaces"] == 6, COUNT_PAUSE + 5)
