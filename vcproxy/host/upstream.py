"""Connections to the host: the aiohttp client behind core.hosting.Upstream, for now.

Foreign exceptions end here: whatever goes wrong on the wire leaves as an ApiError with 502, 503 or 504.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from vcproxy.core import status
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.host.kubeconfig import HostCredentials


class _AiohttpResponse:
    def __init__(self, response: aiohttp.ClientResponse, timeout: float) -> None:
        self._response = response
        self._timeout = timeout

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    def getall(self, name: str) -> list[str]:
        return list(self._response.headers.getall(name, ()))

    async def read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout):
                async for part in self.chunks():
                    size += len(part)
                    if size > limit:
                        raise status.bad_gateway()
                    parts.append(part)
        except TimeoutError as error:
            raise status.timed_out() from error
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._response.content.iter_any():
                yield part
        except (aiohttp.ClientError, OSError) as error:
            raise status.bad_gateway() from error

    async def close(self) -> None:
        self._response.close() if not self._response.content.at_eof() else self._response.release()


class AiohttpUpstream:
    """An Upstream over one aiohttp session: keep-alive, verified TLS, no redirects, no cookies, no decompression."""

    def __init__(self, credentials: HostCredentials, *, connections: int = 1024, connect_timeout: float = 5.0) -> None:
        self._credentials = credentials
        self._connections = connections
        self._connect_timeout = connect_timeout
        self._session: aiohttp.ClientSession | None = None
        self._base = URL(credentials.server)

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._credentials.ssl_context(), limit=self._connections, keepalive_timeout=60.0
        )
        timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_timeout, sock_connect=self._connect_timeout)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=2**18,
            max_line_size=65536,
            max_field_size=65536,
        )

    def _headers(self, request: HostRequest) -> CIMultiDict[str]:
        headers = CIMultiDict(request.headers)
        authorization = self._credentials.authorization()
        if authorization:
            headers["Authorization"] = authorization
        return headers

    async def send(self, request: HostRequest) -> HostResponse:
        self._session = session = self._session or self._open()
        url = URL(str(self._base.origin()) + request.target, encoded=True)
        try:
            async with asyncio.timeout(request.timeout):
                response = await session.request(
                    request.method, url, data=request.body, headers=self._headers(request), allow_redirects=False
                )
        except aiohttp.ConnectionTimeoutError as error:
            raise status.unavailable("the API server cannot be reached") from error
        except TimeoutError as error:
            raise status.timed_out() from error
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise status.bad_gateway() from error
        return _AiohttpResponse(response, request.timeout)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
