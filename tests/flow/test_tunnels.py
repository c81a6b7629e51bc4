"""Tunnels and proxies: what arrives at the host, what comes back, and what never passes."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.flow.scripted import ACME, Answer, ScriptedPipe, World
from vcproxy.core.http import Reply
from vcproxy.core.status import ApiError
from vcproxy.host.tunnels import OpenTunnels

EXEC = "/api/v1/namespaces/web/pods/a/exec?command=sh&command=-c&stdout=true&watch=1"
SPDY = {"Upgrade": "SPDY/3.1", "Connection": "Upgrade", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
PROXY = "/api/v1/namespaces/web/services/http:api:80/proxy"


def named(reply: Reply) -> dict[str, str]:
    return dict(reply.headers)


class Switched(Answer):
    """A 101 with headers."""

    def __init__(self, **headers: str) -> None:
        super().__init__(101)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Page(Answer):
    """An answer of a pod or service."""

    def __init__(self, code: int, body: bytes, **headers: str) -> None:
        super().__init__(code, chunks=[body])
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


async def test_exec_goes_to_the_host_namespace_as_the_tenant_and_opens_a_tunnel() -> None:
    world = World(Switched(Upgrade="SPDY/3.1", X_Stream_Protocol_Version="v4.channel.k8s.io", Server="x"))
    reply = await world.reply("POST", EXEC, **SPDY)
    assert world.host.asked == [
        "POST /api/v1/namespaces/acme-web/pods/a/exec?command=sh&command=-c&stdout=true",
    ]
    assert world.host.header(0, "Impersonate-User") == "vcproxy:tenant:acme"
    assert world.host.header(0, "Upgrade") == "SPDY/3.1"
    assert world.host.header(0, "X-Stream-Protocol-Version") == "v4.channel.k8s.io"
    assert isinstance(reply.tunnel, ScriptedPipe)
    assert named(reply) == {
        "Connection": "Upgrade",
        "Upgrade": "SPDY/3.1",
        "X-Stream-Protocol-Version": "v4.channel.k8s.io",
    }


async def test_a_token_among_the_websocket_protocols_never_passes() -> None:
    world = World(Switched(Upgrade="websocket"))
    offered = "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io"
    headers = {"Upgrade": "websocket", "Sec-WebSocket-Protocol": offered, "Sec-WebSocket-Key": "k"}
    await world.reply("GET", EXEC, **headers)
    assert world.host.header(0, "Sec-WebSocket-Protocol") == "v5.channel.k8s.io"
    assert world.host.header(0, "Sec-WebSocket-Key") == "k"


async def test_a_refused_switch_is_told_in_the_tenants_words() -> None:
    refusal = {"kind": "Status", "code": 400, "message": 'pod a in "acme-web" is not running', "reason": "BadRequest"}
    world = World(Answer(400, refusal))
    reply = await world.reply("POST", EXEC, **SPDY)
    assert reply.code == 400
    assert reply.tunnel is None
    assert b'in \\"web\\"' in reply.body


@pytest.mark.parametrize("code", [200, 302])
async def test_what_is_neither_a_switch_nor_a_refusal_is_a_502(code: int) -> None:
    world = World(Page(code, b"", Location="https://elsewhere"))
    reply = await world.reply("POST", EXEC, **SPDY)
    assert reply.code == 502
    assert b"elsewhere" not in reply.body
    assert "Location" not in named(reply)


async def test_a_page_of_another_site_opens_no_tunnel() -> None:
    world = World()
    headers = SPDY | {"Host": "cluster:443", "Origin": "https://evil.example"}
    assert (await world.reply("GET", EXEC, **headers)).code == 403
    assert world.host.asked == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reader_may_not_run_anything(method: str) -> None:
    world = World()
    reader = world.issuer.issue(ACME, "uid-1", "rita", (), 600, time.time())[0]
    reply = await world.reply(method, EXEC, **SPDY, Authorization=f"Bearer {reader}")
    assert reply.code == 403
    assert b'cannot create resource \\"pods/exec\\"' in reply.body
    assert world.host.asked == []


async def test_a_tunnel_ends_when_its_owner_may_no_longer_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcproxy.host.tunnels.CHECK", 0.01)
    opened, pipe, allowed = OpenTunnels(), ScriptedPipe(), [True]
    opened.keep(pipe, lambda: allowed[0])
    running = asyncio.create_task(opened.run())
    await asyncio.sleep(0.05)
    before = pipe.closed
    allowed[0] = False
    await asyncio.sleep(0.05)
    assert (before, pipe.closed) == (False, True)
    running.cancel()


async def test_a_tunnel_of_which_nobody_can_tell_whether_it_may_go_on_ends_and_the_others_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vcproxy.host.tunnels.CHECK", 0.01)
    opened, odd, other = OpenTunnels(), ScriptedPipe(), ScriptedPipe()
    allowed = [True]
    opened.keep(odd, lambda: 1 // 0 > 0)
    opened.keep(other, lambda: allowed[0])
    running = asyncio.create_task(opened.run())
    await asyncio.sleep(0.05)
    assert (odd.closed, other.closed) == (True, False)
    allowed[0] = False
    await asyncio.sleep(0.05)
    assert other.closed
    running.cancel()


async def test_a_request_to_a_service_keeps_its_path_and_query_and_loses_what_speaks_for_the_proxy() -> None:
    world = World(Page(200, b"hello", Content_Type="text/plain", Set_Cookie="a=b", X_App="1"))
    headers = {
        "X-Forwarded-For": "192.0.2.1",
        "X-Remote-User": "root",
        "X-App": "1",
        "X-Named": "2",
        "Connection": "X-Named",
        "Cookie": "a=b",
        "Accept": "text/plain",
    }
    reply = await world.reply("GET", f"{PROXY}/a%20b/c/?x=1&x=2", **headers)
    assert world.host.asked == [
        "GET /api/v1/namespaces/acme-web/services/http:api:80/proxy/a%20b/c/?x=1&x=2",
    ]
    sent = {name.lower() for name, _ in world.host.requests[0].headers}
    assert {"accept", "x-app"} <= sent
    assert not {"x-forwarded-for", "x-remote-user", "x-named", "cookie"} & sent
    assert named(reply) == {"Content-Type": "text/plain", "X-App": "1"}


async def test_a_redirect_of_a_pod_is_not_followed_and_leads_nowhere() -> None:
    world = World(Page(302, b"", Location="/api/v1/namespaces/acme-web/pods/a/proxy/x"))
    reply = await world.reply("GET", "/api/v1/namespaces/web/pods/a/proxy/")
    assert (reply.code, named(reply)) == (302, {})
    assert len(world.host.asked) == 1


async def test_a_page_shows_the_tenants_paths() -> None:
    page = b'<a href="/api/v1/namespaces/acme-web/pods/a/proxy/x">x</a>'
    world = World(Page(200, page, Content_Type="text/html; charset=utf-8"))
    reply = await world.reply("GET", "/api/v1/namespaces/web/pods/a/proxy/")
    assert reply.body == b'<a href="/api/v1/namespaces/web/pods/a/proxy/x">x</a>'


async def test_a_page_asked_for_by_the_path_of_the_tenant_leads_back_there() -> None:
    world = World(Page(200, b'<a href="/api/v1/namespaces/acme-web/pods/a/proxy/x">x</a>', Content_Type="text/html"))
    reply = await world.reply("GET", "/t/acme/api/v1/namespaces/web/pods/a/proxy/")
    assert world.host.asked == ["GET /api/v1/namespaces/acme-web/pods/a/proxy/"]
    assert reply.body == b'<a href="/t/acme/api/v1/namespaces/web/pods/a/proxy/x">x</a>'


class Stalling(Page):
    """An answer that begins and then says no more."""

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.Event().wait()


async def stalls(reply: Reply) -> int:
    """The code with which a stream is given up; 0 while it may be quiet."""
    assert reply.stream is not None
    chunks = reply.stream.chunks()
    assert await anext(chunks) == b"begun"
    try:
        await asyncio.wait_for(anext(chunks), 0.2)
    except ApiError as error:
        return error.status.code
    except TimeoutError:
        return 0
    raise AssertionError("nothing more was to come")


LOG = "/api/v1/namespaces/web/pods/a/log"


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        (LOG, {}, 504),
        (f"{LOG}?follow=false", {}, 504),
        (f"{LOG}?follow=true", {}, 0),
        (f"{LOG}?follow=1", {}, 0),
        (f"{PROXY}/file", {"Content_Length": "100"}, 504),
        (f"{PROXY}/events", {}, 0),
    ],
)
async def test_what_is_there_already_must_come_on_and_what_is_followed_may_be_quiet(
    target: str, headers: dict[str, str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("forward", "tunnels"):
        monkeypatch.setattr(f"vcproxy.host.{module}.PROGRESS", 0.05)
    reply = await World(Stalling(200, b"", **headers)).reply("GET", target)
    assert await stalls(reply) == code


async def test_a_proxied_answer_without_a_length_has_its_patience_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcproxy.host.tunnels.QUIET", 0.05)
    assert await stalls(await World(Stalling(200, b"")).reply("GET", f"{PROXY}/events")) == 504


@pytest.mark.parametrize("path", ["/../x", "/%2e%2e/x", "//x", "/a%2fb", "/a%5cb"])
async def test_a_path_behind_a_proxy_is_canonical(path: str) -> None:
    world = World()
    assert (await world.reply("GET", f"{PROXY}{path}")).code == 400
    assert world.host.asked == []


async def test_only_commands_and_ports_may_be_repeated() -> None:
    world = World()
    assert (await world.reply("POST", f"{EXEC}&stdout=false", **SPDY)).code == 400
