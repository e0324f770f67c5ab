"""The basis of SOAP: orthonormalised Gaussian-type radial functions, and the components' labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, LinAlgWarning, inv, sqrtm
from scipy.special import gamma

from icedask.core.types import FloatArray
from icedask.errors import InputError

# Gaussians are followed to a thousandth of their height: atoms beyond the cutoff contribute.
_TAIL = np.sqrt(2 * np.log(1000))
# A radial function has decayed to this value at the distance that names it.
_DECAY = 1e-3
# Functions that are no more orthonormal than this are noise.
_ORTHONORMAL = 1e-3
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


def _orthonormal(basis: Basis, degree: int) -> tuple[FloatArray, FloatArray]:
    """Return the exponents of the primitive functions and the matrix that orthonormalises them."""
    ends = np.linspace(1.0, basis.r_cut, basis.n_max)
    alpha = -np.log(_DECAY / ends**degree) / ends**2
    overlap = 0.5 * gamma(degree + 1.5) * (alpha[:, None] + alpha) ** (-degree - 1.5)
    # The overlap is nearly singular for many functions: other routines, though as exact, give
    # other numbers in the last digits, which the basis makes many more.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        try:
            beta = sqrtm(inv(overlap))
        except LinAlgError:
            beta = np.full_like(overlap, np.nan)
    orthonormal = np.abs(beta @ overlap @ beta - np.eye(basis.n_max)).max() < _ORTHONORMAL
    if np.iscomplexobj(beta) or not orthonormal:
        raise InputError(
            f"soap: n_max: the radial functions up to {basis.n_max} are too alike within r_cut "
            f"{basis.r_cut:g} angstrom to be orthonormalised (l = {degree}); choose a smaller "
            "n_max or a larger r_cut"
        )
    return alpha, beta


def check_basis(basis: Basis) -> None:
    """Raise InputError if the radial functions cannot be orthonormalised."""
    for degree in range(basis.l_max + 1):
        _orthonormal(basis, degree)


def radial_functions(basis: Basis, r: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the radial functions and their derivatives, (len(r), l_max + 1, n_max) each.

    The overlap of a Gaussian at distance r with the basis function n of degree l, with the factor
    of the power spectrum included: p_nn'l is the sum over m of products of coefficients.
    """
    eta = 1 / (2 * basis.sigma**2)
    values = np.empty((len(r), basis.l_max + 1, basis.n_max))
    slopes = np.empty_like(values)
    for degree in range(basis.l_max + 1):
        alpha, beta = _orthonormal(basis, degree)
        f = 1 / (1 + alpha / eta)
        decay = (f ** (degree + 1.5) / eta**1.5) * np.exp(-np.outer(r**2, alpha * f))
        scale = np.pi**1.5 * np.sqrt(np.pi * np.sqrt(8 / (2 * degree + 1)))
        power = r[:, None] ** degree
        rise = degree * r[:, None] ** (degree - 1) if degree else 0.0
        values[:, degree] = scale * (decay * power) @ beta.T
        slopes[:, degree] = scale * (decay * (rise - 2 * alpha * f * r[:, None] * power)) @ beta.T
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
