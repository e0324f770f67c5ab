"""Training of an autoencoder on several ranks: equal to one process, also after a lost worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr

import icedask as ice
from icedask.errors import InputError
from icedask.tasks.run import computed_here

OPTIONS: dict[str, Any] = {"layers": (16,), "epochs": 5, "batch_size": 64, "warm_up": 1}


@pytest.fixture
def two(client: Any) -> Iterator[Any]:
    """Two workers, restarted after tests that kill them."""
    client.wait_for_workers(2, timeout=60)
    yield client
    client.wait_for_workers(2, timeout=60)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 12))
    return np.tanh(rng.normal(size=(32, 30, 3)) @ mixing).astype(np.float32)


def dataset(values: Any) -> xr.Dataset:
    return xr.Dataset({"features": (("frame", "atom", "feature"), values)})


@pytest.fixture(scope="module")
def alone(rows: np.ndarray) -> ice.VAE:
    with computed_here(), dask.config.set(scheduler="sync"):
        return ice.VAE(2, **OPTIONS).fit(dataset(rows))


def test_two_ranks_equal_one(two: Any, alone: ice.VAE, rows: np.ndarray) -> None:
    parallel = ice.VAE(2, **OPTIONS).fit(dataset(rows), n_ranks=2)
    assert len(parallel.step_loss_) == len(alone.step_loss_) > 50
    np.testing.assert_allclose(parallel.step_loss_, alone.step_loss_, rtol=1e-5)
    for name, weight in alone.weights_.items():
        np.testing.assert_allclose(parallel.weights_[name], weight, atol=1e-4)
    for name, curve in alone.curves_.items():
        np.testing.assert_allclose(parallel.curves_[name], curve, rtol=1e-4)
    np.testing.assert_array_equal(parallel.held_frames_, alone.held_frames_)
    # The number of ranks is not a parameter.
    assert parallel.record_.run_id == alone.record_.run_id


@pytest.mark.slow
def test_a_killed_rank_changes_nothing(
    two: Any, alone: ice.VAE, rows: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, killed, here = tmp_path / "state", tmp_path / "killed", os.getpid()

    def deadly(block: np.ndarray) -> np.ndarray:
        # Some blocks are read after the first epoch only.
        if checkpoint.exists() and not killed.exists() and os.getpid() != here:
            killed.write_bytes(checkpoint.read_bytes())
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    values = da.from_array(rows, chunks=(1, 30, 12)).map_blocks(
        deadly, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)
    )
    restarted = ice.VAE(2, **OPTIONS).fit(dataset(values), n_ranks=2, checkpoint=checkpoint)
    assert "all 2 ranks restart (1 of 3 times)" in caplog.text
    assert 1 <= torch.load(killed, weights_only=True)["state"]["epoch"] < 5
    assert not checkpoint.exists()
    np.testing.assert_allclose(restarted.step_loss_, alone.step_loss_, rtol=1e-5)
    for name, weight in alone.weights_.items():
        np.testing.assert_allclose(restarted.weights_[name], weight, atol=1e-4)


def test_more_ranks_than_workers_or_blocks(two: Any, rows: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected 3 workers for 3 ranks, found 2"):
        ice.VAE(2, **OPTIONS).fit(dataset(rows), n_ranks=3)
    few = np.full((32, 30, 12), np.nan, np.float32)
    few[:1] = rows[:1]
    x = dataset(few).chunk({"frame": 1})
    with pytest.raises(InputError, match="at least one block of rows for each of 2 ranks, found 1"):
        ice.VAE(2, **OPTIONS, holdout=0.0).fit(x, n_ranks=2)
