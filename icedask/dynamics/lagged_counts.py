"""Counts over pairs of frames, some apart, from blocks of any length: mergeable summaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import dask.array as da
import numpy as np

from icedask.core.labels import Counts, added, n_states_of
from icedask.core.types import LabelArray
from icedask.kernels.jit import jit
from icedask.tasks.reduce import reduce_columns


class Pairs(NamedTuple):
    """Counts over the pairs of frames within a stretch, and its ends, for pairs that leave it.

    Attributes
    ----------
    head, tail
        First and last rows of labels, as many as the largest lag, or all.
    counts
        Arrays of counts.
    """

    head: LabelArray
    tail: LabelArray
    counts: tuple[Counts, ...]


# Function of rows of labels and of a seam: counts over the pairs of rows on either side of the
# seam, the number of the first row beyond it; over all pairs of the rows if it is None.
CountPairs = Callable[[LabelArray, int | None], tuple[Counts, ...]]


def summary(block: LabelArray, count: CountPairs, reach: int) -> Pairs:
    """Return the summary of a block; `reach` is the largest lag."""
    rows = np.ascontiguousarray(block)
    # Copies: a view would keep the whole block.
    head = rows[:reach].copy()
    tail = head if len(rows) <= reach else rows[-reach:].copy()
    return Pairs(head, tail, count(rows, None))


def merge(parts: Sequence[Pairs], count: CountPairs, reach: int) -> Pairs:
    """Merge the summaries of stretches of the same atoms that follow each other."""
    head, tail, counts = parts[0].head, parts[0].tail, [parts[0].counts]
    for part in parts[1:]:
        seam = np.concatenate([tail, part.head])
        counts += [part.counts, count(seam, len(tail))]
        # A stretch shorter than the reach is its own head and tail.
        head = seam[:reach] if len(head) < reach else head
        tail = np.concatenate([tail, part.tail])[-reach:] if len(part.tail) < reach else part.tail
    return Pairs(head, tail, tuple(added(list(some)) for some in zip(*counts, strict=True)))


def count_over_pairs(
    blocks: da.Array, count: CountPairs, reach: int, description: str
) -> tuple[Counts, ...]:
    """Compute counts over all pairs of frames of one atom."""
    columns = reduce_columns(
        blocks,
        partial(summary, count=count, reach=reach),
        partial(merge, count=count, reach=reach),
        description,
    )
    return tuple(added(list(some)) for some in zip(*(one.counts for one in columns), strict=True))


def transitions_between(
    rows: LabelArray, seam: int | None, lags: Sequence[int]
) -> tuple[Counts, Counts]:
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
def _count(rows: LabelArray, lag: int, first: int, stop: int, counts: Counts) -> None:
    for t in range(first, stop):
        for atom in range(rows.shape[1]):
            before, after = rows[t, atom], rows[t + lag, atom]
            if before >= 0 and after >= 0:
                counts[before, after] += 1
