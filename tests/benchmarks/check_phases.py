"""Denoising and labels of three thousand cells, most of which no one should have: a table.

    python tests/benchmarks/check_phases.py [N]

N cells of each of ten kinds, 300 by default: crystals of the seven ices with strong noise, waves,
shear, compression, vacancies and interstitials, and what is no crystal at all. None may raise an
error or give a number that is not finite, and memory may not grow by more than MAX_GROWTH. About
ten minutes of one core.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import traceback
from collections.abc import Callable

import ase
import numpy as np

import icedask as ice
from icedask.phases.calibration import large_cell

# MB, above what fitting the classifier took.
MAX_GROWTH = 300.0
_HEIGHT = 9.0

Rng = np.random.Generator


def noise(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """Up to 1 angstrom along each axis."""
    crystal.positions += rng.uniform(0, 1) * rng.normal(size=crystal.positions.shape)
    return crystal


def waves(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """Thermal: neighbours move together, as in long phonons, and a little on their own."""
    fractions = crystal.get_scaled_positions()
    for _ in range(6):
        phase = 2 * np.pi * (fractions @ rng.integers(-2, 3, 3) + rng.random())
        crystal.positions += np.sin(phase)[:, None] * rng.normal(0, 0.15, 3)
    crystal.positions += rng.normal(0, 0.1, crystal.positions.shape)
    return crystal


def shear(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """By up to 30 % along each pair of axes."""
    crystal.set_cell(
        crystal.cell.array @ (np.eye(3) + np.triu(rng.uniform(-0.3, 0.3, (3, 3)), 1)),
        scale_atoms=True,
    )
    return noised(crystal, rng)


def squeeze(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """To between 60 and 140 % of all lengths."""
    crystal.set_cell(crystal.cell.array * rng.uniform(0.6, 1.4), scale_atoms=True)
    return noised(crystal, rng)


def vacancies(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """Up to a fifth of the atoms taken out."""
    keep = rng.random(len(crystal)) > rng.uniform(0, 0.2)
    keep[0] = True
    return noised(crystal[keep], rng)


def interstitials(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """Up to a fifth more atoms, anywhere."""
    more = 1 + rng.integers(len(crystal) // 5)
    places = rng.random((more, 3)) @ crystal.cell.array
    return noised(crystal + ase.Atoms(f"O{more}", places), rng)


def gas(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """Atoms anywhere, at any density, in any tilted cell."""
    cell = crystal.cell.array * rng.uniform(0.5, 3.0)
    cell = cell @ (np.eye(3) + np.triu(rng.uniform(-0.5, 0.5, (3, 3)), 1))
    places = rng.random((len(crystal), 3)) @ cell
    return ase.Atoms(f"O{len(crystal)}", places, cell=cell, pbc=rng.random(3) < 0.7)


def single(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """One atom, in a cell of 2 to 60 angstrom or none."""
    cell = np.diag(rng.uniform(2, 60, 3)) + np.triu(rng.uniform(-1, 1, (3, 3)), 1)
    return ase.Atoms("O", rng.normal(0, 100, (1, 3)), cell=cell, pbc=rng.random(3) < 0.7)


def vacuum(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """A crystal or a few of its atoms in a cell up to a thousand times as long."""
    crystal = crystal[rng.random(len(crystal)) < rng.uniform(0.05, 1)] or crystal[:1]
    longer = np.where(rng.random(3) < 0.7, 10 ** rng.uniform(0, 3, 3), 1.0)
    crystal.set_cell(crystal.cell.array * longer[:, None])
    crystal.pbc = rng.random(3) < 0.7
    return noised(crystal, rng)


def overlaps(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """Atoms in one place, exactly or nearly, in groups of up to fifty."""
    noised(crystal, rng)
    for _ in range(1 + rng.integers(4)):
        n = 1 + rng.integers(50)
        width = rng.choice([0.0, 1e-7, 1e-3, 0.1])
        places = crystal.positions[rng.integers(len(crystal))] + rng.normal(0, 1, (n, 3)) * width
        crystal += ase.Atoms(f"O{n}", places)
    return crystal


def noised(crystal: ase.Atoms, rng: Rng) -> ase.Atoms:
    """Return the crystal, as warm as ice is."""
    crystal.positions += rng.normal(0, 0.12, crystal.positions.shape)
    return crystal


KINDS: dict[str, Callable[[ase.Atoms, Rng], ase.Atoms]] = {
    "noise": noise,
    "waves": waves,
    "shear": shear,
    "squeeze": squeeze,
    "vacancies": vacancies,
    "interstitials": interstitials,
    "gas": gas,
    "single": single,
    "vacuum": vacuum,
    "overlaps": overlaps,
}


def peak() -> float:
    """Return the most memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def check(kind: str, number: int, start: float) -> tuple[str, int]:
    """Return a row of what became of the cells of a kind, and how many of them failed."""
    phases = classifier.phases_
    crystals = {name: large_cell(crystal, _HEIGHT) for name, crystal in phases.structures.items()}
    counts = np.zeros(4, int)
    farthest, failed, begin = 0.0, 0, time.perf_counter()
    for seed in range(number):
        rng = np.random.default_rng([list(KINDS).index(kind), seed])
        name = phases.names[seed % len(phases)]
        atoms = KINDS[kind](crystals[name].copy(), rng)
        try:
            cold = denoiser.denoise(ice.from_ase(atoms)).persist()
            compared = classifier.compare(cold)
            labelled = classifier.label(compared).merge(compared).compute()
            for array in (*cold.data_vars.values(), *labelled.data_vars.values()):
                assert np.isfinite(array.values).all(), f"{array.name} is not finite"
            assert float(labelled["confidence"].min()) >= 0
            assert float(labelled["confidence"].max()) <= 1
        except Exception:
            failed += 1
            print(f"{kind}, cell {seed}:\n{traceback.format_exc()}", file=sys.stderr)
            continue
        labels = labelled["label"].values.ravel()
        own = phases.names.index(name)
        liquid = len(phases)
        counts += [
            (labels == own).sum(),
            ((labels < liquid) & (labels != own)).sum(),
            (labels == liquid).sum(),
            (labels == liquid + 1).sum(),
        ]
        farthest = max(farthest, float(np.linalg.norm(cold["shift"], axis=-1).max()))
    shares = " | ".join(f"{share:.3f}" for share in counts / max(counts.sum(), 1))
    seconds = (time.perf_counter() - begin) / number
    row = (
        f"| {kind} | {number} | {failed} | {counts.sum()} | {shares} | {farthest:.2f} | "
        f"{1000 * seconds:.0f} | {peak() - start:.0f} |"
    )
    return row, failed


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    n_cells = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    denoiser = ice.Denoiser.shipped()
    classifier = ice.PhaseClassifier().fit(denoiser.phases_, denoiser)
    before = peak()
    print(f"Fitted: {before:.0f} MB at most.\n")
    print(
        "| cells | number | failed | atoms | own phase | other phase | liquid | unknown | "
        "longest shift, angstrom | ms a cell | memory, MB more |"
    )
    print("|---" * 11 + "|")
    failures = 0
    for kind in KINDS:
        line, failed_here = check(kind, n_cells, before)
        failures += failed_here
        print(line, flush=True)
    grown = peak() - before
    print(f"\n{failures} failed; memory grew by {grown:.0f} MB, at most {MAX_GROWTH:.0f} allowed.")
    sys.exit(failures > 0 or grown > MAX_GROWTH)
