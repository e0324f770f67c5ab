"""Cost of checksums and of synced shards: seconds of save, open and one atom's series, as ratios.

python tests/benchmarks/bench_checksums.py [n_cells [n_frames [repeats]]]      (default: 16 20 3)

Each repeat runs all variants in turn, in this process; of each the best time counts. SOAP and LENS
are computed by `save`, so that the share of the computation shows; "copy" writes SOAP that is in
memory. Where zarr has its fused pipeline of codecs, that is a variant too.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import xarray as xr
import zarr
from ase.build import bulk

import icedask as ice
from icedask.core.provenance import Record, stamped
from icedask.store import arrays, sidecars

FUSED = "zarr.core.codec_pipeline.FusedCodecPipeline"


def trajectory(n_cells: int, n_frames: int) -> xr.Dataset:
    """Return rattled copper of 4 n_cells^3 atoms."""
    rng, crystal = np.random.default_rng(0), bulk("Cu", cubic=True) * (n_cells, n_cells, n_cells)
    frames = []
    for _ in range(n_frames):
        atoms = crystal.copy()
        atoms.rattle(0.1, rng=rng)
        frames.append(atoms)
    return ice.from_ase(frames)


@contextmanager
def variant(name: str) -> Iterator[None]:
    """Write without checksums, or without syncing, or as shipped."""
    with ExitStack() as stack:
        if name in ("neither", "no checksums"):
            stack.enter_context(patch.object(arrays, "_CHECKSUM", ()))
        if name in ("neither", "not synced"):
            for module in (arrays, sidecars):
                for function in ("sync_file", "sync_folder"):
                    if hasattr(module, function):
                        stack.enter_context(patch.object(module, function, lambda *_: None))
        if name == "fused":
            stack.enter_context(zarr.config.set({"codec_pipeline.path": FUSED}))
        yield


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measured(trj: xr.Dataset, soap: xr.Dataset, folder: Path) -> dict[str, float]:
    """Return the seconds of each step in a new store."""
    store = folder / "cu.zarr"
    copy = stamped(
        soap.drop_attrs(deep=False), Record("results", "copy", 1, {}, positions=soap.positions)
    )
    counts = ice.coordination(trj, r_cut=3.2)
    times = {
        "save trajectory": seconds(lambda: ice.save(trj, store)),
        "save SOAP": seconds(lambda: ice.save(ice.soap(trj, r_cut=4.0), store, label="soap")),
        "copy SOAP": seconds(lambda: ice.save(copy, store, label="copy")),
        "save LENS": seconds(lambda: ice.save(ice.lens(trj, r_cut=3.2), store, label="lens")),
        "save labels": seconds(lambda: ice.save(counts, store, label="labels")),
    }
    for label in ("soap", "lens", "labels"):
        times[f"read {label}"] = seconds(lambda label=label: ice.open_run(store, label).load())
    run = ice.open_run(store, "soap")
    times["one atom of SOAP"] = seconds(lambda: run.isel(atom=5).load())
    times["open SOAP"] = seconds(lambda: ice.open_run(store, "soap"))
    times["verify, GB/s"] = seconds(lambda: ice.verify(store))
    times["verify, GB/s"] = ice.verify(store).bytes / 1e9 / times["verify, GB/s"]
    return times


def main() -> None:
    """Print the table."""
    n_cells, n_frames, repeats = (*map(int, sys.argv[1:]), *(16, 20, 3)[len(sys.argv) - 1 :])
    trj = trajectory(n_cells, n_frames)
    soap = ice.soap(trj, r_cut=4.0).persist()
    names = ["neither", "no checksums", "not synced", "as shipped"]
    if hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline"):
        names.append("fused")
    best: dict[str, dict[str, float]] = {}
    for _ in range(repeats):
        for name in names:
            with tempfile.TemporaryDirectory() as folder, variant(name):
                times = measured(trj, soap, Path(folder))
            known = best.setdefault(name, times)
            for step, value in times.items():
                choose = max if "GB/s" in step else min
                known[step] = choose(known[step], value)
    print(f"{trj.sizes['atom']} atoms, {n_frames} frames, zarr {zarr.__version__}")
    print(f"{platform.processor()}, best of {repeats}; seconds, and the ratio to neither")
    print("".join(f"{name:>20s}" for name in ["", *names]))
    for step, base in best["neither"].items():
        cells = (f"{best[name][step]:.3f} {best[name][step] / base:6.2f}" for name in names)
        print(f"{step:>20s}" + "".join(f"{cell:>20s}" for cell in cells))


if __name__ == "__main__":
    main()
