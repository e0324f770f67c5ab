"""Group by label: counts, means and standard deviations of values, in one pass over the blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import dask.array as da
import numpy as np
import xarray as xr

from icedask.core.features import lazy_blocks, rechunked
from icedask.core.types import FloatArray, IntArray, LabelArray
from icedask.tasks.reduce import reduce_blocks


class Groups(NamedTuple):
    """Mergeable sums over the rows of each label; values that are not finite do not count."""

    members: IntArray  # (n_groups,): number of rows
    # (n_groups, n_values): number of finite values, their sum, and the sum of their squared
    # deviations from the mean.
    known: IntArray
    total: FloatArray
    scatter: FloatArray

    @property
    def means(self) -> FloatArray:
        """Mean of each value in each group; NaN without one."""
        return self.total / np.where(self.known > 0, self.known, np.nan)

    @property
    def deviations(self) -> FloatArray:
        """Standard deviation of each value in each group; NaN without one."""
        return np.sqrt(self.scatter / np.where(self.known > 0, self.known, np.nan))


def group_means(
    labels: xr.DataArray, *values: xr.DataArray | da.Array, n_groups: int, description: str
) -> Groups:
    """Compute counts, means and deviations of values by label; computes.

    Labels (frame, atom) are integers below `n_groups`; negative ones are left out. Values (frame,
    atom) or (frame, atom, feature) are of the same rows, and features count as values.
    `description` is the title of the progress bar.
    """
    rows = lazy_blocks(labels)
    chunks = dict(enumerate(rows.chunks))
    lazy = [lazy_blocks(value) if isinstance(value, xr.DataArray) else value for value in values]
    aligned = [rechunked(value, chunks) for value in lazy]
    return reduce_blocks(
        [rows, *aligned], partial(block_groups, n_groups=n_groups), merged_groups, description
    )


def block_groups(label: LabelArray, *values: FloatArray, n_groups: int) -> Groups:
    """Return the sums over the rows of one block."""
    mine = label >= 0
    rows = label[mine]
    columns = [column for value in values for column in np.atleast_2d(value[mine].T)]
    parts = np.zeros((3, n_groups, len(columns)))
    for place, column in enumerate(columns):
        parts[:, :, place] = _column_sums(rows, column.astype(np.float64), n_groups)
    known, total, scatter = parts
    return Groups(np.bincount(rows, minlength=n_groups), known.astype(np.int64), total, scatter)


def _column_sums(rows: LabelArray, values: FloatArray, n_groups: int) -> FloatArray:
    finite = np.isfinite(values)
    rows, values = rows[finite], values[finite]
    known, total = np.bincount(rows, minlength=n_groups), np.bincount(rows, values, n_groups)
    squares = (values - (total / np.maximum(known, 1))[rows]) ** 2
    return np.stack([known, total, np.bincount(rows, squares, n_groups)])


def merged_groups(parts: Sequence[Groups]) -> Groups:
    """Merge the sums of disjoint sets of rows, doi:10.1007/978-3-642-51461-6_3."""
    merged = parts[0]
    for part in parts[1:]:
        known = merged.known + part.known
        both = (merged.known > 0) & (part.known > 0)
        shift = np.where(both, merged.means - part.means, 0.0)
        weight = merged.known * part.known / np.maximum(known, 1)
        merged = Groups(
            merged.members + part.members,
            known,
            merged.total + part.total,
            merged.scatter + part.scatter + shift**2 * weight,
        )
    return merged


def indicators(labels: xr.DataArray, n_classes: int) -> da.Array:
    """Return 1 in the column of the class of each row, else 0: their means are shares; lazy."""
    return (lazy_blocks(labels)[:, :, None] == np.arange(n_classes)).astype(np.float32)
