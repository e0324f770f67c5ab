"""From the features to the motifs of ten million environments: time of each step, peak memory.

python tests/benchmarks/bench_motifs.py STORE [--copies 24] [--frames 100] [--folder FOLDER]

STORE has been through `icedask run motifs`. Its features, of frames spread over the time, are
repeated along the atoms with noise of a hundredth of their standard deviation, so that no two rows
are the same: 24 copies of 4,096 molecules and 100 frames are 9.8 million environments. On two
workers of 3 GB: autoencoder (two ranks), latent coordinates to disk, UMAP, motifs, labels and
places in the map to disk. Writes results/motifs.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask.array as da
import numpy as np
import psutil
import xarray as xr

import icedask as ice
from icedask.workflows.motifs import WEIGHTS

RESULTS = Path(__file__).parent / "results"


def repeated(features: xr.Dataset, copies: int, n_frames: int) -> xr.Dataset:
    """Return some frames of features, each repeated along the atoms; lazy."""
    chosen = np.linspace(0, features.sizes["frame"] - 1, n_frames).round().astype(int)
    values = features["features"].values[chosen]
    noise = 0.01 * values[::10].std(axis=(0, 1))

    def block(rows: np.ndarray, block_info: dict[int, dict[str, list[int]]]) -> np.ndarray:
        (frame, *_) = block_info[0]["chunk-location"]
        many = np.tile(rows, (1, copies, 1))
        draw = np.random.default_rng(frame).standard_normal(many.shape, np.float32)
        return many + draw * noise.astype(np.float32)

    source = da.from_array(values, chunks=(1, -1, -1))
    n_atoms = values.shape[1] * copies
    chunks = (source.chunks[0], (n_atoms,), source.chunks[2])
    many = source.map_blocks(block, chunks=chunks, dtype=np.float32)
    coords = {"block": ("feature", features["block"].values.astype(str))}
    return xr.Dataset({"features": (("frame", "atom", "feature"), many)}, coords)


class Peak(threading.Thread):
    """Watches the memory of processes."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        super().__init__(daemon=True)
        self.processes = processes
        self.peak = dict.fromkeys(processes, 0)

    def run(self) -> None:
        """Look five times a second."""
        while True:
            for name, process in self.processes.items():
                self.peak[name] = max(self.peak[name], process.memory_info().rss)
            time.sleep(0.2)


@contextmanager
def timed(name: str, steps: dict[str, float]) -> Iterator[None]:
    """Note how long something takes."""
    began = time.perf_counter()
    yield
    steps[name] = time.perf_counter() - began
    print(f"{name}: {steps[name]:.0f} s", flush=True)


def stored(ds: xr.Dataset, path: Path) -> xr.Dataset:
    """Write a Dataset, and open it."""
    ds.to_zarr(path, mode="w", consolidated=False)
    return xr.open_zarr(path, consolidated=False)


def main() -> None:
    """Run all steps, and write what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--copies", type=int, default=24)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    run = ice.list_runs(args.store).query("name == 'combine'").index[-1]
    steps: dict[str, float] = {}
    with ice.connect("local", n_workers=2, memory_limit="3GB") as client:
        x = repeated(ice.open_run(args.store, run), args.copies, args.frames)
        x = stored(x, folder / "features.zarr")
        client.restart()
        pids = client.run(os.getpid)
        watched = {f"worker {k}": psutil.Process(pid) for k, pid in enumerate(pids.values(), 1)}
        watch = Peak({**watched, "client": psutil.Process()})
        watch.start()
        with timed("autoencoder, two ranks", steps):
            vae = ice.VAE(block_weights=WEIGHTS).fit(x, n_ranks=2)
        with timed("latent coordinates of all", steps):
            latent = stored(vae.transform(x)[["latent"]], folder / "latent.zarr")
        with timed("UMAP of 30,000, and its network", steps):
            umap = ice.UMAP().fit(latent)
        with timed("motifs, and their network", steps):
            motifs = ice.Motifs().fit(latent, umap)
        with timed("labels and places of all", steps):
            labels = motifs.predict(latent)
            labels = stored(
                labels.assign(place=umap.transform(latent)["latent"].rename(component="axis")),
                folder / "labels.zarr",
            )
        label = labels["label"]
        none = float((label < 0).mean())
    n = x.sizes["frame"] * x.sizes["atom"]
    lines = [
        f"{x.sizes['atom']} molecules x {x.sizes['frame']} frames = {n / 1e6:.1f} million "
        f"environments of {x.sizes['feature']} features, two workers of 3 GB on two cores; "
        f"{len(vae.curves_['loss'])} epochs, {motifs.n_motifs_} motifs, {none:.1%} in none.",
        "",
        "| step | s |",
        "|---|---|",
        *(f"| {name} | {seconds:.0f} |" for name, seconds in steps.items()),
        f"| all | {sum(steps.values()):.0f} |",
        "",
        f"Peak memory: {', '.join(f'{k} {v / 1e9:.2f} GB' for k, v in watch.peak.items())}.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    (RESULTS / "motifs.md").write_text(text)


if __name__ == "__main__":
    main()
