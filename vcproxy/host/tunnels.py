"""Tunnels to pods (exec, attach, port-forward) and HTTP to pods and services, through the host.

After the host's 101 a tunnel is bytes both ways and nobody looks at them. Anything else that the host answers is an
answer like all others, and the client's connection ends with it (CVE-2018-1002105). What a pod or service answers to
HTTP is the tenant's own; of its headers those pass that cannot speak for the host or name it.
"""

import asyncio
import logging
import weakref
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from vcproxy.core import plan, status
from vcproxy.core.hosting import HostResponse, Tunnels
from vcproxy.core.http import Call, Headers, Pipe, Reply, single
from vcproxy.core.plan import Identity
from vcproxy.core.scope import Scope
from vcproxy.host import answers, replies
from vcproxy.host.identity import Exchange
from vcproxy.host.streams import PROGRESS, QUIET, HostStream

log = logging.getLogger(__name__)

CHECK: Final = 2.0
"""Seconds between two looks at whether the owners of open tunnels may still have them."""
PAGE_LIMIT: Final = 8 << 20
"""Bytes of a page (text/html) in which the host's paths are shown as the tenant's."""
BEARER_PROTOCOL: Final = "base64url.bearer.authorization.k8s.io."
"""A token in the list of WebSocket protocols (kubernetes/apiserver: authentication/request/websocket): never passed."""

