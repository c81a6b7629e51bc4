"""ConfigMap vcproxy-info: where tenants reach this proxy, its CA, and how long what is issued lives."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from vcproxy.config.sections import Config
from vcproxy.core.status import ApiError
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of
from vcproxy.tenants.manifests import INSTALLATION

log = logging.getLogger(__name__)

NAME: Final = "vcproxy-info"
PATH: Final = path_of("v1", "configmaps", INSTALLATION, NAME)
PAUSE: Final = 10.0
"""Seconds until the next try where it could not be written."""


async def publish(api: HostApi, config: Config, ca: Callable[[], str]) -> None:
    """Tell the CLI. Works until cancelled; `ca` gives PEM. Raises what it raises."""
    document = _document(config, ca())
    while True:
        try:
            await api.apply(PATH, document)
            await asyncio.Event().wait()
        except (HostError, ApiError) as error:  # refused, or not reached
            log.warning("ConfigMap %s cannot be written: %s", NAME, error)
            await asyncio.sleep(PAUSE)


def _document(config: Config, ca: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": INSTALLATION},
        "data": {
            "publicURL": config.listen.public_url,
            "domain": config.listen.domain,
            "ca.crt": ca,
            "tokenLife": f"{config.tokens.life:.0f}s",
            "longestTokenLife": f"{config.tokens.longest_life:.0f}s",
        },
    }
