"""Explicit vectors against NumPy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numba.core.errors import TypingError

from icedask.kernels.jit import jit
from icedask.kernels.simd import WIDTH, fma, list_lanes, load, splat, store, total


@jit
def _sum_of_rows(a, b, c, factor, out):  # type: ignore[no-untyped-def]
    total = splat(0.0)
    for row in range(len(a)):
        total = total + load(a, row) * load(b, row) / load(c, row) - splat(factor)
    store(out, 1, total)


def test_equals_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.random((3, 5, WIDTH))
    out = np.full((3, WIDTH), 7.0)
    _sum_of_rows(a, b, c + 0.5, 0.25, out)
    np.testing.assert_allclose(
        out[1], (a * b / (c + 0.5) - 0.25).sum(axis=0), rtol=1e-14, atol=1e-15
    )
    assert (out[[0, 2]] == 7.0).all()


@jit
def _fused(a, b, c, out):  # type: ignore[no-untyped-def]
    value = fma(load(a, 0), load(b, 0), -load(c, 0))
    store(out, 0, value)
    return total(value), fma(a[0, 0], b[0, 0], -c[0, 0])


def test_fused_products_are_rounded_once() -> None:
    a, b = np.random.default_rng(0).random((2, 1, WIDTH))
    c, out = a * b, np.zeros((1, WIDTH))
    summed, first = _fused(a, b, c, out)
    exact = [
        float(Fraction(x) * Fraction(y) - Fraction(z))
        for x, y, z in zip(a[0].tolist(), b[0].tolist(), c[0].tolist(), strict=True)
    ]
    assert any(exact)
    np.testing.assert_array_equal(out[0], exact)
    assert first == exact[0]
    halves = out[0, :4] + out[0, 4:]
    assert summed == (halves[0] + halves[2]) + (halves[1] + halves[3])


@jit
def _below(values, limit, target, count):  # type: ignore[no-untyped-def]
    for row in range(len(values) // WIDTH):
        count = list_lanes(load(values, row), limit, row * WIDTH, target, count)
    return count


@pytest.mark.parametrize("limit", [-1.0, 0.25, 0.5, 2.0])
def test_lanes_below_a_limit_are_listed(limit: float) -> None:
    values = np.random.default_rng(0).permutation(256 * WIDTH) / (256 * WIDTH)
    values[:3] = limit, np.nan, np.inf
    target = np.full(len(values) + WIDTH + 2, -1, np.int32)
    count = _below(values, limit, target, 2)
    expected = np.flatnonzero(values <= limit)
    assert count == 2 + len(expected)
    assert target[2:count].tolist() == expected.tolist()
    assert (target[:2] == -1).all()


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, WIDTH), np.float32), np.zeros((WIDTH, 2)).T], ids=["float32", "strided"]
)
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(TypingError):
        rows = np.zeros((2, WIDTH))
        _sum_of_rows(wrong, rows, rows, 1.0, np.zeros((3, WIDTH)))
