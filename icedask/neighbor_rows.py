"""The compiled loops of the neighbour list: rows from bins, and some pairs of the rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icedask.cells import Bins, gather, within
from icedask.jit import jit
from icedask.neighbors import FloatArray, IntArray

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
    own: IntArray,
    source: IntArray,
    rows: Rows,
) -> None:
    """Write the neighbours of each centre to its row.

    Parameters
    ----------
    bins
        Points of one kind, and the centres.
    centers : (n_centers, 3)
    reach
        Neighbours are at most this far away,
    limit
        and their squared distance at most this.
    own : (n_points,)
        For each point the centre that it is, or -1: a centre is no neighbour of itself.
    source : (n_points,)
        The atom that each point is an image of.
    rows
        Row starts, and room for atoms, vectors and distances.
    """
    starts, indices, vectors, distances = rows
    n_points = len(own)
    found, squared = np.empty((3, n_points + 1)), np.empty(n_points + 1)
    places, near = np.empty(n_points + 1, np.int64), np.empty(n_points + 1, np.int64)
    for home in range(len(bins.center_start) - 1):
        if bins.center_start[home] == bins.center_start[home + 1]:
            continue
        n_found = gather(bins, 0, home, reach, found, places, 0)
        xs, ys, zs = found[0, :n_found], found[1, :n_found], found[2, :n_found]
        for member in range(bins.center_start[home], bins.center_start[home + 1]):
            center = bins.center_order[member]
            x, y, z = centers[center, 0], centers[center, 1], centers[center, 2]
            to = np.uint64(starts[center])
            for one in near[: within(xs, ys, zs, x, y, z, limit, squared, near)]:
                candidate = np.uint64(one)
                point = bins.order[places[candidate]]
                if own[point] == center:
                    continue
                indices[to] = source[point]
                vectors[to, 0] = xs[candidate] - x
                vectors[to, 1] = ys[candidate] - y
                vectors[to, 2] = zs[candidate] - z
                distances[to] = np.sqrt(squared[candidate])
                to += np.uint64(1)


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
