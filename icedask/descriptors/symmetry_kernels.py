"""Atom-centred symmetry functions: the loops over neighbours and pairs of neighbours."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from icedask.jit import jit
from icedask.neighbors import FloatArray, IntArray


class Plan(NamedTuple):
    """What is to be computed, with everything that functions share listed once.

    Attributes
    ----------
    r_cut : float, angstrom
    logistic : bool
        Whether the cutoff function is the logistic one, with these two parameters.
    steepness : float, 1/angstrom
    offset : float, angstrom
    scale : float
        2 or 1, times ((1 + lambda cos) / 2)^xi.
    g2 : (n_g2, 2) float64
        eta, shift.
    g3 : (n_g3,) float64
        kappa.
    etas : (n_etas,) float64
        The different eta of G4 and G5, those of G4 first.
    n_g4_etas : int
        How many of them belong to G4.
    powers : (n_powers, 2) float64
        The different pairs lambda, xi of G4 and G5.
    g4, g5 : (n, 2) int64
        Place in `etas`, place in `powers`.
    bands : (n_bands, 3) float64
        The different nu, inner, outer of f_b.
    g8 : (n_g8, 2) float64
        eta, alpha.
    g8_bands : (n_g8,) int64
        Place in `bands`.
    """

    r_cut: float
    logistic: bool
    steepness: float
    offset: float
    scale: float
    g2: FloatArray
    g3: FloatArray
    etas: FloatArray
    n_g4_etas: int
    powers: FloatArray
    g4: IntArray
    g5: IntArray
    bands: FloatArray
    g8: FloatArray
    g8_bands: IntArray


@jit
def behler_cutoff(square: float, r_cut: float) -> float:
    """Return (1 + cos(pi R / Rc)) / 2 from the square of R < Rc.

    It is cos^2(pi R / 2 Rc), and the cosine is a power series in R^2: neither a root nor a call.
    The eleventh term is below 2e-17 of one.
    """
    x = square * (0.5 * math.pi / r_cut) ** 2
    cosine = 1.0
    for n in range(11, 0, -1):
        cosine = 1.0 - x * (1.0 / ((2 * n) * (2 * n - 1))) * cosine
    return cosine * cosine


@jit
def smooth_cutoff(square: float, plan: Plan) -> float:
    """Return f_c from the square of a distance below the cutoff."""
    if plan.logistic:
        beyond = math.sqrt(square) - plan.r_cut + plan.offset
        return 1.0 / (1.0 + math.exp(plan.steepness * beyond))
    return behler_cutoff(square, plan.r_cut)


@jit
def band(distance: float, nu: float, inner: float, outer: float) -> float:
    """Return f_b, which is 1 between inner and outer and falls to 0 within pi / (2 nu)."""
    away = max(inner - distance, distance - outer)
    if away <= 0.0:
        return 1.0
    if away >= 0.5 * math.pi / nu:
        return 0.0
    return math.cos(nu * away) ** 2


@jit
def power(base: float, exponent: float) -> float:
    """Return base^exponent for base >= 0, by multiplication if the exponent is a small integer."""
    if exponent != math.floor(exponent) or exponent > 1024:
        return base**exponent
    result, remaining = 1.0, int(exponent)
    while remaining:
        if remaining & 1:
            result *= base
        base *= base
        remaining >>= 1
    return result


@jit
def add_radial(
    plan: Plan, n: int, distances: FloatArray, smooth: FloatArray, kinds: IntArray, out: FloatArray
) -> None:
    """Add G2 and G3 of one centre to out, (n_species, n_g2 + n_g3)."""
    n_g2 = len(plan.g2)
    for j in range(n):
        row = out[kinds[j]]
        for f in range(n_g2):
            away = distances[j] - plan.g2[f, 1]
            row[f] += math.exp(-plan.g2[f, 0] * away * away) * smooth[j]
        for f in range(len(plan.g3)):
            row[n_g2 + f] += math.cos(plan.g3[f] * distances[j]) * smooth[j]


@jit
def add_angular(
    plan: Plan,
    n: int,
    vectors: FloatArray,
    units: FloatArray,
    decays: FloatArray,
    inside: FloatArray,
    kinds: IntArray,
    slots: IntArray,
    out: FloatArray,
) -> None:
    """Add G4, G5 and G8 of one centre to out, (n_pairs_of_species, n_g4 + n_g5 + n_g8)."""
    n_g4, n_g5, n_g8 = len(plan.g4), len(plan.g5), len(plan.g8)
    closed_only = n_g5 == 0 and n_g8 == 0
    limit = plan.r_cut * plan.r_cut
    angles = np.empty(len(plan.powers))
    closing = np.empty(plan.n_g4_etas)
    for j in range(n):
        for k in range(j + 1, n):
            dx = vectors[j, 0] - vectors[k, 0]
            dy = vectors[j, 1] - vectors[k, 1]
            dz = vectors[j, 2] - vectors[k, 2]
            square = dx * dx + dy * dy + dz * dz
            closed = n_g4 > 0 and square < limit
            if closed_only and not closed:
                continue
            cosine = (
                units[j, 0] * units[k, 0] + units[j, 1] * units[k, 1] + units[j, 2] * units[k, 2]
            )
            row = out[slots[kinds[j], kinds[k]]]
            if closed or n_g5 > 0:
                for p in range(len(plan.powers)):
                    base = 0.5 + 0.5 * plan.powers[p, 0] * cosine
                    # Of atoms in a line, rounding may leave less than nothing.
                    angles[p] = plan.scale * power(0.0 if base < 0.0 else base, plan.powers[p, 1])
            if closed:
                smooth = smooth_cutoff(square, plan)
                for e in range(plan.n_g4_etas):
                    closing[e] = (
                        decays[j, e] * decays[k, e] * math.exp(-plan.etas[e] * square) * smooth
                    )
                for f in range(n_g4):
                    row[f] += closing[plan.g4[f, 0]] * angles[plan.g4[f, 1]]
            for f in range(n_g5):
                e = plan.g5[f, 0]
                row[n_g4 + f] += decays[j, e] * decays[k, e] * angles[plan.g5[f, 1]]
            if n_g8 > 0:
                theta = math.acos(1.0 if cosine > 1.0 else -1.0 if cosine < -1.0 else cosine)
                for f in range(n_g8):
                    weight = inside[j, plan.g8_bands[f]] * inside[k, plan.g8_bands[f]]
                    if weight > 0.0:
                        turn = plan.g8[f, 0] * (theta - plan.g8[f, 1])
                        row[n_g4 + n_g5 + f] += weight * math.sin(turn)


@jit
def symmetry_kernel(
    plan: Plan,
    centers: IntArray,
    kind_of: IntArray,
    slots: IntArray,
    indptr: IntArray,
    indices: IntArray,
    all_vectors: FloatArray,
    all_distances: FloatArray,
) -> FloatArray:
    """Return the symmetry functions of the centres, (n_centers, n_functions).

    Parameters
    ----------
    plan
        What to compute.
    centers : (n_centers,) int64
    kind_of : (n_atoms,) int64
        Which of the species each atom is; -1 for none.
    slots : (n_species, n_species) int64
        Place of each pair of species.
    indptr, indices, all_vectors, all_distances
        The neighbours, as `icedask.neighbors.Neighbors`.
    """
    n_species, n_radial = len(slots), len(plan.g2) + len(plan.g3)
    n_angular = len(plan.g4) + len(plan.g5) + len(plan.g8)
    n_first = n_species * n_radial
    n_pairs = n_species * (n_species + 1) // 2
    out = np.zeros((len(centers), n_first + n_pairs * n_angular))
    longest = 0
    for center in centers:
        longest = max(longest, indptr[center + 1] - indptr[center])
    kinds = np.empty(longest, np.int64)
    distances, smooth = np.empty(longest), np.empty(longest)
    vectors, units = np.empty((longest, 3)), np.empty((longest, 3))
    decays = np.empty((longest, len(plan.etas)))
    inside = np.empty((longest, len(plan.bands)))
    for c in range(len(centers)):
        n = 0
        for entry in range(indptr[centers[c]], indptr[centers[c] + 1]):
            kind = kind_of[indices[entry]]
            if kind < 0:
                continue
            distance = all_distances[entry]
            square = distance * distance
            kinds[n], distances[n] = kind, distance
            smooth[n] = smooth_cutoff(square, plan)
            for axis in range(3):
                vectors[n, axis] = all_vectors[entry, axis]
                units[n, axis] = all_vectors[entry, axis] / distance
            for e in range(len(plan.etas)):
                decays[n, e] = math.exp(-plan.etas[e] * square) * smooth[n]
            for b in range(len(plan.bands)):
                inside[n, b] = band(distance, plan.bands[b, 0], plan.bands[b, 1], plan.bands[b, 2])
            n += 1
        radial = out[c, :n_first].reshape(n_species, n_radial)
        add_radial(plan, n, distances, smooth, kinds, radial)
        if n_angular > 0:
            angular = out[c, n_first:].reshape(n_pairs, n_angular)
            add_angular(plan, n, vectors, units, decays, inside, kinds, slots, angular)
    return out
