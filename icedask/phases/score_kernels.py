"""Compiled loops of the score network: edges of a frame, sums over them, products of matrices."""

from __future__ import annotations

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.elementary import exponential
from icedask.kernels.jit import jit, jit_inline
from icedask.kernels.simd import WIDTH, fma, load, splat, store, total

# Nodes of the table of filters up to the cutoff; cubic interpolation is exact to 1e-6.
N_NODES = 512


@jit
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


@jit_inline
def _filter(table, first, step, w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """Return a vector of a filter, interpolated between four nodes."""
    value = w0 * load(table, first)
    value = fma(w1, load(table, first + step), value)
    value = fma(w2, load(table, first + 2 * step), value)
    return fma(w3, load(table, first + 3 * step), value)


@jit
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
                a = _filter(table, first, 3 * n_rows, w0, w1, w2, w3)
                s = fma(a, load(sent, other), s)
                b = _filter(table, first + n_rows, 3 * n_rows, w0, w1, w2, w3)
                b = b * load(sent, other + n_rows)
                d = _filter(table, first + 2 * n_rows, 3 * n_rows, w0, w1, w2, w3)
                d = d * load(sent, other + 2 * n_rows)
                x = fma(d, splat(unit[pair, 0]), fma(b, load(vector, other), x))
                y = fma(d, splat(unit[pair, 1]), fma(b, load(vector, other + n_rows), y))
                z = fma(d, splat(unit[pair, 2]), fma(b, load(vector, other + 2 * n_rows), z))
            store(new_scalar, atom * n_rows + row, s)
            store(new_vector, 3 * atom * n_rows + row, x)
            store(new_vector, (3 * atom + 1) * n_rows + row, y)
            store(new_vector, (3 * atom + 2) * n_rows + row, z)


@jit
def follow(indptr: IntArray, indices: IntArray, vectors: FloatArray, moves: FloatArray) -> None:
    """Update the vectors of a neighbour list in place after moves of its atoms."""
    for atom in range(len(indptr) - 1):
        for pair in range(indptr[atom], indptr[atom + 1]):
            other = indices[pair]
            for axis in range(3):
                vectors[pair, axis] += moves[other, axis] - moves[atom, axis]


# Rows that are multiplied together: their sums stay in registers.
_ROWS = 6


@jit
def linear(x: FloatArray, weight: FloatArray, bias: FloatArray, out: FloatArray) -> None:
    """Write x @ weight + bias, (n, n_out), to `out`; n_out is a multiple of WIDTH.

    Every sum runs over the columns of x one by one: those of a library for matrices have an order
    that depends on the processor.
    """
    n_out = weight.shape[1] // WIDTH
    n_whole = len(x) // _ROWS * _ROWS
    for column in range(n_out):
        start = load(bias, column)
        for row in range(0, n_whole, _ROWS):
            a = b = c = d = e = f = start
            for k in range(x.shape[1]):
                w = load(weight, k * n_out + column)
                a = fma(splat(x[row, k]), w, a)
                b = fma(splat(x[row + 1, k]), w, b)
                c = fma(splat(x[row + 2, k]), w, c)
                d = fma(splat(x[row + 3, k]), w, d)
                e = fma(splat(x[row + 4, k]), w, e)
                f = fma(splat(x[row + 5, k]), w, f)
            store(out, row * n_out + column, a)
            store(out, (row + 1) * n_out + column, b)
            store(out, (row + 2) * n_out + column, c)
            store(out, (row + 3) * n_out + column, d)
            store(out, (row + 4) * n_out + column, e)
            store(out, (row + 5) * n_out + column, f)
        for row in range(n_whole, len(x)):
            a = start
            for k in range(x.shape[1]):
                a = fma(splat(x[row, k]), load(weight, k * n_out + column), a)
            store(out, row * n_out + column, a)


@jit
def activate(values: FloatArray) -> None:
    """Replace each x of a matrix by x / (1 + e^-x)."""
    flat = values.reshape(-1)
    for i in range(len(flat)):
        flat[i] /= 1.0 + exponential(-flat[i])


@jit
def dots(first: FloatArray, second: FloatArray, width: int) -> FloatArray:
    """Return the dot products of vectors (n_atoms, 3 * width): x of all, then y, then z."""
    out = np.empty((len(first), width))
    for atom in range(len(first)):
        for column in range(width):
            result = first[atom, column] * second[atom, column]
            for axis in range(1, 3):
                place = axis * width + column
                result = fma(first[atom, place], second[atom, place], result)
            out[atom, column] = result
    return out


@jit
def project(vectors: FloatArray, gate: FloatArray, weight: FloatArray, out: FloatArray) -> None:
    """Write the sums over columns of vectors * gate * weight, (n_atoms, 3)."""
    n_rows = len(weight) // WIDTH
    for atom in range(len(out)):
        for axis in range(3):
            sums = splat(0.0)
            for row in range(n_rows):
                factor = load(gate, atom * n_rows + row) * load(weight, row)
                sums = fma(load(vectors, (3 * atom + axis) * n_rows + row), factor, sums)
            out[atom, axis] = total(sums)
