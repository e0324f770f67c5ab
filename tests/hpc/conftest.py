"""Fixtures of the tests of jobs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers import fake_slurm as commands


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep clusters of tests apart from the clusters of the user."""
    monkeypatch.setenv("ICEDASK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DASK_CONFIG", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers import the helpers of tests."""
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put commands of a batch system that runs jobs at once first in PATH."""
    commands.install(tmp_path / "fake")
    monkeypatch.setenv("PATH", f"{tmp_path / 'fake'}{os.pathsep}{os.environ['PATH']}")
