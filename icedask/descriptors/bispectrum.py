"""Bispectrum components (SNAP): the density of neighbours on the 3-sphere, in rotation invariants.

All angular momenta are doubled, as is usual: j = 2 j' is an integer, and the row and column of a
U matrix run from 0 to j in place of m' = -j/2, ..., j/2.

The kernels work on `LANES` centres at once. The centres are the last axis of every work array, so
that the innermost loops run over adjacent numbers and become vector instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache, partial
from math import copysign, factorial, sqrt
from typing import Annotated, NamedTuple

import numpy as np
import xarray as xr

from icedask.descriptors.contract import (
    Centers,
    Cutoff,
    Frame,
    Kernel,
    Option,
    Species,
    descriptor,
)
from icedask.errors import InputError
from icedask.jit import jit
from icedask.model import check_elements
from icedask.neighbors import FloatArray, IntArray, Neighbors
from icedask.variables import BISPECTRUM_COMPONENT

LANES = 8


class Mapping(NamedTuple):
    """How neighbours are put on the 3-sphere, and with what weight.

    Attributes
    ----------
    r_cut, r_min : float, angstrom
    rfac0 : float
    switch : bool
    self_weight : float
    """

    r_cut: float
    r_min: float
    rfac0: float
    switch: bool
    self_weight: float


class Tables(NamedTuple):
    """What the kernels need to know of the angular momenta up to `twojmax`.

    Attributes
    ----------
    triples : (n_components, 3) int64
        Doubled j1, j2, j of each component.
    coupling : float64
        Clebsch-Gordan coefficients, for each component a matrix (j1 + 1, j2 + 1).
    coupling_start : (n_components,) int64
        Where the matrix of each component begins.
    start : (twojmax + 2,) int64
        Where each U_j begins, a matrix (j + 1, j + 1) with rows of equal m'.
    scale : float64
        Of each element of all U_j: what it is over what the recursion gives.
    """

    triples: IntArray
    coupling: FloatArray
    coupling_start: IntArray
    start: IntArray
    scale: FloatArray


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
    found = np.zeros((j1 + 1, j2 + 1))
    for a in range(j1 + 1):
        for b in range(max(0, excess - a), min(j2, j + excess - a) + 1):
            m = a + b - excess
            total = Fraction(0)
            for k in range(max(0, excess - a, b - j2 + excess), min(excess, j1 - a, b) + 1):
                below = f(k) * f(excess - k) * f(j1 - a - k) * f(b - k)
                below *= f(a - excess + k) * f(j2 - excess - b + k)
                total += Fraction((-1) ** k, below)
            norm = squared * f(m) * f(j - m) * f(a) * f(j1 - a) * f(b) * f(j2 - b)
            found[a, b] = copysign(sqrt(norm * total**2), total)
    return found


@lru_cache(maxsize=8)
def tables(twojmax: int) -> Tables:
    """Return the tables of one `twojmax`; of the largest allowed they take seconds."""
    triples = components(twojmax)
    coupling = [clebsch_gordan(*map(int, triple)).ravel() for triple in triples]
    sizes = [(j + 1) ** 2 for j in range(twojmax + 1)]
    scale = [
        sqrt(factorial(a) * factorial(j - a) / (factorial(b) * factorial(j - b)))
        for j in range(twojmax + 1)
        for b in range(j + 1)
        for a in range(j + 1)
    ]
    return Tables(
        triples,
        np.concatenate(coupling),
        np.cumsum([0, *map(len, coupling[:-1])]),
        np.cumsum([0, *sizes]),
        np.array(scale),
    )


@jit
def _rotations(
    angles: FloatArray,
    lanes: IntArray,
    step: int,
    neighbors: Neighbors,
    weights: FloatArray,
    mapping: Mapping,
) -> None:
    """Fill in what the next neighbour of each centre is on the 3-sphere, and its weight.

    A neighbour is the rotation with the Cayley-Klein parameters a = cos theta0 - i z sin theta0 / r
    and b = (y - i x) sin theta0 / r; rows of `angles` are their four parts, and the weight.
    """
    for lane in range(LANES):
        angles[:, lane] = 0.0
        center = lanes[lane]
        if center < 0 or step >= neighbors.indptr[center + 1] - neighbors.indptr[center]:
            continue
        pair = neighbors.indptr[center] + step
        r = neighbors.distances[pair]
        if r <= 0.0:
            continue
        fraction = np.pi * (r - mapping.r_min) / (mapping.r_cut - mapping.r_min)
        sine, cosine = np.sin(mapping.rfac0 * fraction), np.cos(mapping.rfac0 * fraction)
        # Below r_min, where theta0 is negative, LAMMPS takes the positive root in 1 / r0.
        if sine < 0.0:
            sine, cosine = -sine, -cosine
        angles[0, lane] = cosine
        angles[1, lane] = -neighbors.vectors[pair, 2] * sine / r
        angles[2, lane] = neighbors.vectors[pair, 1] * sine / r
        angles[3, lane] = -neighbors.vectors[pair, 0] * sine / r
        weight = weights[neighbors.indices[pair]]
        if mapping.switch and r > mapping.r_min:
            weight *= 0.5 * (np.cos(fraction) + 1.0)
        angles[4, lane] = weight


@jit
def _add_neighbors(
    total: FloatArray, u: FloatArray, angles: FloatArray, start: IntArray, twojmax: int
) -> None:
    """Add the weighted U matrices of one neighbour of each centre to their sums.

    u_j(a, b) = conj(a) u_{j-1}(a, b) - conj(b) u_{j-1}(a - 1, b), up to factors that are the same
    for all neighbours and follow at the end; in place, hence from the end of the row. Only rows
    with 2 b <= j: the others are their conjugates.
    """
    u[:] = 0.0
    # Column 0 stays zero: it is u(-1, b).
    u[0, 0, 1, :] = 1.0
    for lane in range(LANES):
        total[0, 0, lane] += angles[4, lane]
    for j in range(1, twojmax + 1):
        if j % 2 == 0:
            row = j // 2
            for a in range(j):
                sign = -1.0 if (j - a - row) % 2 else 1.0
                for lane in range(LANES):
                    u[0, row, a + 1, lane] = sign * u[0, row - 1, j - a, lane]
                    u[1, row, a + 1, lane] = -sign * u[1, row - 1, j - a, lane]
        for b in range(j // 2 + 1):
            for a in range(j, -1, -1):
                place = start[j] + b * (j + 1) + a
                for lane in range(LANES):
                    ar, ai = angles[0, lane], angles[1, lane]
                    br, bi = angles[2, lane], angles[3, lane]
                    pr, pi = u[0, b, a + 1, lane], u[1, b, a + 1, lane]
                    qr, qi = u[0, b, a, lane], u[1, b, a, lane]
                    real = ar * pr + ai * pi - br * qr - bi * qi
                    imag = ar * pi - ai * pr - br * qi + bi * qr
                    u[0, b, a + 1, lane] = real
                    u[1, b, a + 1, lane] = imag
                    total[0, place, lane] += angles[4, lane] * real
                    total[1, place, lane] += angles[4, lane] * imag


@jit
def _complete(
    total: FloatArray, scale: FloatArray, start: IntArray, twojmax: int, self_weight: float
) -> None:
    """Apply the common factors, add the centre itself and the rows that are conjugates."""
    for j in range(twojmax + 1):
        for b in range(j // 2 + 1):
            for a in range(j + 1):
                place = start[j] + b * (j + 1) + a
                other = start[j] + (j - b) * (j + 1) + j - a
                sign = -1.0 if (a - b) % 2 else 1.0
                for lane in range(LANES):
                    real = total[0, place, lane] * scale[place]
                    imag = total[1, place, lane] * scale[place]
                    if a == b:
                        real += self_weight
                    total[0, place, lane], total[1, place, lane] = real, imag
                    if 2 * b < j:
                        total[0, other, lane], total[1, other, lane] = sign * real, -sign * imag


@jit
def _invariants(
    result: FloatArray,
    total: FloatArray,
    work: FloatArray,
    tables: Tables,
) -> None:
    """Compute B = sum of conj(U_j) Z_j, where Z_j couples U_j1 and U_j2.

    Rows b and j - b contribute the same: half of them are enough.
    """
    coupling, start = tables.coupling, tables.start
    for t in range(len(tables.triples)):
        j1, j2, j = tables.triples[t]
        block = tables.coupling_start[t]
        excess = (j1 + j2 - j) // 2
        result[t, :] = 0.0
        for b in range(j // 2 + 1):
            for a in range(b + 1 if 2 * b == j else j + 1):
                work[:] = 0.0
                for b1 in range(max(0, b + excess - j2), min(j1, b + excess) + 1):
                    b2 = b + excess - b1
                    outer = coupling[block + b1 * (j2 + 1) + b2]
                    first = start[j1] + b1 * (j1 + 1)
                    second = start[j2] + b2 * (j2 + 1) + a + excess
                    row = block + a + excess
                    for a1 in range(max(0, a + excess - j2), min(j1, a + excess) + 1):
                        c = outer * coupling[row + a1 * j2]
                        for lane in range(LANES):
                            pr, pi = total[0, first + a1, lane], total[1, first + a1, lane]
                            qr, qi = total[0, second - a1, lane], total[1, second - a1, lane]
                            work[0, lane] += c * (pr * qr - pi * qi)
                            work[1, lane] += c * (pr * qi + pi * qr)
                place = start[j] + b * (j + 1) + a
                factor = 1.0 if 2 * b == j and a == b else 2.0
                for lane in range(LANES):
                    result[t, lane] += factor * (
                        total[0, place, lane] * work[0, lane]
                        + total[1, place, lane] * work[1, lane]
                    )


@jit
def _components(
    centers: IntArray,
    neighbors: Neighbors,
    weights: FloatArray,
    mapping: Mapping,
    tables: Tables,
) -> FloatArray:
    start, n_components = tables.start, len(tables.triples)
    twojmax = len(start) - 2
    found = np.empty((len(centers), n_components))
    lanes = np.empty(LANES, np.int64)
    angles = np.empty((5, LANES))
    u = np.empty((2, twojmax // 2 + 1, twojmax + 2, LANES))
    total = np.empty((2, start[-1], LANES))
    work = np.empty((2, LANES))
    result = np.empty((n_components, LANES))
    for begin in range(0, len(centers), LANES):
        count = min(LANES, len(centers) - begin)
        lanes[:] = -1
        lanes[:count] = centers[begin : begin + count]
        most = 0
        for lane in range(count):
            row = lanes[lane]
            most = max(most, neighbors.indptr[row + 1] - neighbors.indptr[row])
        total[:] = 0.0
        for step in range(most):
            _rotations(angles, lanes, step, neighbors, weights, mapping)
            _add_neighbors(total, u, angles, start, twojmax)
        _complete(total, tables.scale, start, twojmax, mapping.self_weight)
        _invariants(result, total, work, tables)
        for lane in range(count):
            found[begin + lane] = result[:, lane]
    return found


def describe_centers(
    frame: Frame,
    mapping: Mapping,
    twojmax: int,
    weights: Sequence[tuple[int, float]] = (),
) -> FloatArray:
    """Return the bispectrum components of the centres, (n_centers, n_components).

    `weights` are pairs of atomic number and weight; other elements have weight 1.
    """
    of_atoms = np.ones(len(frame.positions))
    for number, weight in weights:
        of_atoms[frame.numbers == number] = weight
    neighbors = frame.all_neighbors(mapping.r_cut)
    return _components(frame.centers, neighbors, of_atoms, mapping, tables(twojmax))


def _element_weights(
    species: Sequence[str] | None, weights: Sequence[float] | None
) -> list[tuple[int, float]]:
    """Return pairs of atomic number and weight.

    Raises
    ------
    InputError
        Unless there is one weight for each species.
    """
    from ase.data import atomic_numbers

    if weights is None:
        return []
    if species is None or len(species) != len(weights) or len(set(species)) != len(species):
        listed = "none" if species is None else ", ".join(species)
        raise InputError(
            f"bispectrum: weights: expected one for each of the species, found {len(weights)} for "
            f"the species {listed}; name each element once in species, in the order of the weights"
        )
    check_elements(np.array(species))
    return [(atomic_numbers[one], weight) for one, weight in zip(species, weights, strict=True)]


@descriptor(variable="bispectrum", version=1)
def bispectrum(
    trj: xr.Dataset,
    *,
    r_cut: Cutoff,
    twojmax: Annotated[
        int, Option("Largest doubled angular momentum 2 J.", at_least=0, at_most=14)
    ] = 6,
    r_min: Annotated[
        float,
        Option("Distance that is mapped to theta0 = 0 (rmin0).", "angstrom", at_least=0),
    ] = 0.0,
    rfac0: Annotated[
        float, Option("Largest theta0, at the cutoff, in units of pi.", above=0, at_most=1)
    ] = 0.99363,
    switch: Annotated[bool, Option("Whether weights fall smoothly to zero at the cutoff.")] = True,
    self_weight: Annotated[float, Option("Weight of the centre itself.", at_least=0)] = 1.0,
    species: Species = None,
    weights: Annotated[
        Sequence[float] | None,
        Option("Weights of the elements as neighbours, in the order of species; 1 by default."),
    ] = None,
    centers: Centers = None,
    dtype: Annotated[
        str, Option("Precision of the result.", choices=("float32", "float64"))
    ] = "float32",
) -> Kernel:
    """Bispectrum components of the density of neighbours (SNAP); lazy.

    A neighbour at distance r is mapped to a point on the 3-sphere, with the polar angle
    theta0 = rfac0 pi (r - r_min) / (r_cut - r_min). The density of these points is expanded in
    Wigner U matrices, U_j = self_weight 1 + sum_k f_c(r_k) w_k u_j(k), where
    f_c = (cos(pi (r - r_min) / (r_cut - r_min)) + 1) / 2, and 1 below r_min or without switch. The
    components B_{j1 j2 j} = sum_{m m'} conj(u_j(m, m')) Z_{j1 j2}^j(m, m'), where Z couples U_j1
    and U_j2 with Clebsch-Gordan coefficients, do not change when the system is rotated. There are
    30 for twojmax 6 and 55 for 8.

    The numbers and their order are those of LAMMPS's compute sna/atom with bzeroflag 0. An atom
    without neighbours has B = self_weight^3 (j + 1). An atom at the very place of the centre does
    not count.

    {parameters}

    Returns
    -------
    xarray.Dataset
        bispectrum (frame, atom, bispectrum_component); coordinates j1, j2, j, all doubled, name
        the components: j2 <= j1 <= j <= twojmax.

    Raises
    ------
    InputError
        If an option is out of bounds, or weights are not as many as the species.

    References
    ----------
    Bartok et al., Phys. Rev. Lett. 104, 136403 (2010), doi:10.1103/PhysRevLett.104.136403;
    Thompson et al., J. Comput. Phys. 285, 316 (2015), doi:10.1016/j.jcp.2014.12.018

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("O", "diamond", a=6.37, cubic=True))
    >>> ice.bispectrum(trj, r_cut=6.0, twojmax=6)["bispectrum"].shape
    (1, 8, 30)
    """
    if r_min >= r_cut:
        raise InputError(
            f"bispectrum: r_min: expected less than r_cut, {r_cut:g} angstrom, found {r_min:g}"
        )
    triples = components(twojmax)
    compute = partial(
        describe_centers,
        mapping=Mapping(r_cut, r_min, rfac0, switch, self_weight),
        twojmax=twojmax,
        weights=_element_weights(species, weights),
    )
    return Kernel(
        compute,
        dtype,
        r_cut,
        tail=(BISPECTRUM_COMPONENT, len(triples)),
        coords=dict(zip(("j1", "j2", "j"), triples.T, strict=True)),
        species=species,
    )
