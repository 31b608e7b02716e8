"""A network of machines for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.machines import Network, missing


@pytest.fixture(scope="session")
def allowed() -> None:
    """Skips where there can be no machines; in CI there must be."""
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def network(allowed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    # Sockets have short paths, and what is on the coordinator is read by the test as well.
    folder = Path(tempfile.mkdtemp(prefix="chaperon-network-"))
    made = Network(folder)
    monkeypatch.setenv("CHAPERON_HOME", str(made.coordinator.home))
    yield made
    made.close()
    shutil.rmtree(folder)
