"""The process that a proxy runs in: its loop, its logs, its open files, the signals that end it."""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
from typing import Final

import uvloop

from vcproxy.app.proxy import Proxy
from vcproxy.config.sections import Config
from vcproxy.observe import logs
from vcproxy.observe.logs import RequestLog

log = logging.getLogger(__name__)

COLLECT: Final = (50_000, 20, 100)
"""Objects between two looks for garbage (Python: 700, 10, 10): requests make few cycles, and each look costs a turn."""


def serve(config: Config) -> int:
    """Run a proxy until SIGTERM or SIGINT. The exit code: 0 after a drain, 1 after a failure."""
    gc.set_threshold(*COLLECT)
    _raise_descriptors()
    request_log = logs.configure(config.log.format, config.log.level)
    try:
        uvloop.run(_serve(config, request_log))
    except (OSError, ValueError, TimeoutError) as error:
        log.error("vcproxy ends: %s", error)
        return 1
    return 0


def _raise_descriptors() -> None:
    """As many open files as this process may have at all: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(config: Config, request_log: RequestLog | None) -> None:
    proxy = Proxy(config, request_log)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, proxy.stop)
    await proxy.run()
