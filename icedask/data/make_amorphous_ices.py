"""Make the shipped trajectories of nine classes of water, from stores of the campaign.

    icedask simulate water-classes campaign --replicas 4
    python make_amorphous_ices.py campaign amorphous_ices.npz

The first takes some hours of one core, most of it for LDA and HDA; the README has the counts.
Replicas without a phase are left out. A few frames of each, as far apart as the production stage
is long; of the provenance, what does not follow from the version of icedask.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icedask.simulate.shipped import packed
from icedask.store.runs import open_trajectory

_FRAMES = 3
_KEPT = ("recipe", "system", "start", "origin", "stages", "rates", "engine", "seed", "verdict")
# Stores named by a letter in place of a seed are of earlier runs, of no recipe.


def excerpt(trj: xr.Dataset) -> xr.Dataset:
    """Return a few frames from the first to the last, with labels and a short provenance."""
    last = trj.sizes["frame"] - 1
    frames = np.unique(np.linspace(0, last, _FRAMES).round().astype(int))
    few = trj.isel(frame=frames)
    record: dict[str, Any] = few.attrs["simulation"]
    few.attrs["simulation"] = {name: record[name] for name in _KEPT if name in record}
    return few


def main(folder: str, out: str) -> None:
    """Write the file."""
    trajectories = {}
    for store in sorted(Path(folder).glob("*.zarr")):
        if not (store / "trajectory" / "zarr.json").exists() or (store / ".ingest").exists():
            print(f"{store.stem}: not complete, left out")
            continue
        trj = open_trajectory(store)
        if trj.attrs["labels"]["phase"] is None:
            print(f"{store.stem}: {trj.attrs['simulation']['verdict']['reason']}, left out")
            continue
        trajectories[store.stem] = excerpt(trj)
    with Path(out).open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **packed(trajectories))
    print(f"{out}: {len(trajectories)} trajectories, {Path(out).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
