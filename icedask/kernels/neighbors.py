"""Neighbour lists in any cell: pairs within a cutoff as compressed sparse rows, k nearest."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.kernels import cells
from icedask.kernels.lattice import determinant, inverse, norms, transformed

# Neighbours of an atom, and periodic images of a frame: a fixed number, and so many an atom. More
# come of a mistake in a cutoff or a cell, and would take gigabytes.
# Copper has 5,000 within 24 angstrom.
MAX_NEIGHBORS = 5000
_MAX_IMAGES, _MAX_IMAGES_PER_ATOM = 400_000, 30
# Above this, the list of one frame would not fit into a common worker.
_MAX_BYTES = 8 * 2**30
_PAIR_BYTES = 48
# angstrom; cutoffs that are common end here.
_COMMON_CUTOFFS = 15.0
# angstrom; no bond is shorter.
_SHORTEST_BOND = 0.7
# Atoms per cubic angstrom, copper's: no common matter is much denser.
_METAL_DENSITY = 0.085


class Neighbors(NamedTuple):
    """Neighbours of every atom as compressed sparse rows.

    The neighbours of atom i are the entries indptr[i] to indptr[i + 1] of the other arrays: the
    neighbour, and vector and distance to it, angstrom. An atom occurs once for each of its
    periodic images within the cutoff: the images of the first atom count, itself does not.
    """

    indptr: IntArray
    indices: IntArray
    vectors: FloatArray
    distances: FloatArray

    @property
    def counts(self) -> IntArray:
        """Number of neighbours of each atom."""
        return np.diff(self.indptr)

    @property
    def rows(self) -> IntArray:
        """The first atom of each pair."""
        return np.repeat(np.arange(len(self.indptr) - 1), self.counts)

    def where(self, keep: npt.NDArray[np.bool_]) -> Neighbors:
        """Return the list with only some of its pairs."""
        kept = _room(np.zeros_like(self.indptr), int(np.count_nonzero(keep)))
        cells.keep_pairs(self, keep, kept)
        return kept


class Nearest(NamedTuple):
    """The k nearest neighbours of every atom, by growing distance, angstrom.

    Where the system has no more neighbours, indices (n_atoms, k) are -1, vectors (n_atoms, k, 3)
    NaN and distances (n_atoms, k) infinite.
    """

    indices: IntArray
    vectors: FloatArray
    distances: FloatArray


def complete_cell(cell: FloatArray) -> FloatArray:
    """Replace zero cell vectors by unit vectors orthogonal to the others, right-handed."""
    cell = np.array(cell, float)
    missing = np.flatnonzero(~cell.any(axis=1))
    if len(missing) == 3:
        return np.eye(3)
    if len(missing) == 2:
        present = cell[next(axis for axis in range(3) if axis not in missing)]
        helper = np.eye(3)[np.argmin(np.abs(present))]
        cell[missing[0]] = _unit(np.cross(present, helper))
        missing = missing[1:]
    if len(missing) == 1:
        axis = missing[0]
        cell[axis] = _unit(np.cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3]))
    return cell


def _unit(vector: FloatArray) -> FloatArray:
    return vector / norms(vector[None], axis=1)


def wrap(
    positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Return positions moved into the cell along its periodic vectors, and their fractions."""
    cell = complete_cell(cell)
    fractional = transformed(positions, inverse(cell))
    fractional[:, pbc] -= np.floor(fractional[:, pbc])
    # A tiny negative fraction becomes 1.0 in floating point: the other face of the cell.
    fractional[:, pbc] = np.where(fractional[:, pbc] >= 1.0, 0.0, fractional[:, pbc])
    return transformed(fractional, cell), fractional


def _room(indptr: IntArray, n_pairs: int) -> Neighbors:
    """Return a list with row starts, and room for the pairs."""
    # One piece of memory: the system hands out large ones in large pages, many times faster.
    memory = np.empty(5 * n_pairs)
    indices, distances = memory[4 * n_pairs :].view(np.int64), memory[3 * n_pairs : 4 * n_pairs]
    return Neighbors(indptr, indices, memory[: 3 * n_pairs].reshape(n_pairs, 3), distances)


def _square_limit(r_cut: float) -> float:
    """Return the largest number whose square root is below r_cut."""
    limit = r_cut * r_cut
    while np.sqrt(limit) >= r_cut:
        limit = np.nextafter(limit, 0)
    while np.sqrt(np.nextafter(limit, np.inf)) < r_cut:
        limit = np.nextafter(limit, np.inf)
    return limit


