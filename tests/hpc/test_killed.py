"""Killed client, scheduler or jobs: the same command computes the missing blocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import DEMO_DUMP, DEMO_OPTIONS
from helpers.jobs import cancel, wait_until

import icedask as ice
from icedask.hpc.cluster import clusters
from icedask.hpc.folders import connection

pytestmark = pytest.mark.usefixtures("slurm")

# One block for each frame.
_PROGRAM = (
    "from icedask.store import chunks; chunks.BLOCK_ATOM_FRAMES = 1000;"
    "from icedask.cli import main; main()"
)
_SOAP = {"r_cut": 8.0, "n_max": 8, "l_max": 8}
_FRAMES = 25


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key, value in {"CORES": "1", "MEMORY": "700MiB", "WALLTIME": "00:10:00"}.items():
        monkeypatch.setenv(f"DASK_JOBQUEUE__SLURM__{key}", value)
    ice.ingest(
        DEMO_DUMP, tmp_path / "run.zarr", frames="35:60", select="index 0:999", **DEMO_OPTIONS
    )
    return tmp_path / "run.zarr"


def start(store: Path) -> subprocess.Popen[str]:
    """Start the command; to be used in a `with` block, which closes the pipe."""
    options = [f"--{key.replace('_', '-')}={value}" for key, value in _SOAP.items()]
    place = ["--profile=slurm", "--jobs=2"]
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "describe", str(store), "soap", *options, *place],
        stderr=subprocess.PIPE,
        text=True,
    )


def shards(store: Path) -> dict[str, tuple[int, int]]:
    """Return the blocks on disk, with values that change when one is written again."""
    files = store.glob("descriptors/soap/soap-*/soap/c/*/0/0")
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def check_result(store: Path) -> None:
    """Check that all blocks are on disk, with the values of this process."""
    assert len(shards(store)) == _FRAMES
    run = ice.open_run(store, ice.list_runs(store).index[0])
    expected = ice.soap(ice.open_trajectory(store), **_SOAP)["soap"].values
    # The last bits depend on the number of threads, which may differ between the processes.
    np.testing.assert_allclose(run["soap"].values, expected, rtol=0, atol=1e-5 * expected.max())


@pytest.mark.parametrize("victim", ["client", "scheduler"])
def test_killed_and_repeated(store: Path, victim: str) -> None:
    with start(store) as child:
        wait_until(lambda: len(shards(store)) >= 5, 90)
        os.kill(child.pid if victim == "client" else next(_heads()), signal.SIGKILL)
        errors = child.communicate(timeout=120)[1]
    if victim == "scheduler":
        assert child.returncode == 1
        assert "rerun the same command" in errors and "Traceback" not in errors
    else:
        wait_until(lambda: not len(clusters()))
    assert ice.list_runs(store)["status"].tolist() == ["interrupted"]
    before = shards(store)
    assert 5 <= len(before) < _FRAMES
    with start(store) as again:
        errors = again.communicate(timeout=180)[1]
    assert again.returncode == 0, errors
    after = shards(store)
    assert {name: after[name] for name in before} == before
    check_result(store)


def test_all_jobs_cancelled(store: Path) -> None:
    with start(store) as child:
        wait_until(lambda: len(shards(store)) >= 5, 90)
        with ice.connect(str(next(iter(clusters().index))), set_as_default=False) as client:
            cancel(*client.jobs.status().index)
        errors = child.communicate(timeout=120)[1]
    assert child.returncode == 0, errors
    check_result(store)


def _heads() -> Iterator[int]:
    for name in clusters().index:
        head = connection(Path(os.environ["ICEDASK_HOME"]) / "clusters" / name)
        assert head is not None
        yield head["pid"]
