"""Components, and tables of the angular momenta, of the bispectrum.

All angular momenta are doubled, as is usual: j = 2 j' is an integer, and the row k and column c of
a U matrix run from 0 to j in place of m' = -j', ..., j'.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import copysign, factorial, sqrt
from typing import NamedTuple

import numpy as np

from icedask.core.types import FloatArray, IntArray


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
