"""Small systems that are hard in one way each, and brute-force oracles."""

from __future__ import annotations

from itertools import product

import ase
import numpy as np
from ase.build import bulk, fcc111

SYSTEMS = (
    "orthogonal",
    "triclinic",
    "unwrapped",
    "boundary",
    "small_box",
    "slab",
    "wire",
    "cluster",
    "lonely",
)


def water_like(n_side: int = 3, noise: float = 0.12, seed: int = 0) -> ase.Atoms:
    """Return cubic ice of oxygens, rattled."""
    atoms = bulk("O", "diamond", a=6.37, cubic=True) * (n_side, n_side, n_side)
    atoms.positions += np.random.default_rng(seed).normal(0, noise, atoms.positions.shape)
    return atoms


def system(name: str) -> ase.Atoms:
    """Return one of SYSTEMS."""
    rng = np.random.default_rng(7)
    if name == "orthogonal":
        return water_like()
    if name == "triclinic":
        atoms = water_like()
        cell = atoms.cell.array.copy()
        cell[1, 0], cell[2, 0], cell[2, 1] = -5.0, 6.0, 7.5
        atoms.set_cell(cell, scale_atoms=True)
        return atoms
    if name == "unwrapped":
        atoms = system("triclinic")
        atoms.positions += rng.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
        return atoms
    if name == "boundary":
        atoms = bulk("O", "diamond", a=6.37, cubic=True) * (2, 2, 2)
        # On the faces, on the upper ones too, and a rounding error below the lower ones.
        atoms.positions[0] += atoms.cell.array[0]
        atoms.positions[1] -= 1e-9
        return atoms
    if name == "small_box":
        atoms = bulk("O", "diamond", a=6.37)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        return atoms
    if name == "slab":
        atoms = fcc111("Cu", (4, 4, 3), vacuum=4.0)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        atoms.set_cell([*atoms.cell.array[:2], [0, 0, 0]])
        atoms.pbc = (True, True, False)
        return atoms
    if name == "wire":
        atoms = bulk("Cu", cubic=True) * (3, 2, 2)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        atoms.pbc = (True, False, False)
        return atoms
    if name == "cluster":
        return ase.Atoms("O60", rng.random((60, 3)) * 11)
    if name == "lonely":
        return ase.Atoms("O3", [[0, 0, 0], [50, 0, 0], [0, 50, 1]], cell=[99] * 3, pbc=True)
    raise KeyError(name)


def brute_pairs(atoms: ase.Atoms, r_cut: float) -> list[tuple[int, int, float]]:
    """Return (i, j, distance) of every pair closer than r_cut, every image counted."""
    wrapped = atoms.copy()
    wrapped.wrap(eps=0)
    cell = wrapped.cell.complete().array
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [
        int(np.ceil(r_cut / h)) + 1 if p else 0 for h, p in zip(heights, atoms.pbc, strict=True)
    ]
    pairs = []
    for shift in product(*[range(-n, n + 1) for n in reach]):
        offset = np.array(shift) @ cell
        distance = np.linalg.norm(
            wrapped.positions[None] + offset - wrapped.positions[:, None], axis=2
        )
        for i, j in np.argwhere(distance < r_cut):
            if i != j or any(shift):
                pairs.append((int(i), int(j), float(distance[i, j])))
    return sorted(pairs)
