"""The one neighbour list, in any cell: compressed sparse rows of pairs within a cutoff."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Above this, the list of one frame would not fit into a common worker.
_MAX_BYTES = 8 * 2**30
_PAIR_BYTES = 48
_IMAGE_BYTES = 400
# Atoms per cubic angstrom, copper's: no common matter is much denser.
_METAL_DENSITY = 0.085


class Neighbors(NamedTuple):
    """Neighbours of every atom, rows sorted by atom.

    Attributes
    ----------
    indptr : (n_atoms + 1,) int64
        The neighbours of atom i are entries indptr[i] to indptr[i + 1] of the other arrays.
    indices : (n_pairs,) int64
        The neighbour; several times where several of its periodic images are within the cutoff.
        An atom's own images count, the atom itself does not.
    vectors : (n_pairs, 3) float64, angstrom
        From the atom to the neighbour.
    distances : (n_pairs,) float64, angstrom
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
        from icedask.neighbor_rows import keep_pairs

        kept = _room(np.zeros_like(self.indptr), int(np.count_nonzero(keep)))
        keep_pairs(self, keep, kept)
        return kept


class Nearest(NamedTuple):
    """The k nearest neighbours of every atom, by growing distance.

    Attributes
    ----------
    indices : (n_atoms, k) int64
        The neighbour; -1 where the system has no more.
    vectors : (n_atoms, k, 3) float64, angstrom
        From the atom to the neighbour; NaN where there is none.
    distances : (n_atoms, k) float64, angstrom
        Infinite where there is none.
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
        given = cell[next(axis for axis in range(3) if axis not in missing)]
        helper = np.eye(3)[np.argmin(np.abs(given))]
        cell[missing[0]] = np.cross(given, helper)
        cell[missing[0]] /= np.linalg.norm(cell[missing[0]])
        missing = missing[1:]
    if len(missing) == 1:
        axis = missing[0]
        normal = np.cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3])
        cell[axis] = normal / np.linalg.norm(normal)
    return cell


def wrap(
    positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Return positions moved into the cell along its periodic vectors, and their fractions."""
    cell = complete_cell(cell)
    fractional = positions @ np.linalg.inv(cell)
    fractional[:, pbc] -= np.floor(fractional[:, pbc])
    # A tiny negative fraction becomes 1.0 in floating point: the other face of the cell.
    fractional[:, pbc] = np.where(fractional[:, pbc] >= 1.0, 0.0, fractional[:, pbc])
    return fractional @ cell, fractional


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
) -> Neighbors:
    """Find all pairs closer than a cutoff.

    Parameters
    ----------
    positions : (n_atoms, 3) array, angstrom
        Wrapped or not.
    cell : (3, 3) array, angstrom
        Cell vectors as rows, of any shape; zero rows along directions that are not periodic.
    pbc : (3,) bool
        Periodicity along each cell vector. The cell may be smaller than the cutoff.
    r_cut : float, angstrom
        Pairs with distance < r_cut are listed.
    environment : (n_atoms,) bool, optional
        Atoms that count as neighbours; all by default.

    Returns
    -------
    Neighbors

    Raises
    ------
    InputError
        If r_cut is not positive.

    Examples
    --------
    >>> from icedask.neighbors import neighbor_list
    >>> neighbor_list([[0, 0, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [True] * 3, 1.1).counts
    array([6])
    """
    from icedask.cells import make_bins
    from icedask.neighbor_rows import count_neighbors, fill_rows

    if not r_cut > 0:
        raise InputError(f"r_cut: expected a positive number of angstrom, found {r_cut}")
    positions, pbc = np.asarray(positions, float), np.asarray(pbc, bool)
    n_atoms = len(positions)
    points, source = with_images(positions, np.asarray(cell, float), pbc, r_cut)
    centers = points[:n_atoms]
    own = np.full(len(points), -1)
    own[:n_atoms] = np.arange(n_atoms)
    if environment is not None:
        counts = environment[source]
        points, source, own = points[counts], source[counts], own[counts]
    if not len(points):
        return _room(np.zeros(n_atoms + 1, np.int64), 0)
    bins = make_bins(points, np.zeros(len(points), np.int64), 1, centers, r_cut)
    limit = _square_limit(r_cut)
    counts = count_neighbors(bins, centers, r_cut, limit)
    counts[own[own >= 0]] -= 1
    found = _room(np.concatenate([[0], np.cumsum(counts)]), int(counts.sum()))
    fill_rows(bins, centers, r_cut, limit, own, source, found)
    return found


# Most dense matter has a dozen neighbours within this distance; the search goes on from there.
_FIRST_REACH = 6.0


