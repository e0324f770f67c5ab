"""The basis of SOAP: orthonormalised Gaussian-type radial functions, and the components' labels."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.descriptors.soap.roots import inverse_root
from icedask.errors import InputError
from icedask.kernels import elementary

# Gaussians are followed to a thousandth of their height, sqrt(2 log 1000): atoms beyond the cutoff
# contribute.
_TAIL = 3.7169221888498383
# A radial function has decayed to this value at the distance that names it.
_DECAY = Decimal("0.001")
# Of the decimal numbers: the basis takes up to half of them from the result.
_DIGITS = 50
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803"
)
# Square of what the basis may amplify the rounding errors of doubles by.
_MOST_ALIKE = Decimal("1e14")
# As few knots as keep the error of the interpolation below this: the table should stay in cache.
_ERROR = {"float64": 4e-10, "float32": 5e-7}
_KNOTS = (
    *range(60, 160, 20),
    *range(200, 600, 50),
    *range(600, 1000, 100),
    *range(1000, 4500, 500),
)
# Knots are equidistant in r (1 - bend r): three times sparser at the reach, where the functions
# fade, than at the centre. Most neighbours are far away, and share that small part of the table.
_BEND = 1 / 3


class Basis(NamedTuple):
    """Parameters of the expansion; r_cut and sigma in angstrom."""

    r_cut: float
    n_max: int
    l_max: int
    sigma: float

    @property
    def reach(self) -> float:
        """Distance, angstrom, up to which atoms contribute."""
        return float(self.r_cut + self.sigma * _TAIL)


def components(
    species: Sequence[str], n_max: int, l_max: int, layout: str = "compact"
) -> dict[str, npt.NDArray[Any]]:
    """Return the labels of the components: species_a, species_b, n_a, n_b, l.

    Species are ordered by atomic number. A pair of equal species has n_b >= n_a only, unless the
    layout is "full".
    """
    rows = [
        (first, second, n_a, n_b, degree)
        for a, first in enumerate(species)
        for second in species[a:]
        for degree in range(l_max + 1)
        for n_a in range(n_max)
        for n_b in range(n_a if first == second and layout == "compact" else 0, n_max)
    ]
    names = ("species_a", "species_b", "n_a", "n_b", "l")
    return {
        name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


@lru_cache(maxsize=64)
def _orthonormal(
    r_cut: float, n_max: int, degree: int
) -> tuple[tuple[Decimal, ...], tuple[tuple[Decimal, ...], ...]]:
    """Return the exponents of the primitive functions and the matrix that orthonormalises them.

    The overlap is nearly singular for many functions, and amplifies the rounding errors of
    whichever LAPACK a host has: in decimal numbers every host gets the same basis, the exact one.
    """
    with localcontext(prec=_DIGITS):
        ends = [Decimal(float(end)) for end in np.linspace(1.0, r_cut, n_max)]
        alpha = tuple((degree * end.ln() - _DECAY.ln()) / end**2 for end in ends)
        # Gamma(l + 3/2) / 2
        factor = _PI.sqrt() / 4
        for odd in range(3, 2 * degree + 2, 2):
            factor *= Decimal(odd) / 2
        overlap = [
            [factor / ((a + b) ** (degree + 1) * (a + b).sqrt()) for b in alpha] for a in alpha
        ]
        try:
            beta = inverse_root(overlap)
        except ArithmeticError:
            beta = ((Decimal("Infinity"),) * n_max,)
        # The trace of the inverse of the overlap of normalised functions: how much larger than
        # their combinations they are, squared.
        alike = sum(value**2 * overlap[j][j] for row in beta for j, value in enumerate(row))
    if alike > _MOST_ALIKE:
        raise InputError(
            f"soap: n_max: the radial functions up to {n_max} are too alike within r_cut "
            f"{r_cut:g} angstrom to be orthonormalised (l = {degree}); choose a "
            "smaller n_max or a larger r_cut"
        )
    return alpha, beta


def check_basis(basis: Basis) -> None:
    """Raise InputError if the radial functions cannot be orthonormalised."""
    for degree in range(basis.l_max + 1):
        _orthonormal(basis.r_cut, basis.n_max, degree)


@lru_cache(maxsize=8)
def radial_coefficients(basis: Basis) -> tuple[FloatArray, FloatArray]:
    """Return exponents (l_max + 1, n_max) and coefficients (l_max + 1, n_max, n_max).

    Radial function n of degree l is sum_j coefficients[l, n, j] r^l exp(-exponents[l, j] r^2); both
    are exact numbers, rounded once.
    """
    exponents = np.empty((basis.l_max + 1, basis.n_max))
    coefficients = np.empty((basis.l_max + 1, basis.n_max, basis.n_max))
    for degree in range(basis.l_max + 1):
        alpha, beta = _orthonormal(basis.r_cut, basis.n_max, degree)
        with localcontext(prec=_DIGITS):
            eta = 1 / (2 * Decimal(basis.sigma) ** 2)
            scale = _PI * (_PI * (Decimal(8) / (2 * degree + 1)).sqrt() * _PI).sqrt()
            shares = [eta / (eta + a) for a in alpha]
            heights = [
                scale * share ** (degree + 1) * share.sqrt() / (eta * eta.sqrt())
                for share in shares
            ]
            for j, (a, share, height) in enumerate(zip(alpha, shares, heights, strict=True)):
                exponents[degree, j] = a * share
                for n in range(basis.n_max):
                    coefficients[degree, n, j] = beta[n][j] * height
    return exponents, coefficients


def radial_functions(basis: Basis, r: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the radial functions and their derivatives, (len(r), l_max + 1, n_max) each.

    The overlap of a Gaussian at distance r with the basis function n of degree l, with the factor
    of the power spectrum included: p_nn'l is the sum over m of products of coefficients.
    """
    exponents, coefficients = radial_coefficients(basis)
    values = np.zeros((len(r), basis.l_max + 1, basis.n_max))
    slopes = np.zeros_like(values)
    power, rise = np.ones_like(r), np.zeros_like(r)
    for degree in range(basis.l_max + 1):
        for j, exponent in enumerate(exponents[degree]):
            decay = elementary.exponentials(-exponent * (r * r))
            # Sums one by one, in this order: those of a matrix product depend on the host.
            value = (decay * power)[:, None]
            slope = (decay * (rise - 2 * exponent * r * power))[:, None]
            values[:, degree] += value * coefficients[degree, :, j]
            slopes[:, degree] += slope * coefficients[degree, :, j]
        rise, power = (degree + 1) * power, power * r
    return values, slopes


