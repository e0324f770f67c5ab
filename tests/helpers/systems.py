"""Small systems that are hard in one way each, and brute-force oracles."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from operator import itemgetter

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


Bonds = list[list[tuple[float, int, np.ndarray]]]


def brute_bonds(atoms: ase.Atoms, r_cut: float) -> Bonds:
    """Return (distance, neighbour, vector) of every atom, sorted, by looking at every image."""
    return _bonds(
        atoms.positions.tobytes(), atoms.cell.array.tobytes(), tuple(atoms.pbc.tolist()), r_cut
    )


@lru_cache(maxsize=64)
def _bonds(positions: bytes, cell: bytes, pbc: tuple[bool, ...], r_cut: float) -> Bonds:
    wrapped = ase.Atoms(
        positions=np.frombuffer(positions).reshape(-1, 3),
        cell=np.frombuffer(cell).reshape(3, 3),
        pbc=pbc,
    )
    wrapped.wrap(eps=0)
    lattice = wrapped.cell.complete().array
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    # Fractions of wrapped atoms differ by less than one.
    reach = [int(np.ceil(r_cut / h)) if p else 0 for h, p in zip(heights, pbc, strict=True)]
    bonds: Bonds = [[] for _ in wrapped]
    for shift in product(*[range(-n, n + 1) for n in reach]):
        vectors = wrapped.positions[None] + np.array(shift) @ lattice - wrapped.positions[:, None]
        distances = np.linalg.norm(vectors, axis=2)
        near = distances < r_cut
        if not any(shift):
            np.fill_diagonal(near, False)
        for i, j in zip(*np.nonzero(near), strict=True):
            bonds[i].append((float(distances[i, j]), int(j), vectors[i, j]))
    return [sorted(row, key=itemgetter(0)) for row in bonds]


def brute_pairs(atoms: ase.Atoms, r_cut: float) -> list[tuple[int, int, float]]:
    """Return (i, j, distance) of every pair closer than r_cut, every image counted, sorted."""
    bonds = brute_bonds(atoms, r_cut)
    return sorted((i, j, distance) for i, row in enumerate(bonds) for distance, j, _ in row)
