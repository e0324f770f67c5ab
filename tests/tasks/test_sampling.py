"""Stratified samples: the same number of rows in every frame, and the rows of any blocks."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from icedask.tasks import graphs
from icedask.tasks.sampling import draw, rows_at, stratified_sample


def test_draw() -> None:
    assert np.bincount(draw(7, 50, 23, 0)[:, 0], minlength=7).max() == 4
    assert len(draw(7, 50, 23, 0)) == 23
    assert len(np.unique(draw(7, 50, 300, 0), axis=0)) == 300
    assert len(draw(7, 50, 9999, 0)) == 350
    assert not np.array_equal(draw(7, 50, 23, 0), draw(7, 50, 23, 1))


@pytest.mark.parametrize("chunks", [(7, 50, 3), (1, 50, 3), (3, 11, 3), ((1, 0, 6), (49, 1), 3)])
@pytest.mark.parametrize("wave_tasks", [4096, 3])
def test_rows_of_any_blocks(chunks: Any, wave_tasks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "WAVE_TASKS", wave_tasks)
    values = np.random.default_rng(0).normal(size=(7, 50, 3))
    lazy = da.from_array(values, chunks=chunks)
    chosen = np.random.default_rng(1).permutation(draw(7, 50, 40, 0))
    np.testing.assert_array_equal(rows_at(lazy, chosen), values[chosen[:, 0], chosen[:, 1]])
    assert rows_at(lazy, chosen[:0]).shape == (0, 3)


def test_rows_with_nan_are_dropped() -> None:
    values = np.random.default_rng(0).normal(size=(6, 20, 2))
    values[3] = np.nan
    sample = stratified_sample(da.from_array(values, chunks=(2, 20, 2)), 60, 5)
    assert np.bincount(sample.frame).tolist() == [10, 10, 10, 0, 10, 10]
    np.testing.assert_array_equal(sample.rows, values[sample.frame, sample.atom])
