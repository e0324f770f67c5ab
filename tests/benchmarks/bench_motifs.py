"""Motifs of ten million environments: time of each stage, peak memory of workers and client.

python tests/benchmarks/bench_motifs.py TRAJECTORY.zarr [--copies 2 3 4] [--frames 100]

Frames of a trajectory of water are repeated in space, with noise of 0.02 angstrom so that no two
copies are the same, and `icedask run motifs` analyses them on two workers of 3 GB. What happens
from the stored features to the labels is timed apart from the descriptors.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil
import xarray as xr

import icedask as ice
from icedask.model import trajectory

RESULTS = Path(__file__).parent / "results"
_DESCRIPTORS = ("PCA fit", "combine")


def repeated(trj: xr.Dataset, copies: tuple[int, int, int], n_frames: int) -> xr.Dataset:
    """Return evenly spread frames, each repeated along its cell vectors; lazy."""
    chosen = np.linspace(0, trj.sizes["frame"] - 1, n_frames).round().astype(int)
    positions = trj["positions"].values[chosen]
    cell = trj["cell"].values[chosen]
    shifts = np.array(list(np.ndindex(*copies)), float)
    n_atoms = positions.shape[1] * len(shifts)

    def frame(number: int) -> np.ndarray:
        moved = positions[number][None] + (shifts @ cell[number])[:, None]
        noise = np.random.default_rng(number).normal(0, 0.02, (n_atoms, 3))
        return (moved.reshape(-1, 3) + noise).astype(np.float32)[None]

    def block(block_info: Any = None) -> np.ndarray:
        return frame(block_info[None]["chunk-location"][0])

    lazy = da.map_blocks(
        block, chunks=((1,) * n_frames, (n_atoms,), (3,)), dtype=np.float32, name="repeated"
    )
    return trajectory(
        lazy,
        cell=cell * np.array(copies)[None, :, None],
        pbc=trj["pbc"].values,
        element=np.full(n_atoms, "O"),
        time=np.arange(n_frames, dtype=float),
    )


class Peak(threading.Thread):
    """Watches the memory of processes."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        super().__init__(daemon=True)
        self.processes = processes
        self.peak = dict.fromkeys(processes, 0)
        self.over = threading.Event()

    def run(self) -> None:
        """Look five times a second."""
        while not self.over.wait(0.2):
            for name, process in self.processes.items():
                self.peak[name] = max(self.peak[name], process.memory_info().rss)


def main() -> None:
    """Print the stages, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--copies", type=int, nargs=3, default=(2, 3, 4))
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    store = folder / "large.zarr"
    with ice.connect("local", n_workers=2, memory_limit="3GB") as client:
        pids = client.run(os.getpid)
        watched = {f"worker {k}": psutil.Process(pid) for k, pid in enumerate(pids.values())}
        watch = Peak({**watched, "client": psutil.Process()})
        source = ice.open_trajectory(args.source)
        if not store.exists():
            ice.save(repeated(source, tuple(args.copies), args.frames), store)
        trj = ice.open_trajectory(store)
        n = trj.sizes["frame"] * trj.sizes["atom"]
        watch.start()
        began = time.perf_counter()
        found = ice.workflows.motifs(trj, store, ranks=2, baselines=False)
        total = time.perf_counter() - began
        watch.over.set()
    stages = json.loads(max((store / ".progress").glob("*.json")).read_text())["stages"]
    lines = [
        f"{trj.sizes['atom']} atoms x {trj.sizes['frame']} frames = {n:.3g} environments, "
        f"two workers of 3 GB; {found.motifs.n_motifs_} motifs",
        "",
        "| stage | s |",
        "|---|---|",
    ]
    after = 0.0
    for one in stages:
        seconds = one["updated"] - one["started"]
        after += 0.0 if one["description"].startswith(_DESCRIPTORS) else seconds
        lines.append(f"| {one['description']} | {seconds:.0f} |")
    lines += [f"| all | {total:.0f} |", f"| from features to labels | {after:.0f} |", ""]
    lines += [f"Peak memory: {', '.join(f'{k} {v / 1e9:.2f} GB' for k, v in watch.peak.items())}."]
    text = "\n".join(lines)
    print(text)
    (RESULTS / "motifs.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
