"""Steinhardt's bond-orientational order: q_l, w_l and their averages over the neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache, partial
from itertools import permutations
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, NearestCount, Option, Species
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.errors import InputError
from icedask.kernels.jit import jit

# Atoms that the innermost loops go over together: enough to fill the registers of a processor,
# few enough for the sums to stay in its cache.
_LANES = 32
# Norm of the vector q_l that rounding of positions to float32 leaves where symmetry forbids any.
_VANISHING = 1e-5


class Bonds(NamedTuple):
    """The neighbours that count: atom i's are `counts[i]` entries from `starts[i]` on."""

    starts: IntArray
    counts: IntArray
    indices: IntArray
    vectors: FloatArray
    distances: FloatArray
    weights: FloatArray


class Harmonics(NamedTuple):
    """Coefficients of the harmonics of some degrees l, and their places in a row.

    Y_lm = K_lm(z) (x + iy)^m for a unit vector, with K_mm = diagonal[m] and
    K_lm = rise[l, m] z K_(l-1)m - fall[l, m] K_(l-2)m. Only m >= 0 is kept: the others follow
    from Y_l(-m) = (-1)^m conj(Y_lm). The place of m = 0 is offsets[i] for degrees[i], and slots[l]
    for degree l, -1 where l is not asked for; `width` is the number of harmonics.
    """

    degrees: IntArray
    offsets: IntArray
    slots: IntArray
    width: int
    diagonal: FloatArray
    rise: FloatArray
    fall: FloatArray


@lru_cache(maxsize=32)
def harmonics(degrees: tuple[int, ...]) -> Harmonics:
    """Return the coefficients of the harmonics of some degrees."""
    l_max = max(degrees)
    offsets = np.cumsum([0, *(degree + 1 for degree in degrees)])
    slots = np.full(l_max + 1, -1)
    slots[list(degrees)] = offsets[:-1]
    diagonal = np.full(l_max + 1, math.sqrt(1 / (4 * math.pi)))
    for m in range(1, l_max + 1):
        diagonal[m] = -math.sqrt((2 * m + 1) / (2 * m)) * diagonal[m - 1]
    rise, fall = np.zeros((2, l_max + 1, l_max + 1))
    for m in range(l_max + 1):
        for n in range(m + 1, l_max + 1):
            rise[n, m] = math.sqrt((4 * n * n - 1) / (n * n - m * m))
            fall[n, m] = rise[n, m] * math.sqrt(((n - 1) ** 2 - m * m) / (4 * (n - 1) ** 2 - 1))
    return Harmonics(np.array(degrees), offsets[:-1], slots, int(offsets[-1]), diagonal, rise, fall)


def wigner_3j(degree: int, a: int, b: int) -> float:
    """Return the 3j symbol (l l l; a b -a-b) by Racah's formula in integers, rounded at the end."""
    f = math.factorial
    c = a + b
    terms = [
        (t, f(t) * f(degree - t) * f(degree - a - t) * f(degree + b - t) * f(a + t) * f(t - b))
        for t in range(max(0, -a, b), min(degree, degree - a, degree + b) + 1)
    ]
    total = sum((Fraction((-1) ** t, product) for t, product in terms), Fraction(0))
    square = total**2 * Fraction(f(degree) ** 3, f(3 * degree + 1))
    for m in (a, b, c):
        square *= f(degree + m) * f(degree - m)
    sign = (-1) ** c * (1 if total > 0 else -1)
    return sign * math.sqrt(square)


class Triples(NamedTuple):
    """Terms of w_l: coefficient * Re(q_la q_lb conj(q_l(a+b))), 0 <= a <= b.

    The terms of the degree at place i are bounds[i] to bounds[i + 1].
    """

    bounds: IntArray
    first: IntArray
    second: IntArray
    coefficients: FloatArray


