"""Planted clusters, and their map."""

from __future__ import annotations

from collections.abc import Iterator

import dask
import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.nn import mlp


def planted(n_frames: int = 6, n_atoms: int = 100, seed: int = 0) -> tuple[xr.Dataset, np.ndarray]:
    """Three clusters in five dimensions, and the cluster of each row."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 3, (n_frames, n_atoms))
    centers = np.random.default_rng(9).normal(0, 4, (3, 5))
    rows = centers[which] + rng.normal(0, 0.5, (*which.shape, 5))
    variable = (("frame", "atom", "component"), rows.astype(np.float32))
    return xr.Dataset({"latent": variable}), which


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short fit of networks."""
    monkeypatch.setattr(mlp, "FIT_STEPS", 300)


@pytest.fixture(scope="session")
def clusters() -> tuple[xr.Dataset, np.ndarray]:
    """Rows, and the cluster of each; not to be changed."""
    return planted()


@pytest.fixture(scope="session")
def fitted_map(clusters: tuple[xr.Dataset, np.ndarray]) -> Iterator[ice.UMAP]:
    """A map of the clusters."""
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(mlp, "FIT_STEPS", 300)
        yield ice.UMAP(n_neighbors=15, sample_size=400, layers=(32,)).fit(clusters[0])
