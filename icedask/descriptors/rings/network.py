"""Undirected networks of periodic systems: bonds by distance, and hydrogen bonds by geometry."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.descriptors.frame import Frame
from icedask.errors import InputError
from icedask.kernels.jit import jit
from icedask.kernels.lattice import inverse
from icedask.kernels.neighbors import Neighbors, complete_cell, k_nearest, wrap

# angstrom; a hydrogen that is farther from all other elements belongs to no molecule.
COVALENT = 1.3


class Network(NamedTuple):
    """Bonds of every atom as compressed sparse rows, each bond in the rows of both its ends.

    The bonds of atom i are the entries indptr[i] to indptr[i + 1]: the partner, and the cell that
    its image is in, (n_bonds, 3) whole cell vectors, where that of atom i is in cell 0.
    """

    indptr: IntArray
    partners: IntArray
    shifts: npt.NDArray[np.int32]


class Hydrogens(NamedTuple):
    """Hydrogens of every atom: entries starts[i] to starts[i + 1] of the unit vectors to them."""

    starts: IntArray
    directions: FloatArray


@jit
def shift_of(
    vector: FloatArray, here: FloatArray, there: FloatArray, inverted: FloatArray
) -> tuple[int, int, int]:
    """Return the cell of the image of `there` that is at `vector` from `here`."""
    x = vector[0] - there[0] + here[0]
    y = vector[1] - there[1] + here[1]
    z = vector[2] - there[2] + here[2]
    return (
        int(np.rint(x * inverted[0, 0] + y * inverted[1, 0] + z * inverted[2, 0])),
        int(np.rint(x * inverted[0, 1] + y * inverted[1, 1] + z * inverted[2, 1])),
        int(np.rint(x * inverted[0, 2] + y * inverted[1, 2] + z * inverted[2, 2])),
    )


@jit
def is_positive(x: int, y: int, z: int) -> bool:
    """Return whether a shift comes after 0 in lexicographic order."""
    return x > 0 or (x == 0 and (y > 0 or (y == 0 and z > 0)))


@jit
def make_network(
    pairs: Neighbors,
    bonded: npt.NDArray[np.bool_],
    places: FloatArray,
    inverted: FloatArray,
) -> Network:
    """Return the network of the pairs that are bonded.

    Of the two directions of a pair one decides: rounding at the cutoff may part them.
    """
    n_atoms = len(pairs.indptr) - 1
    indptr = np.zeros(n_atoms + 1, np.int64)
    shifts = np.empty((len(pairs.indices), 3), np.int32)
    decides = np.zeros(len(pairs.indices), np.bool_)
    for atom in range(n_atoms):
        for pair in range(pairs.indptr[atom], pairs.indptr[atom + 1]):
            other = pairs.indices[pair]
            if not bonded[pair] or other < atom:
                continue
            x, y, z = shift_of(pairs.vectors[pair], places[atom], places[other], inverted)
            shifts[pair, 0], shifts[pair, 1], shifts[pair, 2] = x, y, z
            decides[pair] = other > atom or is_positive(x, y, z)
            if decides[pair]:
                indptr[atom + 1] += 1
                indptr[other + 1] += 1
    for atom in range(n_atoms):
        indptr[atom + 1] += indptr[atom]
    filled = indptr[:-1].copy()
    partners = np.empty(indptr[-1], np.int64)
    both = np.empty((indptr[-1], 3), np.int32)
    for atom in range(n_atoms):
        for pair in range(pairs.indptr[atom], pairs.indptr[atom + 1]):
            if not decides[pair]:
                continue
            other = pairs.indices[pair]
            partners[filled[atom]] = other
            for axis in range(3):
                both[filled[atom], axis] = shifts[pair, axis]
            filled[atom] += 1
            partners[filled[other]] = atom
            for axis in range(3):
                both[filled[other], axis] = -shifts[pair, axis]
            filled[other] += 1
    return Network(indptr, partners, both)


@jit
def points_along(atom: int, vector: FloatArray, hydrogens: Hydrogens, cosine: float) -> bool:
    """Return whether a hydrogen of an atom is within the angle of a vector from the atom."""
    length = np.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2)
    for h in range(hydrogens.starts[atom], hydrogens.starts[atom + 1]):
        direction = hydrogens.directions[h]
        product = direction[0] * vector[0] + direction[1] * vector[1] + direction[2] * vector[2]
        if product > cosine * length:
            return True
    return False


@jit
def hydrogen_bonded(
    pairs: Neighbors, bonded: npt.NDArray[np.bool_], hydrogens: Hydrogens, cosine: float
) -> None:
    """Leave those pairs bonded of which one atom has a hydrogen towards the other."""
    for atom in range(len(pairs.indptr) - 1):
        for pair in range(pairs.indptr[atom], pairs.indptr[atom + 1]):
            if bonded[pair]:
                vector = pairs.vectors[pair]
                bonded[pair] = points_along(atom, vector, hydrogens, cosine) or points_along(
                    pairs.indices[pair], -vector, hydrogens, cosine
                )


def find_hydrogens(frame: Frame) -> Hydrogens:
    """Return the hydrogens that belong to each atom of the environment.

    A hydrogen belongs to the nearest atom of another element within 1.3 angstrom.
    """
    n_atoms = len(frame.positions)
    chosen = np.flatnonzero(frame.numbers == 1)
    nearest = k_nearest(
        frame.positions, frame.cell, frame.pbc, 1, environment=frame.numbers > 1, centers=chosen
    )
    owners, distances = nearest.indices[chosen, 0], nearest.distances[chosen, 0]
    belongs = (distances > 0) & (distances < COVALENT) & frame.environment[owners]
    if not belongs.any():
        raise InputError(
            f"rings: hydrogen bonds: expected hydrogens within {COVALENT} angstrom of atoms of the "
            f"network, found none among {len(chosen)}; check the units of the positions and the "
            'elements, or use bonds="distance"'
        )
    directions = -nearest.vectors[chosen, 0][belongs] / distances[belongs][:, None]
    owners = owners[belongs]
    order = np.argsort(owners, kind="stable")
    starts = np.zeros(n_atoms + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=n_atoms), out=starts[1:])
    return Hydrogens(starts, directions[order])


def find_network(frame: Frame, r_cut: float, angle: float | None) -> Network:
    """Return the network of the atoms of the environment that can be in a ring with a centre.

    Bonds are pairs closer than r_cut, angstrom; with an angle, degrees, only hydrogen bonds.
    """
    pairs = frame.all_neighbors(r_cut)
    # Centres may be of other elements: they have neighbours, but are no nodes.
    bonded = np.repeat(frame.environment, pairs.counts)
    if angle is not None and bonded.any():
        hydrogen_bonded(pairs, bonded, find_hydrogens(frame), float(np.cos(np.radians(angle))))
    places, _ = wrap(frame.positions, frame.cell, frame.pbc)
    return make_network(pairs, bonded, places, inverse(complete_cell(frame.cell)))
