"""SOAP, LENS, q4 and q6, CHILL+ of 100,000 atoms in one pass: time and peak memory.

python tests/benchmarks/bench_pass.py [n_atoms] [n_frames]      (default: 100000 8)

CPU time of one worker process, results on disk, beside that of SOAP alone in DScribe (on a part of
the atoms, in the same process). The peak is the high-water mark of the worker's resident memory.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_memory import peak_mb
from dscribe.descriptors import SOAP
from frames import ice, seconds

import icedask

REQUESTS = {
    "soap": {},
    "lens": {"r_cut": 6.0},
    "steinhardt": {"degrees": [4, 6], "r_cut": 3.5},
    "chill_plus": {"r_cut": 3.5},
}


def peer(n_atoms: int) -> float:
    """Return DScribe's milliseconds of SOAP for 1000 atoms."""
    atoms = ice(n_atoms)
    calculator = SOAP(species=["O"], r_cut=6.0, n_max=8, l_max=8, sigma=1.0, periodic=True)
    places = atoms.positions[: min(len(atoms), 2000)]
    call = {"": lambda: calculator.create(atoms, centers=places)}
    return seconds(call)[""] / len(places) * 1e6


def main() -> None:
    """Print times and peaks."""
    n_atoms = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    n_frames = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    frames = [ice(n_atoms, seed) for seed in range(n_frames)]
    trj = icedask.from_ase(frames, frame_interval=1.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "run.zarr"
        trj = icedask.save(trj, store)
        options = {"n_workers": 1, "memory_limit": "2GB", "local_directory": folder}
        with icedask.connect("local", **options) as client:
            warm = icedask.describe(icedask.from_ase(frames[0][:64]), {"soap": {}})
            warm["soap"].compute()
            before = client.run(time.process_time), client.run(peak_mb)
            start = time.time()
            icedask.save(list(icedask.describe(trj, REQUESTS).values()), store)
            wall = time.time() - start
            after = client.run(time.process_time), client.run(peak_mb)
        (spent,) = np.subtract(list(after[0].values()), list(before[0].values()))
        rows = trj.sizes["atom"] * n_frames
        print(f"{n_frames} frames of {trj.sizes['atom']} atoms, saved: {wall:.1f} s")
        print(f"icedask {spent / rows * 1e6:.1f} ms CPU per 1000 atoms and frame for all four")
        print(
            f"peak of the worker {next(iter(after[1].values())):.0f} MB, "
            f"{next(iter(before[1].values())):.0f} MB before"
        )
        print(f"DScribe {peer(n_atoms):.1f} ms for SOAP alone")


if __name__ == "__main__":
    main()
