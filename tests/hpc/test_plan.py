"""Predicted cost: blocks measured as `save` writes them, and the extrapolation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.cli import main
from icedask.hpc.plan import busiest_worker, choose_blocks
from icedask.store.run_writing import as_written


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three frames of the shipped trajectory; of parts of a frame for long vectors."""
    monkeypatch.setattr("icedask.store.chunks.BLOCK_ATOM_FRAMES", 3 * 4096)
    monkeypatch.setattr("icedask.store.chunks.BLOCK_BYTES", 2**20)


def saved_blocks(group: Path, variable: str) -> list[tuple[int, ...]]:
    """Return the indices of the blocks that a run has on disk."""
    folder = group / variable / "c"
    return sorted(
        tuple(map(int, path.relative_to(folder).parts))
        for path in folder.rglob("*")
        if path.is_file()
    )


CASES = {
    "coordination": {"r_cut": 3.5},
    "lens": {"r_cut": 3.5},
    "soap": {"r_cut": 3.5, "n_max": 6, "l_max": 6},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("small_blocks")
def test_blocks_and_bytes_are_those_of_save(name: str, mw: xr.Dataset, tmp_path: Path) -> None:
    lazy = getattr(ice, name)(mw.isel(frame=slice(0, 8)), **CASES[name])
    plan = ice.plan(lazy, workers=2)
    saved = ice.save(lazy, tmp_path / "s.zarr")
    (variable,) = saved.data_vars
    group = tmp_path / "s.zarr" / "descriptors" / name / plan.run_id
    assert plan.run_id == saved.attrs["run_id"]
    assert plan.blocks == len(saved_blocks(group, str(variable)))
    assert (plan.block_frames, plan.block_atoms) == saved[variable].data.chunksize[:2]
    assert plan.store_bytes == pytest.approx(ice.list_runs(tmp_path / "s.zarr")["bytes"], rel=0.1)
    for block in plan.measured:
        (frame, _), (atom, _) = block["frames"], block["atoms"]
        index = (frame // plan.block_frames, atom // plan.block_atoms)
        path = group.joinpath(str(variable), "c", *map(str, index), *["0"] * (name == "soap"))
        assert path.stat().st_size == block["written_bytes"]


@pytest.mark.slow
def test_rounding_counts(mw: xr.Dataset) -> None:
    lazy = ice.lens(mw.isel(frame=slice(0, 3)), r_cut=6.0)
    assert ice.plan(lazy, precision=2).store_bytes < ice.plan(lazy).store_bytes


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n_frames", [2, 3, 4, 7, 12, 13])
@pytest.mark.usefixtures("small_blocks")
def test_every_frame_counts_once(name: str, n_frames: int, mw: xr.Dataset) -> None:
    lazy = as_written(getattr(ice, name)(mw.isel(frame=slice(0, n_frames)), **CASES[name]))
    chunks = next(iter(lazy.data_vars.values())).chunks
    assert chunks is not None
    grid = chunks[:2]
    alone = busiest_worker(grid, 1)
    assert alone * grid[0][0] == pytest.approx(n_frames * len(grid[1]))
    assert busiest_worker(grid, 2) >= alone / 2
    assert busiest_worker(grid, 10_000) == 1


def test_work_of_the_busiest_worker() -> None:
    assert busiest_worker([(6,) * 10], 4) == 3
    assert busiest_worker([(6, 6, 3)], 1) == 2.5
    assert busiest_worker([(6, 6, 3)], 2) == 1.5
    assert busiest_worker([(6, 6, 3)], 3) == 1
    assert busiest_worker([(1, 1), (5, 5, 2)], 4) == 2


def test_chosen_blocks_are_spread_and_whole() -> None:
    assert choose_blocks([(5,)]) == [(0,)]
    assert choose_blocks([(5, 1)]) == [(0,)]
    assert choose_blocks([(5, 5, 5, 2)]) == [(1,), (0,), (2,)]
    # The last block may lack the frames that windows reach into.
    assert choose_blocks([(5, 5, 5, 5)]) == [(1,), (0,), (2,)]
    assert choose_blocks([(1,) * 100, (9, 9, 9, 4)]) == [(49, 1), (0, 0), (98, 2)]


def test_recommended_values_exceed_measured_ones(mw: xr.Dataset) -> None:
    plan = ice.plan(ice.coordination(mw, r_cut=3.5), workers=3)
    assert plan.peak_memory_bytes < plan.worker_memory_bytes < plan.job_memory_bytes
    assert plan.worker_memory_bytes % 2**29 == 0
    assert plan.walltime_seconds >= plan.total_seconds
    assert plan.block_seconds_min <= plan.block_seconds <= plan.block_seconds_max
    assert "2 of 3 workers would have nothing to do; ask for 1" in str(plan)


@pytest.mark.slow
def test_a_child_measures_itself_alone(mw: xr.Dataset) -> None:
    lazy = ice.coordination(mw.isel(frame=[0]), r_cut=3.5)
    hoard = np.ones(2**27)
    assert ice.plan(lazy).peak_memory_bytes < hoard.nbytes


def test_bad_input(mw: xr.Dataset) -> None:
    lazy = ice.coordination(mw.isel(frame=[0]), r_cut=3.5)
    for workers in (0, -1, 1.5, True):
        with pytest.raises(ice.InputError, match="workers: expected a number"):
            ice.plan(lazy, workers=workers)
    with pytest.raises(ice.InputError, match="precision: expected 1 to 23"):
        ice.plan(lazy, precision=24)
    with pytest.raises(ice.InputError, match="in memory already"):
        ice.plan(lazy.load())
    with pytest.raises(ice.InputError, match="not the trajectory"):
        ice.plan(mw)
    with pytest.raises(ice.InputError, match="found list"):
        ice.plan([lazy])
    with pytest.raises(ice.InputError, match="without any"):
        ice.plan(ice.coordination(mw, r_cut=3.5).isel(frame=[]))


def test_message_of_a_block_that_fails(mw: xr.Dataset) -> None:
    broken = mw.isel(frame=[0]).assign(positions=mw["positions"].isel(frame=[0]) * np.nan)
    with pytest.raises(ice.ComputeError, match="could not be computed: positions: expected"):
        ice.plan(ice.coordination(broken, r_cut=3.5))


@pytest.mark.slow
def test_command(
    demo_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["icedask", "plan", str(demo_store), "describe"])
        sys.argv += ["coordination", "--r-cut", "3.5", *arguments]
        main()
        return capsys.readouterr().out

    before = ice.list_runs(demo_store)
    cost: dict[str, Any] = json.loads(run("--workers", "2", "--json"))
    assert (cost["frames"], cost["atoms"], cost["workers"]) == (16, 4096, 2)
    assert {
        "blocks",
        "block_seconds",
        "total_seconds",
        "peak_memory_bytes",
        "worker_memory_bytes",
        "job_memory_bytes",
        "walltime_seconds",
        "least_walltime_seconds",
        "store_bytes",
        "scheduler_memory_bytes",
        "cpu",
    } <= cost.keys()
    assert cost["measured"][0]["frames"] == [0, 16]
    shown = run("--workers", "1", "--precision", "4")
    assert all(title in shown for title in ("Measured on", "Extrapolated", "To ask for"))
    assert len(ice.list_runs(demo_store)) == len(before)
    with pytest.raises(SystemExit):
        run("--workers", "0")
    assert "--workers" in capsys.readouterr().err
