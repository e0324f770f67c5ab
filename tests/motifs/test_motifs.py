"""Motifs of planted clusters: labels of all rows, abstention, storing, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import adjusted_rand_score

import icedask as ice
from icedask.errors import InputError
from icedask.motifs.motifs import clusters as find_clusters
from icedask.motifs.motifs import ordered
from icedask.nn import mlp

Clusters = tuple[xr.Dataset, np.ndarray]


def values(which: np.ndarray, means: list[float]) -> xr.Dataset:
    noise = np.random.default_rng(0).normal(0, 0.1, which.shape)
    return xr.Dataset({"energy": (("frame", "atom"), np.array(means)[which] + noise)})


@pytest.fixture(scope="module")
def plain(clusters: Clusters, fitted_map: ice.UMAP) -> ice.Motifs:
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(mlp, "FIT_STEPS", 300)
        x, which = clusters
        return ice.Motifs(30, layers=(32,)).fit(x, fitted_map, values(which, [2.0, 1.0, 3.0]))


def test_every_row_is_labelled(clusters: Clusters, plain: ice.Motifs) -> None:
    x, which = clusters
    predicted = plain.predict(x)
    assert plain.n_motifs_ == 3
    # Numbered by the medians of the values.
    np.testing.assert_array_equal(predicted["label"], np.array([1, 0, 2])[which])
    assert predicted["label"].dtype == np.int32
    assert (predicted["probability"].values > 0.6).all()
    assert predicted["label"].attrs["flag_values"] == [0, 1, 2]
    assert predicted["label"].attrs["flag_meanings"] == "motif_0 motif_1 motif_2"
    assert plain.agreement_ is not None
    assert plain.agreement_["n"] == 80
    assert plain.agreement_["accuracy"] == plain.agreement_["adjusted_rand"] == 1
    assert plain.agreement_["noise"] == plain.agreement_["abstained"] == 0


def test_abstains_between_clusters(clusters: Clusters, plain: ice.Motifs) -> None:
    x, which = clusters
    rows = x["latent"].values
    first, second = (rows[which == cluster].mean(axis=0) for cluster in (0, 2))
    between = first + np.linspace(0, 1, 2001)[:, None] * (second - first)
    way = xr.Dataset({"latent": (("frame", "atom", "component"), between[None])})
    predicted = plain.predict(way)
    label = predicted["label"].values[0]
    assert label[0] == 1 and label[-1] == 2
    doubtful = predicted["probability"].values[0] < 0.6
    assert 0 < doubtful.sum() < 1000
    np.testing.assert_array_equal(label < 0, doubtful)


def test_abstains_where_there_is_noise(
    clusters: Clusters, fitted_map: ice.UMAP, few_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from icedask.motifs import motifs

    x, which = clusters
    truth = which[fitted_map.sample_frame_, fitted_map.sample_atom_]
    labels = np.where(truth == 2, -1, truth).astype(np.int32)
    monkeypatch.setattr(motifs, "clusters", lambda *a, **k: labels)
    model = ice.Motifs(30, layers=(32,)).fit(x, fitted_map)
    assert model.n_motifs_ == 2
    np.testing.assert_array_equal(model.predict(x)["label"], np.where(which == 2, -1, which))
    assert model.agreement_ is not None
    assert model.agreement_["noise"] == model.agreement_["abstained"] > 0.2


def test_clusters_of_a_map() -> None:
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [5, 0], [0, 5]])
    places = np.concatenate([centers[i] + rng.normal(0, 0.2, (60, 2)) for i in range(3)])
    places = np.concatenate([places, rng.uniform(-2, 7, (20, 2))]).astype(np.float32)
    labels = find_clusters(places, 20, None, "eom")
    truth = np.repeat([0, 1, 2], 60)
    assert adjusted_rand_score(truth, labels[:180]) > 0.9
    assert (labels[180:] < 0).any()
    assigned = find_clusters(places, 20, None, "eom", assign_noise=True)
    assert (assigned >= 0).all()
    np.testing.assert_array_equal(assigned[labels >= 0], labels[labels >= 0])


def test_rows_with_nan_have_no_motif(clusters: Clusters, plain: ice.Motifs) -> None:
    x = clusters[0].copy(deep=True)
    x["latent"][1, 3, 2] = np.nan
    predicted = plain.predict(x)
    assert predicted["label"].values[1, 3] == -1
    assert predicted["probability"].values[1, 3] == 0
    assert (predicted["label"].values < 0).sum() == 1


def test_clusters_without_values_are_the_last(clusters: Clusters, fitted_map: ice.UMAP) -> None:
    x, which = clusters
    by = values(which, [np.nan, 2.0, 1.0])
    model = ice.Motifs(30, layers=(32,), holdout=0).fit(x, fitted_map, by)
    np.testing.assert_array_equal(model.predict(x)["label"], np.array([2, 1, 0])[which])
    assert model.agreement_ is None


def test_predict_is_lazy_in_any_blocks(
    clusters: Clusters, plain: ice.Motifs, nothing_computes: None
) -> None:
    x, which = clusters
    label = plain.predict(x.chunk({"frame": 4, "atom": 7}))["label"]
    assert dask.is_dask_collection(label)
    with dask.config.set(scheduler="sync"):
        np.testing.assert_array_equal(label, np.array([1, 0, 2])[which])


def test_stored_and_loaded(clusters: Clusters, plain: ice.Motifs, tmp_path: Path) -> None:
    x, _ = clusters
    ice.save(plain, tmp_path / "s.zarr", label="motifs")
    loaded = ice.load_model(tmp_path / "s.zarr", "motifs")
    assert loaded.n_motifs_ == 3 and loaded.agreement_ == plain.agreement_
    np.testing.assert_array_equal(loaded.labels_, plain.labels_)
    assert loaded.predict(x).attrs["run_id"] == plain.predict(x).attrs["run_id"]
    xr.testing.assert_equal(loaded.predict(x).compute(), plain.predict(x).compute())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_cluster_size": 1}, "2 rows to less than the 400 of the sample"),
        ({"min_cluster_size": 0.001}, "2 rows to less than the 400 of the sample"),
        ({"min_cluster_size": 400}, "2 rows to less than the 400 of the sample"),
        ({"min_cluster_size": "few"}, "min_cluster_size: expected a number"),
        ({"min_samples": 0}, "min_samples: expected at least 1"),
        ({"cluster_selection_method": "best"}, "expected one of eom, leaf, found 'best'"),
        ({"min_probability": 1.0}, "min_probability: expected less than 1"),
        ({"holdout": None}, "holdout: expected a number"),
        ({"layers": (0,)}, "layers: expected at least 1"),
        ({"seed": 0.5}, "seed: expected a whole number"),
        ({"min_cluster_size": 300}, "expected clusters of 300 rows or more in the map, found none"),
    ],
)
def test_bad_parameters(
    clusters: Clusters, fitted_map: ice.UMAP, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"Motifs: .*{message}|Motifs: {message}"):
        ice.Motifs(**changes).fit(clusters[0], fitted_map)


def test_inputs_of_other_rows_are_refused(
    clusters: Clusters, fitted_map: ice.UMAP, plain: ice.Motifs
) -> None:
    x, which = clusters
    with pytest.raises(InputError, match="expected the Dataset that the map was fitted on"):
        ice.Motifs(30).fit(x + 1, fitted_map)
    with pytest.raises(InputError, match=r"Motifs: by: expected the same frames in both, found 6"):
        ice.Motifs(30).fit(x, fitted_map, values(which[:2], [1.0, 2.0, 3.0]))
    with pytest.raises(InputError, match=r"by: expected a variable \(frame, atom\), found 5"):
        ice.Motifs(30).fit(x, fitted_map, x)
    with pytest.raises(InputError, match="expected 5 features as in the fit, found 4"):
        plain.predict(x.isel(component=slice(4)))


def test_motifs_without_values_are_numbered_last() -> None:
    labels = np.array([0, 0, 1, 1, 2, -1], np.int32)
    values = np.array([np.nan, np.nan, 5, 7, 1, 0])
    assert ordered(labels, values).tolist() == [2, 2, 1, 1, 0, -1]


def test_maps_and_motifs_of_a_collection() -> None:
    sizes = {"a": (3, 40), "b": (1, 500), "c": (5, 60)}
    members = {}
    for seed, (name, shape) in enumerate(sizes.items()):
        rows = np.random.default_rng(seed).normal(2.0 * (name == "b"), 0.5, (*shape, 4))
        members[name] = xr.Dataset({"latent": (("frame", "atom", "component"), rows)})
    x = ice.Collection(members)
    umap = ice.UMAP(n_neighbors=10, sample_size=300, farthest=0.0).fit(x)
    shares = np.bincount(umap.sample_member_, minlength=3) / len(umap.sample_)
    np.testing.assert_allclose(shares, np.array([120, 500, 300]) / 920, atol=0.02)
    row = x["b"]["latent"].values[0, umap.sample_atom_[umap.sample_member_ == 1]]
    np.testing.assert_array_equal(umap.sample_[umap.sample_member_ == 1], row)
    by = x.map(lambda each: each.isel(component=0)[["latent"]])
    labels = ice.Motifs(40).fit(x, umap, by).predict(x)
    assert labels["a"]["label"].attrs["flag_meanings"].split()[0] == "motif_0"
    low, high = (np.median(labels[name]["label"]) for name in "ab")
    assert low < high
