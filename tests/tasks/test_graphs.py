"""Waves of tasks: the same results for any cuts, finished tasks released, lost clusters."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
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
from icedask.errors import ComputeError
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
    monkeypatch.setattr(compute, "active_client", lambda: None)
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
    for one, other in zip(whole, cut, strict=True):
        xr.testing.assert_equal(one, other)


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


@pytest.mark.parametrize("size", [8, 3, 1])
def test_moments(monkeypatch: pytest.MonkeyPatch, here: None, size: int) -> None:
    values = np.random.default_rng(0).normal(3, 2, (16, 30, 5))
    lazy = da.from_array(values, chunks=(2, 30, 5))
    whole = compute_moments(lazy, "fit")
    monkeypatch.setattr(graphs, "WAVE_TASKS", size)
    cut, again = compute_moments(lazy, "fit"), compute_moments(lazy, "fit")
    rows = values.reshape(-1, 5)
    assert cut.n == whole.n == len(rows)
    np.testing.assert_allclose(cut.mean, rows.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(cut.scatter, np.cov(rows.T, bias=True) * len(rows), rtol=1e-12)
    np.testing.assert_array_equal(cut.scatter, again.scatter)
    if size == 8:
        np.testing.assert_array_equal(cut.scatter, whole.scatter)


def test_moments_do_not_depend_on_timing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "WAVE_TASKS", 3)
    values = np.random.default_rng(1).normal(3, 2, (16, 30, 5)).astype(np.float32)
    there = compute_moments(da.from_array(values, chunks=(2, 30, 5)), "fit")
    monkeypatch.setattr(compute, "active_client", lambda: None)
    here = compute_moments(da.from_array(values, chunks=(2, 30, 5)), "fit")
    np.testing.assert_array_equal(here.mean, there.mean)
    np.testing.assert_array_equal(here.scatter, there.scatter)


def test_no_rows_at_all(here: None) -> None:
    with pytest.raises(ice.InputError, match="at least two rows"):
        compute_moments(da.full((4, 3, 2), np.nan, chunks=(1, 3, 2)), "fit")


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


def test_finished_tasks_are_released(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "WAVE_TASKS", 10)
    most = []

    def waves() -> Iterator[Wave]:
        for first in range(0, 200, 10):
            most.append(len(client.futures))
            keys = [f"small-{n}" for n in range(first, first + 10)]
            yield Wave({key: graphs.Task(key, int, n) for n, key in enumerate(keys)}, keys)

    compute.run_tasks(waves(), 200, "small")
    assert len(most) == 20
    assert max(most) <= 20
    deadline = time.monotonic() + 30  # the last are let go of by another thread
    while any(key.startswith("small-") for key in map(str, client.futures)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_results_come_in_order(client: Any) -> None:
    def waves() -> Iterator[Wave]:
        for number in range(4):
            key = f"slow-{number}"
            yield Wave({key: graphs.Task(key, later, number, 0.2 / (1 + number))}, [key], [key])

    assert compute.run_tasks(waves(), 4, "slow") == [0, 1, 2, 3]


def later(value: int, seconds: float) -> int:
    time.sleep(seconds)
    return value


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where the shell started the tests with interrupts ignored, Python would not raise any."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupt_cancels_what_is_in_flight(client: Any) -> None:
    def waves() -> Iterator[Wave]:
        keys = [f"long-{n}" for n in range(6)]
        yield Wave({key: graphs.Task(key, time.sleep, 30) for key in keys}, keys)

    # As Ctrl-C, but for handlers that libraries of other tests may have left in this process.
    threading.Timer(1.0, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        compute.run_tasks(waves(), 6, "long")
    deadline = time.monotonic() + 30
    while any(client.processing().values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(client.processing().values())
    client.restart()


def test_failed_cluster_is_an_error(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        raise ComputeError("no job could start")

    monkeypatch.setattr(client, "check", check, raising=False)
    wave = Wave({"nap": graphs.Task("nap", time.sleep, 5)}, ["nap"])
    with pytest.raises(ComputeError, match="no job could start"):
        compute.run_tasks([wave], 1, "nap")


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler and a worker in processes of their own."""
    file = tmp_path / "scheduler.json"
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                f"distributed.cli.dask_{kind}",
                "--scheduler-file",
                str(file),
                "--no-dashboard",
                *more,
            ],
            env=environment,
            **common,
        )
        for kind, more in (
            ("scheduler", ["--port", "0", "--host", "127.0.0.1"]),
            ("worker", ["--nthreads", "1", "--no-nanny", "--death-timeout", "60"]),
        )
    ]
    try:
        yield started[0], str(file)
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_lost_scheduler(
    scheduler: tuple[subprocess.Popen[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    process, file = scheduler
    with Client(scheduler_file=file, set_as_default=False, timeout="5s") as client:
        client.wait_for_workers(1, timeout=60)
        monkeypatch.setattr(compute, "active_client", lambda: client)
        threading.Timer(1.0, process.kill).start()
        wave = Wave({"long": graphs.Task("long", time.sleep, 300)}, ["long"])
        with pytest.raises(ComputeError, match="lost the scheduler"):
            compute.run_tasks([wave], 1, "long")
