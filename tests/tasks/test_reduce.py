"""Reductions over blocks: in order, the same for any blocks and waves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

from icedask.tasks import graphs
from icedask.tasks import run as compute
from icedask.tasks.reduce import reduce_blocks, reduce_columns

VALUES = np.arange(37 * 12).reshape(37, 12)
CHUNKS = [(37, 12), (5, 12), (1, 5), ((3, 1, 1, 32), (1, 10, 1)), (2, 1)]


def listed(block: np.ndarray) -> list[np.ndarray]:
    return [block]


def joined(parts: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    return [block for part in parts for block in part]


def total(block: np.ndarray) -> int:
    return int(block.sum())


@pytest.fixture(params=[1000, 20, 1])
def wave_tasks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(graphs, "WAVE_TASKS", request.param)
    return int(request.param)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_columns_are_merged_along_the_frames(chunks: Any, wave_tasks: int) -> None:
    merged = reduce_columns(da.from_array(VALUES, chunks=chunks), listed, joined, None)
    columns = [np.concatenate(blocks) for blocks in merged]
    np.testing.assert_array_equal(np.concatenate(columns, axis=1), VALUES)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_blocks_are_merged_in_order(chunks: Any, wave_tasks: int) -> None:
    array = da.from_array(VALUES, chunks=chunks)
    merged = reduce_blocks(array, listed, joined, None)
    expected = [np.asarray(array.blocks[index]) for index in np.ndindex(*array.numblocks)]
    assert len(merged) == len(expected)
    for actual, block in zip(merged, expected, strict=True):
        np.testing.assert_array_equal(actual, block)


def test_a_block_has_all_features() -> None:
    array = da.from_array(np.arange(60).reshape(5, 4, 3), chunks=(2, 3, 1))
    shapes = [block.shape for block in reduce_blocks(array, listed, joined, None)]
    assert shapes == [(2, 3, 3), (2, 1, 3)] * 2 + [(1, 3, 3), (1, 1, 3)]


def test_progress_bar_with_a_description(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = compute.stage
    monkeypatch.setattr(compute, "stage", lambda *args: (seen.append(args), original(*args))[1])
    array = da.from_array(VALUES, chunks=(5, 12))
    assert reduce_blocks(array, total, sum, None) == VALUES.sum()
    assert seen == []
    assert reduce_blocks(array, total, sum, "sum") == VALUES.sum()
    assert seen == [("sum", 8)]


def weighted(block: np.ndarray, weights: np.ndarray) -> int:
    return int((block * weights).sum())


def test_a_kernel_with_large_arrays_is_sent_once(client: Any) -> None:
    array = da.from_array(np.ones((64, 2000), np.int64), chunks=(1, 2000))
    weights = np.arange(2000)
    kernel = dask.delayed(partial(weighted, weights=weights))
    assert reduce_blocks(array, kernel, sum, None) == 64 * weights.sum()
