"""Planted clusters, and a map of them, which takes seconds to make."""

from __future__ import annotations

from collections.abc import Iterator

import dask
import numpy as np
import pytest
import xarray as xr

import icedask as ice
from icedask.nn import fit_mlp as distil


def planted(n_frames: int = 6, n_atoms: int = 100, seed: int = 0) -> tuple[xr.Dataset, np.ndarray]:
    """Three clusters in five dimensions, and which one each row is of."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 3, (n_frames, n_atoms))
    centers = np.random.default_rng(9).normal(0, 4, (3, 5))
    rows = centers[which] + rng.normal(0, 0.5, (*which.shape, 5))
    variable = (("frame", "atom", "component"), rows.astype(np.float32))
    return xr.Dataset({"latent": variable}), which


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that learn for a short time."""
    monkeypatch.setattr(distil, "_STEPS", 300)


@pytest.fixture(scope="session")
def clusters() -> tuple[xr.Dataset, np.ndarray]:
    """Rows, and which cluster each is of; not to be changed."""
    return planted()


@pytest.fixture(scope="session")
def fitted_map(clusters: tuple[xr.Dataset, np.ndarray]) -> Iterator[ice.UMAP]:
    """A map of the clusters."""
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(distil, "_STEPS", 300)
        yield ice.UMAP(n_neighbors=15, sample_size=400, layers=(32,)).fit(clusters[0])
