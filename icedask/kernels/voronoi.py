"""Voronoi tessellation in any cell: volumes, and faces as compressed sparse rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.jit import jit
from icedask.kernels.lattice import inverse, norms, reduced, transformed, upper_triangular
from icedask.kernels.neighbors import Neighbors, check_images, complete_cell, neighbor_list

# Empty space on either side of the atoms, along directions that are not periodic.
_MARGIN = 20.0
# The tessellation ends the process when two points are as close as its rounding errors.
_COINCIDENT = 1e-3
# For the search of coincident atoms: a shorter cutoff makes the list slower, not faster.
_SEARCH = 1.5


class Tessellation(NamedTuple):
    """Voronoi cells of all atoms, and the faces that they share.

    Volumes (n_atoms,), angstrom^3, are NaN where there is no cell. `faces` lists one neighbour for
    each face of a cell, its areas, angstrom^2, the areas of these: a neighbour occurs once for each
    of its periodic images that share a face with the atom.
    """

    volumes: FloatArray
    faces: Neighbors
    areas: FloatArray


class _Box(NamedTuple):
    """A periodic cell around the atoms, its vectors as rows, and positions in units of them."""

    cell: FloatArray
    fractional: FloatArray


def _enclose(positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_]) -> _Box:
    """Return the most compact periodic cell; with margins where it is not periodic."""
    # Positions go to freud in float32: in a skewed cell they would be far apart, and inaccurate.
    lattice = reduced(complete_cell(np.where(pbc[:, None], cell, 0.0)), pbc)
    fractional = transformed(positions, inverse(lattice))
    fractional[:, pbc] -= np.floor(fractional[:, pbc])
    # The vectors that complete a cell have a length of one angstrom.
    lowest, highest = fractional.min(axis=0) - _MARGIN, fractional.max(axis=0) + _MARGIN
    lengths = np.where(pbc, 1.0, highest - lowest)
    fractional = np.where(pbc, fractional, (fractional - lowest) / lengths)
    return _Box(lattice * lengths[:, None], fractional)


def _check_void(box: _Box) -> None:
    """Raise InputError if cells reach so far across a void that they meet too many images."""
    ordered = np.sort(box.fractional, axis=0)
    gaps = np.diff(np.concatenate([ordered, ordered[:1] + 1]), axis=0).max(axis=0)
    per_length = norms(inverse(box.cell), axis=0)
    reach = float((gaps / per_length).max())
    check_images(len(ordered), reach * per_length, np.ones(3, bool), reach, "Voronoi cells: ")


def _coincident(box: _Box) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which atoms are at the place of another, and which at that of an earlier one."""
    n_atoms = len(box.fractional)
    places = transformed(box.fractional, box.cell)
    near = neighbor_list(places, box.cell, np.ones(3, bool), _SEARCH)
    rows, close = near.rows, near.distances < _COINCIDENT
    return (
        np.bincount(rows[close & (near.indices != rows)], minlength=n_atoms) > 0,
        np.bincount(rows[close & (near.indices < rows)], minlength=n_atoms) > 0,
    )


def _cells(box: _Box, pbc: npt.NDArray[np.bool_]) -> tuple[Tessellation, npt.NDArray[np.bool_]]:
    """Return the cells of atoms of which no two coincide, and which of the cells are open."""
    import freud

    # freud wants the vectors as columns of an upper triangular matrix.
    upright = upper_triangular(box.cell)
    diagram = freud.locality.Voronoi().compute(
        (freud.box.Box.from_matrix(upright), transformed(box.fractional - 0.5, upright.T))
    )
    bonds = diagram.nlist
    first, second = bonds.query_point_indices, bonds.point_indices
    # The vectors are float32, but good enough to choose the image of the neighbour.
    vectors, distances, is_open = face_vectors(
        first, second, bonds.vectors, inverse(upright.T), box.fractional, box.cell, pbc
    )
    indptr = np.searchsorted(first, np.arange(len(box.fractional) + 1, dtype=np.uint32))
    faces = Neighbors(indptr, second.astype(np.int64), vectors, distances)
    return Tessellation(diagram.volumes, faces, bonds.weights.astype(np.float64)), is_open


def _spread(part: Tessellation, members: IntArray, n_atoms: int) -> Tessellation:
    """Return the tessellation of some of the atoms as one of all."""
    volumes = np.full(n_atoms, np.nan)
    volumes[members] = part.volumes
    counts = np.zeros(n_atoms, np.int64)
    counts[members] = part.faces.counts
    faces = part.faces._replace(
        indptr=np.concatenate([[0], np.cumsum(counts)]), indices=members[part.faces.indices]
    )
    return Tessellation(volumes, faces, part.areas)


def tessellate(
    positions: npt.ArrayLike,
    cell: npt.ArrayLike,
    pbc: npt.ArrayLike,
    environment: npt.NDArray[np.bool_] | None = None,
) -> Tessellation:
    """Divide space among atoms: each point belongs to the nearest.

    The arguments are as for `neighbor_list`; atoms of the environment alone take part. An atom has
    no cell if it does not, if another is at the same place (within 0.001 angstrom), or if its cell
    is open towards a direction that is not periodic. A cell counts as open there if it is
    unbounded; it may if it reaches further than 20 angstrom from its atom.
    """
    positions, cell = np.asarray(positions, float), np.asarray(cell, float)
    pbc, n_atoms = np.asarray(pbc, bool), len(positions)
    members = np.arange(n_atoms) if environment is None else np.flatnonzero(environment)
    if len(members) == 0:
        none = Neighbors(
            np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0)
        )
        return _spread(Tessellation(np.zeros(0), none, np.zeros(0)), members, n_atoms)
    box = _enclose(positions[members], cell, pbc)
    _check_void(box)
    double, repeated = _coincident(box)
    part, void = _cells(box._replace(fractional=box.fractional[~repeated]), pbc)
    void |= double[~repeated]
    if void.any():
        has_cell = ~void[part.faces.rows]
        part = Tessellation(
            np.where(void, np.nan, part.volumes), part.faces.where(has_cell), part.areas[has_cell]
        )
    return _spread(part, members[~repeated], n_atoms)


@jit
def face_vectors(
    first: npt.NDArray[np.uint32],
    second: npt.NDArray[np.uint32],
    rough: npt.NDArray[np.float32],
    inverse: FloatArray,
    fractional: FloatArray,
    cell: FloatArray,
    pbc: npt.NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return the vector from atom to neighbour of each face, its length, and the open atoms.

    The rough vectors choose the image of the neighbour; `inverse` turns them, as rows, to units of
    the cell. An atom is open that has a face with an image along a direction that is not periodic.
    """
    vectors = np.empty((len(first), 3))
    distances = np.empty(len(first))
    is_open = np.zeros(len(fractional), np.bool_)
    apart = np.empty(3)
    for face in range(len(first)):
        i, j = first[face], second[face]
        for axis in range(3):
            direct = fractional[j, axis] - fractional[i, axis]
            shift = -direct
            for k in range(3):
                shift += rough[face, k] * inverse[k, axis]
            image = np.round(shift)
            apart[axis] = direct + image
            if image != 0 and not pbc[axis]:
                is_open[i] = True
        square = 0.0
        for axis in range(3):
            vectors[face, axis] = (
                apart[0] * cell[0, axis] + apart[1] * cell[1, axis] + apart[2] * cell[2, axis]
            )
            square += vectors[face, axis] ** 2
        distances[face] = np.sqrt(square)
    return vectors, distances, is_open
