"""Fits to peaks, covered states, and thresholds between states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from icedask.learn.onion.gaussians import Gaussian, distinct, fit_peak, thresholds


def test_gaussian() -> None:
    gaussian = Gaussian(0.3, 0.2, 0.7)
    area, _ = quad(lambda x: gaussian.at(np.array(x)), -2, 3)
    assert area == pytest.approx(0.7)
    variance, _ = quad(lambda x: (x - 0.3) ** 2 * gaussian.at(np.array(x)) / 0.7, -2, 3)
    assert math.sqrt(2 * variance) == pytest.approx(0.2)
    assert gaussian.at(np.array(0.3)) == gaussian.height


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
def test_fit_of_the_highest_peak(scale: float) -> None:
    points = scale * np.linspace(-1, 4, 100)
    high, low = Gaussian(0.5 * scale, 0.4 * scale, 0.6), Gaussian(3 * scale, 0.5 * scale, 0.4)
    fit = fit_peak(points, high.at(points) + low.at(points))
    assert fit is not None
    np.testing.assert_allclose(fit, high, rtol=1e-3)


def test_fit_at_the_end() -> None:
    points = np.linspace(0, 3, 100)
    gaussian = Gaussian(0.0, 0.5, 1.0)
    np.testing.assert_allclose(fit_peak(points, gaussian.at(points)), gaussian, atol=1e-6)


def test_no_fit_of_a_flat_density() -> None:
    assert fit_peak(np.linspace(0, 1, 50), np.full(50, 0.3)) is None


def test_covered_states_are_dropped() -> None:
    large, far = Gaussian(0.0, 1.0, 0.5), Gaussian(4.0, 1.0, 0.3)
    under = Gaussian(0.9, 0.3, 0.05)  # most of its area is below the large one
    beside = Gaussian(0.8, 1.5, 0.1)  # its mean is within sigma of the large one
    broad = Gaussian(0.8, 2.5, 0.3)  # too broad to be the same
    assert distinct([far, large, under]) == [large, far]
    assert distinct([beside, large]) == [large]
    assert distinct([broad, large]) == [large, broad]
    assert distinct([large, large._replace(area=0.45), far]) == [large, far]
    assert distinct([]) == []


def test_thresholds() -> None:
    first = Gaussian(0.0, 1.0, 0.5)
    np.testing.assert_allclose(thresholds([first, Gaussian(3.0, 1.0, 0.5)]), [1.5])
    states = [first, Gaussian(3.0, 0.6, 0.1), Gaussian(6.0, 2.0, 0.4)]
    limits = thresholds(states)
    for limit, left, right in zip(limits, states[:-1], states[1:], strict=True):
        assert left.mean < limit < right.mean
        assert left.at(limit) == pytest.approx(right.at(limit))
    # One Gaussian is above the other everywhere between the means.
    hidden = Gaussian(0.5, 1.0, 1e-4)
    np.testing.assert_allclose(thresholds([first, hidden]), [0.25])
    assert len(thresholds([first])) == 0 and len(thresholds([])) == 0
