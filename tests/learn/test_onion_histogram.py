"""Histograms: the same for any parts, and densities against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from icedask.learn.onion.histogram import (
    EMPTY,
    MAX_BINS,
    Histogram,
    histogram,
    merge,
    smooth_density,
)

RNG = np.random.default_rng(0)
VALUES = {
    "normal": RNG.normal(3, 0.2, 5000),
    "single": RNG.normal(3, 0.2, 5000).astype(np.float32),
    "negative": RNG.normal(-1e5, 1, 5000),
    "wide": RNG.normal(0, 1, 5000) * 10.0 ** RNG.uniform(-30, 5, 5000),
    "zeros": np.repeat([0.0, 1e-30, 0.0, 7.0], [100, 3, 50, 1]),
    "same": np.full(40, 2.5),
    "near": np.repeat([1.0, np.nextafter(1.0, 2)], 10),
}


def assert_same(actual: Histogram, expected: Histogram) -> None:
    np.testing.assert_array_equal(actual.counts, expected.counts)
    assert actual[:2] + actual[3:] == expected[:2] + expected[3:]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("cuts", [[1, 2, 3], [0, 20, 20, 35], list(range(1, 40))])
def test_parts_give_the_whole(name: str, cuts: list[int]) -> None:
    values = VALUES[name]
    whole = histogram(values)
    parts = [histogram(part) for part in np.split(values, cuts)]
    assert_same(merge(parts), whole)
    assert_same(merge([merge(parts[2:]), merge(parts[:2]), EMPTY]), whole)
    assert whole.total == len(values)
    assert len(whole.counts) <= MAX_BINS
    assert (whole.low, whole.high) == (values.min(), values.max())


@pytest.mark.parametrize("name", ["normal", "single", "negative"])
def test_equals_numpy(name: str) -> None:
    values, binned = VALUES[name].astype(np.float64), histogram(VALUES[name])
    assert len(binned.counts) > MAX_BINS / 2
    edges = np.ldexp(binned.first + np.arange(len(binned.counts) + 1.0), binned.exponent)
    np.testing.assert_array_equal(binned.counts, np.histogram(values, edges)[0])
    np.testing.assert_allclose(binned.centers, (edges[1:] + edges[:-1]) / 2)


def test_nothing() -> None:
    assert_same(histogram(np.zeros(0)), EMPTY)
    assert_same(merge([]), EMPTY)


@pytest.mark.parametrize("size", [50, 5000])
def test_density_equals_scipy(size: int) -> None:
    values = np.concatenate([RNG.normal(0, 0.1, size), RNG.normal(2, 0.3, size // 2)])
    points = np.linspace(values.min(), values.max(), 100)
    expected = gaussian_kde(values).evaluate(points)
    density = smooth_density(histogram(values), points)
    np.testing.assert_allclose(density, expected, atol=2e-3 * expected.max())
