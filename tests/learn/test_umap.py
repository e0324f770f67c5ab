"""UMAP: the recorded sample, farthest-point sampling, and the network that maps every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from sklearn.exceptions import NotFittedError
from sklearn.metrics import silhouette_score

import icedask as ice
from icedask.errors import InputError
from icedask.learn import umap as module
from icedask.learn.umap import farthest_rows, split_rows

Clusters = tuple[xr.Dataset, np.ndarray]


def test_rows_are_mapped_to_their_clusters(clusters: Clusters, fitted_map: ice.UMAP) -> None:
    x, which = clusters
    latent = fitted_map.transform(x)["latent"]
    assert latent.dims == ("frame", "atom", "component") and latent.dtype == np.float32
    assert silhouette_score(latent.values.reshape(-1, 2), which.ravel()) > 0.7
    # Near the coordinates of the sample by UMAP.
    places = latent.values[fitted_map.sample_frame_, fitted_map.sample_atom_]
    assert np.corrcoef(places[:, 0], fitted_map.embedding_[:, 0])[0, 1] > 0.95
    assert np.corrcoef(places[:, 1], fitted_map.embedding_[:, 1])[0, 1] > 0.95


def test_agreement_on_held_out_rows(clusters: Clusters, fitted_map: ice.UMAP) -> None:
    agreement = fitted_map.agreement_
    assert agreement is not None and agreement["n"] == 40
    held, _ = split_rows(400, 0.1, 0)
    x, _ = clusters
    mapped = fitted_map.transform(x)["latent"].values
    places = mapped[fitted_map.sample_frame_[held], fitted_map.sample_atom_[held]]
    error = ((places - fitted_map.embedding_[held]) ** 2).sum(axis=1)
    spread = fitted_map.embedding_[held].var(axis=0).sum() * 40
    assert agreement["r2"] == pytest.approx(1 - error.sum() / spread, abs=1e-3)
    assert agreement["median_error"] == pytest.approx(np.median(np.sqrt(error)), abs=1e-3)
    assert agreement["r2"] > 0.8


def test_sample_is_recorded(clusters: Clusters, fitted_map: ice.UMAP) -> None:
    rows = clusters[0]["latent"].values[fitted_map.sample_frame_, fitted_map.sample_atom_]
    np.testing.assert_array_equal(rows, fitted_map.sample_)
    places = fitted_map.sample_frame_ * 100 + fitted_map.sample_atom_
    assert (np.diff(places) > 0).all() and len(places) == 400
    assert fitted_map.sample_farthest_.sum() == 40


def test_rare_rows_are_in_the_sample(monkeypatch: pytest.MonkeyPatch, few_steps: None) -> None:
    # The sample alone: its map is of no interest here.
    monkeypatch.setattr(module, "embed", lambda rows, n, *_: rows[:, :n].astype(np.float32))
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(10, 200, 3))
    rare = rng.permutation(2000)[:5]
    rows.reshape(-1, 3)[rare] += 50 * np.eye(3)[[0, 1, 2, 0, 1]]
    x = xr.Dataset({"latent": (("frame", "atom", "component"), rows)})
    umap = ice.UMAP(sample_size=500, farthest=0.1, layers=(4,)).fit(x.chunk({"frame": 3}))
    places = umap.sample_frame_ * 200 + umap.sample_atom_
    assert set(rare) <= set(places.tolist())
    assert umap.sample_farthest_.sum() == 50 and len(places) == 500
    plain = ice.UMAP(sample_size=500, farthest=0, layers=(4,)).fit(x)
    assert not plain.sample_farthest_.any()
    assert np.bincount(plain.sample_frame_).tolist() == [50] * 10


def test_farthest_rows_equal_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    for n_chosen, n in ((1, 20), (30, 7), (3, 60)):
        candidates, chosen = rng.normal(size=(60, 4)), rng.normal(size=(n_chosen, 4))
        there = [*chosen]
        expected = []
        for _ in range(n):
            distance = [min(((row - start) ** 2).sum() for start in there) for row in candidates]
            expected.append(int(np.argmax(distance)))
            there.append(candidates[expected[-1]])
        assert farthest_rows(candidates, chosen, n).tolist() == expected
    # Duplicates of chosen rows are not added.
    again = np.repeat(candidates[:3], 5, axis=0)
    assert len(farthest_rows(again, candidates[:1], 15)) == 2
    assert len(farthest_rows(candidates, candidates, 4)) == 0


def test_same_seed_same_map(clusters: Clusters, fitted_map: ice.UMAP, few_steps: None) -> None:
    again = ice.UMAP(n_neighbors=15, sample_size=400, layers=[np.int64(32)])
    again.fit(clusters[0].chunk({"frame": 2, "atom": 33}))
    np.testing.assert_array_equal(again.sample_, fitted_map.sample_)
    np.testing.assert_array_equal(again.embedding_, fitted_map.embedding_)
    for name, weight in fitted_map.weights_.items():
        np.testing.assert_array_equal(again.weights_[name], weight)


def test_rows_with_nan(clusters: Clusters, few_steps: None) -> None:
    x = clusters[0].copy(deep=True)
    x["latent"][2] = np.nan
    umap = ice.UMAP(n_neighbors=5, sample_size=100, holdout=0, layers=(8,)).fit(x)
    assert 2 not in umap.sample_frame_
    assert umap.agreement_ is None
    missing = np.isnan(umap.transform(x)["latent"].values)
    assert missing[2].all() and not missing[[0, 1, 3, 4, 5]].any()


def test_transform_is_lazy_in_any_blocks(
    clusters: Clusters, fitted_map: ice.UMAP, nothing_computes: None
) -> None:
    x = clusters[0].chunk({"frame": 4, "atom": 7})
    latent = fitted_map.transform(x)["latent"]
    assert dask.is_dask_collection(latent)
    with dask.config.set(scheduler="sync"):
        np.testing.assert_allclose(latent, fitted_map.transform(clusters[0])["latent"], atol=1e-4)


def test_stored_and_loaded(clusters: Clusters, fitted_map: ice.UMAP, tmp_path: Path) -> None:
    ice.save(fitted_map, tmp_path / "s.zarr", label="map")
    loaded = ice.load_model(tmp_path / "s.zarr", "map")
    assert loaded.agreement_ == fitted_map.agreement_
    first, second = (umap.transform(clusters[0]) for umap in (fitted_map, loaded))
    assert first.attrs["run_id"] == second.attrs["run_id"]
    np.testing.assert_array_equal(first["latent"], second["latent"])
    np.testing.assert_array_equal(loaded.sample_farthest_, fitted_map.sample_farthest_)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_components": 0}, "n_components: expected at least 1"),
        ({"n_neighbors": 1}, "n_neighbors: expected at least 2"),
        ({"min_dist": 1.5}, "min_dist: expected at most 1, found 1.5"),
        ({"sample_size": 2.5}, "sample_size: expected a whole number"),
        ({"farthest": 1.0}, "farthest: expected at most 0.9, found 1.0"),
        ({"farthest": "all"}, "farthest: expected a number"),
        ({"layers": 32}, "layers: expected widths"),
        ({"holdout": 1}, "holdout: expected less than 1"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"n_neighbors": 600}, "at least 602 rows without NaN for n_neighbors 600, found 600"),
    ],
)
def test_bad_parameters(clusters: Clusters, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"UMAP: .*{message}|UMAP: {message}"):
        ice.UMAP(**changes).fit(clusters[0])


def test_other_features(clusters: Clusters, fitted_map: ice.UMAP) -> None:
    with pytest.raises(InputError, match="expected 5 features as in the fit, found 4"):
        fitted_map.transform(clusters[0].isel(component=slice(4)))
    with pytest.raises(NotFittedError, match="call fit"):
        ice.UMAP().transform(clusters[0])
