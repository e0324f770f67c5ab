"""The loops and tables of the bispectrum components.

All angular momenta are doubled, as is usual: j = 2 j' is an integer, and the row k and column c of
a U matrix run from 0 to j in place of m' = -j', ..., j'. Element e of an array of complex vectors
is its rows 2 e, the real part, and 2 e + 1; each lane of the vectors is another centre.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import copysign, factorial, pi, sqrt
from typing import NamedTuple

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.elementary import sine_cosine
from icedask.kernels.jit import jit
from icedask.kernels.neighbors import Neighbors
from icedask.kernels.simd import WIDTH, fma, load, splat, store


class Mapping(NamedTuple):
    """How neighbours are put on the 3-sphere, and with what weight; distances in angstrom."""

    r_cut: float
    r_min: float
    rfac0: float
    switch: bool
    self_weight: float


class Tables(NamedTuple):
    """Tables of the angular momenta up to `twojmax`.

    Because U_j(j - k, j - c) = (-1)^(k - c) conj(U_j(k, c)), only the rows k <= j / 2, the upper
    half, are summed over neighbours. For each element of the upper halves: `place`, and `mirror` of
    its conjugate, in the whole matrices, `sign` of the conjugate, `scale` over what the recursion
    gives, and 1 on the `diagonal` k = c. Component b is the sum over outputs e from outputs[b] to
    outputs[b + 1], output e that over the terms t from terms[e] to terms[e + 1], times the element
    conjugate[e] of U_j. Term t is coefficient[t] times the elements left[t] of U_j1 and right[t] of
    U_j2.
    """

    place: IntArray
    mirror: IntArray
    sign: FloatArray
    scale: FloatArray
    diagonal: FloatArray
    outputs: IntArray
    conjugate: IntArray
    terms: IntArray
    left: IntArray
    right: IntArray
    coefficient: FloatArray


def components(twojmax: int) -> IntArray:
    """Return the doubled j1 >= j2 and j >= j1 of each component, (n_components, 3)."""
    return np.array(
        [
            (j1, j2, j)
            for j1 in range(twojmax + 1)
            for j2 in range(j1 + 1)
            for j in range(j1 - j2, min(twojmax, j1 + j2) + 1, 2)
            if j >= j1
        ]
    )


def clebsch_gordan(j1: int, j2: int, j: int) -> FloatArray:
    """Return the coefficients of (j1, m1) and (j2, m2) in (j, m1 + m2), (j1 + 1, j2 + 1).

    Racah's formula in rational numbers: only the square root at the end is rounded.
    """
    f = factorial
    excess = (j1 + j2 - j) // 2
    squared = Fraction(
        (j + 1) * f(excess) * f(j1 - excess) * f(j2 - excess), f((j1 + j2 + j) // 2 + 1)
    )
    matrix = np.zeros((j1 + 1, j2 + 1))
    for a in range(j1 + 1):
        for b in range(max(0, excess - a), min(j2, j + excess - a) + 1):
            m = a + b - excess
            total = Fraction(0)
            for k in range(max(0, excess - a, b - j2 + excess), min(excess, j1 - a, b) + 1):
                below = f(k) * f(excess - k) * f(j1 - a - k) * f(b - k)
                below *= f(a - excess + k) * f(j2 - excess - b + k)
                total += Fraction((-1) ** k, below)
            norm = squared * f(m) * f(j - m) * f(a) * f(j1 - a) * f(b) * f(j2 - b)
            matrix[a, b] = copysign(sqrt(norm * total**2), total)
    return matrix


def _element(j: int, k: int, c: int) -> int:
    """Return the place of U_j(k, c) among the elements of all matrices."""
    return j * (j + 1) * (2 * j + 1) // 6 + k * (j + 1) + c


def _coupled(
    j1: int, j2: int, j: int, k: int, c: int, coupling: FloatArray
) -> dict[tuple[int, int], float]:
    """Return the coefficient of each product of elements of U_j1 and U_j2 in Z_j(k, c)."""
    terms: dict[tuple[int, int], float] = {}
    row, column = k + (j1 + j2 - j) // 2, c + (j1 + j2 - j) // 2
    for k1 in range(max(0, row - j2), min(j1, row) + 1):
        for c1 in range(max(0, column - j2), min(j1, column) + 1):
            first, second = _element(j1, k1, c1), _element(j2, row - k1, column - c1)
            pair = (min(first, second), max(first, second))
            value = float(coupling[k1, row - k1] * coupling[c1, column - c1])
            terms[pair] = terms.get(pair, 0.0) + value
    return terms


@lru_cache(maxsize=8)
def tables(twojmax: int) -> Tables:
    """Return the tables of one `twojmax`; of the largest allowed they take seconds."""
    f = factorial
    half = [(j, k, c) for j in range(twojmax + 1) for k in range(j // 2 + 1) for c in range(j + 1)]
    outputs, conjugate, terms = [0], [], [0]
    left: list[int] = []
    right: list[int] = []
    coefficient: list[float] = []
    for j1, j2, j in components(twojmax).tolist():
        # B / (j + 1) is the same for any order of the three. Where two are equal, their coupling
        # to the third has half as many different products.
        a, b, into = (j, j1, j2) if j1 == j else (j1, j2, j)
        coupling = clebsch_gordan(a, b, into)
        for k in range(into // 2 + 1):
            # The other half of the outputs contributes the same.
            for c in range(into + 1 if 2 * k < into else k + 1):
                weight = (1 if 2 * k == 2 * c == into else 2) * (j + 1) / (into + 1)
                products = _coupled(a, b, into, k, c, coupling)
                left += [pair[0] for pair in products]
                right += [pair[1] for pair in products]
                coefficient += [weight * value for value in products.values()]
                conjugate.append(_element(into, k, c))
                terms.append(len(left))
        outputs.append(len(conjugate))
    return Tables(
        place=np.array([_element(j, k, c) for j, k, c in half]),
        mirror=np.array([_element(j, j - k, j - c) for j, k, c in half]),
        sign=np.array([(-1.0) ** (k - c) for _, k, c in half]),
        scale=np.array([sqrt(f(c) * f(j - c) / (f(k) * f(j - k))) for j, k, c in half]),
        diagonal=np.array([float(k == c) for _, k, c in half]),
        outputs=np.array(outputs),
        conjugate=np.array(conjugate),
        terms=np.array(terms),
        left=np.array(left),
        right=np.array(right),
        coefficient=np.array(coefficient),
    )


@jit
def _rotation(
    lane: int,
    pair: int,
    neighbors: Neighbors,
    weights: FloatArray,
    mapping: Mapping,
    factors: FloatArray,
    u: FloatArray,
) -> None:
    """Put a neighbour into a lane: its weight as u_0, and the factors of the recursion.

    A neighbour is the rotation with the Cayley-Klein parameters a = cos theta0 - i z sin theta0 / r
    and b = (y - i x) sin theta0 / r.
    """
    x, y, z = neighbors.vectors[pair]
    r = neighbors.distances[pair]
    fraction = pi * (r - mapping.r_min) / (mapping.r_cut - mapping.r_min)
    sine, cosine = sine_cosine(mapping.rfac0 * fraction)
    # Below r_min, where theta0 is negative, LAMMPS takes the positive root in 1 / r0.
    if sine < 0.0:
        sine, cosine = -sine, -cosine
    a_real, a_imag = cosine, -z * sine / r
    b_real, b_imag = y * sine / r, -x * sine / r
    factors[0, lane], factors[1, lane] = a_real, -a_imag
    factors[2, lane], factors[3, lane] = -b_real, b_imag
    factors[4, lane], factors[5, lane] = b_real, b_imag
    factors[6, lane], factors[7, lane] = a_real, a_imag
    weight = weights[neighbors.indices[pair]]
    if mapping.switch and r > mapping.r_min:
        weight *= 0.5 * (sine_cosine(fraction)[1] + 1.0)
    u[0, lane] = weight


@jit
def _extend(
    factors: FloatArray, first: int, n: int, u: FloatArray, source: int, total: FloatArray, to: int
) -> None:
    """Multiply a row of n coefficients by p + q t, and add the product to its sum."""
    p_real, p_imag = load(factors, first), load(factors, first + 1)
    q_real, q_imag = load(factors, first + 2), load(factors, first + 3)
    last_real = last_imag = splat(0.0)
    for c in range(n + 1):
        real = fma(q_real, last_real, -(q_imag * last_imag))
        imag = fma(q_real, last_imag, q_imag * last_real)
        if c < n:
            last_real, last_imag = load(u, 2 * (source + c)), load(u, 2 * (source + c) + 1)
            real = fma(-p_imag, last_imag, fma(p_real, last_real, real))
            imag = fma(p_imag, last_real, fma(p_real, last_imag, imag))
        place = 2 * (to + c)
        store(u, place, real)
        store(u, place + 1, imag)
        store(total, place, load(total, place) + real)
        store(total, place + 1, load(total, place + 1) + imag)


@jit
def _add_neighbors(total: FloatArray, u: FloatArray, factors: FloatArray, twojmax: int) -> None:
    """Add the weighted U matrices of one neighbour of each centre to their sums.

    Row k of U_j is, up to a scale that follows at the end, the coefficients of the polynomial
    (conj(a) - conj(b) t)^(j - k) (b + a t)^k: a row of U_{j-1} and one more factor.
    """
    store(total, 0, load(total, 0) + load(u, 0))
    before, to = 0, 1
    for j in range(1, twojmax + 1):
        start = to
        for k in range(j // 2 + 1):
            if 2 * k < j:
                _extend(factors, 0, j, u, before + k * j, total, to)
            else:
                _extend(factors, 4, j, u, before + (k - 1) * j, total, to)
            to += j + 1
        before = start


@jit
def _complete(whole: FloatArray, total: FloatArray, self_weight: float, tables: Tables) -> None:
    """Fill the whole matrices: scaled sums, the centre itself, and the conjugates."""
    for e in range(len(tables.place)):
        scale, sign = splat(tables.scale[e]), splat(tables.sign[e])
        real = fma(scale, load(total, 2 * e), splat(self_weight * tables.diagonal[e]))
        imag = scale * load(total, 2 * e + 1)
        place, mirror = 2 * tables.place[e], 2 * tables.mirror[e]
        store(whole, mirror, sign * real)
        store(whole, mirror + 1, -(sign * imag))
        store(whole, place, real)
        store(whole, place + 1, imag)


@jit
def _invariants(result: FloatArray, whole: FloatArray, tables: Tables) -> None:
    """Compute B = sum of conj(U_j) Z_j, where Z_j couples U_j1 and U_j2."""
    for b in range(len(tables.outputs) - 1):
        component = splat(0.0)
        for e in range(tables.outputs[b], tables.outputs[b + 1]):
            real = imag = splat(0.0)
            for t in range(tables.terms[e], tables.terms[e + 1]):
                left, right = 2 * tables.left[t], 2 * tables.right[t]
                c = splat(tables.coefficient[t])
                p_real, p_imag = c * load(whole, left), c * load(whole, left + 1)
                q_real, q_imag = load(whole, right), load(whole, right + 1)
                real = fma(-p_imag, q_imag, fma(p_real, q_real, real))
                imag = fma(p_imag, q_real, fma(p_real, q_imag, imag))
            u = 2 * tables.conjugate[e]
            component = fma(real, load(whole, u), component)
            component = fma(imag, load(whole, u + 1), component)
        store(result, b, component)


@jit
def bispectra(
    centers: IntArray,
    neighbors: Neighbors,
    weights: FloatArray,
    mapping: Mapping,
    tables: Tables,
    twojmax: int,
) -> FloatArray:
    """Return the bispectrum components of some atoms, (n_centers, n_components)."""
    n_half, n_components = len(tables.place), len(tables.outputs) - 1
    invariants = np.empty((len(centers), n_components))
    factors = np.zeros((8, WIDTH))
    u, total = np.zeros((2 * n_half, WIDTH)), np.zeros((2 * n_half, WIDTH))
    n_elements = (twojmax + 1) * (twojmax + 2) * (2 * twojmax + 3) // 6
    whole = np.zeros((2 * n_elements, WIDTH))
    result = np.zeros((n_components, WIDTH))
    indptr = neighbors.indptr
    for begin in range(0, len(centers), WIDTH):
        lanes = centers[begin : begin + WIDTH]
        most = 0
        for center in lanes:
            most = max(most, indptr[center + 1] - indptr[center])
        total[:] = 0.0
        for step in range(most):
            # Lanes without another neighbour add nothing.
            u[0] = 0.0
            for lane, center in enumerate(lanes):
                pair = indptr[center] + step
                if pair < indptr[center + 1] and neighbors.distances[pair] > 0.0:
                    _rotation(lane, pair, neighbors, weights, mapping, factors, u)
            _add_neighbors(total, u, factors, twojmax)
        _complete(whole, total, mapping.self_weight, tables)
        _invariants(result, whole, tables)
        for lane in range(len(lanes)):
            for b in range(n_components):
                invariants[begin + lane, b] = result[b, lane]
    return invariants
