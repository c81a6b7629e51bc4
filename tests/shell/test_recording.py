"""Records of what was issued, changed while others change them too."""

import time

import pytest

from tests.shell.fakehost import FakeHost, refused
from vcproxy.access.records import RECORD_LIMIT, IssuedToken, TokenRecords
from vcproxy.cli.output import Failure
from vcproxy.cli.recording import TRIES, change_records, lives
from vcproxy.core.names import TenantId
from vcproxy.tenants.hostapi import HostApi

ACME = TenantId("acme")
PATH = "/api/v1/namespaces/vcproxy-system/configmaps"


def record(name: str) -> IssuedToken:
    now = time.time()
    return IssuedToken(name, "ann", (), now, now + 3600, "uid")


def kept(host: FakeHost) -> list[str]:
    return [
        one.id
        for one in TokenRecords.parse((host.find("configmaps", "tokens-acme", "vcproxy-system") or {})["data"]).listed()
    ]


async def add(host: FakeHost, name: str) -> None:
    await change_records(HostApi(host), ACME, lambda records: records.add(record(name), time.time()))


async def test_the_first_record_makes_the_map_and_others_are_added_to_it() -> None:
    host = FakeHost()
    for name in ("a", "b"):
        await add(host, name)
    assert kept(host) == ["a", "b"]
    labels = (host.find("configmaps", "tokens-acme", "vcproxy-system") or {})["metadata"]["labels"]
    assert labels == {"vcproxy.io/tokens": "acme"}


async def test_whoever_was_slower_tries_again_and_gives_up_in_the_end() -> None:
    host = FakeHost()
    await add(host, "a")
    put = f"PUT {PATH}/tokens-acme"
    host.fail[put] = [refused(409, "Conflict") for _ in range(TRIES - 1)]
    await add(host, "b")
    assert kept(host) == ["a", "b"]
    host.fail[put] = [refused(409, "Conflict") for _ in range(TRIES)]
    with pytest.raises(Failure, match="try again"):
        await add(host, "c")


async def test_a_map_that_is_full_is_said() -> None:
    host = FakeHost()
    full = TokenRecords({str(number): record(str(number)) for number in range(RECORD_LIMIT)})
    metadata = {"name": "tokens-acme", "namespace": "vcproxy-system"}
    host.put("/api/v1", "configmaps", {"metadata": metadata, "data": full.data()})
    with pytest.raises(Failure, match="no more can be recorded"):
        await add(host, "one more")


async def test_how_long_things_live_is_what_the_running_proxy_says() -> None:
    host = FakeHost()
    assert await lives(HostApi(host)) == (720 * 3600.0, 8760 * 3600.0)
    metadata = {"name": "vcproxy-info", "namespace": "vcproxy-system"}
    host.put("/api/v1", "configmaps", {"metadata": metadata, "data": {"tokenLife": "60s", "longestTokenLife": "2h"}})
    assert await lives(HostApi(host)) == (60.0, 7200.0)
