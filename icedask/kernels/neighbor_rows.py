"""The compiled loops of the neighbour lists: rows from bins, nearest ones, some of the pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.cells import Bins, gather, within
from icedask.kernels.jit import jit
from icedask.kernels.simd import WIDTH

Rows = tuple[IntArray, IntArray, FloatArray, FloatArray]


@jit
def count_neighbors(bins: Bins, centers: FloatArray, reach: float, limit: float) -> IntArray:
    """Return how many points are near each centre, itself included if it is a point."""
    n_points = len(bins.order)
    found, places = np.empty((3, n_points + 1)), np.empty(n_points + 1, np.int64)
    counts = np.zeros(len(centers), np.int64)
    for home in range(len(bins.center_start) - 1):
        if bins.center_start[home] == bins.center_start[home + 1]:
            continue
        n_found = gather(bins, 0, home, reach, found, places, 0)
        xs, ys, zs = found[0, :n_found], found[1, :n_found], found[2, :n_found]
        for member in range(bins.center_start[home], bins.center_start[home + 1]):
            center = bins.center_order[member]
            x, y, z = centers[center, 0], centers[center, 1], centers[center, 2]
            count = 0
            for one in range(len(xs)):
                dx, dy, dz = xs[one] - x, ys[one] - y, zs[one] - z
                count += dx * dx + dy * dy + dz * dz <= limit
            counts[center] = count
    return counts


@jit
def fill_rows(
    bins: Bins,
    centers: FloatArray,
    reach: float,
    limit: float,
    atoms: IntArray,
    own: IntArray,
    source: IntArray,
    rows: Rows,
) -> None:
    """Write the neighbours of each centre to the row of its atom.

    Parameters
    ----------
    bins
        Points of one kind, and the centres.
    centers : (n_centers, 3)
    reach
        Neighbours are at most this far away,
    limit
        and their squared distance at most this.
    atoms : (n_centers,)
        The atom that each centre is.
    own : (n_points,)
        The atom that stands at each point, or -1 for an image: an atom is no neighbour of itself.
    source : (n_points,)
        The atom that each point is an image of.
    rows
        Row starts, and room for atoms, vectors and distances.
    """
    starts, indices, vectors, distances = rows
    n_points = len(own)
    found, squared = np.empty((3, n_points + 1)), np.empty(n_points + 1)
    places, near = np.empty(n_points + 1, np.int64), np.empty(n_points + WIDTH, np.int32)
    for home in range(len(bins.center_start) - 1):
        if bins.center_start[home] == bins.center_start[home + 1]:
            continue
        n_found = gather(bins, 0, home, reach, found, places, 0)
        xs, ys, zs = found[0, :n_found], found[1, :n_found], found[2, :n_found]
        for member in range(bins.center_start[home], bins.center_start[home + 1]):
            center = bins.center_order[member]
            x, y, z = centers[center, 0], centers[center, 1], centers[center, 2]
            to = np.uint64(starts[atoms[center]])
            for one in near[: within(xs, ys, zs, x, y, z, limit, squared, near)]:
                candidate = np.uint64(one)
                point = bins.order[places[candidate]]
                if own[point] == atoms[center]:
                    continue
                indices[to] = source[point]
                vectors[to, 0] = xs[candidate] - x
                vectors[to, 1] = ys[candidate] - y
                vectors[to, 2] = zs[candidate] - z
                distances[to] = np.sqrt(squared[candidate])
                to += np.uint64(1)


@jit
def nearest_rows(
    bins: Bins,
    centers: FloatArray,
    reach: float,
    atoms: IntArray,
    own: IntArray,
    source: IntArray,
    found: tuple[IntArray, FloatArray, FloatArray],
) -> npt.NDArray[np.bool_]:
    """Write the nearest neighbours of each centre, and return where all are within reach.

    found : neighbours, vectors and distances, whose rows are as long as neighbours are wanted; the
    others as in `fill_rows`.
    """
    n_points, k = len(own), found[0].shape[1]
    candidates, places = np.empty((3, n_points + 1)), np.empty(n_points + 1, np.int64)
    best, which = np.empty(k), np.empty(k, np.int64)
    is_done = np.zeros(len(centers), np.bool_)
    for home in range(len(bins.center_start) - 1):
        if bins.center_start[home] == bins.center_start[home + 1]:
            continue
        n_found = gather(bins, 0, home, reach, candidates, places, 0)
        for member in range(bins.center_start[home], bins.center_start[home + 1]):
            center = bins.center_order[member]
            best[:] = np.inf
            which[:] = -1
            for one in range(n_found):
                square = 0.0
                for axis in range(3):
                    square += (candidates[axis, one] - centers[center, axis]) ** 2
                if square >= best[k - 1] or own[bins.order[places[one]]] == atoms[center]:
                    continue
                rank = k - 1
                while rank > 0 and best[rank - 1] > square:
                    best[rank], which[rank] = best[rank - 1], which[rank - 1]
                    rank -= 1
                best[rank], which[rank] = square, one
            is_done[center] = np.sqrt(best[k - 1]) <= reach
            row = atoms[center]
            for rank in range(k):
                one = which[rank]
                found[2][row, rank] = np.sqrt(best[rank])
                if one >= 0:
                    found[0][row, rank] = source[bins.order[places[one]]]
                    for axis in range(3):
                        found[1][row, rank, axis] = candidates[axis, one] - centers[center, axis]
    return is_done


@jit
def keep_pairs(old: Rows, keep: npt.NDArray[np.bool_], new: Rows) -> None:
    """Fill new rows with some of the pairs of the old."""
    starts, indices, vectors, distances = new
    to = 0
    for row in range(len(starts) - 1):
        for pair in range(old[0][row], old[0][row + 1]):
            if keep[pair]:
                indices[to] = old[1][pair]
                vectors[to] = old[2][pair]
                distances[to] = old[3][pair]
                to += 1
        starts[row + 1] = to