_SWITCH: Final = frozenset({"x-stream-protocol-version", "sec-websocket-key", "sec-websocket-version"})
_SWITCHED: Final = ("Upgrade", "X-Stream-Protocol-Version", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol")
_ASKED: Final = frozenset(
    {
        "accept", "accept-language", "cache-control", "content-encoding", "content-language", "content-type",
        "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range", "user-agent",
    }
)  # fmt: skip
_ANSWERED: Final = frozenset(
    {
        "accept-ranges", "cache-control", "content-disposition", "content-encoding", "content-language",
        "content-range", "content-type", "etag", "expires", "last-modified", "retry-after", "vary",
    }
)  # fmt: skip
_NEVER: Final = ("x-forwarded-", "x-remote-", "x-kubernetes-")

Valid = Callable[[], bool]


class OpenTunnels:
    """The tunnels of now, with what tells whether each may go on. `run` ends those that may not."""

    def __init__(self) -> None:
        self._open: weakref.WeakKeyDictionary[Pipe, Valid] = weakref.WeakKeyDictionary()

    def keep(self, pipe: Pipe, valid: Valid) -> None:
        self._open[pipe] = valid

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(CHECK)
            for pipe, valid in list(self._open.items()):
                if not _holds(valid):
                    pipe.close()


def _holds(valid: Valid) -> bool:
    """Whether a tunnel may go on; where that cannot be told it may not, and all others are looked at nevertheless."""
    try:
        return valid()
    except Exception:
        log.exception("whether a tunnel may go on could not be told: it ends")
        return False


class Connector:
    """Carries out Tunnel and Proxy plans for one caller. `valid` tells whether a tunnel may go on."""

    def __init__(self, exchange: Exchange, scope: Scope, tunnels: Tunnels, opened: OpenTunnels, valid: Valid) -> None:
        self._exchange = exchange
        self._scope = scope
        self._tunnels = tunnels
        self._opened = opened
        self._valid = valid

    async def tunnel(self, wanted: plan.Tunnel, call: Call) -> Reply:
        """The 101 with its tunnel, or what the host answered instead. Raises ApiError."""
        if not call.upgrade:
            raise status.bad_request("Upgrade request required")
        return await self._switch(wanted.method, wanted.target, call)

    async def proxy(self, wanted: plan.Proxy, call: Call, body_limit: int) -> Reply:
        """What the pod or service answered, through the host. Raises ApiError."""
        if call.upgrade:
            return await self._switch(wanted.method, wanted.target, call)
        body = await call.read(body_limit)
        response = await self._exchange.send(
            "GET" if wanted.method == "HEAD" else wanted.method,
            wanted.target,
            Identity.TENANT,
            headers=_asked(call),
            body=body or None,
            namespace=wanted.namespace,
        )
        return await self._proxied(wanted, response, call)

    # Switching protocols -----------------------------------------------------------------------------------------

    async def _switch(self, method: str, target: str, call: Call) -> Reply:
        _check_origin(call)
        response, pipe = await self._exchange.upgrade(self._tunnels, method, target, _switching(call))
        if pipe is None:
            try:
                raise await self._refused(response)
            finally:
                await response.close()
        self._opened.keep(pipe, self._valid)
        headers = (("Connection", "Upgrade"), *_named(response, _SWITCHED))
        return Reply(101, headers, tunnel=pipe)

    async def _refused(self, response: HostResponse) -> status.ApiError:
        """The host's refusal to switch; a success or a redirect is none that a client could use."""
        return await answers.refusal(response, self._scope) if response.status >= 400 else status.bad_gateway()

    # HTTP --------------------------------------------------------------------------------------------------------

    async def _proxied(self, wanted: plan.Proxy, response: HostResponse, call: Call) -> Reply:
        kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if response.status >= 400 and kind == "application/json" and response.headers.get("Audit-Id"):
            try:
                return await replies.of_refusal(await answers.refusal(response, self._scope), call)
            finally:
                await response.close()
        headers = self._answered(response)
        if wanted.method == "HEAD" or response.status in (204, 304):
            await response.close()
            return Reply(response.status, headers)
        if kind == "text/html":
            return await self._page(wanted, response, headers)
        within = PROGRESS if "Content-Length" in response.headers else QUIET
        return Reply(response.status, headers, stream=HostStream(response, within), finite=True, leisurely=True)

    async def _page(self, wanted: plan.Proxy, response: HostResponse, headers: Headers) -> Reply:
        """The host writes its own path before the links of a page (apimachinery: util/proxy.Transport)."""
        try:
            raw = await response.read(PAGE_LIMIT)
        finally:
            await response.close()
        return Reply(response.status, headers, raw.replace(wanted.path.encode(), wanted.shown.encode()))

    def _answered(self, response: HostResponse) -> Headers:
        """Headers of an answer that pass; none that redirects (CVE-2020-8559), sets cookies or names the host."""
        named = f"{self._scope.tenant}-"
        return tuple(
            (name, value)
            for name, value in response.headers.items()
            if _passes(name.lower(), _ANSWERED) and named not in value
        )


def _passes(name: str, known: frozenset[str]) -> bool:
    return name in known or (name.startswith("x-") and not name.startswith(_NEVER))


def _asked(call: Call) -> Headers:
    """Headers of a request that pass to a pod or service. Its answer is not packed: the host may write into it."""
    named = {token.strip().lower() for value in call.getall("Connection") for token in value.split(",")}
    passed = [pair for pair in call.items() if _passes(pair[0], _ASKED) and pair[0] not in named]
    return (*passed, ("accept-encoding", "identity"))


def _switching(call: Call) -> Headers:
    """Headers of a request to switch protocols that pass."""
    protocols = [
        protocol
        for value in call.getall("Sec-WebSocket-Protocol")
        for protocol in (part.strip() for part in value.split(","))
        if protocol and not protocol.startswith(BEARER_PROTOCOL)
    ]
    offered = (("Sec-WebSocket-Protocol", ", ".join(protocols)),) if protocols else ()
    passed = [pair for pair in call.items() if pair[0] in _SWITCH]
    return (("Connection", "Upgrade"), ("Upgrade", single(call, "Upgrade") or ""), *passed, *offered)


def _named(response: HostResponse, names: tuple[str, ...]) -> Headers:
    return tuple((name, value) for name in names for value in response.getall(name))


def _check_origin(call: Call) -> None:
    """A page of another site may not open a tunnel with what the browser knows (GHSA-xhg2-rvm8-w2jh)."""
    origin = single(call, "Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != (single(call, "Host") or "").lower():
        raise status.forbidden("forbidden: the origin of this request is another site")