def k_nearest(
    positions: npt.ArrayLike,
    cell: npt.ArrayLike,
    pbc: npt.ArrayLike,
    k: int,
    environment: npt.NDArray[np.bool_] | None = None,
) -> Nearest:
    """Find the k nearest neighbours of every atom, periodic images included.

    Parameters
    ----------
    positions : (n_atoms, 3) array, angstrom
        Wrapped or not.
    cell : (3, 3) array, angstrom
        Cell vectors as rows, of any shape; zero rows along directions that are not periodic.
    pbc : (3,) bool
        Periodicity along each cell vector. The cell may be smaller than the distances found.
    k : int
        Neighbours of each atom.
    environment : (n_atoms,) bool, optional
        Atoms that count as neighbours; all by default.

    Returns
    -------
    Nearest
        Of neighbours at equal distances at the end of the list any may be the one that is left
        out. A system without periodic directions may have fewer than k other atoms.

    Examples
    --------
    >>> from icedask.neighbors import k_nearest
    >>> k_nearest([[0, 0, 0]], [[1, 0, 0], [0, 2, 0], [0, 0, 3]], [True] * 3, 4).distances
    array([[1., 1., 2., 2.]])
    """
    from scipy.spatial import cKDTree

    positions, pbc = np.asarray(positions, float), np.asarray(pbc, bool)
    cell = np.asarray(cell, float)
    n_atoms = len(positions)
    counts = np.ones(n_atoms, bool) if environment is None else environment
    found = Nearest(
        np.full((n_atoms, k), -1), np.full((n_atoms, k, 3), np.nan), np.full((n_atoms, k), np.inf)
    )
    todo, reach = np.arange(n_atoms), _FIRST_REACH
    while len(todo) and counts.any():
        points, source = with_images(positions, cell, pbc, reach)
        centers = points[todo]
        used = np.flatnonzero(counts[source])
        # One more than asked for: the atom itself is among them if it counts.
        distances, place = cKDTree(points[used]).query(centers, k=np.arange(1, k + 2))
        indices = np.append(used, -1)[place]
        others = (indices != todo[:, None]) & (indices >= 0)
        order = np.argsort(~others, axis=1, kind="stable")[:, :k]
        distances = np.where(others, distances, np.inf)
        distances = np.take_along_axis(distances, order, axis=1)
        indices = np.take_along_axis(np.where(others, indices, -1), order, axis=1)
        # Images beyond the reach were not laid out: what was found within it is final.
        done = distances[:, -1] <= reach if pbc.any() else np.ones(len(todo), bool)
        rows, there = todo[done], indices[done] >= 0
        found.indices[rows] = np.where(there, source[indices[done]], -1)
        found.distances[rows] = distances[done]
        vectors = points[indices[done]] - centers[done][:, None]
        found.vectors[rows] = np.where(there[..., None], vectors, np.nan)
        todo, reach = todo[~done], 2 * reach
    return found


def check_cutoff(
    r_cut: float, n_atoms: int, cell: FloatArray, pbc: npt.NDArray[np.bool_], name: str
) -> None:
    """Raise InputError if a neighbour list with this cutoff cannot fit in memory.

    The estimate takes the mean density of a periodic cell, and that of a metal elsewhere.
    """
    _check_positive(r_cut, name)
    density = n_atoms / abs(np.linalg.det(cell)) if pbc.all() else _METAL_DENSITY
    per_atom = density * 4 / 3 * np.pi * r_cut**3
    if not pbc.any():
        per_atom = min(per_atom, n_atoms)
    _check_bytes(
        per_atom * n_atoms * _PAIR_BYTES,
        f"{name}: r_cut {r_cut:g} angstrom gives about {per_atom:.3g} neighbours to each of "
        f"{n_atoms} atoms",
    )


def check_reach(
    reach: float, n_atoms: int, cell: FloatArray, pbc: npt.NDArray[np.bool_], name: str
) -> None:
    """Raise InputError if the images that `with_images` would make cannot fit in memory."""
    _check_positive(reach, name)
    heights = 1 / np.linalg.norm(np.linalg.inv(complete_cell(cell)), axis=0)
    images = n_atoms * float(np.prod((1 + 2 * reach / heights)[pbc]))
    _check_bytes(
        images * _IMAGE_BYTES,
        f"{name}: r_cut reaches {reach:g} angstrom from a cell of {n_atoms} atoms, which takes "
        f"{images:.3g} periodic images",
    )


def _check_positive(r_cut: float, name: str) -> None:
    if not (np.isfinite(r_cut) and r_cut > 0):
        raise InputError(f"{name}: r_cut: expected a positive number of angstrom, found {r_cut}")


def _check_bytes(estimate: float, what: str) -> None:
    if estimate > _MAX_BYTES:
        raise InputError(
            f"{what}, {estimate / 2**30:.3g} GiB for one frame; at most {_MAX_BYTES / 2**30:.0f} "
            "GiB are allowed: choose a smaller r_cut"
        )


def with_images(
    positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_], reach: float
) -> tuple[FloatArray, IntArray]:
    """Return wrapped atoms, followed by every periodic image within `reach` of the cell.

    Parameters
    ----------
    positions : (n_atoms, 3) array, angstrom
    cell : (3, 3) array, angstrom
    pbc : (3,) bool
    reach : float, angstrom

    Returns
    -------
    points : (n_points, 3) array, angstrom
        The first n_atoms are the wrapped atoms in their order.
    source : (n_points,) int64
        The atom of which each point is an image.
    """
    from icedask.cells import lay_out

    cell = complete_cell(cell)
    inverse = np.linalg.inv(cell)
    return lay_out(positions, cell, inverse, pbc, reach * np.linalg.norm(inverse, axis=0))
