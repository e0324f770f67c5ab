"""Loops of the symmetry functions: one pass over the neighbours of each centre.

Three-body terms are collected as flat buffers of pairs, so that exponentials, powers and cutoffs
run on vectors.
"""

from __future__ import annotations

from math import factorial, floor, pi, sqrt

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.descriptors.symmetry.arguments import (
    Angular,
    Buffers,
    CutoffFunction,
    Functions,
    Shells,
)
from icedask.kernels.elementary import angle, exponential, power, sine_cosine
from icedask.kernels.jit import jit
from icedask.kernels.neighbors import Neighbors
from icedask.kernels.simd import WIDTH, fma, load, splat, total

# cos(pi/2 sqrt(u)) by powers of u.
_COSINE = tuple((-1) ** n * (pi / 2) ** (2 * n) / factorial(2 * n) for n in range(11, -1, -1))


@jit
def cutoffs(squares: FloatArray, n: int, function: CutoffFunction) -> None:
    """Replace the first n squared distances, all within the cutoff, by f_c."""
    if function.fermi:
        for i in range(n):
            beyond = sqrt(max(squares[i], 0.0)) - function.r_cut + function.epsilon
            squares[i] = 1 / (1 + exponential(function.alpha * beyond))
        return
    scale = 1 / function.r_cut**2
    for i in range(n):
        # (1 + cos x) / 2 = cos(x / 2)^2, and the series of the cosine has only even powers.
        u = squares[i] * scale
        series = 0.0
        for coefficient in _COSINE:
            series = fma(series, u, coefficient)
        squares[i] = series * series


@jit
def powers(bases: FloatArray, n: int, exponent: float, result: FloatArray) -> None:
    """Write the first n bases, which are used up, to a power."""
    if exponent != floor(exponent) or exponent > 1024:
        for i in range(n):
            result[i] = power(bases[i], exponent)
        return
    left = int(exponent)
    for i in range(n):
        result[i] = 1.0
    while left > 0:
        if left & 1:
            for i in range(n):
                result[i] *= bases[i]
        left >>= 1
        if left > 0:
            for i in range(n):
                bases[i] *= bases[i]


@jit
def gather(
    neighbors: Neighbors,
    center: int,
    bounds: tuple[float, float],
    kinds: IntArray,
    buffers: Buffers,
) -> int:
    """Collect the neighbours of a centre between two distances by species; return their number."""
    starts, near = buffers.starts, buffers.near
    row = range(neighbors.indptr[center], neighbors.indptr[center + 1])
    starts[:] = 0
    for entry in row:
        kind = kinds[neighbors.indices[entry]]
        if kind >= 0 and bounds[0] <= neighbors.distances[entry] < bounds[1]:
            starts[kind + 1] += 1
    for kind in range(1, len(starts)):
        starts[kind] += starts[kind - 1]
    for entry in row:
        kind, distance = kinds[neighbors.indices[entry]], neighbors.distances[entry]
        if kind >= 0 and bounds[0] <= distance < bounds[1]:
            place = starts[kind]
            starts[kind] += 1
            near[0, place] = distance
            for axis in range(3):
                near[2 + axis, place] = neighbors.vectors[entry, axis] / distance
    # Each start has moved on to the next.
    for kind in range(len(starts) - 1, 0, -1):
        starts[kind] = starts[kind - 1]
    starts[0] = 0
    return starts[-1]


@jit
def dot(first: FloatArray, second: FloatArray, n: int) -> float:
    """Return the sum of products of the first n values: of each of 16 columns, then of all."""
    even, odd = splat(0.0), splat(0.0)
    n_pairs = n // (2 * WIDTH)
    for row in range(n_pairs):
        even = fma(load(first, 2 * row), load(second, 2 * row), even)
        odd = fma(load(first, 2 * row + 1), load(second, 2 * row + 1), odd)
    result = total(even + odd)
    for i in range(2 * WIDTH * n_pairs, n):
        result = fma(first[i], second[i], result)
    return result