def _by_place(basis: Basis, place: FloatArray, bend: float) -> tuple[FloatArray, FloatArray]:
    """Return the radial functions and their derivatives by place = r (1 - bend r)."""
    r = (1 - np.sqrt(1 - 4 * bend * place)) / (2 * bend)
    values, slopes = radial_functions(basis, r)
    return values, slopes / (1 - 2 * bend * r)[:, None, None]


def _hermite_error(
    basis: Basis, place: FloatArray, bend: float, values: FloatArray, slopes: FloatArray
) -> float:
    """Return the largest error half-way between knots, relative to the largest row."""
    step = place[1] - place[0]
    exact, _ = _by_place(basis, place[:-1] + step / 2, bend)
    middle = (values[:-1] + values[1:]) / 2 + step / 8 * (slopes[:-1] - slopes[1:])
    size = np.linalg.norm(exact, axis=(1, 2)).max()
    return float(np.linalg.norm(middle - exact, axis=(1, 2)).max() / size)


@lru_cache(maxsize=8)
def radial_table(
    basis: Basis, n_padded: int, dtype: str
) -> tuple[npt.NDArray[Any], tuple[float, float]]:
    """Return the radial functions as cubic Hermite polynomials between knots.

    At each knot, for each degree, the table has the values and then the slopes times the distance
    of knots. Distance r is at the place per_angstrom * r * (1 - bend * r) between knots, of which
    both numbers come with the table.
    """
    bend = _BEND / basis.reach
    end = basis.reach * (1 - _BEND)
    for n_knots in _KNOTS:
        # One knot more, so that an atom at the very end has a knot on either side.
        place = np.linspace(0, end * n_knots / (n_knots - 2), n_knots)
        values, slopes = _by_place(basis, place, bend)
        if _hermite_error(basis, place, bend, values, slopes) < _ERROR[dtype]:
            break
    table = np.zeros((n_knots, basis.l_max + 1, 2, n_padded))
    table[:, :, 0, : basis.n_max] = values
    table[:, :, 1, : basis.n_max] = slopes * place[1]
    return table.astype(dtype).ravel(), (float(1 / place[1]), bend)
