"""Explicit vectors against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core.errors import TypingError

from icedask.kernels.jit import jit
from icedask.kernels.simd import WIDTH, list_lanes, load, splat, store


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
