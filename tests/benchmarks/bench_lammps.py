"""Frames per second from a LAMMPS text dump of 100,000 atoms and six columns, one core.

python tests/benchmarks/bench_lammps.py [n_atoms] [n_frames]
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path

import MDAnalysis
import numpy as np

import icedask
from icedask.readers.compressed import SourceFile
from icedask.readers.formats import SourceOptions
from icedask.readers.lammps import LammpsDump


def write_dump(path: Path, n_atoms: int, n_frames: int) -> None:
    """Write a dump of random positions: id type x y z c_e."""
    rng = np.random.default_rng(0)
    edge = (n_atoms / 0.033) ** (1 / 3)
    with path.open("w") as file:
        for frame in range(n_frames):
            file.write(f"ITEM: TIMESTEP\n{frame * 1000}\nITEM: NUMBER OF ATOMS\n{n_atoms}\n")
            file.write("ITEM: BOX BOUNDS pp pp pp\n" + f"0.0 {edge:.6f}\n" * 3)
            file.write("ITEM: ATOMS id type x y z c_e\n")
            rows = np.column_stack([rng.random((n_atoms, 3)) * edge, rng.random(n_atoms) - 11])
            lines = [
                f"{number} 1 {x:.4f} {y:.4f} {z:.4f} {e:.4f} \n"
                for number, (x, y, z, e) in enumerate(rows.tolist(), start=1)
            ]
            file.write("".join(lines))


def ours(path: Path, n_frames: int) -> tuple[float, np.ndarray]:
    """Return CPU seconds per frame and the last positions."""
    start = time.process_time()
    options = SourceOptions(units="metal", timestep=1.0, elements="O")
    source = LammpsDump.open(SourceFile.of(str(path)), options, None)
    for frame in range(n_frames):
        block = source.read([frame])
    return (time.process_time() - start) / n_frames, block.positions[0]


def theirs(path: Path, n_frames: int) -> tuple[float, np.ndarray]:
    """Return MDAnalysis' CPU seconds per frame and the last positions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(str(path), format="LAMMPSDUMP", topology_format="LAMMPSDUMP")
        start = time.process_time()
        for ts in universe.trajectory:
            positions = ts.positions
        return (time.process_time() - start) / n_frames, positions.copy()


def main() -> None:
    """Print the table."""
    n_atoms = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    n_frames = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.dump"
        write_dump(path, n_atoms, n_frames)
        rounds = []
        for _ in range(3):
            mine, a = ours(path, n_frames)
            other, b = theirs(path, n_frames)
            rounds.append((mine, other))
        np.testing.assert_array_equal(a, b)
    mine, other = (float(np.median(column)) for column in zip(*rounds, strict=True))
    print(f"{platform.machine()}, Python {platform.python_version()}, {n_atoms} atoms")
    print(f"icedask {icedask.__version__:8s} {mine * 1e3:8.1f} ms a frame, index included")
    print(f"MDAnalysis {MDAnalysis.__version__:5s} {other * 1e3:8.1f} ms a frame")
    print(f"ratio {other / mine:.1f}")


if __name__ == "__main__":
    main()
