"""Compiled cell lists: periodic images, cubic bins of points, candidates near a bin.

A cell of any shape becomes a cloud of points in space: the atoms, moved into the cell, and all
their images within reach. Triclinic cells, partial periodicity and cells smaller than the reach
then need no code of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.jit import jit
from icedask.kernels.simd import WIDTH, list_lanes, load


class Bins(NamedTuple):
    """Points (3, n_points) sorted by kind, then by cubic bin; z is the fastest coordinate of a bin.

    `order` is the number that each sorted point had before, starts[kind] (n_bins + 1,) where each
    bin begins, `shape` the number of bins along x, y and z, `low` the corner of the first. The
    centres of bin b are center_order[center_start[b] : center_start[b + 1]].
    """

    points: FloatArray
    order: IntArray
    starts: IntArray
    shape: IntArray
    edge: float
    low: FloatArray
    center_start: IntArray
    center_order: IntArray


@jit
def lay_out(
    positions: FloatArray,
    cell: FloatArray,
    inverse: FloatArray,
    pbc: npt.NDArray[np.bool_],
    margins: FloatArray,
) -> tuple[FloatArray, IntArray]:
    """Return the atoms, wrapped, and all images up to `margins` (fractions) outside the cell."""
    n_atoms = len(positions)
    fractional = np.zeros((n_atoms, 3))
    first, last = np.zeros((n_atoms, 3), np.int64), np.zeros((n_atoms, 3), np.int64)
    n_points = 0
    for atom in range(n_atoms):
        number = 1
        for axis in range(3):
            part = 0.0
            for k in range(3):
                part += positions[atom, k] * inverse[k, axis]
            if pbc[axis]:
                part -= np.floor(part)
                # A tiny negative fraction becomes 1.0 in floating point: the other face.
                if part >= 1.0:
                    part = 0.0
                first[atom, axis] = np.ceil(-margins[axis] - part)
                last[atom, axis] = np.floor(1 + margins[axis] - part)
                number *= last[atom, axis] - first[atom, axis] + 1
            fractional[atom, axis] = part
        n_points += number
    points, source = np.empty((n_points, 3)), np.empty(n_points, np.int64)
    place = n_atoms
    for atom in range(n_atoms):
        for i in range(first[atom, 0], last[atom, 0] + 1):
            for j in range(first[atom, 1], last[atom, 1] + 1):
                for k in range(first[atom, 2], last[atom, 2] + 1):
                    home = i == 0 and j == 0 and k == 0
                    to = atom if home else place
                    place += not home
                    a, b = fractional[atom, 0] + i, fractional[atom, 1] + j
                    c = fractional[atom, 2] + k
                    source[to] = atom
                    for axis in range(3):
                        points[to, axis] = a * cell[0, axis] + b * cell[1, axis] + c * cell[2, axis]
    return points, source


@jit
def _bin_of(points: FloatArray, row: int, low: FloatArray, edge: float, shape: IntArray) -> int:
    number = 0
    for axis in range(3):
        index = int((points[row, axis] - low[axis]) / edge)
        number = number * shape[axis] + min(max(index, 0), shape[axis] - 1)
    return number


@jit
def _sort(bins: IntArray, n_bins: int) -> tuple[IntArray, IntArray]:
    """Return where each bin begins, (n_bins + 1,), and the members sorted by bin."""
    start = np.zeros(n_bins + 1, np.int64)
    for number in bins:
        start[number + 1] += 1
    for number in range(n_bins):
        start[number + 1] += start[number]
    place = start[:-1].copy()
    order = np.empty(len(bins), np.int64)
    for member in range(len(bins)):
        order[place[bins[member]]] = member
        place[bins[member]] += 1
    return start, order


@jit
def _count_bins(low: FloatArray, high: FloatArray, edge: float) -> float:
    number = 1.0
    for axis in range(3):
        number *= np.floor((high[axis] - low[axis]) / edge) + 1
    return number


@jit
def make_bins(
    points: FloatArray, kinds: IntArray, n_kinds: int, centers: FloatArray, wanted: float
) -> Bins:
    """Sort points (n_points, 3) of each kind, and centres, into bins of at least `wanted` edge."""
    # Loops in place of functions of arrays, here and below: those take seconds to compile.
    low, high = np.empty(3), np.empty(3)
    for axis in range(3):
        low[axis], high[axis] = np.inf, -np.inf
        for places in (points, centers):
            for row in range(len(places)):
                low[axis] = min(low[axis], places[row, axis])
                high[axis] = max(high[axis], places[row, axis])
    # Few atoms in a large empty space: bins are no more than points.
    edge, room = wanted, 8.0 * (len(points) + len(centers)) + 64
    while _count_bins(low, high, edge) > room:
        edge *= 1.26
    shape = np.empty(3, np.int64)
    for axis in range(3):
        shape[axis] = int((high[axis] - low[axis]) / edge) + 1
    n_bins = shape[0] * shape[1] * shape[2]
    bins = np.empty(len(points), np.int64)
    for row in range(len(points)):
        bins[row] = kinds[row] * n_bins + _bin_of(points, row, low, edge, shape)
    start, order = _sort(bins, n_kinds * n_bins)
    starts = np.empty((n_kinds, n_bins + 1), np.int64)
    for kind in range(n_kinds):
        for number in range(n_bins + 1):
            starts[kind, number] = start[kind * n_bins + number]
    in_order = np.empty((3, len(points)))
    for place in range(len(points)):
        for axis in range(3):
            in_order[axis, place] = points[order[place], axis]
    bins = np.empty(len(centers), np.int64)
    for row in range(len(centers)):
        bins[row] = _bin_of(centers, row, low, edge, shape)
    center_start, center_order = _sort(bins, n_bins)
    return Bins(in_order, order, starts, shape, edge, low, center_start, center_order)


@jit
def gather(
    bins: Bins, kind: int, home: int, reach: float, near: FloatArray, places: IntArray, n: int
) -> int:
    """Append the points of a kind that may be within reach of a bin to n others; count all.

    `near` is (3, n_points + 1), `places` (n_points + 1,) in bins.points: one place more than
    needed, because what is not kept is overwritten by the next.
    """
    points, start, shape = bins.points, bins.starts[kind], bins.shape
    edge, low = bins.edge, bins.low
    stencil = int(np.ceil(reach / edge))
    ix, rest = divmod(home, shape[1] * shape[2])
    iy, iz = divmod(rest, shape[2])
    x0, y0, z0 = low[0] + ix * edge, low[1] + iy * edge, low[2] + iz * edge
    first, last = max(iz - stencil, 0), min(iz + stencil, shape[2] - 1)
    for jx in range(max(ix - stencil, 0), min(ix + stencil, shape[0] - 1) + 1):
        for jy in range(max(iy - stencil, 0), min(iy + stencil, shape[1] - 1) + 1):
            column = (jx * shape[1] + jy) * shape[2]
            begin = start[column + first]
            # Slices, here and below: loops from zero need no test for negative indices.
            run = points[:, begin : start[column + last + 1]]
            for point in range(run.shape[1]):
                x, y, z = run[0, point], run[1, point], run[2, point]
                dx = max(x0 - x, x - x0 - edge, 0.0)
                dy = max(y0 - y, y - y0 - edge, 0.0)
                dz = max(z0 - z, z - z0 - edge, 0.0)
                near[0, n], near[1, n], near[2, n] = x, y, z
                places[n] = begin + point
                n += dx * dx + dy * dy + dz * dz <= reach * reach
    return n


@jit
def within(
    xs: FloatArray,
    ys: FloatArray,
    zs: FloatArray,
    x: float,
    y: float,
    z: float,
    limit: float,
    squared: FloatArray,
    near: npt.NDArray[np.int32],
) -> int:
    """List the candidates whose squared distance is at most `limit`, and return how many.

    squared : (n_candidates,) is filled with all squared distances; near : (n_candidates + WIDTH,).
    """
    # Not in explicit vectors, which round otherwise: what is near must not depend on the place.
    for point in range(len(xs)):
        dx, dy, dz = xs[point] - x, ys[point] - y, zs[point] - z
        squared[point] = dx * dx + dy * dy + dz * dz
    count, whole = 0, len(xs) // WIDTH
    for row in range(whole):
        count = list_lanes(load(squared, row), limit, row * WIDTH, near, count)
    for point in range(whole * WIDTH, len(xs)):
        near[count] = point
        count += squared[point] <= limit
    return count


Rows = tuple[IntArray, IntArray, FloatArray, FloatArray]


@jit
def count_neighbors(bins: Bins, centers: FloatArray, reach: float, limit: float) -> IntArray:
    """Return how many points are near each centre, itself included if it is a point."""
    n_points = len(bins.order)
    gathered, places = np.empty((3, n_points + 1)), np.empty(n_points + 1, np.int64)
    counts = np.zeros(len(centers), np.int64)
    for home in range(len(bins.center_start) - 1):
        if bins.center_start[home] == bins.center_start[home + 1]:
            continue
        n_gathered = gather(bins, 0, home, reach, gathered, places, 0)
        xs, ys, zs = gathered[0, :n_gathered], gathered[1, :n_gathered], gathered[2, :n_gathered]
        for member in range(bins.center_start[home], bins.center_start[home + 1]):
            center = bins.center_order[member]
            x, y, z = centers[center, 0], centers[center, 1], centers[center, 2]
            count = 0
            for point in range(len(xs)):
                dx, dy, dz = xs[point] - x, ys[point] - y, zs[point] - z
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

    Neighbours are at most `reach` away, and their squared distance is at most `limit`. Centre i is
    atom atoms[i]; point j is the atom own[j], or -1 for an image, and an image of the atom
    source[j]: an atom is no neighbour of itself. `rows` are row starts, and room for atoms, vectors
    and distances.
    """
    starts, indices, vectors, distances = rows
    n_points = len(own)
    gathered, squared = np.empty((3, n_points + 1)), np.empty(n_points + 1)
    places, near = np.empty(n_points + 1, np.int64), np.empty(n_points + WIDTH, np.int32)
    for home in range(len(bins.center_start) - 1):
        if bins.center_start[home] == bins.center_start[home + 1]:
            continue
        n_gathered = gather(bins, 0, home, reach, gathered, places, 0)
        xs, ys, zs = gathered[0, :n_gathered], gathered[1, :n_gathered], gathered[2, :n_gathered]
        for member in range(bins.center_start[home], bins.center_start[home + 1]):
            center = bins.center_order[member]
            x, y, z = centers[center, 0], centers[center, 1], centers[center, 2]
            to = np.uint64(starts[atoms[center]])
            for number in near[: within(xs, ys, zs, x, y, z, limit, squared, near)]:
                candidate = np.uint64(number)
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
    nearest: tuple[IntArray, FloatArray, FloatArray],
) -> npt.NDArray[np.bool_]:
    """Write the nearest neighbours of each centre, and return where all are within reach.

    `nearest` are neighbours, vectors and distances, with rows of as many neighbours as wanted; the
    others as in `fill_rows`.
    """
    n_points, k = len(own), nearest[0].shape[1]
    near, places = np.empty((3, n_points + 1)), np.empty(n_points + 1, np.int64)
    best, which = np.empty(k), np.empty(k, np.int64)
    is_done = np.zeros(len(centers), np.bool_)
    for home in range(len(bins.center_start) - 1):
        if bins.center_start[home] == bins.center_start[home + 1]:
            continue
        n_found = gather(bins, 0, home, reach, near, places, 0)
        for member in range(bins.center_start[home], bins.center_start[home + 1]):
            center = bins.center_order[member]
            best[:] = np.inf
            which[:] = -1
            for point in range(n_found):
                square = 0.0
                for axis in range(3):
                    square += (near[axis, point] - centers[center, axis]) ** 2
                if square >= best[k - 1] or own[bins.order[places[point]]] == atoms[center]:
                    continue
                rank = k - 1
                while rank > 0 and best[rank - 1] > square:
                    best[rank], which[rank] = best[rank - 1], which[rank - 1]
                    rank -= 1
                best[rank], which[rank] = square, point
            is_done[center] = np.sqrt(best[k - 1]) <= reach
            row = atoms[center]
            for rank in range(k):
                point = which[rank]
                nearest[2][row, rank] = np.sqrt(best[rank])
                if point >= 0:
                    nearest[0][row, rank] = source[bins.order[places[point]]]
                    for axis in range(3):
                        nearest[1][row, rank, axis] = near[axis, point] - centers[center, axis]
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
