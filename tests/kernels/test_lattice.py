"""Algebra of cells against LAPACK and ASE."""

from __future__ import annotations

import numpy as np
import pytest
from ase.geometry import minkowski_reduce

from icedask.errors import InputError
from icedask.kernels.lattice import (
    determinant,
    inverse,
    norms,
    reduced,
    transformed,
    upper_triangular,
)

FCC, HEXAGONAL = [[0, 1, 1], [1, 0, 1], [1, 1, 0]], [[1, 0, 0], [-0.5, 3**0.5 / 2, 0], [0, 0, 1.6]]


def skewed(cell: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return other vectors of the same lattice."""
    mix = np.eye(3, dtype=int)
    for _ in range(4):
        i, j = rng.choice(3, 2, replace=False)
        mix[i] += rng.integers(-3, 4) * mix[j]
    return mix @ cell


def cells() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    at_random = [rng.normal(size=(3, 3)) * [[0.3], [1], [5]] for _ in range(50)]
    known = [np.array(cell, float) for cell in (FCC, HEXAGONAL, np.eye(3), -np.eye(3))]
    return [skewed(cell, rng) for cell in at_random + 10 * known]


def test_equals_lapack() -> None:
    rng = np.random.default_rng(1)
    for cell in cells():
        exact = np.linalg.inv(cell)
        np.testing.assert_allclose(inverse(cell), exact, atol=1e-10 * np.abs(exact).max())
        assert determinant(cell) == pytest.approx(np.linalg.det(cell), rel=1e-9)
        points = rng.normal(size=(5, 3))
        np.testing.assert_allclose(transformed(points, cell), points @ cell, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(norms(cell, 1), np.linalg.norm(cell, axis=1), rtol=1e-14)
        turned = upper_triangular(cell)
        assert (np.diag(turned) > 0).all()
        np.testing.assert_allclose(turned.T @ turned, cell @ cell.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pbc", [[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
def test_reduced_cell_is_that_of_minkowski(pbc: list[int]) -> None:
    periodic = np.array(pbc, bool)
    for cell in cells():
        ours, theirs = reduced(cell, periodic), minkowski_reduce(cell, pbc=periodic)[0]
        lengths = np.sort(norms(ours[periodic], 1))
        np.testing.assert_allclose(lengths, np.sort(norms(theirs[periodic], 1)), rtol=1e-9)
        np.testing.assert_array_equal(ours[~periodic], cell[~periodic])
        multiples = ours @ np.linalg.inv(cell)
        np.testing.assert_allclose(multiples, np.round(multiples), atol=1e-6)
        assert np.sign(determinant(ours)) == np.sign(determinant(cell))


@pytest.mark.parametrize("cell", [[[1, 0, 0], [2, 0, 0], [0, 0, 1]], np.zeros((3, 3))])
def test_flat_cells_are_refused(cell: object) -> None:
    with pytest.raises(InputError, match="cell: expected three vectors that span a volume"):
        inverse(np.array(cell, float))
