"""Calibration samples: references with random displacements, and melts of random packing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import ase
import numpy as np

from icedask.core.types import FloatArray
from icedask.kernels.neighbors import neighbor_list
from icedask.phases.score import Score, denoise_frame

# Standard deviation of each component of the random strain.
_STRAIN = 0.005
# Atoms of a melt are no closer than this part of the distance in the crystal.
_CLOSEST = 0.9
_SWEEPS = 300
_PBC = np.ones(3, bool)
# Standard deviations of the displacements of crystals, angstrom, and the part by which their
# lengths grow, as by heat and pressure; and the height of their cells, angstrom.
_NOISE = (
    *((0.06, 0.006), (0.1, -0.018), (0.14, 0.03)),
    *((0.18, -0.03), (0.22, 0.018), (0.26, -0.006)),
)
_HEIGHT = 14.0


class Sample(NamedTuple):
    """A frame of known phase and its residuals, angstrom: zero where nothing is denoised."""

    atoms: ase.Atoms
    residual: FloatArray


def large_cell(atoms: ase.Atoms, height: float) -> ase.Atoms:
    """Return a supercell of at least this height, angstrom, along every direction."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    return atoms.repeat(np.ceil(height / heights - 1e-6).astype(int))


def hot_crystal(
    crystal: ase.Atoms, sigma: float, stretch: float, rng: np.random.Generator
) -> ase.Atoms:
    """Return a crystal with random displacements of deviation sigma, and a random strain.

    All lengths grow by the part `stretch` beside the random strain.
    """
    strain = _STRAIN * rng.normal(size=(3, 3))
    deformation = np.eye(3) * (1 + stretch) + strain + strain.T
    hot = crystal.copy()
    hot.set_cell(crystal.cell.array @ deformation, scale_atoms=True)
    hot.positions += sigma * rng.normal(size=hot.positions.shape)
    return hot


def melt(crystal: ase.Atoms, rng: np.random.Generator) -> ase.Atoms:
    """Return a random packing of the atoms of a crystal, at its density."""
    distances = neighbor_list(crystal.positions, crystal.cell.array, _PBC, 5.0).distances
    closest = _CLOSEST * float(distances.min(initial=5.0))
    liquid = crystal.copy()
    liquid.set_scaled_positions(rng.random((len(crystal), 3)))
    for _ in range(_SWEEPS):
        pairs = neighbor_list(liquid.positions, liquid.cell.array, _PBC, closest)
        if not len(pairs.indices):
            break
        # Each atom of a pair goes half of the way, and a little more, so that this ends.
        push = 0.55 * (closest - pairs.distances) / np.maximum(pairs.distances, 1e-9)
        for axis in range(3):
            liquid.positions[:, axis] -= np.bincount(
                pairs.rows, push * pairs.vectors[:, axis], len(liquid)
            )
    return liquid


def samples(
    crystals: Iterable[ase.Atoms], score: Score | None, steps: int, clip: float, seed: int
) -> tuple[list[list[Sample]], list[Sample]]:
    """Return the displaced samples of each crystal, and one melt of each."""
    rng = np.random.default_rng(seed)
    large = [large_cell(crystal, _HEIGHT) for crystal in crystals]
    hot = [
        [denoised_sample(hot_crystal(cell, *noise, rng), score, steps, clip) for noise in _NOISE]
        for cell in large
    ]
    return hot, [denoised_sample(melt(cell, rng), score, steps, clip) for cell in large]


def denoised_sample(atoms: ase.Atoms, score: Score | None, steps: int, clip: float) -> Sample:
    """Return a frame as the classifier sees it: denoised where there is a network."""
    if score is None:
        return Sample(atoms, np.zeros(len(atoms)))
    denoised = denoise_frame(score, atoms.positions, atoms.cell.array, _PBC, steps, clip)
    cold = atoms.copy()
    cold.positions += denoised.shift
    return Sample(cold, denoised.residual)
