"""Arguments of the loops of the symmetry functions."""

from __future__ import annotations

from typing import NamedTuple

from icedask.core.types import FloatArray, IntArray


class CutoffFunction(NamedTuple):
    """f_c: 1 / (1 + exp(alpha (R - r_cut + epsilon))) if `fermi`, else Behler's."""

    r_cut: float
    fermi: bool
    alpha: float
    epsilon: float


class Angular(NamedTuple):
    """G4 (`closed`: the distance between the two neighbours counts) or G5.

    The distinct etas, and the distinct pairs of lambda and zeta, (n_angles, 2); row (number, eta,
    angle) of the table is a function, ordered by angle. `prefactor` is before
    [(1 + lambda cos) / 2]^zeta.
    """

    closed: bool
    prefactor: float
    etas: FloatArray
    angles: FloatArray
    table: IntArray


class Shells(NamedTuple):
    """G8, ordered by shell: nu, a1 and ar are bounds[s] of shell s.

    Its functions are rows starts[s] to starts[s + 1] of numbers and of waves, eta and alpha.
    """

    bounds: FloatArray
    starts: IntArray
    numbers: IntArray
    waves: FloatArray


class Functions(NamedTuple):
    """All functions: eta and Rs of G2, kappa of G3, and the others."""

    cutoff: CutoffFunction
    g2: FloatArray
    g3: FloatArray
    g4: Angular
    g5: Angular
    g8: Shells


class Buffers(NamedTuple):
    """Room for one centre.

    The neighbours of species s are columns starts[s] to starts[s + 1] of near (5, n): distance,
    weight and unit vector. For neighbours j and k of centre i, pairs (4, n) are the product of
    their weights, the cosine of the angle between them, R_ij^2 + R_ik^2, and R_jk^2; terms
    (n_rows, n) have a row for each eta and two for an angle.
    """

    starts: IntArray
    near: FloatArray
    pairs: FloatArray
    terms: FloatArray
    radial: FloatArray
