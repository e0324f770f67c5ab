"""Fixtures that several folders share."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import dask
import pytest
import xarray as xr

import icedask as ice

TEST_SLURM = Path(__file__).parents[1] / "deploy" / "test-slurm"
DEMO_DUMP = Path(str(files("icedask") / "data" / "mw_nucleation.lammpstrj.gz"))
DEMO_OPTIONS = {
    "units": "real",
    "timestep": 10,
    "elements": "O",
    "columns": {"c_e": "potential_energy"},
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of jobs as slow: they need a SLURM."""
    for item in items:
        if "slurm" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 16 frames of the shipped trajectory; not to be written to."""
    store = tmp_path_factory.mktemp("demo") / "mw.zarr"
    ice.ingest(DEMO_DUMP, store, frames="44:60", **DEMO_OPTIONS)
    return store


@pytest.fixture
def mw(demo_store: Path) -> xr.Dataset:
    """Sixteen frames of freezing water."""
    return ice.open_trajectory(demo_store)


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Restore the level of the logger, which the command line sets: tests have any order."""
    logger = logging.getLogger("icedask")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def nothing_computes() -> Iterator[None]:
    """Fail as soon as Dask computes anything."""

    def refuse(dsk: object, keys: object, **kwargs: object) -> None:
        raise AssertionError("computed where laziness was promised")

    with dask.config.set(scheduler=refuse):
        yield


@pytest.fixture(scope="session")
def workers() -> Iterator[Any]:
    """Two worker processes, without a key: commands of tests connect to them by their address."""
    with ice.connect(
        "local", n_workers=2, memory_limit="2GB", protocol="tcp", set_as_default=False
    ) as client:
        yield client


@pytest.fixture
def client(workers: Any) -> Iterator[Any]:
    """Two worker processes, whose client is the active one during the test."""
    with workers.as_current():
        yield workers


@pytest.fixture(scope="session")
def slurm() -> None:
    """Skip, or fail where that is asked for, unless the test SLURM is up."""
    status = subprocess.run(
        [str(TEST_SLURM), "status"], capture_output=True, text=True, check=False
    )
    if status.returncode == 0:
        return
    message = f"no SLURM: {(status.stderr or status.stdout).strip()}; start it: {TEST_SLURM} start"
    if os.environ.get("ICEDASK_REQUIRE_SLURM"):
        pytest.fail(message)
    pytest.skip(message)
