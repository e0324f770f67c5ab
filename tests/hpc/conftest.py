"""A real SLURM for the tests of jobs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters of tests are not those of the user."""
    monkeypatch.setenv("ICEDASK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DASK_CONFIG", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find what the tests run on them."""
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
