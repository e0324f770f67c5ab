"""Mean and covariance of any number of rows in one pass: exact, mergeable moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.tasks.reduce import reduce_blocks

# Rows converted to float64 at a time: about a MB for a few hundred features, which stays in cache.
CACHED_ROWS = 512


class Moments(NamedTuple):
    """Sum of weights, mean, sum of outer products of deviations from the mean; number of rows."""

    n: float
    mean: FloatArray
    scatter: FloatArray
    n_rows: int


def merge(parts: Sequence[Moments]) -> Moments:
    """Merge the moments of disjoint sets of rows.

    Chan, Golub and LeVeque's update, doi:10.1007/978-3-642-51461-6_3.
    """
    n, mean, scatter, n_rows = parts[0]
    scatter = scatter.copy()
    for part in parts[1:]:
        total = n + part.n
        if part.n == 0:
            continue
        shift = part.mean - mean
        scatter += part.scatter
        scatter += np.outer(shift, shift) * (n * part.n / total)
        mean = mean + shift * (part.n / total)
        n = total
        n_rows += part.n_rows
    return Moments(n, mean, scatter, n_rows)


def finite_rows(block: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the rows (frame and atom flattened) without NaN."""
    rows = block.reshape(-1, block.shape[-1])
    keep = np.isfinite(rows).all(axis=1)
    return rows if keep.all() else rows[keep]


def rows_moments(rows: npt.NDArray[np.floating]) -> Moments:
    """Return the moments of a block of rows."""
    width = rows.shape[1]
    parts = [Moments(0, np.zeros(width), np.zeros((width, width)), 0)]
    for start in range(0, len(rows), CACHED_ROWS):
        values = rows[start : start + CACHED_ROWS].astype(np.float64)
        # Overflow is refused at the end.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = values.mean(axis=0)
            values -= mean
            part = Moments(len(values), mean, values.T @ values, len(values))
            parts = [merge([*parts, part])]
    return parts[0]


def weighted_moments(rows: npt.NDArray[np.floating], weight: float) -> Moments:
    """Return the moments of a block of rows of the same weight."""
    n, mean, scatter, n_rows = rows_moments(rows)
    return Moments(n * weight, mean, scatter * weight, n_rows)


def moments(features: da.Array, description: str, weights: da.Array | None = None) -> Moments:
    """Compute the moments of all rows of a lazy array (frame, atom, feature) without NaN.

    `weights` (frame, atom) has the blocks of the features, and one value in each.

    Raises InputError if fewer than two rows are free of NaN, or the squares of the features
    overflow.
    """
    (result,) = moments_together([features], description, weights)
    return result


def moments_together(
    arrays: Sequence[da.Array], description: str, weights: da.Array | None = None
) -> list[Moments]:
    """Compute the moments of several arrays of the same blocks in one pass."""
    if weights is None:
        results = reduce_blocks(arrays, _moments_of_each, _merge_each, description)
    else:
        together = [weights, *arrays]
        results = reduce_blocks(together, _weighted_moments_of_each, _merge_each, description)
    for result in results:
        if result.n_rows < 2:
            raise InputError(f"fit: expected at least two rows without NaN, found {result.n_rows}")
        if not np.isfinite(result.scatter).all():
            raise InputError(
                "fit: expected features whose squares add up to a number, found some that are too "
                "large; scale them, or leave such rows out as NaN"
            )
    return results


def _moments_of_each(*blocks: npt.NDArray[np.floating]) -> list[Moments]:
    return [rows_moments(finite_rows(block)) for block in blocks]


def _weighted_moments_of_each(
    weight: FloatArray, *blocks: npt.NDArray[np.floating]
) -> list[Moments]:
    return [weighted_moments(finite_rows(block), block_weight(weight)) for block in blocks]


def block_weight(weight: FloatArray | None) -> float:
    """Return the weight of all rows of a block; one where there are no weights."""
    return 1.0 if weight is None or not weight.size else float(weight.flat[0])


def _merge_each(parts: Sequence[list[Moments]]) -> list[Moments]:
    with np.errstate(over="ignore", invalid="ignore"):
        return [merge(moments) for moments in zip(*parts, strict=True)]
