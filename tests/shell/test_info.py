"""ConfigMap vcproxy-info: what it tells the CLI, and that it is written again after a refusal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.shell.fakehost import FakeHost, refused, until
from vcproxy.config.document import parse
from vcproxy.config.settings import API_VERSION, KIND
from vcproxy.core.status import bad_gateway
from vcproxy.tenants import info
from vcproxy.tenants.hostapi import HostApi

CONFIG = parse(
    {"apiVersion": API_VERSION, "kind": KIND, "listen": {"domain": "c.example.com"}, "tokens": {"life": "2h"}}
)


@asynccontextmanager
async def published(host: FakeHost) -> AsyncIterator[None]:
    task = asyncio.create_task(info.publish(HostApi(host), CONFIG, lambda: "PEM"))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_says_where_tenants_reach_the_proxy_and_how_long_tokens_live() -> None:
    host = FakeHost()
    async with published(host):
        await until(lambda: host.find("configmaps", "vcproxy-info", "vcproxy-system"))
    assert (host.find("configmaps", "vcproxy-info", "vcproxy-system") or {})["data"] == {
        "publicURL": "https://127.0.0.1:8443",
        "domain": "c.example.com",
        "ca.crt": "PEM",
        "tokenLife": "7200s",
        "longestTokenLife": "31536000s",
    }


async def test_neither_a_refusal_nor_a_host_that_is_away_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "PAUSE", 0.01)
    host = FakeHost()
    host.fail[f"PATCH {info.PATH}"] = [refused(403, "Forbidden"), bad_gateway()]
    async with published(host):
        await until(lambda: host.find("configmaps", "vcproxy-info", "vcproxy-system"))
    assert not host.fail[f"PATCH {info.PATH}"]
