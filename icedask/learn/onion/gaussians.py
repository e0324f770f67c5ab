"""Gaussian fits to the peaks of a density, and thresholds between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from icedask.core.types import FloatArray

# Least number of points on either side of a peak in its fit.
_NEAR = 3
# Overlap, as a share of a Gaussian's area, of the same state.
_SAME_AREA = 0.8
_NORMAL_GRID = np.linspace(-5, 5, 2001)


class Gaussian(NamedTuple):
    """area / (sqrt(pi) sigma) exp(-((x - mean) / sigma)^2), with the area as a share of all values.

    Its sigma is sqrt(2) standard deviations.
    """

    mean: float
    sigma: float
    area: float

    @property
    def height(self) -> float:
        """Its largest value."""
        return self.area / (math.sqrt(math.pi) * self.sigma)

    def at(self, x: FloatArray) -> FloatArray:
        """Return its values."""
        return self.height * np.exp(-(((x - self.mean) / self.sigma) ** 2))


def fit_peak(points: FloatArray, density: FloatArray) -> Gaussian | None:
    """Fit a Gaussian to the highest peak of a density; None if the fit fails.

    The better one of two fits, by the explained variance: between the minima on its sides, and
    between the points of half its height.
    """
    peak = int(np.argmax(density))
    fits = []
    for first, last in (_between_minima(density, peak), _above_half(density, peak)):
        # A minimum is part of the peak that follows, as in the authors' program.
        end = last if last < len(density) - 1 else len(density)
        fits.append(_fit(points[first:end], density[first:end], peak - first))
    _, best = max(fits, key=lambda fit: fit[0])
    return best


def _sides(density: FloatArray, peak: int) -> tuple[int, int]:
    return max(peak - _NEAR, 0), min(peak + _NEAR, len(density) - 1)


def _between_minima(density: FloatArray, peak: int) -> tuple[int, int]:
    first, last = _sides(density, peak)
    while first > 0 and density[first - 1] < density[first]:
        first -= 1
    while last < len(density) - 1 and density[last + 1] < density[last]:
        last += 1
    return first, last


def _above_half(density: FloatArray, peak: int) -> tuple[int, int]:
    first, last = _sides(density, peak)
    while first > 0 and density[first] > density[peak] / 2:
        first -= 1
    while last < len(density) - 1 and density[last] > density[peak] / 2:
        last += 1
    return first, last


def _fit(x: FloatArray, y: FloatArray, peak: int) -> tuple[float, Gaussian | None]:
    """Return the explained share of the variance, and the Gaussian."""
    # In units of the interval and of the height, so that one start suits all.
    width, height = x[-1] - x[0], y[peak]
    place, value = (x - x[peak]) / width, y / height

    def misfit(parameters: FloatArray) -> FloatArray:
        mean, sigma, top = parameters
        return top * np.exp(-(((place - mean) / sigma) ** 2)) - value

    fit = least_squares(misfit, (0.0, 0.25, 1.0), method="lm")
    mean, sigma, top = fit.x[0], abs(fit.x[1]), fit.x[2]
    spread = np.sum((value - value.mean()) ** 2)
    if not (fit.success and np.isfinite(fit.x).all() and sigma > 0 and top > 0 and spread > 0):
        return -math.inf, None
    explained = 1 - (fit.fun @ fit.fun) / spread
    sigma *= width
    area = float(height * top * math.sqrt(math.pi) * sigma)
    return explained, Gaussian(float(x[peak] + mean * width), float(sigma), area)


def distinct(states: Sequence[Gaussian]) -> list[Gaussian]:
    """Return the states in the order of their means, without states covered by another one.

    A state is covered if most of its area is under the other one, or if its mean is within sigma
    of a higher one and it is not twice as broad. The smallest is removed first.
    """
    kept = sorted(states)
    while True:
        covered = [
            state
            for state in kept
            if any(_covers(other, state) for other in kept if other is not state)
        ]
        if not covered:
            return kept
        kept.remove(min(covered, key=lambda state: state.area))


def _covers(other: Gaussian, state: Gaussian) -> bool:
    x = np.sort(np.concatenate([g.mean + g.sigma * _NORMAL_GRID for g in (state, other)]))
    shared = np.trapezoid(np.minimum(state.at(x), other.at(x)), x)
    if shared > _SAME_AREA * state.area:
        return state.area <= other.area
    near = abs(state.mean - other.mean) < other.sigma
    return near and state.height < other.height and state.sigma < 2 * other.sigma


def thresholds(states: Sequence[Gaussian]) -> FloatArray:
    """Return the thresholds between successive states, in the order of their means.

    The crossing of the Gaussians between the two means; without one, the middle in units of
    sigma.
    """
    return np.array([_threshold(left, right) for left, right in pairwise(states)], float)


def _threshold(left: Gaussian, right: Gaussian) -> float:
    # log left - log right, as a polynomial of the distance from the left mean.
    distance = right.mean - left.mean
    a, b = 1 / left.sigma**2, 1 / right.sigma**2
    crossings = np.roots(
        [b - a, -2 * b * distance, b * distance**2 + math.log(left.height / right.height)]
    )
    between = [root.real for root in crossings if root.imag == 0 and 0 <= root.real <= distance]
    if len(between) == 1:
        return left.mean + float(between[0])
    return left.mean + distance * left.sigma / (left.sigma + right.sigma)
