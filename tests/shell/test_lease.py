"""The Lease: one leader, whoever it is."""

import asyncio
import contextlib
from typing import Any

import pytest

from tests.shell.fakehost import FakeHost, refused, until
from vcproxy.core.status import bad_gateway
from vcproxy.tenants.hostapi import HostApi
from vcproxy.tenants.lease import Lease, LeaseTiming

QUICK = LeaseTiming(duration=1.0, renew=0.1, retry=0.005)
PATH = "/apis/coordination.k8s.io/v1/namespaces/vcproxy-system/leases/l"


def candidate(host: FakeHost, name: str, **options: Any) -> Lease:
    return Lease(HostApi(host), "vcproxy-system", "l", name, timing=QUICK, **options)


def spec(host: FakeHost) -> dict[str, Any]:
    found: dict[str, Any] = (host.find("leases", "l", "vcproxy-system") or {})["spec"]
    return found


async def forever() -> None:
    await asyncio.Event().wait()


async def stop(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_one_of_two_leads_and_the_other_follows_at_once() -> None:
    host = FakeHost()
    one, two = candidate(host, "one"), candidate(host, "two")
    first = asyncio.create_task(one.lead(forever))
    await until(lambda: one.leading)
    second = asyncio.create_task(two.lead(forever))
    await asyncio.sleep(0.05)
    assert not two.leading
    await stop(first)
    await until(lambda: two.leading)
    assert not one.leading
    assert spec(host)["holderIdentity"] == "two"
    assert spec(host)["leaseTransitions"] == 2
    assert spec(host)["renewTime"].endswith("Z")
    await stop(second)


async def test_a_dead_leader_is_waited_for_by_our_own_clock() -> None:
    host, now = FakeHost(), [0.0]
    dead = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "renewTime": "2999-01-01T00:00:00.000000Z"}
    metadata = {"name": "l", "namespace": "vcproxy-system"}
    host.put("/apis/coordination.k8s.io/v1", "leases", {"metadata": metadata, "spec": dead})
    lease = candidate(host, "one", clock=lambda: now[0])
    task = asyncio.create_task(lease.lead(forever))
    await asyncio.sleep(0.03)
    now[0] = 14.9
    await asyncio.sleep(0.03)
    assert not lease.leading
    now[0] = 15.1
    await until(lambda: lease.leading)
    await stop(task)


@pytest.mark.parametrize("fault", [refused(500, "InternalError"), bad_gateway()])
async def test_a_leader_that_cannot_renew_stops_working(fault: Any) -> None:
    host = FakeHost()
    lease = candidate(host, "one")
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            ended.set()

    task = asyncio.create_task(lease.lead(work))
    await until(lambda: lease.leading)
    host.fail[f"GET {PATH}"] = [fault] * 200
    await asyncio.wait_for(ended.wait(), 2)
    await until(lambda: not lease.leading)
    host.fail.clear()
    await until(lambda: lease.leading)
    await stop(task)


async def test_a_lease_taken_by_another_is_lost() -> None:
    host = FakeHost()
    lease = candidate(host, "one")
    task = asyncio.create_task(lease.lead(forever))
    await until(lambda: lease.leading)
    metadata = {"name": "l", "namespace": "vcproxy-system"}
    taken = {"holderIdentity": "two", "leaseDurationSeconds": 100}
    host.put("/apis/coordination.k8s.io/v1", "leases", {"metadata": metadata, "spec": taken})
    await until(lambda: not lease.leading)
    assert spec(host)["holderIdentity"] == "two"
    await stop(task)


async def test_what_the_work_raises_is_raised_and_the_lease_is_given_back() -> None:
    host = FakeHost()

    async def broken() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await candidate(host, "one").lead(broken)
    assert spec(host)["holderIdentity"] == ""
