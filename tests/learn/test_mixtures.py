"""K-means and Gaussian mixtures against scikit-learn, for any blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.cluster
import sklearn.mixture
import xarray as xr
from helpers.systems import system
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score

import icedask as ice
from icedask.errors import InputError

CENTERS = np.array([[0.0, 0, 0], [3, 0, 1], [0, 4, 0], [8, 8, 8]])
BLOCKS = [(12, 150), (1, 150), (5, 31)]


def overlapping(n_frames: int = 12, n_atoms: int = 150, seed: int = 0) -> xr.Dataset:
    """Four Gaussians of different shape, on a large constant."""
    rng = np.random.default_rng(seed)
    shapes = rng.normal(0, 0.7, (4, 3, 3))
    which = rng.integers(0, 4, (n_frames, n_atoms))
    rows = CENTERS[which] + np.einsum(
        "fai,faij->faj", rng.normal(size=(*which.shape, 3)), shapes[which]
    )
    return xr.Dataset({"latent": (("frame", "atom", "component"), rows + 50.0)})


def start(k: int, seed: int = 3) -> np.ndarray:
    rows = overlapping()["latent"].values.reshape(-1, 3)
    return rows[np.random.default_rng(seed).choice(len(rows), k, replace=False)]


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("k", [1, 3, 4, 9])
def test_kmeans_equals_scikit_learn(blocks: tuple[int, int], k: int) -> None:
    x = overlapping()
    rows = x["latent"].values.reshape(-1, 3)
    theirs = sklearn.cluster.KMeans(k, init=start(k), n_init=1, algorithm="lloyd").fit(rows)
    ours = ice.KMeans(k, init=start(k)).fit(x.chunk({"frame": blocks[0], "atom": blocks[1]}))
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-6)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-6)
    assert ours.n_samples_ == len(rows)
    labels = ours.predict(x)["label"].values.ravel()
    np.testing.assert_array_equal(labels, theirs.labels_)


def mixture_start(k: int) -> dict[str, Any]:
    return {
        "weights_init": np.full(k, 1 / k),
        "means_init": start(k),
        "covariances_init": np.tile(np.eye(3) * 4, (k, 1, 1)),
    }


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("k", [1, 3, 4, 6])
def test_mixture_equals_scikit_learn(blocks: tuple[int, int], k: int) -> None:
    x = overlapping()
    rows = x["latent"].values.reshape(-1, 3)
    initial = mixture_start(k)
    theirs = sklearn.mixture.GaussianMixture(
        k,
        weights_init=initial["weights_init"],
        means_init=initial["means_init"],
        precisions_init=np.linalg.inv(initial["covariances_init"]),
        tol=1e-5,
        max_iter=500,
    ).fit(rows)
    lazy = x.chunk({"frame": blocks[0], "atom": blocks[1]})
    ours = ice.GaussianMixture(k, **initial, tol=1e-5, max_iter=500).fit(lazy)
    assert ours.converged_
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.weights_, theirs.weights_, atol=1e-6)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-6)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, atol=1e-6)
    assert ours.bic_ == pytest.approx(theirs.bic(rows), rel=1e-9)
    assert ours.aic_ == pytest.approx(theirs.aic(rows), rel=1e-9)
    predicted = ours.predict(lazy)
    np.testing.assert_array_equal(predicted["label"].values.ravel(), theirs.predict(rows))
    np.testing.assert_allclose(
        predicted["probability"].values.ravel(), theirs.predict_proba(rows).max(1), atol=1e-5
    )


@pytest.mark.slow
def test_bic_finds_the_number_of_components() -> None:
    x = overlapping(20, 300)
    bic = {k: ice.GaussianMixture(k, n_init=3, tol=1e-4).fit(x).bic_ for k in (2, 3, 4, 5, 6)}
    assert min(bic, key=lambda k: bic[k]) == 4


@pytest.mark.parametrize("model", [ice.KMeans(4), ice.GaussianMixture(4)])
def test_start_from_a_sample(model: Any) -> None:
    x = overlapping(30, 200)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (30, 200))
    x["latent"][:] = 6 * CENTERS[truth] + rng.normal(size=(30, 200, 3))
    model.set_params(sample_size=400).fit(x)
    labels = model.predict(x)["label"].values
    assert adjusted_rand_score(truth.ravel(), labels.ravel()) == 1
    centers = model.cluster_centers_ if isinstance(model, ice.KMeans) else model.means_
    np.testing.assert_allclose(centers[2:], 6 * CENTERS[[1, 3]], atol=0.3)


def test_an_empty_cluster_restarts() -> None:
    rows = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    x = xr.Dataset({"latent": (("frame", "atom", "component"), rows[None])})
    init = np.array([[0.0], [5.0], [1e6]])
    ours = ice.KMeans(3, init=init).fit(x.chunk({"atom": 2}))
    theirs = sklearn.cluster.KMeans(3, init=init, n_init=1).fit(rows)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_)


@pytest.mark.parametrize("model", [ice.KMeans(2), ice.GaussianMixture(2)])
def test_rows_with_nan(model: Any) -> None:
    x = overlapping()
    x["latent"][-2:, :, 1] = np.nan
    labels = model.fit(x.chunk({"frame": 4})).predict(x)["label"].values
    assert model.n_samples_ == 10 * 150
    assert (labels[-2:] == -1).all()
    assert (labels[:-2] >= 0).all()


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("model", [ice.KMeans(3), ice.GaussianMixture(3)])
def test_on_workers(model: Any) -> None:
    x = overlapping().chunk({"frame": 2, "atom": 80})
    there = model.fit(x).to_dataset()
    import dask

    with dask.config.set(scheduler="sync"):
        labels = model.predict(x)["label"].values
    np.testing.assert_array_equal(model.predict(x)["label"].values, labels)
    assert there.attrs["n_samples"] == 1800


@pytest.mark.parametrize(
    "model",
    [ice.KMeans(3), ice.KMeans(2, init=[[0.0], [0.4]]), ice.GaussianMixture(2)],
)
def test_stored_and_loaded(model: Any, tmp_path: Path) -> None:
    trj = ice.from_ase([system("orthogonal")] * 4)
    trj["positions"][1:] += np.random.default_rng(0).normal(0, 0.5, trj["positions"].shape[1:])
    lens = ice.lens(trj, r_cut=3.5)
    labels = ice.save(model.fit(lens).predict(lens), tmp_path / "s.zarr", label="states")
    ice.save(model, tmp_path / "s.zarr", label="model")
    loaded = ice.load_model(tmp_path / "s.zarr", "model")
    again = loaded.predict(lens)
    assert again.attrs["run_id"] == labels.attrs["run_id"]
    np.testing.assert_array_equal(again["label"], labels["label"])
    assert loaded.to_dataset().attrs["run_id"] == model.to_dataset().attrs["run_id"]
    assert (labels["label"][-1] == -1).all()


def test_predict_is_lazy(nothing_computes: None) -> None:
    import dask

    with dask.config.set(scheduler="sync"):
        models = [ice.KMeans(2).fit(overlapping()), ice.GaussianMixture(2).fit(overlapping())]
    for model in models:
        assert dask.is_dask_collection(model.predict(overlapping().chunk({"frame": 3}))["label"])


def test_warning_of_unsaved_input(caplog: pytest.LogCaptureFixture) -> None:
    ice.KMeans(2).fit(overlapping().chunk({"frame": 3}))
    assert "save(x, store) first" in caplog.text


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: ice.KMeans(0), "n_clusters: expected at least 1"),
        (lambda: ice.KMeans(2.0), "n_clusters: expected a whole number"),  # type: ignore[arg-type]
        (lambda: ice.KMeans(2, tol=-1), "tol: expected at least 0"),
        (
            lambda: ice.KMeans(2, init=[[0.0, 0, 0]]),
            r"init: expected finite numbers of the shape \(2, 3\)",
        ),
        (lambda: ice.KMeans(2, init="k-means++"), "init: expected finite numbers"),  # type: ignore[arg-type]
        (lambda: ice.KMeans(2, tol="small"), "tol: expected a number"),  # type: ignore[arg-type]
        (lambda: ice.KMeans(2, seed=2**32), "seed: expected at most 4294967295"),
        (lambda: ice.KMeans(5000), "at least 5000 distinct rows"),
        (lambda: ice.GaussianMixture(0), "n_components: expected at least 1"),
        (lambda: ice.GaussianMixture(2, reg_covar=-1.0), "reg_covar"),
        (lambda: ice.GaussianMixture(2, means_init=start(2)), "expected weights_init, means_init"),
        (
            lambda: ice.GaussianMixture(
                2, **{**mixture_start(2), "covariances_init": np.zeros((2, 3, 3))}
            ),
            "singular",
        ),
        (
            lambda: ice.GaussianMixture(
                2,
                **{
                    **mixture_start(2),
                    "covariances_init": np.tile(np.eye(3) + np.triu(np.ones((3, 3)), 1), (2, 1, 1)),
                },
            ),
            "symmetric",
        ),
        (
            lambda: ice.GaussianMixture(2, **{**mixture_start(2), "weights_init": [1.5, -0.5]}),
            "weights_init",
        ),
    ],
)
def test_bad_parameters(model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model().fit(overlapping())


def test_one_distinct_row() -> None:
    x = xr.Dataset({"latent": (("frame", "atom", "component"), np.ones((2, 5, 2)))})
    assert ice.KMeans(1).fit(x).cluster_centers_.tolist() == [[1.0, 1.0]]
    with pytest.raises(InputError, match="at least 2 distinct rows"):
        ice.GaussianMixture(2).fit(x)


@pytest.mark.parametrize("shape", [(0, 5, 2), (5, 0, 2)])
def test_no_rows(shape: tuple[int, ...]) -> None:
    x = xr.Dataset({"latent": (("frame", "atom", "component"), np.ones(shape))})
    for model in (ice.KMeans(1), ice.GaussianMixture(1), ice.HDBSCAN(5)):
        with pytest.raises(InputError, match="without NaN, found 0"):
            model.fit(x)


def test_singular_sample() -> None:
    x = overlapping()
    twice = xr.concat([x, x], "component")
    with pytest.raises(InputError, match="a larger reg_covar"):
        ice.GaussianMixture(2, reg_covar=0).fit(twice)
    with pytest.raises(InputError, match="found a singular one"):
        ice.GaussianMixture(1).fit(x.isel(frame=[0], atom=[0]))


@pytest.mark.parametrize("rows", [slice(None), slice(0, 1)])
def test_values_without_squares(rows: slice) -> None:
    x = overlapping()
    x["latent"].values[0, rows] *= 1e200
    for model in (ice.KMeans(2), ice.GaussianMixture(2), ice.PCA(1)):
        with pytest.raises(InputError, match="scale"):
            model.fit(x)
    # An outlier that no start has seen.
    for model in (ice.KMeans(2, init=start(2)), ice.GaussianMixture(2, **mixture_start(2))):
        with pytest.raises(InputError, match="scale"):
            model.fit(x)


def test_not_fitted() -> None:
    for model in (ice.KMeans(2), ice.GaussianMixture(2)):
        with pytest.raises(NotFittedError, match="call fit"):
            model.predict(overlapping())
