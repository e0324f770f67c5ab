"""Frames per second from an extended XYZ file of 100,000 atoms, one core.

python tests/benchmarks/bench_xyz.py [n_atoms] [n_frames]
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import ase
import ase.io
import MDAnalysis
import numpy as np

import icedask
from icedask.readers.compressed import SourceFile
from icedask.readers.formats import SourceOptions
from icedask.readers.xyz import XyzFile


def write_frames(path: Path, n_atoms: int, n_frames: int) -> None:
    """Write frames of random positions as ASE formats them."""
    rng = np.random.default_rng(0)
    edge = (n_atoms / 0.033) ** (1 / 3)
    lattice = f"{edge} 0.0 0.0 0.0 {edge} 0.0 0.0 0.0 {edge}"
    comment = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"'
    with path.open("w") as file:
        for _ in range(n_frames):
            rows = (rng.random((n_atoms, 3)) * edge).tolist()
            lines = [f"O  {x:16.8f} {y:16.8f} {z:16.8f}\n" for x, y, z in rows]
            file.write(f"{n_atoms}\n{comment}\n" + "".join(lines))


def ours(path: Path, n_frames: int) -> np.ndarray:
    """Return the last positions; the index counts too."""
    source = XyzFile.open(SourceFile.of(str(path)), SourceOptions(), None)
    return [source.read([frame]).positions[0] for frame in range(n_frames)][-1]


def by_ase(path: Path, n_frames: int) -> np.ndarray:
    """Return the last positions, from ase.io.iread."""
    return [atoms.positions for atoms in ase.io.iread(path, index=":")][-1]


def by_mdanalysis(path: Path, n_frames: int) -> np.ndarray:
    """Return the last positions, from a Universe; its topology reads the first frame again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(str(path), format="XYZ", topology_format="XYZ")
        return [ts.positions.copy() for ts in universe.trajectory][-1]


def seconds(reader: Callable[[Path, int], np.ndarray], path: Path, n_frames: int) -> float:
    """Return the CPU seconds of a frame."""
    start = time.process_time()
    reader(path, n_frames)
    return (time.process_time() - start) / n_frames


def main() -> None:
    """Print the table."""
    n_atoms = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    n_frames = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    readers = {
        f"icedask {icedask.__version__}": ours,
        f"ASE {ase.__version__}": by_ase,
        f"MDAnalysis {MDAnalysis.__version__}": by_mdanalysis,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.extxyz"
        write_frames(path, n_atoms, n_frames)
        last = ours(path, n_frames)
        for reader in (by_ase, by_mdanalysis):
            np.testing.assert_array_equal(last, reader(path, n_frames).astype(np.float32))
        rounds = [[seconds(reader, path, n_frames) for reader in readers.values()] for _ in "abc"]
    medians = np.median(rounds, axis=0)
    print(f"{platform.machine()}, Python {platform.python_version()}, {n_atoms} atoms")
    for name, value in zip(readers, medians, strict=True):
        print(f"{name:22s} {value * 1e3:8.1f} ms a frame, ratio {value / medians[0]:.1f}")


if __name__ == "__main__":
    main()
