"""The exporter in the guide works as it stands there."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from chaperon_engine import export
from chaperon_engine.export import registry
from tests.export.canned import report

GUIDE = Path(__file__).parents[2] / "docs" / "reports.md"


def test_the_exporter_of_the_guide_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"```python\n(.*?class MarkdownExporter.*?)```", GUIDE.read_text(), re.S)
    source = source.rpartition("```python\n")[2]
    (tmp_path / "guide_exporter.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    (name,) = re.findall(r'^markdown = "my_package.markdown:(\w+)"', GUIDE.read_text(), re.M)
    points = EntryPoints([EntryPoint("markdown", f"guide_exporter:{name}", registry.GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda: points)
    written = export.write(report(), "markdown", f"{tmp_path}/out/", options={"title": "Nightly"})
    path = Path(written)
    assert path.suffix == ".md"
    assert path.read_text().startswith("# Nightly\n\n| request | count | p99 µs |")
    assert "| GET /json | 1003 | 1099 |" in path.read_text()
