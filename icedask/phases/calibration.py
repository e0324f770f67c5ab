"""Crystals and melts of the references' own making: what a classifier is calibrated on."""

from __future__ import annotations

from typing import NamedTuple

import ase
import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.kernels.neighbors import neighbor_list
from icedask.phases.score import Score, denoise_frame

# Standard deviation of each component of the random strain.
_STRAIN = 0.005
# Atoms of a melt are no closer than this part of the distance in the crystal.
_CLOSEST = 0.9
_SWEEPS = 300
_PBC = np.ones(3, bool)


class Sample(NamedTuple):
    """A frame of known phase.

    Attributes
    ----------
    atoms
        Denoised, if there was a denoiser.
    residual : (n_atoms,), angstrom
        Of denoising; None without it.
    """

    atoms: ase.Atoms
    residual: FloatArray | None


def large_cell(atoms: ase.Atoms, height: float) -> ase.Atoms:
    """Return a crystal repeated until its cell is so high, angstrom, along every direction."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    return atoms.repeat(np.ceil(height / heights - 1e-6).astype(int))


def hot_crystal(
    crystal: ase.Atoms, sigma: float, stretch: float, rng: np.random.Generator
) -> ase.Atoms:
    """Return a crystal under a random strain, its atoms displaced at random.

    Parameters
    ----------
    crystal
        A large cell.
    sigma
        Standard deviation of the displacements along each axis, angstrom.
    stretch
        Part by which all lengths grow, beside a small random strain.
    rng
        Random numbers.
    """
    strain = _STRAIN * rng.normal(size=(3, 3))
    deformation = np.eye(3) * (1 + stretch) + strain + strain.T
    hot = crystal.copy()
    hot.set_cell(crystal.cell.array @ deformation, scale_atoms=True)
    hot.positions += sigma * rng.normal(size=hot.positions.shape)
    return hot


def melt(crystal: ase.Atoms, rng: np.random.Generator) -> ase.Atoms:
    """Return as many atoms at the same density, at random, but not too close to each other."""
    distances = neighbor_list(crystal.positions, crystal.cell.array, _PBC, 5.0).distances
    closest = _CLOSEST * float(distances.min(initial=5.0))
    found = crystal.copy()
    found.set_scaled_positions(rng.random((len(crystal), 3)))
    for _ in range(_SWEEPS):
        pairs = neighbor_list(found.positions, found.cell.array, _PBC, closest)
        if not len(pairs.indices):
            break
        # Each of a pair goes half of the way, and a little more, so that this ends.
        push = 0.55 * (closest - pairs.distances) / np.maximum(pairs.distances, 1e-9)
        for axis in range(3):
            found.positions[:, axis] -= np.bincount(
                pairs.rows, push * pairs.vectors[:, axis], len(found)
            )
    return found


def sampled(atoms: ase.Atoms, score: Score | None, steps: int, clip: float) -> Sample:
    """Return a frame as a classifier would see it."""
    if score is None:
        return Sample(atoms, None)
    found = denoise_frame(score, atoms.positions, atoms.cell.array, _PBC, steps, clip)
    cold = atoms.copy()
    cold.positions += found.shift
    return Sample(cold, found.residual)


def between(low: npt.NDArray[np.floating], high: npt.NDArray[np.floating]) -> float:
    """Return the number that tells two samples of positive numbers apart with fewest errors.

    Where a range of numbers does, its geometric mean. Errors are counted as fractions of each.
    """
    low, high = np.sort(low), np.sort(high)
    edges = np.unique(np.concatenate([low, high]))
    wrong_low = 1.0 - np.searchsorted(low, edges, side="right") / len(low)
    wrong_high = np.searchsorted(high, edges, side="right") / len(high)
    errors = wrong_low + wrong_high
    best = int(np.argmin(errors))
    # Between this number and the next nothing changes.
    return float(np.sqrt(edges[best] * edges[min(best + 1, len(edges) - 1)]))
