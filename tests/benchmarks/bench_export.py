"""Export of 100,000 atoms with results, each format: seconds and peak memory, beside other writers.

python tests/benchmarks/bench_export.py [n_atoms [n_frames ...]]      (default: 100000 20 40)

The peak is the high-water mark of the resident memory of a fresh process, which has no workers; it
must not grow with the number of frames. Other writers take one frame at a time from memory: their
time is that of PEER_FRAMES frames, with what makes their objects left out.
"""

from __future__ import annotations

import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from ase.build import bulk

import icedask as ice

SUFFIXES = ("extxyz", "lammpstrj", "csv", "parquet", "extxyz.gz")
PEER_FRAMES = 2


def trajectory(n_atoms: int, n_frames: int) -> xr.Dataset:
    """Return a lazy trajectory of rattled copper, every frame made where it is used."""
    import dask.array as da

    side = round((n_atoms / 4) ** (1 / 3) + 0.5)
    crystal = bulk("Cu", cubic=True).repeat(side)[:n_atoms]
    single = ice.from_ase(crystal)
    noise = da.random.default_rng(0).normal(0, 0.1, (n_frames, n_atoms, 3), chunks=(1, -1, -1))
    positions = (noise + crystal.positions).astype(np.float32)
    trj = single.isel(frame=[0] * n_frames).assign(positions=(single["positions"].dims, positions))
    return trj.assign_coords(step=("frame", np.arange(n_frames)), id=("atom", np.arange(n_atoms)))


def results(trj: xr.Dataset) -> xr.Dataset:
    """Return a number, a vector and a label of each atom, lazy."""
    import dask.array as da

    shape, rng = (trj.sizes["frame"], trj.sizes["atom"]), da.random.default_rng(1)
    chunks = (1, -1)
    variables: dict[str, Any] = {
        "lens": (("frame", "atom"), rng.random(shape, np.float32, chunks=chunks)),
        "q": (
            ("frame", "atom", "degree"),
            rng.random((*shape, 2), np.float32, chunks=(*chunks, -1)),
        ),
        "label": (("frame", "atom"), rng.integers(-1, 8, shape, np.int32, chunks=chunks)),
    }
    return xr.Dataset(variables, {name: trj[name] for name in ("atom", "step")})


def prepare(folder: Path, n_atoms: int, n_frames: int) -> None:
    """Write the stores of a trajectory and of its results, as another Zarr group."""
    trj = trajectory(n_atoms, n_frames)
    ice.save(trj, folder / "run.zarr")
    results(trj).to_zarr(folder / "results.zarr")


def opened(folder: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Return trajectory and results, lazy."""
    return ice.open_trajectory(folder / "run.zarr"), xr.open_zarr(folder / "results.zarr")


def peak_mb() -> float:
    """Return the high-water mark of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(folder: Path, suffix: str, queue: Any) -> None:
    """Export; send seconds, peak memory and bytes."""
    # One frame first: what is imported and loaded before is not of the export.
    trj, result = opened(folder)
    ice.export(trj, folder / f"first.{suffix}", result, frames=0, overwrite=True)
    start, before, cpu = time.perf_counter(), peak_mb(), time.process_time()
    done = ice.export(trj, folder / f"a.{suffix}", result, overwrite=True)
    spent, cpu = time.perf_counter() - start, time.process_time() - cpu
    queue.put((spent, cpu, before, peak_mb(), done.path.stat().st_size / 1e6))
    done.path.unlink()


def peers(folder: Path, queue: Any) -> None:
    """Send the seconds a frame of other writers."""
    import ase.io
    import pandas as pd
    from ovito.io import export_file
    from ovito.io.ase import ase_to_ovito
    from ovito.pipeline import Pipeline, PythonSource

    trj, result = opened(folder)
    named = {str(name): result[name] for name in result.data_vars}
    atoms = [ice.to_ase(trj, frame, **named) for frame in range(PEER_FRAMES)]
    for frame in atoms:
        frame.arrays["id"] = frame.arrays["id"].astype(np.int32)
    columns = {"id", "label", "lens"}
    tables = [
        pd.DataFrame(
            {
                **{name: frame.arrays[name] for name in columns},
                **dict(zip("xyz", frame.positions.astype("f4").T, strict=True)),
                **{f"q_{k}": frame.arrays["q"][:, k] for k in range(2)},
            }
        )
        for frame in atoms
    ]
    data = [ase_to_ovito(frame) for frame in atoms]
    names = ["Particle Type", "Position.X", "Position.Y", "Position.Z", "id", "label", "lens"]

    def ovito(kind: str) -> None:
        for number, collection in enumerate(data):
            pipeline = Pipeline(source=_Static(collection))
            path = str(folder / f"peer{number}")
            export_file(pipeline, path, kind, columns=names, precision=9)

    class _Static(PythonSource):
        def __init__(self, collection: Any) -> None:
            super().__init__(function=lambda frame, out: out.objects.extend(collection.objects))

    calls: dict[str, Callable[[], Any]] = {
        "ASE, extended XYZ": lambda: ase.io.write(folder / "peer.extxyz", atoms),
        "pandas, CSV": lambda: [table.to_csv(folder / "peer.csv") for table in tables],
        "OVITO, XYZ": lambda: ovito("xyz"),
    }
    for name, call in calls.items():
        start = time.process_time()
        call()
        queue.put((name, (time.process_time() - start) / PEER_FRAMES))
    queue.put(None)


def in_process(function: Callable[..., None], *arguments: Any) -> Any:
    """Run a function in a fresh process; return its queue."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=function, args=(*arguments, queue))
    process.start()
    values = []
    if function is not _prepare:
        while (value := queue.get()) is not None:
            values.append(value)
            if function is ours:
                break
    process.join()
    if process.exitcode:
        sys.exit(f"{function.__name__} failed")
    return values


def _prepare(folder: Path, n_atoms: int, n_frames: int, queue: Any) -> None:
    prepare(folder, n_atoms, n_frames)


def main() -> None:
    """Print the tables."""
    sizes = [int(word) for word in sys.argv[1:]] or [100_000, 20, 40]
    n_atoms, lengths = sizes[0], sizes[1:] or [20]
    print(f"{platform.machine()}, Python {platform.python_version()}, {n_atoms} atoms")
    for n_frames in lengths:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            in_process(_prepare, folder, n_atoms, n_frames)
            in_process(ours, folder, "extxyz")  # compiles
            for suffix in SUFFIXES:
                [(spent, cpu, before, peak, size)] = in_process(ours, folder, suffix)
                print(
                    f"{n_frames} frames, {suffix:10s} {spent:5.1f} s, CPU {cpu / n_frames:.3f} s a "
                    f"frame, peak {peak:.0f} MB ({before:.0f} after one frame), file {size:.0f} MB",
                    flush=True,
                )
            if n_frames == lengths[0]:
                for peer, spent in in_process(peers, folder):
                    print(f"{peer:20s} CPU {spent:.2f} s a frame", flush=True)


if __name__ == "__main__":
    main()
