"""No export sees the settings and the credentials of whoever runs the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CHAPERON_HOME, where exports.toml lies."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("CHAPERON_HOME", str(folder))
    for name in list(os.environ):
        if name.startswith(("INFLUX_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "aws-credentials"))
    return folder
