"""Commands that run wholly inside the batch system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
from helpers.jobs import wait_until

import icedask as ice
from icedask.errors import ComputeError
from icedask.hpc.submit import jobs, read_state, run_in_job, submit

pytestmark = pytest.mark.usefixtures("slurm")

_COMMAND = ["coordination", "--r-cut", "3.5"]


@pytest.fixture
def store(mw: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key, value in {"CORES": "1", "MEMORY": "700MiB", "WALLTIME": "00:05:00"}.items():
        monkeypatch.setenv(f"DASK_JOBQUEUE__SLURM__{key}", value)
    ice.save(ice.select(mw, "index 0:499"), tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


def done() -> bool:
    return str(jobs()["state"].iloc[0]) in ("complete", "failed", "lost")


def icedask(*arguments: str) -> str:
    command = [sys.executable, "-m", "icedask", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_scheduler_and_client_in_one_job(store: Path) -> None:
    job = icedask("submit", "--profile", "slurm", "--", "describe", str(store), *_COMMAND).strip()
    assert jobs().index[0] == job
    wait_until(done, 120)
    row = jobs().iloc[0]
    assert row["state"] == "complete", row["reason"]
    assert "coordination" in row["command"]
    assert ice.list_runs(store)["status"].tolist() == ["complete"]
    assert job in icedask("jobs")


def test_all_in_one_job(store: Path) -> None:
    submit(["describe", str(store), *_COMMAND, "--profile", "local"], "slurm", local=True)
    wait_until(done, 120)
    assert jobs().iloc[0]["state"] == "complete", jobs().iloc[0]["reason"]


def test_error_of_a_command_that_fails(store: Path) -> None:
    submit(["describe", str(store / "no"), *_COMMAND], "slurm")
    wait_until(done, 120)
    row = jobs().iloc[0]
    assert row["state"] == "failed" and "no such store" in row["reason"]


def test_command_with_spaces_and_quotes(store: Path) -> None:
    label = 'with spaces, "quotes" and $signs'
    command = ["describe", str(store), *_COMMAND, "--label", label, "--profile", "local"]
    submit(command, "slurm", local=True)
    wait_until(done, 120)
    assert jobs()["state"].tolist() == ["complete"], jobs()["reason"].tolist()
    assert ice.open_run(store, label).attrs["status"] == "complete"


def test_refused_submission(store: Path) -> None:
    with pytest.raises(ComputeError, match=r"sbatch refused the job: .*invalid partition"):
        submit(["info", str(store)], "slurm", queue="nowhere")
    assert not len(jobs())


def test_interrupted_before_the_walltime_and_submitted_again(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submissions: list[Path] = []
    monkeypatch.setattr("icedask.hpc.submit.submit_again", submissions.append)
    # A command that takes longer than its job.
    heavy = ["soap", "--r-cut", "12", "--n-max", "12", "--l-max", "12"]
    submit(["describe", str(store), *heavy, "--profile", "local"], "slurm", local=True)
    (folder,) = submissions
    monkeypatch.setattr("icedask.hpc.submit.margin", lambda walltime: walltime - 4)
    assert run_in_job(folder) == 0
    assert submissions == [folder] * 2
    assert read_state(folder)["state"] == "running"
    assert ice.list_runs(store)["status"].tolist() != ["complete"]
