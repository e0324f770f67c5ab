"""Algebra of the three cell vectors, operation by operation: the same bits on every host.

LAPACK and BLAS solve and multiply even three by three numbers in the order that suits the
processor; the places of all atoms, and whatever is computed from them, would inherit its last bits.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.errors import InputError

Vector = tuple[float, ...]

# A vector counts as shortened by more than rounding.
_SHORTER = 1 - 1e-12


def determinant(cell: FloatArray) -> float:
    """Return the determinant of a cell, its signed volume."""
    a, b, c = _rows(cell)
    return _dot(a, _cross(b, c))


def inverse(cell: FloatArray) -> FloatArray:
    """Return the inverse of a cell; InputError if its vectors do not span a volume."""
    a, b, c = _rows(cell)
    columns = _cross(b, c), _cross(c, a), _cross(a, b)
    volume = _dot(a, columns[0])
    result = np.array(columns).T / (volume or np.nan)
    if not np.isfinite(result).all():
        raise InputError(
            f"cell: expected three vectors that span a volume, found {np.asarray(cell).tolist()}"
        )
    return result


def norms(matrix: FloatArray, axis: int) -> FloatArray:
    """Return the Euclidean norms of the rows (axis 1) or columns (axis 0) of a matrix."""
    return np.sqrt((matrix * matrix).sum(axis=axis))


def transformed(points: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return points (n, 3) times a matrix (3, 3)."""
    first, second, third = (points[:, k, None] * matrix[k] for k in range(3))
    return np.asarray(first + second + third)


def upper_triangular(cell: FloatArray) -> FloatArray:
    """Return the cell turned so that its vectors are columns of an upper triangular matrix."""
    a, b, c = _rows(cell)
    length = _dot(a, a) ** 0.5
    x = tuple(part / length for part in a)
    b_x = _dot(b, x)
    rest = _minus(b, x, b_x)
    height = _dot(rest, rest) ** 0.5
    y = tuple(part / height for part in rest)
    depth = abs(_dot(c, _cross(x, y)))
    return np.array([[length, b_x, _dot(c, x)], [0.0, height, _dot(c, y)], [0.0, 0.0, depth]])


def reduced(cell: FloatArray, pbc: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the shortest vectors of the lattice of the periodic directions, of the same hand.

    They are Minkowski-reduced; the vectors of other directions stay. The greedy algorithm of
    Nguyen and Stehle (doi:10.1145/1597036.1597050), in whole multiples of the vectors.
    """
    periodic = np.flatnonzero(pbc)
    rows = [_rows(cell)[axis] for axis in periodic]
    multiples = _reduce(rows, [tuple(row) for row in np.eye(len(rows), dtype=int).tolist()])
    result = np.array(cell, float)
    for axis, multiple in zip(periodic, multiples, strict=True):
        result[axis] = _combined(rows, multiple)
    if determinant(result) * determinant(cell) < 0:
        result[periodic[0]] *= -1
    return result


def _reduce(rows: list[Vector], multiples: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the multiples of the rows that make the reduced basis, the shortest first."""

    def length(multiple: tuple[int, ...]) -> float:
        vector = _combined(rows, multiple)
        return _dot(vector, vector)

    while len(multiples) > 1:
        ordered = sorted(multiples, key=length)
        head, last = _reduce(rows, ordered[:-1]), ordered[-1]
        closest = _nearest([_combined(rows, multiple) for multiple in head], _combined(rows, last))
        shorter = tuple(
            number - sum(n * multiple[k] for n, multiple in zip(closest, head, strict=True))
            for k, number in enumerate(last)
        )
        if not length(shorter) < _SHORTER * length(last):
            return [*head, last]
        multiples = [*head, shorter]
    return multiples


def _nearest(basis: list[Vector], point: Vector) -> tuple[int, ...]:
    """Return the multiples of one or two reduced vectors that come closest to a point."""
    first, second = basis[0], basis[-1]
    square, shared, other = _dot(first, first), _dot(first, second), _dot(second, second)
    along, across = _dot(point, first), _dot(point, second)
    if len(basis) == 1:
        return (round(along / square),)
    volume = square * other - shared * shared
    m = round((along * other - across * shared) / volume)
    n = round((across * square - along * shared) / volume)

    def distance(multiple: tuple[int, int]) -> float:
        rest = _minus(_minus(point, first, multiple[0]), second, multiple[1])
        return _dot(rest, rest)

    around = [(m + i, n + j) for i, j in product((0, -1, 1), repeat=2)]
    return min(around, key=distance)


def _rows(cell: FloatArray) -> list[Vector]:
    return [tuple(row) for row in np.asarray(cell, float).tolist()]


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _minus(a: Vector, b: Vector, factor: float) -> Vector:
    return (a[0] - factor * b[0], a[1] - factor * b[1], a[2] - factor * b[2])


def _combined(rows: list[Vector], multiple: tuple[int, ...]) -> Vector:
    x, y, z = 0.0, 0.0, 0.0
    for number, row in zip(multiple, rows, strict=True):
        x, y, z = x + number * row[0], y + number * row[1], z + number * row[2]
    return (x, y, z)