@lru_cache(maxsize=32)
def triples(degrees: tuple[int, ...]) -> Triples:
    """Return the terms of w_l.

    Each stands for the permutations of (a, b, -a-b) and, as q_l(-m) = (-1)^m conj(q_lm), for their
    mirror images. The symbols of odd degrees change sign with a permutation: no terms are left.
    """
    bounds, terms = [0], []
    for degree in degrees:
        for a in range(degree // 2 + 1 if degree % 2 == 0 else 0):
            for b in range(a, degree - a + 1):
                equal = {*permutations((a, b, -a - b)), *permutations((-a, -b, a + b))}
                terms.append((a, b, len(equal) * (-1) ** (a + b) * wigner_3j(degree, a, b)))
        bounds.append(len(terms))
    first, second, coefficients = np.array(terms).reshape(-1, 3).T
    return Triples(np.array(bounds), first.astype(int), second.astype(int), coefficients.copy())


@jit
def mean_harmonics(atoms: IntArray, bonds: Bonds, basis: Harmonics) -> FloatArray:
    """Return q_lm of some atoms, (n_atoms, 2 width): real parts, then imaginary ones.

    NaN for an atom without neighbours. _LANES atoms advance together, each over its own neighbours.
    """
    slots, width, rise, fall = basis.slots, basis.width, basis.rise, basis.fall
    l_max = len(slots) - 1
    result = np.empty((len(atoms), 2 * width))
    x, y, z = np.empty(_LANES), np.empty(_LANES), np.empty(_LANES)
    c, s = np.empty(_LANES), np.empty(_LANES)
    last, value = np.empty(_LANES), np.empty(_LANES)
    sums, weight = np.empty((2 * width, _LANES)), np.empty(_LANES)
    for block in range(0, len(atoms), _LANES):
        n_lanes = min(_LANES, len(atoms) - block)
        longest = 0
        for lane in range(n_lanes):
            longest = max(longest, bonds.counts[atoms[block + lane]])
        sums[:] = 0
        weight[:] = 0
        for k in range(longest):
            for lane in range(_LANES):
                x[lane], y[lane], z[lane], c[lane], s[lane] = 0.0, 0.0, 1.0, 0.0, 0.0
            for lane in range(n_lanes):
                atom = atoms[block + lane]
                if k < bonds.counts[atom]:
                    pair = bonds.starts[atom] + k
                    x[lane] = bonds.vectors[pair, 0] / bonds.distances[pair]
                    y[lane] = bonds.vectors[pair, 1] / bonds.distances[pair]
                    z[lane] = bonds.vectors[pair, 2] / bonds.distances[pair]
                    c[lane] = bonds.weights[pair]
                    weight[lane] += bonds.weights[pair]
            for m in range(l_max + 1):
                last[:] = 0
                value[:] = basis.diagonal[m]
                for degree in range(m, l_max + 1):
                    if degree > m:
                        up, down = rise[degree, m], fall[degree, m]
                        for lane in range(_LANES):
                            here = up * z[lane] * value[lane] - down * last[lane]
                            last[lane] = value[lane]
                            value[lane] = here
                    if slots[degree] >= 0:
                        real = sums[slots[degree] + m]
                        imaginary = sums[width + slots[degree] + m]
                        for lane in range(_LANES):
                            real[lane] += value[lane] * c[lane]
                            imaginary[lane] += value[lane] * s[lane]
                for lane in range(_LANES):
                    turned = x[lane] * c[lane] - y[lane] * s[lane]
                    s[lane] = x[lane] * s[lane] + y[lane] * c[lane]
                    c[lane] = turned
        for lane in range(n_lanes):
            for column in range(2 * width):
                result[block + lane, column] = sums[column, lane] / weight[lane]
    return result


@jit
def with_neighbors(centers: IntArray, bonds: Bonds) -> npt.NDArray[np.bool_]:
    """Return whether each atom is a centre or the neighbour of a centre, (n_atoms,)."""
    needed = np.zeros(len(bonds.counts), np.bool_)
    for center in centers:
        needed[center] = True
        for pair in range(bonds.starts[center], bonds.starts[center] + bonds.counts[center]):
            needed[bonds.indices[pair]] = True
    return needed


@jit
def averages(orders: FloatArray, place: IntArray, centers: IntArray, bonds: Bonds) -> FloatArray:
    """Return the average over each centre and its neighbours of q_lm, row place[i] of atom i."""
    width = orders.shape[1]
    result = np.empty((len(centers), width))
    for row, center in enumerate(centers):
        result[row] = orders[place[center]]
        for pair in range(bonds.starts[center], bonds.starts[center] + bonds.counts[center]):
            other = place[bonds.indices[pair]]
            for column in range(width):
                result[row, column] += orders[other, column]
        result[row] /= 1 + bonds.counts[center]
    return result


@jit
def second_order(orders: FloatArray, degrees: IntArray, offsets: IntArray) -> FloatArray:
    """Return sum over m of |q_lm|^2, (n_atoms, n_degrees)."""
    n_rows, width = orders.shape[0], orders.shape[1] // 2
    result = np.empty((n_rows, len(degrees)))
    for row in range(n_rows):
        for number, degree in enumerate(degrees):
            start = offsets[number]
            total = 0.5 * orders[row, start] ** 2
            for place in range(start + 1, start + degree + 1):
                total += orders[row, place] ** 2 + orders[row, width + place] ** 2
            result[row, number] = 2 * total
    return result


@jit
def third_order(orders: FloatArray, offsets: IntArray, terms: Triples) -> FloatArray:
    """Return w_l, (n_atoms, n_degrees)."""
    n_rows, width = orders.shape[0], orders.shape[1] // 2
    result = np.empty((n_rows, len(offsets)))
    for row in range(n_rows):
        real, imaginary = orders[row, :width], orders[row, width:]
        for number, start in enumerate(offsets):
            # NaN where there are no neighbours, also where no term is left.
            total = 0.0 * real[start]
            for term in range(terms.bounds[number], terms.bounds[number + 1]):
                a, b = start + terms.first[term], start + terms.second[term]
                c = a + terms.second[term]
                product = real[a] * real[b] - imaginary[a] * imaginary[b]
                cross = real[a] * imaginary[b] + imaginary[a] * real[b]
                total += terms.coefficients[term] * (product * real[c] + cross * imaginary[c])
            result[row, number] = total
    return result


def find_bonds(frame: Frame, r_cut: float | None, n_neighbors: int | None, beyond: bool) -> Bonds:
    """Return the neighbours within a cutoff, or the nearest, or else those by Voronoi faces.

    An atom that has fewer than n_neighbors is left without any. `beyond` asks for the neighbours of
    the centres' neighbours too.
    """
    if r_cut is not None:
        listed = frame.all_neighbors(r_cut) if beyond else frame.neighbors(r_cut)
        return Bonds(listed.indptr[:-1], listed.counts, *listed[1:], np.ones(len(listed.indices)))
    if n_neighbors is None:
        cells = frame.voronoi()
        return Bonds(cells.faces.indptr[:-1], cells.faces.counts, *cells.faces[1:], cells.areas)
    nearest = frame.all_nearest(n_neighbors) if beyond else frame.nearest(n_neighbors)
    complete = nearest.indices[:, -1] >= 0
    return Bonds(
        np.arange(len(complete)) * n_neighbors,
        np.where(complete, n_neighbors, 0),
        nearest.indices.ravel(),
        nearest.vectors.reshape(-1, 3),
        nearest.distances.ravel(),
        np.ones(nearest.indices.size),
    )


def bond_orders(frame: Frame, bonds: Bonds, basis: Harmonics, averaged: bool) -> FloatArray:
    """Return q_lm of the centres; only they, and for averages their neighbours, are computed."""
    atoms = frame.centers
    if averaged:
        atoms = np.flatnonzero(with_neighbors(frame.centers, bonds))
    orders = mean_harmonics(atoms, bonds, basis)
    if not averaged:
        return orders
    place = np.full(len(frame.positions), -1)
    place[atoms] = np.arange(len(atoms))
    return averages(orders, place, frame.centers, bonds)


def invariants(
    frame: Frame,
    degrees: tuple[int, ...],
    r_cut: float | None,
    n_neighbors: int | None,
    averaged: bool,
    invariant: str,
) -> npt.NDArray[np.float32]:
    """Return the invariants of the centres, (n_centers, n_degrees)."""
    basis = harmonics(degrees)
    orders = bond_orders(frame, find_bonds(frame, r_cut, n_neighbors, averaged), basis, averaged)
    if invariant == "q":
        squares = second_order(orders, basis.degrees, basis.offsets)
        return np.sqrt(4 * np.pi / (2 * basis.degrees + 1) * squares).astype(np.float32)
    result = third_order(orders, basis.offsets, triples(degrees))
    if invariant == "w_hat":
        squares = second_order(orders, basis.degrees, basis.offsets)
        # Where q_l vanishes by symmetry the ratio is that of two rounding errors.
        squares = np.where(squares < _VANISHING**2, np.nan, squares)
        result /= squares * np.sqrt(squares)
    return result.astype(np.float32)


@descriptor(
    variable=Variable(
        "steinhardt",
        (FRAME, ATOM, "degree"),
        "float32",
        "1",
        "bond-orientational order",
        "doi:10.1103/PhysRevB.28.784",
    ),
    coords=[Variable("degree", ("degree",), "int64", "1", "degree of the spherical harmonics")],
    version=1,
    example={"r_cut": 3.5, "averaged": True},
)
def steinhardt(
    trj: xr.Dataset,
    *,
    degrees: Annotated[
        Sequence[int], Option("Degrees l of the harmonics.", at_least=0, at_most=20)
    ] = (4, 6),
    r_cut: Annotated[
        float | None, Option("Cutoff radius of the neighbours.", "angstrom", above=0)
    ] = None,
    n_neighbors: NearestCount = None,
    weighted: Annotated[
        bool, Option("Neighbours by the faces of the Voronoi cell, weighted by their areas.")
    ] = False,
    averaged: Annotated[
        bool, Option("First average q_lm over the atom and its neighbours.")
    ] = False,
    invariant: Annotated[
        str, Option("Second-order q, third-order w, or w normalised.", choices=("q", "w", "w_hat"))
    ] = "q",
    centers: Centers = None,
    species: Species = None,
) -> Kernel:
    """Steinhardt's bond-orientational order parameters; lazy.

    q_lm is the mean of the spherical harmonics Y_lm over the directions to the neighbours; its
    invariants are q_l = sqrt(4 pi / (2 l + 1) sum_m |q_lm|^2),
    w_l = sum over m1 + m2 + m3 = 0 of (l l l; m1 m2 m3) q_lm1 q_lm2 q_lm3 with Wigner's 3j symbol
    (zero for odd l), and w_hat_l = w_l / (sum_m |q_lm|^2)^(3/2), NaN where the sum vanishes
    (below 1e-10). Averaged, q_lm is replaced by its mean over the atom and its neighbours, as
    Lechner and Dellago do. The neighbours are chosen by r_cut, by n_neighbors, or by the faces of
    the Voronoi cells (weighted): there q_lm is the mean weighted by the area of the faces, and
    small displacements change it little. The average over the neighbours is not weighted. In a
    cell smaller than their distance every periodic image counts, of the atom itself too.

    {parameters}

    {returns}; the coordinate degree holds l. NaN for an atom
        without neighbours, with fewer than n_neighbors, or, weighted, without a closed cell (see
        `voronoi`); averaged, also for one with such a neighbour.

    {raises}, a degree is given twice, or not exactly one of r_cut,
        n_neighbors and weighted is given.

    References
    ----------
    Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784 (1983), doi:10.1103/PhysRevB.28.784;
    averaged: Lechner and Dellago, J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970;
    weighted: Mickel et al., J. Chem. Phys. 138, 044501 (2013), doi:10.1063/1.4774084

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True))
    >>> ice.steinhardt(trj, n_neighbors=12)["steinhardt"].values[0, 0].round(3)
    array([0.191, 0.575], dtype=float32)
    """
    rules = {"r_cut": r_cut, "n_neighbors": n_neighbors, "weighted": weighted or None}
    chosen = [name for name, value in rules.items() if value is not None]
    if len(chosen) != 1:
        raise InputError(
            "steinhardt: expected exactly one of r_cut, n_neighbors and weighted, found "
            f"{' and '.join(chosen) or 'none'}; give r_cut=3.5 for all neighbours within 3.5 "
            "angstrom, n_neighbors=4 for the 4 nearest, or weighted=True for the neighbours that "
            "share a face of the Voronoi cell"
        )
    if len(set(degrees)) < len(degrees):
        raise InputError(
            f"steinhardt: degrees: expected each degree once, found {list(degrees)}; remove the "
            "repeated ones"
        )
    return Kernel(
        partial(
            invariants,
            degrees=tuple(degrees),
            r_cut=r_cut,
            n_neighbors=n_neighbors,
            averaged=averaged,
            invariant=invariant,
        ),
        "float32",
        cutoff=r_cut,
        nearest=n_neighbors,
        beyond=averaged,
        width=len(degrees),
        coords={"degree": np.array(degrees)},
        species=species,
        attrs={"invariant": invariant, "averaged": int(averaged), "weighted": int(weighted)},
    )
