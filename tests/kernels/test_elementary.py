"""Elementary functions against the C library's, which are right to the last bit but one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from icedask.kernels import elementary

RNG = np.random.default_rng(0)


def test_exponentials() -> None:
    exponents = np.concatenate([-np.logspace(-20, np.log10(690), 1001), np.linspace(-40, 40, 1001)])
    np.testing.assert_allclose(elementary.exponentials(exponents), np.exp(exponents), rtol=1e-15)
    extreme = elementary.exponentials(np.array([-1e9, -750.0, 0.0, 750.0]))
    assert extreme[0] == extreme[1] < 1e-300
    assert extreme[2] == 1
    assert 1e300 < extreme[3] < np.inf


def test_exponential_of_a_number_that_is_none() -> None:
    assert not 0 < elementary.exponential(math.nan) < 1e300


@pytest.mark.parametrize("largest", [1.0, 10.0, 1e4, 1e6])
def test_sines_and_cosines(largest: float) -> None:
    angles = np.concatenate([RNG.uniform(-largest, largest, 2000), [0.0]])
    sines, cosines = elementary.sines_cosines(angles)
    np.testing.assert_allclose(sines, np.sin(angles), rtol=2e-15, atol=1e-16)
    np.testing.assert_allclose(cosines, np.cos(angles), rtol=2e-15, atol=1e-16)


def test_logarithm_and_power() -> None:
    for x in np.concatenate([RNG.uniform(0, 3, 500), np.logspace(-290, 290, 59), [1.0]]).tolist():
        assert elementary.logarithm(x) == pytest.approx(math.log(x), rel=1e-15, abs=1e-16)
    for base, exponent in RNG.uniform(0, [1, 60], (500, 2)).tolist():
        expected = math.pow(base, exponent)
        assert elementary.power(base, exponent) == pytest.approx(expected, rel=1e-13, abs=1e-300)
    assert elementary.power(0.0, 0.5) == 0.0


def test_angle() -> None:
    for y, x in RNG.normal(size=(1000, 2)).tolist():
        assert elementary.angle(abs(y), x) == pytest.approx(math.atan2(abs(y), x), rel=1e-15)
    for y, x in ((0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (1.0, 1.0), (1.0, -1.0)):
        assert elementary.angle(y, x) == pytest.approx(math.atan2(y, x), rel=2e-16)
