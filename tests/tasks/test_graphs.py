"""Waves of tasks: the same results for any cuts, at the cost of the part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.killing import contents

import icedask as ice
from icedask.store import blocks as regions
from icedask.store import chunks
from icedask.tasks import graphs
from icedask.tasks import run as compute
from icedask.tasks.graphs import LazyGraph, Wave, Waves, block_key
from icedask.tasks.moments import moments as compute_moments

N_FRAMES = 48
WAVES = [1000, 20, 1]  # tasks in a wave: one wave, a few, and as many as tasks


@pytest.fixture
def trj(monkeypatch: pytest.MonkeyPatch) -> xr.Dataset:
    """Frames of a rattled crystal, two in a block."""
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 64)
    crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    frames = []
    for seed in range(N_FRAMES):
        frames.append(crystal.copy())
        frames[-1].rattle(0.1, seed=seed)
    return ice.from_ase(frames)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No workers but this thread, whatever other tests have started."""
    monkeypatch.setattr(compute, "active_client", lambda *_: None)
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of tasks of each wave that was written."""
    sizes: list[int] = []
    original = regions._writing_waves

    def spy(*args: Any) -> Iterator[Wave]:
        for wave in original(*args):
            sizes.append(len(wave.tasks))
            yield wave

    monkeypatch.setattr(regions, "_writing_waves", spy)
    return sizes


def results(trj: xr.Dataset) -> list[xr.Dataset]:
    both = ice.describe(trj, {"lens": {"r_cut": 3.0}, "steinhardt": {"r_cut": 3.0}})
    soap = ice.soap(trj, r_cut=3.0, n_max=2, l_max=2, sigma=0.5)
    joined = ice.join(soap, ice.smooth(both["lens"], window=3))
    return [both["lens"], both["steinhardt"], joined, ice.smooth(ice.time_soap(soap), window=3)]


@pytest.mark.slow
@pytest.mark.parametrize("size", WAVES)
def test_waves_write_the_same(
    trj: xr.Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: None,
    counted: list[int],
    size: int,
) -> None:
    lazy = results(trj)
    whole = ice.save(lazy, tmp_path / "whole.zarr")
    assert len(counted) == 1
    monkeypatch.setattr(graphs, "WAVE_TASKS", size)
    cut = ice.save(lazy, tmp_path / "cut.zarr")
    assert max(counted[1:]) <= min(size, counted[0])
    assert sum(counted[1:]) == counted[0]
    for at_once, in_waves in zip(whole, cut, strict=True):
        xr.testing.assert_equal(at_once, in_waves)


@pytest.mark.parametrize("size", WAVES)
def test_resumed_in_the_middle(
    trj: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: None, size: int
) -> None:
    lazy = results(trj)[:2]
    ice.save(lazy, tmp_path / "whole.zarr")
    monkeypatch.setattr(graphs, "WAVE_TASKS", size)
    write, written = regions.write_region, []

    def failing(*args: Any) -> None:
        if len(written) == 5:
            raise RuntimeError("power cut")
        write(*args)
        written.append(str(args[:2]))

    monkeypatch.setattr(regions, "write_region", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        ice.save(lazy, tmp_path / "cut.zarr")
    monkeypatch.setattr(regions, "write_region", lambda *a: (written.append(str(a[:2])), write(*a)))
    ice.save(lazy, tmp_path / "cut.zarr")
    # The block that failed was not written: each is there once.
    assert len(written) == len(set(written)) == 2 * lazy[0]["lens"].data.numblocks[0]
    assert contents(tmp_path / "cut.zarr") == contents(tmp_path / "whole.zarr")


def test_what_all_blocks_share_is_computed_once(
    monkeypatch: pytest.MonkeyPatch, here: None
) -> None:
    seen = []

    def look(block: np.ndarray) -> np.ndarray:
        seen.append(block.shape)
        return block

    values = da.from_array(np.random.default_rng(0).random((16, 3, 2)), chunks=(1, 3, 2))
    looked = values.map_blocks(look, meta=np.empty((0, 0, 0)))
    monkeypatch.setattr(graphs, "WAVE_TASKS", 4)
    compute_moments(values - looked.mean(), "fit")
    assert len(seen) == 16


def test_a_part_costs_the_part() -> None:
    soap = ice.soap(large(10_000), r_cut=4.0, n_max=2, l_max=1)["soap"].data
    assert soap.npartitions == 10_000
    graph = LazyGraph([soap])
    needed = [block_key(soap, (i, 0)) for i in range(500, 520)]
    assert len(graph.part(needed)) < 200
    wave = Waves(graph).wave(
        needed, [graphs.Task(("x", k[1]), np.sum, graphs.TaskRef(k)) for k in needed]
    )
    blocks = [key for key in wave.graph if key in set(wave.tasks)]
    assert len(blocks) == 20
    # Frames and cells travel with the blocks: only reading and cutting are apart.
    assert len(wave.graph) <= 20 * 2 + 10


def test_persisted_blocks_are_not_computed_again(client: Any, trj: xr.Dataset) -> None:
    soap = ice.soap(trj, r_cut=3.0, n_max=2, l_max=1)
    there = ice.PCA(1).fit(soap.persist())
    np.testing.assert_array_equal(there.components_, ice.PCA(1).fit(soap).components_)


def large(n_frames: int) -> xr.Dataset:
    from icedask.core.trajectory import trajectory

    n_atoms = 2**18
    return trajectory(
        da.zeros((n_frames, n_atoms, 3), chunks=(4, n_atoms, 3), dtype=np.float32),
        element=np.full(n_atoms, "O"),
        cell=np.broadcast_to(np.eye(3) * 100, (n_frames, 3, 3)),
        pbc=[True] * 3,
    )
