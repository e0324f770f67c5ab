"""Explicit vectors against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core.errors import TypingError

from icedask.descriptors.simd import WIDTH, load, splat, store
from icedask.jit import jit


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


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, WIDTH), np.float32), np.zeros((WIDTH, 2)).T], ids=["float32", "strided"]
)
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(TypingError):
        rows = np.zeros((2, WIDTH))
        _sum_of_rows(wrong, rows, rows, 1.0, np.zeros((3, WIDTH)))
