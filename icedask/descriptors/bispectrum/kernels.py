"""The loops of the bispectrum components.

All angular momenta are doubled, as is usual: j = 2 j' is an integer, and the row k and column c of
a U matrix run from 0 to j in place of m' = -j', ..., j'. Element e of an array of complex vectors
is its rows 2 e, the real part, and 2 e + 1; each lane of the vectors is another centre.
"""

from __future__ import annotations

from math import pi

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.descriptors.bispectrum.tables import Mapping, Tables
from icedask.kernels.elementary import sine_cosine
from icedask.kernels.jit import jit
from icedask.kernels.neighbors import Neighbors
from icedask.kernels.simd import WIDTH, fma, load, splat, store


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
