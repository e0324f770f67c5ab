"""Estimators of collections: all members in one pass, weights, predictions of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from sklearn.decomposition import PCA

import icedask as ice
from icedask.core.pooled import member_labels
from icedask.core.pooled import pooled as pooled_dataset
from icedask.core.pooled_record import rows_record
from icedask.core.provenance import record_of
from icedask.core.rows import rows_of
from icedask.core.targets import targets_of

SIZES = {"a": (3, 40), "b": (1, 500), "c": (5, 60), "d": (2, 30)}


def member(name: str, chunks: dict[str, int] | None = None) -> xr.Dataset:
    """Features of one member, about a centre of its own."""
    rng = np.random.default_rng(sorted(SIZES).index(name))
    rows = rng.normal(2.0 * (name in "bd"), 0.5, (*SIZES[name], 4))
    rows[0, 0] = np.nan
    x = xr.Dataset({"latent": (("frame", "atom", "component"), rows)})
    return x if chunks is None else x.chunk(chunks)


@pytest.fixture
def x() -> ice.Collection:
    """Four members of two phases."""
    labels = {name: {"phase": "high" if name in "bd" else "low"} for name in SIZES}
    return ice.Collection({name: member(name) for name in SIZES}, labels)


def pooled(x: ice.Collection) -> npt.NDArray[np.floating]:
    rows = np.concatenate([each["latent"].values.reshape(-1, 4) for each in x.values()])
    return rows[np.isfinite(rows).all(axis=1)]


@pytest.mark.parametrize("chunks", [None, {"frame": 1}, {"frame": 2, "atom": 17}])
def test_rows(x: ice.Collection, chunks: dict[str, int] | None) -> None:
    lazy = ice.Collection({name: member(name, chunks) for name in SIZES})
    rows = rows_of(lazy)
    values = np.concatenate([each["latent"].values.reshape(-1, 4) for each in x.values()])
    np.testing.assert_array_equal(rows.features[0], values)
    # No block has rows of two members.
    edges = np.cumsum([0, *(n * m for n, m in SIZES.values())])
    assert set(edges) <= set(np.cumsum([0, *rows.features.chunks[1]]).tolist())
    places = rows.places(np.zeros(4, int), np.array([0, 119, 120, 650]))
    assert places.part.tolist() == [0, 0, 1, 2]
    assert places.frame.tolist() == [0, 2, 0, 0]
    assert places.atom.tolist() == [0, 39, 0, 30]
    np.testing.assert_array_equal(rows.at(places)[:, 1], [0, 119, 120, 650])


def test_pca_is_that_of_the_concatenation(x: ice.Collection) -> None:
    ours, theirs = ice.PCA(3).fit(x), PCA(3, svd_solver="covariance_eigh").fit(pooled(x))
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(ours.components_), np.abs(theirs.components_), atol=1e-8)
    assert ours.n_samples_ == len(pooled(x))
    assert list(ours.members_) == list(x)
    latent = ours.transform(x)
    expected = (x["c"]["latent"].values - ours.mean_) @ ours.components_.T
    np.testing.assert_allclose(latent["c"]["latent"], expected, atol=1e-12)
    assert list(latent.where(phase="high")) == ["b", "d"]


def test_weights(x: ice.Collection) -> None:
    balanced = x.balanced()
    parts = [
        rows[np.isfinite(rows).all(axis=1)]
        for rows in (each["latent"].values.reshape(-1, 4) for each in x.values())
    ]
    sizes = np.array([n * m for n, m in SIZES.values()])
    weights = np.repeat(sizes.sum() / 4 / sizes, [len(part) for part in parts])
    rows = np.concatenate(parts)
    mean = np.average(rows, axis=0, weights=weights)
    scatter = (weights[:, None] * (rows - mean)).T @ (rows - mean)
    values = np.linalg.eigvalsh(scatter / (weights.sum() - 1))[::-1]
    pca = ice.PCA().fit(balanced)
    np.testing.assert_allclose(pca.mean_, mean, atol=1e-12)
    np.testing.assert_allclose(pca.explained_variance_, values, rtol=1e-10)
    assert pca.n_samples_ == len(rows)
    assert pca.record_.run_id != ice.PCA().fit(x).record_.run_id
    kmeans = ice.KMeans(1, init=[[0.0] * 4]).fit(balanced)
    np.testing.assert_allclose(kmeans.cluster_centers_[0], mean, atol=1e-10)
    mixture = ice.GaussianMixture(1, reg_covar=0).fit(balanced)
    np.testing.assert_allclose(mixture.means_[0], mean, atol=1e-10)
    np.testing.assert_allclose(mixture.covariances_[0], scatter / weights.sum(), atol=1e-10)
    sample = ice.HDBSCAN(5, sample_size=100, holdout=0).fit(balanced)
    counts = np.bincount(sample.sample_member_, minlength=4)
    assert counts.max() - counts.min() <= 4


@pytest.mark.parametrize(
    "estimator",
    [
        ice.KMeans(2),
        ice.GaussianMixture(2),
        ice.HDBSCAN(20, sample_size=600),
    ],
)
def test_clusters_are_predicted_for_each_member(estimator: object, x: ice.Collection) -> None:
    labels = estimator.fit(x).predict(x)  # type: ignore[attr-defined]
    assert isinstance(labels, ice.Collection)
    assert {name: each["label"].shape for name, each in labels.items()} == SIZES
    shares = [float((labels[name]["label"] == 1).mean()) for name in SIZES]
    assert abs(shares[0] - shares[2]) < 0.2 < abs(shares[0] - shares[1])
    assert (labels["a"]["label"].values[0, 0] == -1).all()


def test_vae(x: ice.Collection) -> None:
    vae = ice.VAE(1, layers=(8,), epochs=2, batch_size=64).fit(x.balanced())
    assert vae.transform(x)["b"]["latent"].shape == (1, 500, 1)


def test_models_are_saved_in_the_store_of_the_collection(tmp_path: Path, x: ice.Collection) -> None:
    rng = np.random.default_rng(0)
    members = {name: ice.from_ase(_gas(rng, n_atoms)) for name, n_atoms in (("p", 20), ("q", 30))}
    saved = ice.save(ice.Collection(members), tmp_path)
    order = ice.save(ice.neighbor_distances(saved, n_neighbors=4))
    pca = ice.PCA(2).fit(order)
    assert saved.store is not None
    ice.save(pca, saved.store, label="pca")
    loaded = ice.load_model(saved.store, "pca")
    assert loaded.members_ == {name: each.attrs["run_id"] for name, each in order.items()}
    latent = ice.save(loaded.transform(order), label="latent")
    assert latent["p"].attrs["parents"][0] == pca.record_.run_id
    # Each in its own store, where it belongs to the trajectory.
    assert ice.open_run(tmp_path / "q.zarr", "latent")["latent"].shape == (1, 30, 2)
    again = ice.open_collection(tmp_path)
    assert ice.PCA(2).fitted_record(ice.neighbor_distances(again, n_neighbors=4)) == pca.record_
    # A member that fails today may be there tomorrow.
    assert ice.save(ice.PCA(2).fit(order.subset(["q"])), saved.store)
    with pytest.raises(ice.StoreError, match="found a result of one trajectory"):
        ice.save(ice.PCA(2).fit(order["p"]), saved.store)


def _gas(rng: np.random.Generator, n_atoms: int) -> object:
    from ase import Atoms

    return Atoms(f"O{n_atoms}", rng.uniform(0, 9, (n_atoms, 3)), cell=[9] * 3, pbc=True)


def test_members_of_other_descriptions(x: ice.Collection) -> None:
    trj = ice.from_ase(_gas(np.random.default_rng(0), 20))
    wide = ice.neighbor_distances(trj, n_neighbors=4)
    narrow = ice.neighbor_distances(trj, n_neighbors=3)
    with pytest.raises(ice.InputError, match="q: expected 4 features as in p, found 3"):
        ice.PCA().fit(ice.Collection({"p": wide, "q": narrow}))
    lsi = ice.local_structure_index(trj)
    tetrahedral = ice.tetrahedral(trj)
    with pytest.raises(ice.InputError, match="q: expected descriptors/local_structure_index"):
        rows_record(ice.Collection({"p": lsi, "q": tetrahedral}))


def test_targets(x: ice.Collection) -> None:
    numbers, names, _ = targets_of(x, "phase", "test")
    assert names == ("low", "high")
    assert numbers.chunks == rows_of(x).features.chunks[:2]
    assert numbers[0, [0, 119, 120]].compute().tolist() == [0, 0, 1]

    def labelled(each: xr.Dataset, meanings: str) -> xr.Dataset:
        label = xr.zeros_like(each["latent"][:, :, 0], np.int32) + 1
        label[0, 0] = 7
        label.attrs = {"flag_values": [0, 1], "flag_meanings": meanings}
        return label.drop_vars("component", errors="ignore").to_dataset(name="label")

    labels = ice.Collection(
        {n: labelled(each, "p q" if n == "a" else "q p") for n, each in x.items()}
    )
    numbers, names, _ = targets_of(x, labels, "test")
    assert names == ("p", "q")
    assert numbers[0, [0, 1, 120, 121]].compute().tolist() == [-1, 1, -1, 0]
    with pytest.raises(ice.InputError, match="no label"):
        targets_of(x, "none", "test")
    with pytest.raises(ice.InputError, match="name of a label is for"):
        targets_of(x["a"], "phase", "test")


def test_pooled(x: ice.Collection) -> None:
    together = pooled_dataset(x)
    assert together["latent"].dims == ("frame", "atom", "component")
    values = np.concatenate([each["latent"].values.reshape(-1, 4) for each in x.values()])
    np.testing.assert_array_equal(together["latent"][0], values)
    # Of the same rows as the fit, whatever is computed from it.
    assert record_of(together) == rows_record(x)
    labels = pooled_dataset(member_labels(x, "phase"))
    assert labels["label"].attrs["flag_meanings"] == "low high"
    assert labels["label"].values[0, [0, 120, 620]].tolist() == [0, 1, 0]
    with pytest.raises(ice.InputError, match="b: expected a phase of low, found 'high'"):
        member_labels(x, "phase", ("low",))
