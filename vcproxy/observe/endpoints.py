"""The second port: health and metrics, for the provider's probes and Prometheus. Nothing of a tenant is served here."""

from collections.abc import Awaitable, Callable

from aiohttp import web  # noqa: TID251 - control endpoints stay on aiohttp
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Reasons = Callable[[], list[str]]


class Endpoints:
    """Serves /livez, /readyz and /metrics. `reasons` says why the proxy is not ready; empty means that it is."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, reasons: Reasons) -> None:
        self._host = host
        self._port = port
        self._registry = registry
        self._reasons = reasons
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        self._runner = web.ServerRunner(web.Server(self._serve, handler_cancellation=True))
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        answers: dict[str, Callable[[], Awaitable[web.Response]]] = {
            "/livez": self._live,
            "/healthz": self._live,
            "/readyz": self._ready,
            "/metrics": self._metrics,
        }
        answer = answers.get(request.path)
        if answer is None or request.method != "GET":
            return web.Response(status=404, text="not found\n")
        return await answer()

    async def _live(self) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self) -> web.Response:
        reasons = self._reasons()
        if not reasons:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="".join(f"not ready: {reason}\n" for reason in reasons))

    async def _metrics(self) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
