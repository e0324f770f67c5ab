"""Descriptors against the libraries that users would pick instead, one core.

python tests/benchmarks/bench_descriptors.py [n_atoms ...]

CPU time, the median of three calls, neighbour search included unless the row says "list given".
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import ase
import freud
import numpy as np
from ase.build import bulk
from dscribe.descriptors import ACSF, SOAP
from ovito.io.ase import ase_to_ovito
from ovito.modifiers import ChillPlusModifier
from ovito.pipeline import Pipeline, StaticSource

from icedask.descriptors import registry
from icedask.descriptors.contract import Frame
from icedask.descriptors.soap_basis import Basis
from icedask.descriptors.soap_cells import power_spectrum
from icedask.io.interop import from_ase


def ice(n_atoms: int, seed: int = 0) -> ase.Atoms:
    """Return rattled cubic ice of about n_atoms oxygens, 2.76 angstrom apart."""
    cells = round((n_atoms / 8) ** (1 / 3))
    atoms = bulk("O", "diamond", a=6.374, cubic=True) * (cells, cells, cells)
    atoms.positions += np.random.default_rng(seed).normal(0, 0.15, atoms.positions.shape)
    atoms.positions = atoms.positions.astype(np.float32)
    atoms.wrap()
    return atoms


def sheared(atoms: ase.Atoms) -> ase.Atoms:
    """Return the same crystal in a triclinic cell."""
    cell = atoms.cell.array.copy()
    cell[2] += 0.3 * cell[0]
    atoms = atoms.copy()
    atoms.set_cell(cell, scale_atoms=False)
    atoms.wrap()
    return atoms


def water(atoms: ase.Atoms) -> ase.Atoms:
    """Return the oxygens with two hydrogens each."""
    rng = np.random.default_rng(1)
    bonds = rng.normal(size=(2, len(atoms), 3))
    bonds *= 0.96 / np.linalg.norm(bonds, axis=2)[..., None]
    hydrogens = [ase.Atoms(f"H{len(atoms)}", atoms.positions + bond) for bond in bonds]
    both = atoms + hydrogens[0] + hydrogens[1]
    both.wrap()
    return both


def frame_of(atoms: ase.Atoms) -> Frame:
    """Return a frame without any list yet."""
    centers = np.flatnonzero(atoms.numbers == 8)
    return Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, centers=centers)


def cpu(function: Callable[[], Any]) -> float:
    """Return the median CPU seconds of three calls after one that compiles."""
    function()
    times = []
    for _ in range(3):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return float(np.median(times))


def kernel(atoms: ase.Atoms, name: str, **options: Any) -> Callable[[], Any]:
    """Return a call of a descriptor's kernel on a fresh frame."""
    entry = registry()[name]
    compute = entry.build(from_ase(atoms[:8]), **entry.options(options)).compute
    return lambda: compute(frame_of(atoms))


def report(name: str, n: int, ours: Callable[[], Any], peer: str, theirs: float) -> None:
    """Print one row."""
    mine, other = cpu(ours) / n * 1e6, theirs / n * 1e6
    print(
        f"{name:34s} {n:7d} {mine:9.2f}   {peer:10s} {other:9.2f} {other / mine:7.1f}", flush=True
    )


def soap_rows(label: str, atoms: ase.Atoms) -> None:
    """Compare SOAP n_max 8, l_max 8, r_cut 6, sigma 1 with DScribe."""
    species = sorted(set(atoms.numbers.tolist()))
    basis = Basis(6.0, 8, 8, 1.0)
    oxygens = atoms.positions[atoms.numbers == 8]
    calculator = SOAP(species=species, periodic=True, **basis._asdict())
    theirs = cpu(lambda: calculator.create(atoms, centers=oxygens))
    for dtype in ("float64", "float32"):
        frame = frame_of(atoms)

        def ours(frame: Frame = frame, dtype: str = dtype) -> Any:
            return power_spectrum(frame, frame.centers, species, basis, "compact", dtype)

        report(f"SOAP {label} {dtype}", len(oxygens), ours, "DScribe", theirs)


def other_rows(atoms: ase.Atoms) -> None:
    """Compare CHILL+, Steinhardt parameters and symmetry functions."""
    n = len(atoms)
    pipeline = Pipeline(source=StaticSource(data=ase_to_ovito(atoms)))
    modifier = ChillPlusModifier(cutoff=3.5)
    pipeline.modifiers.append(modifier)

    def ovito() -> None:
        # A changed parameter, however little, makes the library compute again.
        modifier.cutoff += 1e-9
        pipeline.compute()

    report("CHILL+", n, kernel(atoms, "chill_plus"), "OVITO", cpu(ovito))
    frame = frame_of(atoms)
    neighbors = frame.all_neighbors(3.5)
    box = freud.box.Box.from_matrix(atoms.cell.array.T)
    points = atoms.positions - atoms.cell.array.sum(axis=0) / 2
    nlist = freud.locality.NeighborList.from_arrays(
        n, n, neighbors.rows, neighbors.indices, neighbors.vectors
    )
    freud.parallel.set_num_threads(1)
    for averaged in (False, True):
        steinhardt = freud.order.Steinhardt(l=[4, 6], average=averaged)
        theirs = cpu(lambda s=steinhardt: s.compute((box, points), neighbors=nlist))
        entry = registry()["steinhardt"]
        options = entry.options({"degrees": [4, 6], "r_cut": 3.5, "averaged": averaged})
        compute = entry.build(from_ase(atoms[:8]), **options).compute
        name = f"q4, q6{' averaged' if averaged else ''}, list given"
        report(name, n, lambda c=compute: c(frame), "freud", theirs)
    g2 = [(0.5, shift) for shift in np.linspace(0, 5.5, 12).tolist()]
    g4 = [(0.01, zeta, sign) for sign in (-1, 1) for zeta in (1, 2, 4, 8)]
    acsf = ACSF(species=["O"], r_cut=6.0, periodic=True, g2_params=g2, g4_params=g4)
    theirs = cpu(lambda: acsf.create(atoms, centers=list(range(n)) if n < 10_000 else None))
    ours = kernel(atoms, "symmetry_functions", r_cut=6.0, g2=g2, g4=g4, dtype="float64")
    report("12 G2 and 8 G4", n, ours, "DScribe", theirs)


def main() -> None:
    """Print the table."""
    sizes = [int(one) for one in sys.argv[1:]] or [4000, 100_000]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print("ms per 1000 atoms                    atoms   icedask   peer            peer   ratio")
    for size in sizes:
        atoms = ice(size)
        soap_rows("O, orthogonal", atoms)
        soap_rows("O, triclinic", sheared(atoms))
        if size <= 10_000:
            soap_rows("O and H", water(atoms))
        other_rows(atoms)


if __name__ == "__main__":
    main()