def neighbor_list(
    positions: npt.ArrayLike,
    cell: npt.ArrayLike,
    pbc: npt.ArrayLike,
    r_cut: float,
    environment: npt.NDArray[np.bool_] | None = None,
    centers: IntArray | None = None,
    most: int = MAX_NEIGHBORS,
) -> Neighbors:
    """Find all pairs closer than a cutoff; InputError if an atom has more than `most` neighbours.

    Positions may be wrapped or not; rows of the cell are zero along directions that are not
    periodic, and it may be smaller than the cutoff. Only atoms of the environment are neighbours,
    and only the rows of centres are filled; all atoms are both by default.
    """
    if not r_cut > 0:
        raise InputError(f"r_cut: expected a positive number of angstrom, found {r_cut}")
    space = _points(positions, cell, pbc, r_cut, environment)
    atoms = np.arange(space.n_atoms) if centers is None else centers
    indptr = np.zeros(space.n_atoms + 1, np.int64)
    if not len(space.source):
        return _room(indptr, 0)
    places = space.wrapped[atoms]
    bins = cells.make_bins(space.points, np.zeros_like(space.source), 1, places, r_cut)
    limit = _square_limit(r_cut)
    counts = indptr[1:]
    counts[atoms] = cells.count_neighbors(bins, places, r_cut, limit)
    # Each centre that is in its own environment was counted.
    itself = counts[atoms] if environment is None else environment[atoms]
    counts[atoms] -= itself > 0
    if (largest := int(counts.max(initial=0))) > most:
        raise InputError(
            f"r_cut {r_cut:g} angstrom gives {largest} neighbours to an atom, expected at most "
            f"{most}; check the cell and the positions, choose a smaller r_cut, or raise "
            "max_neighbors where so many are meant"
        )
    np.cumsum(counts, out=counts)
    pairs = _room(indptr, int(indptr[-1]))
    cells.fill_rows(bins, places, r_cut, limit, atoms, space.own, space.source, pairs)
    return pairs


class _Space(NamedTuple):
    """Wrapped atoms, and the points of their environment: atoms and images."""

    n_atoms: int
    wrapped: FloatArray
    points: FloatArray
    source: IntArray
    own: IntArray


def _points(
    positions: npt.ArrayLike,
    cell: npt.ArrayLike,
    pbc: npt.ArrayLike,
    reach: float,
    environment: npt.NDArray[np.bool_] | None,
) -> _Space:
    positions, pbc = np.asarray(positions, float), np.asarray(pbc, bool)
    n_atoms = len(positions)
    points, source = with_images(positions, np.asarray(cell, float), pbc, reach)
    wrapped = points[:n_atoms]
    own = np.full(len(points), -1)
    own[:n_atoms] = np.arange(n_atoms)
    if environment is not None and not environment.all():
        counts = environment[source]
        points, source, own = points[counts], source[counts], own[counts]
    return _Space(n_atoms, wrapped, points, source, own)


# Most dense matter has a dozen neighbours within this distance; the search goes on from there.
_FIRST_REACH = 6.0


def k_nearest(
    positions: npt.ArrayLike,
    cell: npt.ArrayLike,
    pbc: npt.ArrayLike,
    k: int,
    environment: npt.NDArray[np.bool_] | None = None,
    centers: IntArray | None = None,
) -> Nearest:
    """Find the k nearest neighbours of every atom, periodic images included.

    The arguments are as for `neighbor_list`. Of neighbours at equal distances at the end of a row
    any may be the one that is left out. Where no direction is periodic there may be fewer than k.
    """
    positions = np.asarray(positions, float)
    pbc, cell = np.asarray(pbc, bool), np.asarray(cell, float)
    n_atoms = len(positions)
    nearest = Nearest(
        np.full((n_atoms, k), -1), np.full((n_atoms, k, 3), np.nan), np.full((n_atoms, k), np.inf)
    )
    todo = np.arange(n_atoms) if centers is None else centers
    n_counting = n_atoms if environment is None else int(environment.sum())
    reach = _first_reach(k, n_counting, cell, pbc)
    # Without periodic directions nothing is farther away than this.
    farthest = (
        np.inf if pbc.any() or not n_atoms else float(norms(np.ptp(positions, 0)[None], axis=1)[0])
    )
    while len(todo) and n_counting:
        space = _points(positions, cell, pbc, reach, environment)
        places = space.wrapped[todo]
        bins = cells.make_bins(space.points, np.zeros_like(space.source), 1, places, reach)
        done = cells.nearest_rows(bins, places, reach, todo, space.own, space.source, nearest)
        if reach > farthest:
            break
        todo, reach = todo[~done], 2 * reach
    return nearest