@jit
def add_radial(g2: FloatArray, g3: FloatArray, buffers: Buffers, result: FloatArray) -> None:
    """Add G2 and G3 of a centre to (n_species, n_functions)."""
    starts, near, values = buffers.starts, buffers.near, buffers.radial
    n = starts[-1]
    for f in range(len(g2)):
        for i in range(n):
            values[f * n + i] = exponential(-g2[f, 0] * (near[0, i] - g2[f, 1]) ** 2)
    for kind in range(len(starts) - 1):
        first, last = starts[kind], starts[kind + 1]
        for f in range(len(g2)):
            result[kind, f] += dot(values[f * n + first :], near[1, first:], last - first)
        for f in range(len(g3)):
            for i in range(first, last):
                cosine = sine_cosine(g3[f] * near[0, i])[1]
                result[kind, len(g2) + f] += cosine * near[1, i]


@jit
def add_pairs(
    near: FloatArray, j: int, others: tuple[int, int], limit: float, pairs: FloatArray, n: int
) -> int:
    """Append the pairs of neighbour j with others to the n in `pairs`; return their number.

    Only those with R_jk^2 below the limit.
    """
    distance, weight, x, y, z = near[0, j], near[1, j], near[2, j], near[3, j], near[4, j]
    for k in range(others[0], others[1]):
        cosine = x * near[2, k] + y * near[3, k] + z * near[4, k]
        squares = distance * distance + near[0, k] * near[0, k]
        opposite = squares - 2 * distance * near[0, k] * cosine
        pairs[0, n] = weight * near[1, k]
        pairs[1, n] = cosine
        pairs[2, n] = squares
        pairs[3, n] = opposite
        # Not a branch, which no processor could guess; what is not a number stays.
        n += 0 if opposite >= limit else 1
    return n


@jit
def sum_pairs(
    functions: Angular, cutoff: CutoffFunction, n: int, buffers: Buffers, result: FloatArray
) -> None:
    """Add n pairs to functions that differ in eta, lambda and zeta."""
    pairs, terms = buffers.pairs, buffers.terms
    weights, squares = pairs[0], pairs[2]
    if functions.closed:
        for p in range(n):
            squares[p] += pairs[3, p]
        cutoffs(pairs[3], n, cutoff)
        for p in range(n):
            weights[p] *= pairs[3, p]
    n_etas = len(functions.etas)
    for e in range(n_etas):
        for p in range(n):
            terms[e, p] = exponential(-functions.etas[e] * squares[p]) * weights[p]
    bases, angular = terms[n_etas], terms[n_etas + 1]
    previous = -1
    for row in range(len(functions.table)):
        number, e, angle = functions.table[row, 0], functions.table[row, 1], functions.table[row, 2]
        if angle != previous:
            half = 0.5 * functions.angles[angle, 0]
            for p in range(n):
                base = 0.5 + half * pairs[1, p]
                # Of atoms in a line it may be a rounding error below zero.
                bases[p] = 0.0 if base < 0.0 else base
            powers(bases, n, functions.angles[angle, 1], angular)
            previous = angle
        result[number] += functions.prefactor * dot(terms[e], angular, n)


