"""What `plan` predicts, beside what a run takes: wall time, memory of a worker, bytes.

python tests/benchmarks/bench_plan.py predict ATOMS FRAMES NAME ...     (a descriptor's name)
python tests/benchmarks/bench_plan.py compare ATOMS FRAMES NAME ...

The trajectory is the shipped one, its cells repeated until there are so many molecules and its
frames from the start again until there are so many. `compare` plans and runs in turns, each in a
fresh process, on one and on two workers.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

import icedask as ice
from icedask.core.trajectory import trajectory
from icedask.descriptors import registry
from icedask.hpc.measure import peak_bytes

DUMP = Path(str(files("icedask") / "data" / "mw_nucleation.lammpstrj.gz"))
OPTIONS: dict[str, dict[str, Any]] = {
    "soap": {"r_cut": 6.0, "n_max": 8, "l_max": 8},
    "lens": {"r_cut": 6.0},
}
TURNS = 2


def repeats(n_atoms: int, unit: int) -> tuple[int, int, int]:
    """Return how often a cell is repeated in each direction to hold about n_atoms."""
    side = max(1, round((n_atoms / unit) ** (1 / 3)))
    return side, side, max(1, round(n_atoms / unit / side**2))


def tiled(shipped: xr.Dataset, n_atoms: int, n_frames: int) -> xr.Dataset:
    """Return the shipped trajectory, larger and longer; lazy."""
    times = repeats(n_atoms, shipped.sizes["atom"])
    order = np.arange(n_frames) % shipped.sizes["frame"]
    positions, cell = shipped["positions"].values, shipped["cell"].values[order]
    steps = np.indices(times).reshape(3, -1).T

    def frame(block: np.ndarray) -> np.ndarray:
        number = order[block[0, 0, 0]]
        shifts = steps @ shipped["cell"].values[number]
        return (positions[number][None] + shifts[:, None]).reshape(1, -1, 3).astype(np.float32)

    numbers = da.arange(n_frames, chunks=1)[:, None, None]
    count = int(np.prod(times)) * shipped.sizes["atom"]
    lazy = da.map_blocks(frame, numbers, chunks=(1, count, 3), dtype=np.float32)
    return trajectory(
        lazy,
        element=["O"] * count,
        cell=cell * np.array(times)[:, None],
        pbc=[True] * 3,
        time=80.0 * np.arange(n_frames),
    )


def make_store(store: Path, n_atoms: int, n_frames: int) -> None:
    """Write the trajectory, unless it is there."""
    if store.exists():
        return
    with tempfile.TemporaryDirectory() as name:
        options = {"units": "real", "timestep": 10, "elements": "O"}
        shipped = ice.ingest(DUMP, Path(name, "mw.zarr"), columns={"c_e": None}, **options)
        ice.save(tiled(shipped, n_atoms, n_frames), store)


def lazy_result(store: Path, name: str) -> xr.Dataset:
    """Return the lazy result of a descriptor."""
    return registry()[name].function(ice.open_trajectory(store), **OPTIONS.get(name, {}))


def predict(store: Path, name: str, workers: int) -> dict[str, Any]:
    """Return a plan."""
    plan = ice.plan(lazy_result(store, name), workers=workers)
    return {**plan.to_dict(), "cpu_seconds": plan.blocks * plan.block_cpu_seconds}


def run(store: Path, name: str, workers: int) -> dict[str, Any]:
    """Compute and save all, in a store of its own; the time is that of workers and save."""
    import distributed  # noqa: F401  as a plan, the time starts with the processes

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ice.connect(n_workers=workers) as client:
        connected = time.monotonic()
        ready = sum(client.run(time.process_time).values())
        ice.save(lazy_result(store, name), f"{folder}/run.zarr")
        return {
            # A plan counts the loading of kernels with the start, a run with the work.
            "startup_seconds": connected - began,
            "total_seconds": time.monotonic() - began,
            # Those of the workers after their start: they hardly depend on who else is at work.
            "cpu_seconds": sum(client.run(time.process_time).values()) - ready,
            "peak_memory_bytes": max(client.run(peak_bytes).values()),
            "store_bytes": int(ice.list_runs(f"{folder}/run.zarr")["bytes"].iloc[0]),
        }


def fresh(function: Any, *arguments: Any) -> dict[str, Any]:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def compare(store: Path, name: str) -> None:
    """Plan and run in turns, and print both."""
    for turn in range(TURNS):
        for workers in (1, 2):
            planned = fresh(predict, store, name, workers)
            measured = fresh(run, store, name, workers)
            shown = {key: (planned[key], value) for key, value in measured.items()}
            print(json.dumps({"name": name, "turn": turn, "workers": workers, **shown}), flush=True)


def main() -> None:
    """Predict or compare."""
    mode, n_atoms, n_frames, *names = sys.argv[1:]
    store = Path(tempfile.gettempdir(), f"icedask-plan-{n_atoms}-{n_frames}.zarr")
    make_store(store, int(n_atoms), int(n_frames))
    for name in names:
        if mode == "compare":
            compare(store, name)
        else:
            print(ice.plan(lazy_result(store, name), workers=2), "\n", flush=True)


if __name__ == "__main__":
    main()
