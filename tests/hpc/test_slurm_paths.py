"""Paths with spaces, cancelled jobs and the shipped profile, on a real SLURM."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.jobs import SMALL, cancel, traced, wait_until

import icedask as ice
from icedask.errors import ComputeError

pytestmark = pytest.mark.usefixtures("slurm")


def test_home_and_scratch_with_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEDASK_HOME", str(tmp_path / "my own home"))
    with ice.connect("slurm", jobs=1, local_directory=str(tmp_path / "my data"), **SMALL) as client:
        assert client.submit(traced, 3, 0.0, str(tmp_path)).result() == 9
        assert list((client.jobs.folder / "logs").glob("icedask-*.out"))


def test_refusal_names_what_nodes_have() -> None:
    with pytest.raises(
        ComputeError, match=r"asks for: 1 cores, 922100 MB.*the nodes have \d+ cores and"
    ):
        ice.connect("slurm", jobs=1, **{**SMALL, "memory": "900GiB"})


def test_a_cancelled_job_of_a_range_is_replaced(tmp_path: Path) -> None:
    with ice.connect("slurm", jobs=(0, 2), idle="1 s", **SMALL) as client:
        futures = client.map(traced, range(400), seconds=0.4, folder=str(tmp_path))
        wait_until(lambda: (client.jobs.status()["workers"] == 1).sum() == 2, 90)
        first = client.jobs.status().index[0]
        cancel(first)
        wait_until(lambda: any(f"job {first} was lost" in e for e in client.jobs.events()), 60)
        wait_until(lambda: (client.jobs.status()["workers"] == 1).sum() == 2, 60)
        assert not any(f"job {first} is released" in e for e in client.jobs.events())
        client.cancel(futures)
