"""A real target for each test, and both loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.session.conftest import target

__all__ = ["target"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Workers use uvloop; a trial in a user's own loop may not."""
    if "test_trial" in item.nodeid:
        return {"asyncio": asyncio.SelectorEventLoop}
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}
