"""Compiled loops of the score network: the edges of a frame, and the sums over them."""

from __future__ import annotations

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.jit import jit_vector
from icedask.kernels.simd import WIDTH, load, splat, store

# Nodes of the table of filters up to the cutoff; cubic interpolation is exact to 1e-6.
N_NODES = 512


@jit_vector
def nearby(
    indptr: IntArray, indices: IntArray, vectors: FloatArray, cutoff: float
) -> tuple[IntArray, IntArray, FloatArray, IntArray, FloatArray]:
    """Return the edges of the graph from a neighbour list (CSR) with a longer cutoff.

    These are indptr and indices of the pairs within the cutoff; directions (n_pairs, 3); the first
    of the four nodes about each distance, and the weights (n_pairs, 4) of these nodes.
    """
    n_atoms = len(indptr) - 1
    starts = np.zeros(n_atoms + 1, np.int64)
    for atom in range(n_atoms):
        count = 0
        for pair in range(indptr[atom], indptr[atom + 1]):
            x, y, z = vectors[pair, 0], vectors[pair, 1], vectors[pair, 2]
            count += x * x + y * y + z * z < cutoff * cutoff
        starts[atom + 1] = starts[atom] + count
    n_pairs = starts[n_atoms]
    neighbors, place = np.empty(n_pairs, np.int64), np.empty(n_pairs, np.int64)
    unit, weight = np.empty((n_pairs, 3)), np.empty((n_pairs, 4))
    entry = 0
    for pair in range(len(indices)):
        x, y, z = vectors[pair, 0], vectors[pair, 1], vectors[pair, 2]
        square = x * x + y * y + z * z
        if not square < cutoff * cutoff:
            continue
        r = np.sqrt(square)
        neighbors[entry] = indices[pair]
        # Atoms in one place have no direction, and none that rounding errors give them.
        scale = 1.0 / r if r > 1e-6 else 0.0
        unit[entry, 0], unit[entry, 1], unit[entry, 2] = x * scale, y * scale, z * scale
        node = min(int(r * (N_NODES / cutoff)), N_NODES - 1)
        t = r * (N_NODES / cutoff) - node
        place[entry] = node
        weight[entry, 0] = t * (t - 1.0) * (2.0 - t) / 6.0
        weight[entry, 1] = (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0
        weight[entry, 2] = (t + 1.0) * t * (2.0 - t) / 2.0
        weight[entry, 3] = (t + 1.0) * t * (t - 1.0) / 6.0
        entry += 1
    return starts, neighbors, unit, place, weight


@jit_vector
def add_messages(
    indptr: IntArray,
    indices: IntArray,
    unit: FloatArray,
    place: IntArray,
    weight: FloatArray,
    table: FloatArray,
    sent: FloatArray,
    vector: FloatArray,
    new_scalar: FloatArray,
    new_vector: FloatArray,
) -> None:
    """Add the messages of neighbours to the scalars and vectors of each atom, in place.

    Parameters
    ----------
    indptr, indices, unit, place, weight
        Edges, from `nearby`.
    table : (N_NODES + 3, 3 * width)
        Filters at the nodes, from the one before zero to the one after the cutoff.
    sent : (n_atoms, 3 * width)
        Messages of each atom before the filters.
    vector : (n_atoms, 3 * width)
        Vectors of each atom: x of all, then y, then z.
    new_scalar : (n_atoms, width), new_vector : (n_atoms, 3 * width)
        Sums.
    """
    n_rows = sent.shape[1] // (3 * WIDTH)
    for atom in range(len(indptr) - 1):
        for row in range(n_rows):
            s = load(new_scalar, atom * n_rows + row)
            x = load(new_vector, 3 * atom * n_rows + row)
            y = load(new_vector, (3 * atom + 1) * n_rows + row)
            z = load(new_vector, (3 * atom + 2) * n_rows + row)
            for pair in range(indptr[atom], indptr[atom + 1]):
                other = 3 * indices[pair] * n_rows + row
                first = 3 * place[pair] * n_rows + row
                w0, w1 = splat(weight[pair, 0]), splat(weight[pair, 1])
                w2, w3 = splat(weight[pair, 2]), splat(weight[pair, 3])
                second, third = first + 3 * n_rows, first + 6 * n_rows
                fourth = first + 9 * n_rows
                a = (
                    w0 * load(table, first)
                    + w1 * load(table, second)
                    + w2 * load(table, third)
                    + w3 * load(table, fourth)
                )
                s = s + a * load(sent, other)
                b = (
                    w0 * load(table, first + n_rows)
                    + w1 * load(table, second + n_rows)
                    + w2 * load(table, third + n_rows)
                    + w3 * load(table, fourth + n_rows)
                )
                b = b * load(sent, other + n_rows)
                d = (
                    w0 * load(table, first + 2 * n_rows)
                    + w1 * load(table, second + 2 * n_rows)
                    + w2 * load(table, third + 2 * n_rows)
                    + w3 * load(table, fourth + 2 * n_rows)
                )
                d = d * load(sent, other + 2 * n_rows)
                x = x + b * load(vector, other) + d * splat(unit[pair, 0])
                y = y + b * load(vector, other + n_rows) + d * splat(unit[pair, 1])
                z = z + b * load(vector, other + 2 * n_rows) + d * splat(unit[pair, 2])
            store(new_scalar, atom * n_rows + row, s)
            store(new_vector, 3 * atom * n_rows + row, x)
            store(new_vector, (3 * atom + 1) * n_rows + row, y)
            store(new_vector, (3 * atom + 2) * n_rows + row, z)


@jit_vector
def follow(indptr: IntArray, indices: IntArray, vectors: FloatArray, moves: FloatArray) -> None:
    """Update the vectors of a neighbour list in place after moves of its atoms."""
    for atom in range(len(indptr) - 1):
        for pair in range(indptr[atom], indptr[atom + 1]):
            other = indices[pair]
            for axis in range(3):
                vectors[pair, axis] += moves[other, axis] - moves[atom, axis]
