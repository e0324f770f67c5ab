"""A store written by version 0.1.0 opens, and its results are found, not computed again."""

from __future__ import annotations

import importlib.util
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import icedask as ice

DATA = Path(__file__).parent / "data"
ESTIMATORS = ("kmeans", "gmm", "hdbscan", "onion")
LABELS = {
    "lens of old",
    *(f"{name} model" for name in ESTIMATORS),
    *(f"{name} labels" for name in ESTIMATORS),
    *("structure-dynamics", "phases", "motifs"),
}


# Their ids contain Dask's name of the stored energies, which depends on the path of the store.
PATH_DEPENDENT = {"motif_table", "motif_categories"}
# Their ids contain a threshold that was computed with the bits of BLAS.
OF_OTHER_BITS = {"phases", "populations", "score_histogram"}


def _recipe() -> Any:
    spec = importlib.util.spec_from_file_location("old_store", DATA / "old_store.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECIPE = _recipe()


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(DATA / "store_0.1.0.tar.xz") as file:
        file.extractall(folder, filter="data")
    return folder / "store.zarr"


@pytest.fixture
def store(unpacked: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to write to, in which nothing new may appear."""
    copy = tmp_path / "store.zarr"
    shutil.copytree(unpacked, copy)
    before = ice.list_runs(copy)
    yield copy
    after = ice.list_runs(copy)
    new = after.drop(before.index)
    assert set(new["name"]) <= PATH_DEPENDENT | OF_OTHER_BITS, "computed again"
    pd.testing.assert_series_equal(after["created"].drop(new.index), before["created"])
    assert set(after["label"].dropna()) == set(before["label"].dropna())


def test_runs_and_labels(unpacked: Path) -> None:
    runs = ice.list_runs(unpacked)
    assert len(runs) == RECIPE.N_RUNS
    assert (runs["status"] == "complete").all()
    labels = runs["label"].dropna()
    assert set(labels) >= LABELS
    for run_id in runs.index[::3]:
        assert ice.open_run(unpacked, run_id).attrs["run_id"] == run_id
    for run_id, label in labels.items():
        attrs = ice.open_run(unpacked, label).attrs
        assert (attrs["run_id"], attrs["label"]) == (run_id, label)


def test_values(unpacked: Path) -> None:
    trj = ice.open_trajectory(unpacked)
    xr.testing.assert_equal(trj["positions"].compute(), RECIPE.trajectory()["positions"])
    lens = ice.open_run(unpacked, "lens of old")["lens"]
    np.testing.assert_array_equal(lens, ice.lens(trj, r_cut=4.0)["lens"])
    # K-means labels are the nearest centres of its model.
    labels = ice.open_run(unpacked, "kmeans labels")
    latent = ice.open_run(unpacked, labels.attrs["parents"][-1])["latent"].values
    centers = ice.open_run(unpacked, "kmeans model")["cluster_centers"].values
    nearest = np.linalg.norm(latent[..., None, :] - centers, axis=-1).argmin(-1)
    known = np.isfinite(latent).all(-1)
    assert known.sum() == 11 * 16
    np.testing.assert_array_equal(labels["label"].values[known], nearest[known])


@pytest.mark.slow
def test_descriptors_states_and_their_workflow_are_found(store: Path) -> None:
    trj = ice.open_trajectory(store)
    saved = RECIPE.descriptors(trj, store)
    RECIPE.states(saved["soap"], saved["lens"], store)
    RECIPE.structure_dynamics(trj, store)


@pytest.mark.slow
@pytest.mark.parametrize("workflow", ["phases", "motifs"])
def test_workflows_find_their_results(store: Path, workflow: str) -> None:
    getattr(RECIPE, workflow)(ice.open_trajectory(store), store)
