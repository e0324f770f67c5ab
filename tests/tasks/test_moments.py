"""Moments of rows: exact, the same for any waves, blocks and workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

import icedask as ice
from icedask.tasks import graphs
from icedask.tasks import run as compute
from icedask.tasks.moments import moments as compute_moments


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No workers but this thread, whatever other tests have started."""
    monkeypatch.setattr(compute, "active_client", lambda *_: None)
    with dask.config.set(scheduler="sync"):
        yield


@pytest.mark.parametrize("size", [8, 3, 1])
def test_moments(monkeypatch: pytest.MonkeyPatch, here: None, size: int) -> None:
    values = np.random.default_rng(0).normal(3, 2, (16, 30, 5))
    lazy = da.from_array(values, chunks=(2, 30, 5))
    whole = compute_moments(lazy, "fit")
    monkeypatch.setattr(graphs, "WAVE_TASKS", size)
    cut, again = compute_moments(lazy, "fit"), compute_moments(lazy, "fit")
    rows = values.reshape(-1, 5)
    assert cut.n == whole.n == len(rows)
    np.testing.assert_allclose(cut.mean, rows.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(cut.scatter, np.cov(rows.T, bias=True) * len(rows), rtol=1e-12)
    np.testing.assert_array_equal(cut.scatter, again.scatter)
    if size == 8:
        np.testing.assert_array_equal(cut.scatter, whole.scatter)


def test_moments_do_not_depend_on_timing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "WAVE_TASKS", 3)
    values = np.random.default_rng(1).normal(3, 2, (16, 30, 5)).astype(np.float32)
    there = compute_moments(da.from_array(values, chunks=(2, 30, 5)), "fit")
    monkeypatch.setattr(compute, "active_client", lambda *_: None)
    here = compute_moments(da.from_array(values, chunks=(2, 30, 5)), "fit")
    np.testing.assert_array_equal(here.mean, there.mean)
    np.testing.assert_array_equal(here.scatter, there.scatter)


def test_no_rows_at_all(here: None) -> None:
    with pytest.raises(ice.InputError, match="at least two rows"):
        compute_moments(da.full((4, 3, 2), np.nan, chunks=(1, 3, 2)), "fit")
