"""The inverse square root of a matrix in decimal numbers, the same on every host."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, getcontext

Matrix = Sequence[Sequence[Decimal]]

# Ten are enough for any matrix that is not singular.
_SWEEPS = 30


def inverse_root(matrix: Matrix) -> tuple[tuple[Decimal, ...], ...]:
    """Return the inverse square root of a symmetric positive definite matrix.

    To the digits of the decimal context, less those that the condition of the matrix takes.
    Raises ArithmeticError if that is all of them.
    """
    values, vectors = _eigen(matrix)
    size = len(values)
    weights = [1 / value.sqrt() for value in values]
    weighted = [[w * v for v in row] for w, row in zip(weights, vectors, strict=True)]
    root = [[Decimal(0)] * size for _ in range(size)]
    for i in range(size):
        for j in range(i, size):
            root[i][j] = root[j][i] = sum(
                (a[i] * b[j] for a, b in zip(weighted, vectors, strict=True)), Decimal(0)
            )
    return tuple(map(tuple, root))


def _eigen(matrix: Matrix) -> tuple[list[Decimal], list[list[Decimal]]]:
    """Return the eigenvalues and, as rows, the eigenvectors, by Jacobi's cyclic rotations.

    An element counts as zero relative to its diagonal elements: small eigenvalues are as exact as
    large ones.
    """
    size = len(matrix)
    a = [list(row) for row in matrix]
    vectors = [[Decimal(i == j) for j in range(size)] for i in range(size)]
    # The vectors have half of the digits then, the values all.
    negligible = Decimal(10) ** (-getcontext().prec)
    for _ in range(_SWEEPS):
        rotated = False
        for p in range(size - 1):
            for q in range(p + 1, size):
                if a[p][q] ** 2 > negligible * a[p][p] * a[q][q]:
                    rotated = True
                    _rotate(a, vectors, p, q)
        values = [a[i][i] for i in range(size)]
        if min(values) <= 0:
            break
        if not rotated:
            return values, vectors
    raise ArithmeticError("the matrix is singular to the digits of the context")


def _rotate(a: list[list[Decimal]], vectors: list[list[Decimal]], p: int, q: int) -> None:
    """Rotate rows and columns p and q so that a[p][q] vanishes."""
    slope = (a[q][q] - a[p][p]) / (2 * a[p][q])
    t = 1 / (abs(slope) + (slope * slope + 1).sqrt())
    t = t if slope >= 0 else -t
    c = 1 / (t * t + 1).sqrt()
    s = t * c
    shift = t * a[p][q]
    a[p][p] -= shift
    a[q][q] += shift
    a[p][q] = a[q][p] = Decimal(0)
    for k in range(len(a)):
        if k not in (p, q):
            x, y = a[p][k], a[q][k]
            a[p][k] = a[k][p] = c * x - s * y
            a[q][k] = a[k][q] = s * x + c * y
    u, v = vectors[p], vectors[q]
    vectors[p] = [c * x - s * y for x, y in zip(u, v, strict=True)]
    vectors[q] = [s * x + c * y for x, y in zip(u, v, strict=True)]
