"""Counts over pairs of frames at a lag: mergeable summaries of blocks of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import dask.array as da
import numpy as np

from icedask.core.labels import n_states_of, sum_padded
from icedask.core.types import IntArray, LabelArray
from icedask.kernels.jit import jit
from icedask.tasks.reduce import reduce_columns


class Pairs(NamedTuple):
    """Counts over the pairs of frames within a block, and its ends, for pairs across blocks.

    `head` and `tail` are the first and last rows of labels, as many as the largest lag, or all.
    """

    head: LabelArray
    tail: LabelArray
    counts: tuple[IntArray, ...]


# Function of rows of labels and of the number of the first row beyond a seam: counts over the pairs
# of rows across the seam; over all pairs of rows if it is None.
CountPairs = Callable[[LabelArray, int | None], tuple[IntArray, ...]]


def count_block(block: LabelArray, count: CountPairs, reach: int) -> Pairs:
    """Count the pairs within a block; `reach` is the largest lag."""
    rows = np.ascontiguousarray(block)
    # Copies: a view would keep the whole block.
    head = rows[:reach].copy()
    tail = head if len(rows) <= reach else rows[-reach:].copy()
    return Pairs(head, tail, count(rows, None))


def merge_pairs(parts: Sequence[Pairs], count: CountPairs, reach: int) -> Pairs:
    """Merge the counts of successive blocks of the same atoms."""
    head, tail, counts = parts[0].head, parts[0].tail, [parts[0].counts]
    for part in parts[1:]:
        seam = np.concatenate([tail, part.head])
        counts += [part.counts, count(seam, len(tail))]
        # A block shorter than the reach is its own head and tail.
        head = seam[:reach] if len(head) < reach else head
        tail = np.concatenate([tail, part.tail])[-reach:] if len(part.tail) < reach else part.tail
    return Pairs(head, tail, _sums(counts))


def _sums(counts: Iterable[tuple[IntArray, ...]]) -> tuple[IntArray, ...]:
    return tuple(sum_padded(list(parts)) for parts in zip(*counts, strict=True))


def count_over_pairs(
    blocks: da.Array, count: CountPairs, reach: int, description: str
) -> tuple[IntArray, ...]:
    """Compute counts over all pairs of frames of each atom."""
    columns = reduce_columns(
        blocks,
        partial(count_block, count=count, reach=reach),
        partial(merge_pairs, count=count, reach=reach),
        description,
    )
    return _sums(column.counts for column in columns)


def transitions_between(
    rows: LabelArray, seam: int | None, lags: Sequence[int]
) -> tuple[IntArray, IntArray]:
    """Count the pairs of labels (lag, from, to), and those with a negative one (lag)."""
    n_states = n_states_of(rows)
    counts = np.zeros((len(lags), n_states, n_states), np.int64)
    n_pairs = np.zeros(len(lags), np.int64)
    for number, lag in enumerate(lags):
        first, stop = first_rows(len(rows), seam, lag)
        _count(rows, lag, first, stop, counts[number])
        n_pairs[number] = max(0, stop - first) * rows.shape[1]
    return counts, n_pairs - counts.sum(axis=(1, 2))


def first_rows(n_rows: int, seam: int | None, lag: int) -> tuple[int, int]:
    """Return the range of the first rows of the pairs across a seam, or of all pairs."""
    stop = n_rows - lag
    return (0, stop) if seam is None else (max(0, seam - lag), min(seam, stop))


@jit
def _count(rows: LabelArray, lag: int, first: int, stop: int, counts: IntArray) -> None:
    for t in range(first, stop):
        for atom in range(rows.shape[1]):
            before, after = rows[t, atom], rows[t + lag, atom]
            if before >= 0 and after >= 0:
                counts[before, after] += 1
