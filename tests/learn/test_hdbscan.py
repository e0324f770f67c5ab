"""HDBSCAN: prediction against the hdbscan library, samples, storage."""

from __future__ import annotations

import warnings
from pathlib import Path

import hdbscan
import numpy as np
import pytest
import xarray as xr
from helpers.systems import system
from sklearn.metrics import adjusted_rand_score

import icedask as ice
from icedask.errors import InputError
from icedask.learn.density_tree import DensityTree


def blobs(n: int, seed: int) -> np.ndarray:
    """Three clusters of different density, one of them in two parts, and background."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal([0, 0, 0], 0.2, (n, 3)),
        rng.normal([3, 0, 0], 0.5, (n, 3)),
        rng.normal([0, 4, 0], 0.15, (n // 2, 3)),
        rng.normal([0, 4.9, 0], 0.15, (n // 2, 3)),
        rng.uniform(-2, 6, (n // 3, 3)),
    ]
    return rng.permutation(np.concatenate(parts))


def dataset(n_frames: int = 6, seed: int = 0) -> xr.Dataset:
    rows = np.stack([blobs(150, seed + frame) for frame in range(n_frames)])
    return xr.Dataset({"latent": (("frame", "atom", "component"), rows)})


def fitted(method: str, min_samples: int) -> tuple[hdbscan.HDBSCAN, np.ndarray]:
    points = blobs(400, 11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clusterer = hdbscan.HDBSCAN(
            min_cluster_size=20,
            min_samples=min_samples,
            cluster_selection_method=method,
            prediction_data=True,
        ).fit(points)
    return clusterer, points


@pytest.mark.parametrize("method", ["eom", "leaf"])
@pytest.mark.parametrize("min_samples", [5, 20])
def test_prediction_equals_approximate_predict(method: str, min_samples: int) -> None:
    clusterer, points = fitted(method, min_samples)
    new = blobs(500, 12)
    expected, strength = hdbscan.approximate_predict(clusterer, new)
    tree = DensityTree.of(clusterer, points, min_samples)
    labels, probability = tree.predict(new, assign_noise=False)
    assert tree.n_labels >= 3
    assert np.mean(labels != expected) < 0.002
    same = labels == expected
    np.testing.assert_allclose(probability[same], strength[same], atol=1e-3)


@pytest.mark.parametrize("method", ["eom", "leaf"])
def test_noise_goes_to_the_largest_soft_membership(method: str) -> None:
    clusterer, points = fitted(method, 10)
    new = blobs(300, 13)
    tree = DensityTree.of(clusterer, points, 10)
    labels, _ = tree.predict(new, assign_noise=False)
    assigned, strength = tree.predict(new, assign_noise=True)
    noise = labels < 0
    assert noise.sum() > 50
    np.testing.assert_array_equal(assigned[~noise], labels[~noise])
    assert (strength[noise] == 0).all()
    membership = hdbscan.membership_vector(clusterer, new[noise])
    assert np.mean(assigned[noise] == membership.argmax(axis=1)) > 0.99


@pytest.mark.parametrize("blocks", [(6, 550), (1, 550), (4, 97)])
def test_blocks_change_nothing(blocks: tuple[int, int]) -> None:
    x = dataset()
    whole = ice.HDBSCAN(25, sample_size=1000, seed=3).fit(x)
    split = x.chunk({"frame": blocks[0], "atom": blocks[1]})
    chunked = ice.HDBSCAN(25, sample_size=1000, seed=3).fit(split)
    np.testing.assert_array_equal(chunked.labels_, whole.labels_)
    np.testing.assert_array_equal(chunked.predict(split)["label"], whole.predict(x)["label"])


def test_finds_the_clusters() -> None:
    x = dataset()
    model = ice.HDBSCAN(30, sample_size=1500, assign_noise=True)
    labels = model.fit_predict(x)["label"].values
    truth = (x["latent"].values[..., 0] > 1.5) + 2 * (x["latent"].values[..., 1] > 2)
    known = truth < 3
    assert model.n_clusters_ in (3, 4)
    assert adjusted_rand_score(truth[known], labels[known]) > 0.8
    assert labels.dtype == np.int32
    assert (labels >= 0).all()


def test_sample_has_every_frame() -> None:
    model = ice.HDBSCAN(20, sample_size=600, holdout=0).fit(dataset())
    assert len(model.labels_) == 600
    assert np.bincount(model.sample_frame_).tolist() == [100] * 6
    rows = dataset()["latent"].values[model.sample_frame_, model.sample_atom_]
    np.testing.assert_array_equal(rows, model.tree_.points)
    assert model.agreement_ is None


def test_agreement_is_reported() -> None:
    model = ice.HDBSCAN(25, sample_size=1000, holdout=0.25).fit(dataset())
    assert model.agreement_ is not None
    assert model.agreement_["n"] == 250
    assert model.agreement_["adjusted_rand"] > 0.8
    assert len(model.labels_) == 1000


def test_nan_rows_are_noise() -> None:
    x = dataset()
    x["latent"][-1] = np.nan
    model = ice.HDBSCAN(25, sample_size=1000, assign_noise=True).fit(x)
    predicted = model.predict(x)
    assert (predicted["label"].values[-1] == -1).all()
    assert (predicted["probability"].values[-1] == 0).all()
    assert 5 not in model.sample_frame_


def test_all_noise() -> None:
    rng = np.random.default_rng(0)
    x = xr.Dataset({"latent": (("frame", "atom", "component"), rng.uniform(size=(1, 60, 5)))})
    model = ice.HDBSCAN(40, assign_noise=True, holdout=0).fit(x)
    assert model.n_clusters_ == 0
    assert (model.predict(x)["label"].values == -1).all()


def test_stored_and_loaded(tmp_path: Path) -> None:
    x = dataset()
    model = ice.HDBSCAN(25, sample_size=1000, assign_noise=True).fit(x)
    ice.save(model, tmp_path / "s.zarr", label="states")
    loaded = ice.load_model(tmp_path / "s.zarr", "states")
    assert loaded.get_params() == model.get_params()
    assert loaded.agreement_ == model.agreement_
    assert loaded.predict(x).attrs["run_id"] == model.predict(x).attrs["run_id"]
    xr.testing.assert_equal(loaded.predict(x).compute(), model.predict(x).compute())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_cluster_size": 1}, "min_cluster_size: expected at least 2"),
        ({"min_cluster_size": 5, "min_samples": 0}, "min_samples"),
        ({"min_cluster_size": 5, "holdout": 1.5}, "holdout"),
        ({"min_cluster_size": 5, "cluster_selection_method": "best"}, "expected one of eom, leaf"),
        ({"min_cluster_size": 5000}, "need at least 5001 rows"),
    ],
)
def test_bad_parameters(parameters: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.HDBSCAN(**parameters).fit(dataset())


def test_label_and_probability_are_one_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = DensityTree.predict
    monkeypatch.setattr(
        DensityTree, "predict", lambda *a, **k: (calls.append(1), original(*a, **k))[1]
    )
    trj = ice.from_ase([system("orthogonal")] * 6)
    trj["positions"][:] += np.random.default_rng(0).normal(0, 0.3, trj["positions"].shape)
    soap = ice.soap(trj, r_cut=3.5, n_max=2, l_max=2).chunk({"frame": 2})
    latent = ice.PCA(2).fit_transform(soap)
    model = ice.HDBSCAN(30, sample_size=500, holdout=0).fit(latent)
    ice.save(model.predict(latent), tmp_path / "s.zarr")
    assert len(calls) == 3
