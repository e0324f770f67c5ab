"""Batches of random rows of a lazy array of any size, a few blocks in memory at a time.

Each epoch takes blocks of the array in a random order and deals them out to lanes. A lane reads
its blocks one after the other, the next one ahead, and shuffles the rows of each. A batch has the
same number of rows from each lane. Ranks share the lanes among themselves, so that any number of
ranks that divides the number of lanes sees the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import ceil, lcm
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt

from icedask.core.features import rechunked
from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.tasks.moments import (
    Moments,
    block_weight,
    finite_rows,
    merge,
    weighted_moments,
)
from icedask.tasks.reduce import reduce_blocks
from icedask.tasks.run import wait_for

Rows = npt.NDArray[np.float32]

# Each with two blocks in memory, of 32 MB at most.
LANES = 8
# Least number: rows that some lanes have more of than others are left out of an epoch.
_BLOCKS_PER_LANE = 4
# Largest array that is read once and kept.
KEPT_BYTES = 2**27
# Times that a block of a small member is read in an epoch of all.
_MOST_REPEATED = 64

Read = Callable[[int], Rows]


def cut_finer(features: da.Array, epoch_rows: int) -> da.Array:
    """Split blocks so that there are a few for each lane, in all and in an epoch.

    Along the frames first, so that held-out blocks are stretches of time.
    """
    frames, atoms = features.chunks[:2]
    share = features.shape[0] * features.shape[1] // (_BLOCKS_PER_LANE * LANES)
    most = max(1, min(share, epoch_rows // LANES))
    limits = max(1, most // max(atoms)), most
    chunks = [
        tuple(part for size in sizes for part in _cut(size, ceil(size / limit)))
        for sizes, limit in zip((frames, atoms), limits, strict=True)
    ]
    return rechunked(features, (*chunks, features.chunks[2]))


def _cut(size: int, parts: int) -> list[int]:
    """Return the sizes of `parts` parts, which differ by at most one."""
    return [size // parts + (number < size % parts) for number in range(parts)]


def survey(
    features: da.Array, description: str, weights: da.Array | None = None
) -> tuple[Moments, IntArray]:
    """Compute the moments of all rows, and the number of rows without NaN of each block."""
    arrays = [features] if weights is None else [features, weights]
    return reduce_blocks(arrays, _survey_block, _merge_surveys, description)


def _survey_block(
    block: npt.NDArray[np.floating], weight: FloatArray | None = None
) -> tuple[Moments, IntArray]:
    moments = weighted_moments(finite_rows(block), block_weight(weight))
    return moments, np.array([moments.n_rows])


def _merge_surveys(parts: Sequence[tuple[Moments, IntArray]]) -> tuple[Moments, IntArray]:
    moments, counts = zip(*parts, strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        return merge(moments), np.concatenate(counts)


class RowBlocks:
    """Blocks of (frame, atom, feature) by number, as rows (row - center) * scale.

    They can be sent to other processes.
    """

    def __init__(self, features: da.Array, center: FloatArray, scale: FloatArray) -> None:
        self._features = features
        self._center = center
        self._scale = scale
        self._places = list(np.ndindex(*features.numblocks[:2]))

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self._features.shape[2]

    def reader(self, client: Any | None) -> Read:
        """Return a function of a block's number that returns its scaled rows without NaN.

        The workers of `client` compute the blocks; None computes them here.
        """
        read = partial(self._read, client=client)
        kept = self._features.size * np.dtype(np.float32).itemsize <= KEPT_BYTES
        return lru_cache(maxsize=None)(read) if kept else read

    def _read(self, number: int, client: Any | None) -> Rows:
        block = self._features.blocks[self._places[number]]
        if client is None:
            values = block.compute(scheduler="synchronous")
        else:
            future = client.compute(block)
            wait_for(client, future)
            values = future.result()
        return ((finite_rows(values) - self._center) * self._scale).astype(np.float32)


@dataclass(frozen=True)
class Split:
    """Rows of each block, and the numbers of training and held-out blocks in the order of time."""

    counts: IntArray
    train: IntArray
    held: IntArray

    def weighted(self, weights: FloatArray) -> Split:
        """Return the split with training blocks repeated in proportion to the weight of each."""
        mine = weights[self.train]
        times = np.clip(np.round(mine / mine.min()), 1, _MOST_REPEATED).astype(np.int64)
        return replace(self, train=np.repeat(self.train, times))


def split_by_time(
    counts: IntArray, numblocks: tuple[int, int], fraction: float, seed: int
) -> Split:
    """Hold out a fraction of the blocks, evenly spaced in time; in atoms for a single frame."""
    along = 0 if numblocks[0] > 1 else 1
    # Among blocks with rows, so that some are held out and some are not.
    there = np.flatnonzero(counts.reshape(numblocks).sum(axis=1 - along))
    chosen = evenly_chosen(len(there), fraction, np.random.default_rng(seed))
    held = np.isin(np.indices(numblocks)[along].ravel(), there[chosen])
    filled = counts > 0
    return Split(counts, np.flatnonzero(~held & filled), np.flatnonzero(held & filled))


def evenly_chosen(n: int, fraction: float, generator: np.random.Generator) -> IntArray:
    """Choose a fraction of n, evenly spaced from a random start: at least one, and not all."""
    n_chosen = 0 if fraction == 0 else max(0, min(max(1, round(fraction * n)), n - 1))
    places = (np.arange(n_chosen) + generator.random()) * n / max(n_chosen, 1)
    return np.unique(places.astype(int))


class Deal(NamedTuple):
    """Blocks of each lane in one epoch, rows of a batch from each lane, and number of batches."""

    lanes: list[list[int]]
    per_lane: int
    steps: int


def n_lanes(n_ranks: int, n_blocks: int) -> int:
    """Return the number of lanes for a number of ranks; raise InputError for too few blocks."""
    if n_blocks < n_ranks:
        raise InputError(
            f"expected at least one block of rows for each of {n_ranks} ranks, found {n_blocks}; "
            "use fewer ranks"
        )
    most = lcm(LANES, n_ranks)
    return most if most <= n_blocks else n_blocks // n_ranks * n_ranks


def deal(split: Split, lanes: int, batch: int, epoch_rows: int, seed: int, epoch: int) -> Deal:
    """Choose the blocks of an epoch from an endless series of random permutations."""
    n_blocks = len(split.train)
    mean_rows = split.counts[split.train].mean()
    taken = min(n_blocks, max(lanes, ceil(epoch_rows / mean_rows)))
    places = np.arange(epoch * taken, (epoch + 1) * taken)
    orders = {
        number: np.random.default_rng([seed, number]).permutation(split.train)
        for number in np.unique(places // n_blocks).tolist()
    }
    blocks = [int(orders[place // n_blocks][place % n_blocks]) for place in places.tolist()]
    dealt: list[list[int]] = [[] for _ in range(lanes)]
    rows = np.zeros(lanes, np.int64)
    for block in blocks:
        # To the lane with the fewest rows: an epoch ends with the shortest one.
        lane = int(np.argmin(rows))
        dealt[lane].append(block)
        rows[lane] += split.counts[block]
    shortest = int(rows.min())
    per_lane = max(1, min(batch // lanes, shortest))
    return Deal(dealt, per_lane, shortest // per_lane)


class Batch(NamedTuple):
    """Rows, and standard normal noise for their latent coordinates."""

    rows: Rows
    noise: Rows


def batches(
    read: Read, dealt: Deal, mine: Sequence[int], n_noise: int, seed: Sequence[int]
) -> Iterator[Batch]:
    """Yield the batches of an epoch from the lanes `mine` of one rank.

    A lane's rows and noise depend on the seed and on the lane alone.
    """
    with ThreadPoolExecutor(1) as ahead:
        lanes = [
            _lane(read, dealt.lanes[lane], dealt, n_noise, [*seed, lane], ahead) for lane in mine
        ]
        for parts in zip(*lanes, strict=True):
            rows, noise = zip(*parts, strict=True)
            yield Batch(np.concatenate(rows), np.concatenate(noise))


def _lane(
    read: Read,
    numbers: Sequence[int],
    dealt: Deal,
    n_noise: int,
    seed: Sequence[int],
    ahead: Executor,
) -> Iterator[Batch]:
    generator = np.random.default_rng(seed)
    coming: Future[Rows] = ahead.submit(read, numbers[0])
    left: Rows | None = None
    following = 0
    for _ in range(dealt.steps):
        while left is None or len(left) < dealt.per_lane:
            rows = coming.result()
            following += 1
            if following < len(numbers):
                coming = ahead.submit(read, numbers[following])
            mixed = rows[generator.permutation(len(rows))]
            left = mixed if left is None else np.concatenate([left, mixed])
        noise = generator.standard_normal((dealt.per_lane, n_noise), np.float32)
        yield Batch(left[: dealt.per_lane], noise)
        left = left[dealt.per_lane :]


def held_rows(read: Read, split: Split, n_features: int, most: int) -> Rows:
    """Return at most `most` rows of the held-out blocks, the same share of each."""
    every = max(1, ceil(int(split.counts[split.held].sum()) / most))
    parts = [read(number)[::every] for number in split.held.tolist()]
    return np.concatenate([np.empty((0, n_features), np.float32), *parts])