def _first_reach(k: int, n_counting: int, cell: FloatArray, pbc: npt.NDArray[np.bool_]) -> float:
    """Return a distance within which most atoms have k neighbours, from the density if known."""
    if not pbc.all() or n_counting == 0:
        return _FIRST_REACH
    volume = abs(determinant(cell)) / n_counting * (k + 1)
    return min(_FIRST_REACH, 1.3 * _cube_root(volume * 3 / (4 * np.pi)))


def _cube_root(value: float) -> float:
    """Return a cube root to a few digits, enough for a reach, with the same bits on every host."""
    _, exponent = math.frexp(value)
    root = math.ldexp(1.0, exponent // 3)
    for _ in range(8):
        root -= (root - value / (root * root)) / 3
    return root


def check_cutoff(
    r_cut: float,
    n_atoms: int,
    cell: FloatArray,
    pbc: npt.NDArray[np.bool_],
    name: str,
    most: int = MAX_NEIGHBORS,
) -> None:
    """Raise InputError unless a cutoff gives an atom a number of neighbours that can be meant.

    That is some, at most `most`, and a list that fits in memory. The estimate takes the mean
    density of a periodic cell, and that of a metal elsewhere.
    """
    _check_positive(r_cut, name)
    density = n_atoms / abs(determinant(cell)) if pbc.all() else _METAL_DENSITY
    per_atom = density * 4 / 3 * np.pi * r_cut**3
    if not pbc.any():
        per_atom = min(per_atom, n_atoms)
    if r_cut < _SHORTEST_BOND and per_atom < 0.5:
        raise InputError(
            f"{name}: r_cut: expected angstrom, found {r_cut:g}, which is shorter than any bond; "
            f"did you mean {10 * r_cut:g} angstrom ({r_cut:g} nm)?"
        )
    if per_atom > most:
        typed = f" (did you mean {r_cut / 10:g}?)" if r_cut >= _COMMON_CUTOFFS else ""
        raise InputError(
            f"{name}: r_cut {r_cut:g} angstrom gives about {per_atom:.3g} neighbours to an atom, "
            f"expected at most {most}; choose a smaller r_cut{typed}, or, "
            f"where so many are meant, {name} with max_neighbors={_rounded_up(per_atom)}"
        )
    estimate = per_atom * n_atoms * _PAIR_BYTES
    if estimate > _MAX_BYTES:
        raise InputError(
            f"{name}: r_cut {r_cut:g} angstrom gives about {per_atom:.3g} neighbours to each of "
            f"{n_atoms} atoms, {estimate / 2**30:.3g} GiB for one frame; at most "
            f"{_MAX_BYTES / 2**30:.0f} GiB are allowed: choose a smaller r_cut"
        )


def check_reach(
    reach: float, n_atoms: int, cell: FloatArray, pbc: npt.NDArray[np.bool_], name: str
) -> None:
    """Raise InputError if the images that `with_images` would make cannot fit in memory."""
    _check_positive(reach, name)
    margins = reach * norms(inverse(complete_cell(cell)), axis=0)
    check_images(n_atoms, margins, pbc, reach, f"{name}: ")


def _check_positive(r_cut: float, name: str) -> None:
    if not (np.isfinite(r_cut) and r_cut > 0):
        raise InputError(f"{name}: r_cut: expected a positive number of angstrom, found {r_cut}")


def _rounded_up(number: float) -> int:
    """Return a number of one digit and zeros that is larger, with room for denser places."""
    size = 10 ** int(np.log10(2 * number))
    return int(np.ceil(2 * number / size)) * size


def check_images(
    n_atoms: int, margins: FloatArray, pbc: npt.NDArray[np.bool_], reach: float, name: str = ""
) -> None:
    """Raise InputError if a frame has more periodic images within reach than can be meant."""
    # In floating point: the number may be beyond all integers.
    images = n_atoms * float(np.prod((1 + 2 * margins)[pbc]))
    most = _MAX_IMAGES + _MAX_IMAGES_PER_ATOM * n_atoms
    if not images <= most:
        raise InputError(
            f"{name}a cell of {n_atoms} atoms has {images:.3g} periodic images within {reach:.3g} "
            f"angstrom, expected at most {most}; check the cell, which may be flat or of another "
            "unit, choose a smaller cutoff, or repeat the cell where it is meant"
        )


def with_images(
    positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_], reach: float
) -> tuple[FloatArray, IntArray]:
    """Return wrapped atoms, followed by every periodic image within `reach` of the cell.

    The atom that each point is an image of comes with the points, (n_points,).
    """
    if not np.isfinite(positions).all():
        raise InputError("positions: expected finite coordinates, found NaN or infinite ones")
    cell = complete_cell(cell)
    inverted = inverse(cell)
    margins = reach * norms(inverted, axis=0)
    check_images(len(positions), margins, pbc, reach)
    return cells.lay_out(positions, cell, inverted, pbc, margins)
