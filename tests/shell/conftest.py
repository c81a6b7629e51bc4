"""The wire is tested on the loop that the program runs on; all else on asyncio's own."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

WIRE = ("test_edge", "test_upstream", "test_connection", "test_drive")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.stem.startswith(WIRE):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
