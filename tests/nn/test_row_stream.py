"""Batches of random rows: every row once, the same for any ranks, few blocks in memory."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dask.array as da
import numpy as np
import pytest

from icedask.errors import InputError
from icedask.nn.row_stream import (
    LANES,
    Batch,
    Deal,
    RowBlocks,
    Split,
    batches,
    cut_finer,
    deal,
    held_rows,
    n_lanes,
    split_by_time,
    survey,
)

SEED = [3, 0]


def numbered(n_frames: int, n_atoms: int) -> np.ndarray:
    """Rows that hold their own number."""
    number = np.arange(n_frames * n_atoms, dtype=np.float32).reshape(n_frames, n_atoms)
    return np.stack([number, -number], axis=2)


def stream(
    features: da.Array, fraction: float = 0.0, seed: int = 0
) -> tuple[da.Array, RowBlocks, Split]:
    cut = cut_finer(features, 2**18)
    _, counts = survey(cut, "survey")
    blocks = RowBlocks(cut, np.zeros(cut.shape[2]), np.ones(cut.shape[2]))
    numblocks = cut.numblocks[0], cut.numblocks[1]
    return cut, blocks, split_by_time(counts, numblocks, fraction, seed)


def taken(read: Any, dealt: Deal, lanes: Any, seed: Any = SEED) -> list[Batch]:
    return list(batches(read, dealt, lanes, 2, seed))


def rows_of(drawn: list[Batch]) -> np.ndarray:
    return np.concatenate([batch.rows for batch in drawn])[:, 0].astype(int)


SHAPES = [
    # Shape and blocks: cut by frames, by atoms and frames, one frame, one block, unequal ones.
    ((48, 30), (1, 30)),
    ((20, 50), (7, 13)),
    ((1, 999), (1, 999)),
    ((25, 40), (25, 40)),
    ((30, 40), ((1, 20, 9), (3, 37))),
    ((2, 9), (2, 9)),
]


@pytest.mark.parametrize(("shape", "chunks"), SHAPES)
def test_every_row_comes_once_except_a_tail(shape: tuple[int, int], chunks: Any) -> None:
    features = da.from_array(numbered(*shape), chunks=(*chunks, -1))
    _, blocks, split = stream(features)
    read = blocks.reader(None)
    n = shape[0] * shape[1]
    assert split.counts.sum() == n
    lanes = n_lanes(1, len(split.train))
    seen: Counter[int] = Counter()
    for epoch in range(12):
        dealt = deal(split, lanes, 16, 2**18, 0, epoch)
        blocks_dealt = [block for lane in dealt.lanes for block in lane]
        assert sorted(blocks_dealt) == list(range(len(split.counts)))
        rows = rows_of(taken(read, dealt, range(lanes), [0, epoch]))
        assert len(np.unique(rows)) == len(rows) == dealt.steps * dealt.per_lane * lanes
        seen.update(rows.tolist())
    # A tail is of other blocks in each epoch.
    assert set(seen) == set(range(n))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2])
@pytest.mark.parametrize(("shape", "chunks"), SHAPES[:5])
def test_the_tail_is_short(shape: tuple[int, int], chunks: Any, fraction: float) -> None:
    features = da.from_array(numbered(*shape), chunks=(*chunks, -1))
    _, _, split = stream(features, fraction)
    lanes = n_lanes(1, len(split.train))
    rows = split.counts[split.train].sum()
    used = []
    for epoch in range(5):
        dealt = deal(split, lanes, 16, 2**18, 0, epoch)
        used.append(dealt.steps * dealt.per_lane * lanes / rows)
    assert np.mean(used) > 0.75


@pytest.mark.parametrize("n_ranks", [1, 2, 4, 8])
def test_batches_do_not_depend_on_the_ranks(n_ranks: int) -> None:
    features = da.from_array(numbered(30, 40), chunks=(4, 17, -1))
    _, blocks, split = stream(features, 0.2)
    read = blocks.reader(None)
    lanes = n_lanes(n_ranks, len(split.train))
    assert lanes == LANES
    dealt = deal(split, lanes, 64, 2**18, 5, 1)
    whole = taken(read, dealt, range(lanes))
    parts = [taken(read, dealt, range(rank, lanes, n_ranks)) for rank in range(n_ranks)]
    assert len(whole) == dealt.steps > 5
    for batch, *others in zip(whole, *parts, strict=True):
        assert all(len(part.rows) == 64 // n_ranks for part in others)
        together = np.concatenate([np.hstack(part) for part in others])
        expected = np.hstack(batch)
        assert {row.tobytes() for row in together} == {row.tobytes() for row in expected}


def test_same_seed_same_batches() -> None:
    features = da.from_array(numbered(30, 40), chunks=(4, 40, -1))
    _, blocks, split = stream(features)
    read = blocks.reader(None)
    dealt = deal(split, LANES, 64, 2**18, 5, 0)
    assert deal(split, LANES, 64, 2**18, 5, 0) == dealt
    assert deal(split, LANES, 64, 2**18, 6, 0).lanes != dealt.lanes
    assert deal(split, LANES, 64, 2**18, 5, 1).lanes != dealt.lanes
    first, again, other = (taken(read, dealt, range(LANES), [s, 0]) for s in (1, 1, 2))
    for batch, repeated in zip(first, again, strict=True):
        np.testing.assert_array_equal(np.hstack(batch), np.hstack(repeated))
    assert not np.array_equal(first[0].rows, other[0].rows)
    assert not np.array_equal(first[0].noise, other[0].noise)
    # Rows of a batch are from all lanes, not neighbours; noise is standard normal.
    assert np.ptp(first[0].rows[:, 0]) > 600
    noise = np.concatenate([batch.noise for batch in first])
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - 1) < 0.1


def test_epochs_take_turns() -> None:
    split = Split(np.full(100, 10), np.arange(0, 100, 2), np.arange(1, 100, 2))
    dealt = [deal(split, LANES, 8, 90, 0, epoch) for epoch in range(50)]
    chosen = [sorted(block for lane in dealing.lanes for block in lane) for dealing in dealt]
    assert all(len(blocks) == 9 for blocks in chosen)
    # Fifty blocks are done after 50 / 9 epochs, and each as often as any other.
    assert {block for blocks in chosen[:6] for block in blocks} == set(range(0, 100, 2))
    assert set(Counter(block for blocks in chosen for block in blocks).values()) == {9}


def test_rows_with_nan_are_left_out() -> None:
    values = numbered(20, 40)
    values[3, 5:9] = np.nan
    values[7, 2, 1] = np.inf
    values[12:16] = np.nan
    missing = set(range(125, 129)) | {282} | set(range(480, 640))
    cut, blocks, split = stream(da.from_array(values, chunks=(1, 40, -1)), 0.2)
    read = blocks.reader(None)
    moments, counts = survey(cut, "survey")
    assert moments.n == counts.sum() == 800 - len(missing)
    assert 0 not in counts[split.train] and 0 not in counts[split.held]
    dealt = deal(split, LANES, 8, 2**18, 0, 0)
    seen = set(rows_of(taken(read, dealt, range(LANES))).tolist())
    held = set(held_rows(read, split, 2, 10**6)[:, 0].astype(int).tolist())
    assert not (seen | held) & missing
    assert not seen & held


@pytest.mark.parametrize(("shape", "chunks"), SHAPES[:5])
def test_held_out_rows_are_stretches_of_time(shape: tuple[int, int], chunks: Any) -> None:
    features = da.from_array(numbered(*shape), chunks=(*chunks, -1))
    cut, blocks, split = stream(features, 0.2)
    assert sorted([*split.train, *split.held]) == list(range(len(split.counts)))
    read = blocks.reader(None)
    held = {int(row) for number in split.held for row in read(number)[:, 0]}
    trained = {int(row) for number in split.train for row in read(number)[:, 0]}
    assert held and not held & trained
    n_frames, n_atoms = shape
    if n_frames > 1:
        frames = {row // n_atoms for row in held}
        assert held == {row for row in range(n_frames * n_atoms) if row // n_atoms in frames}
    dealt = [deal(split, n_lanes(1, len(split.train)), 16, 50, 0, epoch) for epoch in range(9)]
    blocks_dealt = {block for dealing in dealt for lane in dealing.lanes for block in lane}
    assert not blocks_dealt & {*split.held}
    other = [split_by_time(split.counts, cut.numblocks[:2], 0.2, seed).held for seed in range(9)]
    assert len({tuple(chosen) for chosen in other}) > 1


def test_held_out_blocks_are_evenly_spaced() -> None:
    split = split_by_time(np.ones(300, int), (100, 3), 0.1, 0)
    assert len(split.held) == 30
    assert np.diff(np.unique(split.held // 3)).tolist() == [10] * 9
    assert len(split_by_time(np.ones(300, int), (100, 3), 0.0, 0).held) == 0
    assert len(split_by_time(np.ones(2, int), (2, 1), 0.9, 0).train) == 1
    # One block stays to learn from.
    assert split_by_time(np.ones(1, int), (1, 1), 0.5, 0).train.tolist() == [0]


@pytest.mark.parametrize("seed", range(5))
def test_some_blocks_with_rows_are_not_held_out(seed: int) -> None:
    # One stretch of time has rows, then two.
    counts = np.zeros(12, int)
    counts[6] = 40
    alone = split_by_time(counts, (12, 1), 0.5, seed)
    assert alone.train.tolist() == [6] and not len(alone.held)
    counts[9] = 40
    two = split_by_time(counts, (12, 1), 0.5, seed)
    assert len(two.train) == len(two.held) == 1


def test_held_rows_are_of_every_block() -> None:
    features = da.from_array(numbered(40, 100), chunks=(1, 100, -1))
    _, blocks, split = stream(features, 0.25)
    rows = held_rows(blocks.reader(None), split, 2, 250)
    assert 200 < len(rows) <= 250
    share = np.unique(rows[:, 0].astype(int) // 100, return_counts=True)[1]
    assert len(share) == 10 and np.ptp(share) <= 1
    none = held_rows(blocks.reader(None), split_by_time(split.counts, (40, 1), 0, 0), 2, 250)
    assert none.shape == (0, 2) and none.dtype == np.float32


def test_rows_come_scaled() -> None:
    values = np.random.default_rng(0).normal(1e4, 1, (16, 10, 3))
    features = da.from_array(values, chunks=(2, 10, -1))
    center, scale = values.mean(axis=(0, 1)), np.array([1.0, 2.0, 0.0])
    rows = RowBlocks(features, center, scale).reader(None)(1)
    assert rows.dtype == np.float32
    expected = (values[2:4].reshape(-1, 3) - center) * scale
    np.testing.assert_allclose(rows, expected, atol=1e-6)


class Watched:
    """A reader that counts the blocks read, and the most blocks read ahead of use."""

    def __init__(self, rows: int) -> None:
        self.rows, self.read, self.used, self.ahead = rows, 0, 0.0, 0.0
        self._lock = threading.Lock()

    def __call__(self, number: int) -> np.ndarray:
        with self._lock:
            self.read += 1
            self.ahead = max(self.ahead, self.read - self.used)
        return np.full((self.rows, 1), number, np.float32)

    def watched(self, source: Iterator[Batch]) -> Iterator[Batch]:
        for batch in source:
            yield batch
            with self._lock:
                self.used += len(batch.rows) / self.rows


@pytest.mark.parametrize("lanes", [1, 8])
def test_two_blocks_of_each_lane_are_in_memory(lanes: int) -> None:
    split = Split(np.full(160, 24), np.arange(160), np.arange(0))
    dealt = deal(split, 8, 64, 2**18, 0, 0)
    assert dealt.per_lane == 8 and dealt.steps == 60
    read = Watched(24)
    for number, _ in enumerate(read.watched(batches(read, dealt, range(lanes), 1, SEED)), 1):
        # What is at hand, and one more of each lane.
        assert read.read <= lanes * (number * 8 // 24 + 2)
    assert read.read == 20 * lanes
    assert read.ahead <= 2 * lanes + 1


def test_large_arrays_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from icedask.nn import row_stream

    calls = []

    def counted(block: np.ndarray) -> np.ndarray:
        calls.append(1)
        return block

    features = da.from_array(numbered(4, 10), chunks=(1, 10, -1)).map_blocks(
        counted, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)
    )
    blocks = RowBlocks(features, np.zeros(2), np.ones(2))
    read = blocks.reader(None)
    assert read(0) is read(0)
    assert len(calls) == 1
    monkeypatch.setattr(row_stream, "KEPT_BYTES", 4 * 10 * 2 * 4 - 1)
    read = blocks.reader(None)
    assert read(0) is not read(0)
    assert len(calls) == 3


def test_an_error_of_a_block_is_raised() -> None:
    def read(number: int) -> np.ndarray:
        raise OSError("no such chunk")

    split = Split(np.full(16, 10), np.arange(16), np.arange(0))
    dealt = deal(split, LANES, 8, 2**18, 0, 0)
    with pytest.raises(OSError, match="no such chunk"):
        next(batches(read, dealt, range(LANES), 1, SEED))


def test_number_of_lanes() -> None:
    assert [n_lanes(ranks, 1000) for ranks in (1, 2, 3, 4, 8, 16)] == [8, 8, 24, 8, 8, 16]
    assert [n_lanes(ranks, 7) for ranks in (1, 2, 3, 7)] == [7, 6, 6, 7]
    with pytest.raises(InputError, match=r"at least one block .* each of 8 ranks, found 7; use"):
        n_lanes(8, 7)


def test_arrays_are_cut_along_frames_first() -> None:
    long = cut_finer(da.zeros((100, 10, 3), chunks=(100, 10, 3)), 2**18)
    assert long.numblocks[1:] == (1, 1) and long.numblocks[0] >= 2 * LANES
    assert np.ptp(long.chunks[0]) <= 1
    few = cut_finer(da.zeros((3, 1000, 2), chunks=(3, 1000, 2)), 2**18)
    assert few.numblocks[0] == 3 and few.numblocks[1] >= 2 * LANES / 3
    # Those alone that are too large.
    mixed = cut_finer(da.zeros((130, 10, 3), chunks=((1,) * 30 + (100,), -1, -1)), 2**18)
    assert mixed.chunks[0] == (1,) * 30 + (4,) * 25
    many = da.zeros((1000, 10, 3), chunks=(10, 10, 3))
    assert cut_finer(many, 2**18).chunks == many.chunks
    # An epoch of a block for each lane is no longer than it should be.
    large = cut_finer(da.zeros((9, 1000, 2), chunks=(1, 1000, 2)), 2000)
    assert max(large.chunks[0]) * max(large.chunks[1]) <= 2000 // LANES
    assert cut_finer(da.zeros((2, 3, 1), chunks=-1), 2**18).numblocks == (2, 3, 1)