@jit
def add_angular(
    functions: Angular, cutoff: CutoffFunction, buffers: Buffers, result: FloatArray
) -> None:
    """Add G4 or G5 of a centre to (n_pairs_of_species, n_functions)."""
    starts, pairs = buffers.starts, buffers.pairs
    limit = cutoff.r_cut**2 if functions.closed else np.inf
    for b in range(len(starts) - 1):
        for a in range(b + 1):
            channel = result[b * (b + 1) // 2 + a]
            # A literal 0 has a type of its own, for which callees would be compiled again.
            n = int(np.int64(0))
            for j in range(starts[a], starts[a + 1]):
                others = (j + 1 if a == b else starts[b], starts[b + 1])
                if n + others[1] - others[0] > pairs.shape[1]:
                    sum_pairs(functions, cutoff, n, buffers, channel)
                    n = int(np.int64(0))
                n = add_pairs(buffers.near, j, others, limit, pairs, n)
            sum_pairs(functions, cutoff, n, buffers, channel)


@jit
def add_waves(numbers: IntArray, waves: FloatArray, buffers: Buffers, result: FloatArray) -> None:
    """Add the G8 of one shell of a centre to (n_pairs_of_species, n_functions)."""
    starts, near = buffers.starts, buffers.near
    for b in range(len(starts) - 1):
        for a in range(b + 1):
            channel = result[b * (b + 1) // 2 + a]
            for j in range(starts[a], starts[a + 1]):
                x, y, z = near[2, j], near[3, j], near[4, j]
                for k in range(j + 1 if a == b else starts[b], starts[b + 1]):
                    u, v, w = near[2, k], near[3, k], near[4, k]
                    # Exact for atoms in a line too, where an inverse cosine loses half the digits.
                    sine = sqrt((y * w - z * v) ** 2 + (z * u - x * w) ** 2 + (x * v - y * u) ** 2)
                    theta = angle(sine, x * u + y * v + z * w)
                    weight = near[1, j] * near[1, k]
                    for f in range(len(waves)):
                        phase = waves[f, 0] * (theta - waves[f, 1])
                        channel[numbers[f]] += weight * sine_cosine(phase)[0]


@jit
def add_shells(
    shells: Shells,
    neighbors: Neighbors,
    center: int,
    kinds: IntArray,
    buffers: Buffers,
    result: FloatArray,
) -> None:
    """Add G8 of a centre to (n_pairs_of_species, n_functions)."""
    near = buffers.near
    for s in range(len(shells.bounds)):
        nu, a1, ar = shells.bounds[s]
        bounds = (a1 - pi / (2 * nu), ar + pi / (2 * nu))
        n = gather(neighbors, center, bounds, kinds, buffers)
        for i in range(n):
            outside = max(a1 - near[0, i], near[0, i] - ar, 0.0)
            near[1, i] = sine_cosine(nu * outside)[1] ** 2
        chosen = slice(shells.starts[s], shells.starts[s + 1])
        add_waves(shells.numbers[chosen], shells.waves[chosen], buffers, result)


@jit
def evaluate(
    functions: Functions, neighbors: Neighbors, kinds: IntArray, centers: IntArray, buffers: Buffers
) -> FloatArray:
    """Return the functions of some centres, (n_centers, n_functions).

    Of each species G2 and G3, then of each pair of species a <= b, by b and then a, the others.
    The neighbours reach as far as any function; kinds (n_atoms,) are the species of the atoms, -1
    where an atom does not count.
    """
    cutoff, near = functions.cutoff, buffers.near
    n_species = len(buffers.starts) - 1
    n_pairs = n_species * (n_species + 1) // 2
    n_radial = len(functions.g2) + len(functions.g3)
    end_4 = len(functions.g4.table)
    end_5 = end_4 + len(functions.g5.table)
    n_angular = end_5 + len(functions.g8.numbers)
    first = n_species * n_radial
    out = np.zeros((len(centers), first + n_pairs * n_angular))
    for c in range(len(centers)):
        of_pairs = out[c, first:].reshape(n_pairs, n_angular)
        n = gather(neighbors, centers[c], (0.0, cutoff.r_cut), kinds, buffers)
        for i in range(n):
            near[1, i] = near[0, i] ** 2
        cutoffs(near[1], n, cutoff)
        add_radial(functions.g2, functions.g3, buffers, out[c, :first].reshape(n_species, n_radial))
        if end_4 > 0:
            add_angular(functions.g4, cutoff, buffers, of_pairs[:, :end_4])
        if end_5 > end_4:
            add_angular(functions.g5, cutoff, buffers, of_pairs[:, end_4:end_5])
        add_shells(functions.g8, neighbors, centers[c], kinds, buffers, of_pairs[:, end_5:])
    return out
