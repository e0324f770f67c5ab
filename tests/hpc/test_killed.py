"""The client or the scheduler is killed; the same command computes what is missing."""

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

# One block for each of the 50 frames.
_PROGRAM = (
    "from icedask.store import chunks; chunks.BLOCK_ATOM_FRAMES = 1000;"
    "from icedask.cli import main; main()"
)
_SOAP = {"r_cut": 8.0, "n_max": 10, "l_max": 8}
_FRAMES = 50


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key, value in {"CORES": "1", "MEMORY": "700MiB", "WALLTIME": "00:10:00"}.items():
        monkeypatch.setenv(f"DASK_JOBQUEUE__SLURM__{key}", value)
    ice.ingest(
        DEMO_DUMP, tmp_path / "run.zarr", frames="10:60", select="index 0:999", **DEMO_OPTIONS
    )
    return tmp_path / "run.zarr"


def start(store: Path) -> subprocess.Popen[str]:
    options = [f"--{key.replace('_', '-')}={value}" for key, value in _SOAP.items()]
    place = ["--profile=slurm", "--jobs=2"]
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "describe", str(store), "soap", *options, *place],
        stderr=subprocess.PIPE,
        text=True,
    )


def shards(store: Path) -> dict[str, tuple[int, int]]:
    """The blocks on disk, and what changes when one is written again."""
    found = store.glob("descriptors/soap/soap-*/soap/c/*/0/0")
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("victim", ["client", "scheduler", "all jobs"])
def test_killed_in_the_middle(store: Path, victim: str) -> None:
    child = start(store)
    wait_until(lambda: len(shards(store)) >= 5, 90)
    if victim == "all jobs":
        with ice.connect(str(next(iter(clusters().index))), set_as_default=False) as client:
            cancel(*client.jobs.status().index)
        assert child.wait(120) == 0, child.communicate()[1]
    else:
        pid = child.pid if victim == "client" else next(_heads())
        os.kill(pid, signal.SIGKILL)
        errors = child.communicate(timeout=120)[1]
        if victim == "scheduler":
            assert child.returncode == 1
            assert "rerun the same command" in errors and "Traceback" not in errors
        else:
            wait_until(lambda: not len(clusters()))
        assert ice.list_runs(store)["status"].tolist() == ["running"]
        before = shards(store)
        assert 5 <= len(before) < _FRAMES
        again = start(store)
        assert again.wait(180) == 0, again.communicate()[1]
        after = shards(store)
        assert {name: after[name] for name in before} == before
        assert again.stderr is not None
        again.stderr.close()
    assert len(shards(store)) == _FRAMES
    run = ice.open_run(store, ice.list_runs(store).index[0])
    expected = ice.soap(ice.open_trajectory(store), **_SOAP)
    np.testing.assert_array_equal(run["soap"].values, expected["soap"].values)
    if child.stderr is not None:
        child.stderr.close()


def _heads() -> Iterator[int]:
    for name in clusters().index:
        found = connection(Path(os.environ["ICEDASK_HOME"]) / "clusters" / name)
        assert found is not None
        yield found["pid"]
