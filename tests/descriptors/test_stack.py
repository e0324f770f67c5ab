"""Unit SOAP, SOAP joined with LENS, descriptors side by side: values, names, rows, parents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase
import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from scipy.spatial.distance import cdist

import icedask as ice
from icedask.errors import InputError
from icedask.store import chunks

OPTIONS: dict[str, Any] = {"r_cut": 4.0, "n_max": 3, "l_max": 2, "sigma": 0.5}


def both(trj: xr.Dataset, delay: int = 1, **options: Any) -> tuple[xr.Dataset, xr.Dataset]:
    return ice.soap(trj, **{**OPTIONS, **options}), ice.lens(trj, r_cut=4.0, delay=delay)


@pytest.fixture
def water(mw: xr.Dataset) -> xr.Dataset:
    part = ice.select(mw.isel(frame=slice(0, 8, 2)), "index 0:299").load()
    return part.assign(pbc=("cell_vector", [False] * 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows(water: xr.Dataset, dtype: str) -> None:
    soap, lens = both(water, dtype=dtype)
    joined = ice.join(soap, lens)["features"]
    assert joined.dtype == dtype
    assert joined.dims == ("frame", "atom", "feature")
    rows = joined.values[:-1].astype(float)
    full = ice.soap(water, **OPTIONS, layout="full", dtype="float64")["soap"].values[:-1]
    assert full.shape[2] > rows.shape[2]
    full /= np.linalg.norm(full, axis=2, keepdims=True)
    expected = np.concatenate([full, lens["lens"].values[:-1, :, None]], axis=2)
    np.testing.assert_allclose(np.linalg.norm(rows[:, :, :-1], axis=2), 1, rtol=1e-6)
    np.testing.assert_array_equal(joined[:-1, :, -1], lens["lens"][:-1])
    np.testing.assert_allclose(
        cdist(rows[0], rows[1]), cdist(expected[0], expected[1]), rtol=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("layout", ["compact", "full"])
def test_unit_norm(water: xr.Dataset, layout: str) -> None:
    soap, lens = both(water, dtype="float64", layout=layout)
    unit = ice.unit_norm(soap)["features"]
    joined = ice.join(soap, lens)["features"]
    assert unit.chunks == joined.isel(feature=slice(-1)).chunks
    assert unit["feature"].values.tolist() == joined["feature"].values[:-1].tolist()
    np.testing.assert_array_equal(unit[:-1], joined[:-1, :, :-1])
    np.testing.assert_allclose(np.linalg.norm(unit.values, axis=2), 1, rtol=1e-12)
    plain = ice.unit_norm(soap, filled=False)["features"].values
    expected = soap["soap"].values
    expected = expected / np.linalg.norm(expected, axis=2, keepdims=True)
    np.testing.assert_allclose(plain, expected, rtol=1e-12)


def test_unit_norm_is_lazy_saved_and_projected(
    water: xr.Dataset, tmp_path: Path, nothing_computes: None
) -> None:
    unit = ice.unit_norm(ice.soap(water, **OPTIONS))
    with dask.config.set(scheduler="sync"):
        latent = ice.PCA(2).fit(unit).transform(unit)
        saved = ice.save(latent, tmp_path / "run.zarr")
        np.testing.assert_array_equal(saved["latent"], latent["latent"])
    with pytest.raises(InputError, match=r"expected a variable \(frame.*feature\), found lens"):
        ice.unit_norm(ice.lens(water, r_cut=4.0))


def test_vector_without_direction(water: xr.Dataset) -> None:
    soap = ice.soap(water, **OPTIONS).load()
    soap["soap"][1, 2] = 0
    soap["soap"][0, 3] = np.nan
    missing = np.isnan(ice.unit_norm(soap)["features"].values)
    assert missing[1, 2].all() and missing[0, 3].all()
    assert missing.any(axis=2).sum() == 2


def test_products_equal_the_full_layout(water: xr.Dataset) -> None:
    compact, lens = both(water, dtype="float64")
    full, _ = both(water, dtype="float64", layout="full")
    products = []
    for soap in (compact, full):
        rows = ice.join(soap, lens)["features"].values[:-1]
        products.append(rows[0] @ rows[1].T)
    np.testing.assert_allclose(*products, rtol=1e-10)


def test_components_as_they_are_kept(water: xr.Dataset) -> None:
    soap, lens = both(water)
    joined = ice.join(soap, lens, filled=False)["features"].values[:-1, :, :-1]
    values = soap["soap"].values[:-1]
    unit = values / np.linalg.norm(values, axis=2, keepdims=True)
    np.testing.assert_allclose(joined, unit, rtol=1e-5, atol=1e-9)


def test_rows_without_lens_are_left_out_of_fits(water: xr.Dataset) -> None:
    soap, lens = both(water, delay=2)
    joined = ice.join(soap, lens)
    assert np.isnan(joined["features"][-2:]).all()
    assert np.isfinite(joined["features"][:-2]).all()
    pca = ice.PCA(2).fit(joined)
    assert pca.n_samples_ == 2 * water.sizes["atom"]
    latent = pca.transform(joined)
    assert np.isnan(latent["latent"][-2:]).all()
    assert np.isfinite(latent["latent"][:-2]).all()
    for features in (joined, latent):
        model = ice.HDBSCAN(20, min_samples=5, holdout=0).fit(features)
        assert len(model.labels_) == 2 * water.sizes["atom"]
        assert model.n_clusters_ > 0
        states = model.predict(features)
        assert (states["label"][-2:] == -1).all()
        assert (states["probability"][-2:] == 0).all()
        assert (states["label"][:-2] >= 0).any()


def test_zero_soap_is_missing() -> None:
    trj = ice.from_ase([ase.Atoms("OH", [[0, 0, 0], [0, 0, z]]) for z in (1, 30, 1)])
    options = {"species": ["H"], "centers": "element O"}
    joined = ice.join(
        ice.soap(trj, **OPTIONS, **options), ice.lens(trj, r_cut=4.0, centers="element O")
    )
    missing = np.isnan(joined["features"].values[:, 0])
    assert missing.all(axis=1).tolist() == missing.any(axis=1).tolist() == [False, True, True]


def test_names(water: xr.Dataset) -> None:
    soap, lens = both(water)
    names = ice.join(soap, lens)["feature"].values.tolist()
    assert names[0] == "soap O-O n0 n0 l0"
    assert names[-1] == "lens"
    assert len(set(names)) == soap.sizes["soap_component"] + 1


def test_blocks_change_nothing(water: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ice.join(*both(water))
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 1)
    monkeypatch.setattr(chunks, "INNER_BYTES", 1)
    split = ice.join(*both(water))
    assert split["features"].data.numblocks[:2] == (4, 2)
    np.testing.assert_array_equal(split["features"], whole["features"])


def test_parents(water: xr.Dataset, tmp_path: Path) -> None:
    soap, lens = both(water)
    smoothed = ice.smooth(lens, window=3)
    joined = ice.join(soap, smoothed)
    assert dask.is_dask_collection(joined["features"])
    assert joined.attrs["parents"] == [soap.attrs["run_id"], smoothed.attrs["run_id"]]
    assert lens.attrs["run_id"] in joined.attrs["lineage"]
    assert joined.attrs["run_id"] != ice.join(soap, lens).attrs["run_id"]
    saved = ice.save(joined, tmp_path / "s.zarr", label="joint")
    np.testing.assert_array_equal(saved["features"], joined["features"])
    assert saved["feature"].values.tolist() == joined["feature"].values.tolist()
    assert saved.attrs["group"] == "descriptors"
    # From the store it is the same input of a fit.
    records = [ice.PCA(2).fitted_record(features) for features in (joined, saved)]
    assert records[0].run_id == records[1].run_id
    assert np.isnan(ice.PCA(2).fit_transform(saved)["latent"][-1]).all()


def test_features_of_other_parents_are_other_features(water: xr.Dataset) -> None:
    soap, lens = both(water)
    pca = ice.PCA(2).fit(ice.join(soap, lens))
    later = water.isel(frame=slice(1, None))
    assert pca.transform(ice.join(*both(later)))["latent"].shape == (3, 300, 2)
    for other in ((both(water, r_cut=4.5)[0], lens), (soap, ice.lens(water, r_cut=5.0))):
        with pytest.raises(InputError, match="compute them with the same options"):
            pca.transform(ice.join(*other))


def test_a_jumper_in_a_crystal_stands_out_by_lens_only() -> None:
    """Two atoms of a crystal exchange places: they differ from the rest in LENS alone."""
    crystal = bulk("Cu", cubic=True) * (5, 5, 5)
    order = np.arange(len(crystal))
    order[[0, 250]] = [250, 0]
    trj = ice.from_ase([crystal, crystal[order]])
    soap, lens = ice.soap(trj, **OPTIONS, dtype="float64"), ice.lens(trj, r_cut=3.0)
    rows = ice.join(soap, lens)["features"].values[0]
    spread = np.ptp(rows, axis=0)
    assert spread[:-1].max() < 1e-5
    assert rows[[0, 250], -1].tolist() == [1.0, 1.0]
    touched = np.flatnonzero(rows[:, -1])
    assert len(touched) == 2 + 2 * 12
    others = np.setdiff1d(touched, [0, 250])
    np.testing.assert_allclose(rows[others, -1], 1 / 12, rtol=1e-6)


def test_other_rows_are_refused(water: xr.Dataset) -> None:
    soap, lens = both(water)
    with pytest.raises(InputError, match="expected the same frames in both, found 4 and 3"):
        ice.join(soap, lens.isel(frame=slice(0, 3)))
    with pytest.raises(InputError, match="expected the same atoms in both, found 300 and 299"):
        ice.join(soap, lens.isel(atom=slice(1, None)))
    with pytest.raises(InputError, match=r"found step .* at frame 0"):
        ice.join(soap, lens.isel(frame=[1, 2, 3, 0]))
    with pytest.raises(InputError, match="found atom 0 and 299 at atom 0"):
        ice.join(soap, lens.isel(atom=slice(None, None, -1)))
    with pytest.raises(InputError, match=r"call it as join\(soap, lens\)"):
        ice.join(lens, soap)
    with pytest.raises(InputError, match=r"call it as join\(soap, lens\)"):
        ice.join(soap, soap)
    with pytest.raises(InputError, match="expected the component labels of SOAP"):
        ice.join(soap.drop_vars("l"), lens)


def test_other_trajectories_are_refused(water: xr.Dataset) -> None:
    soap, lens = both(water)
    replica = water.assign(positions=water["positions"] + np.float32(0.1))
    with pytest.raises(InputError, match="expected both of one trajectory"):
        ice.join(soap, ice.lens(replica, r_cut=4.0))
    # Parts of one trajectory are one trajectory; arrays from elsewhere are taken as they are.
    part = slice(0, 3)
    ice.join(soap.isel(frame=part), lens.isel(frame=part))
    plain = xr.Dataset({"lens": lens["lens"].drop_attrs()})
    assert ice.join(soap, plain)["features"].shape[2] == soap.sizes["soap_component"] + 1


def test_join_is_lazy(mw: xr.Dataset, nothing_computes: None) -> None:
    joined = ice.join(*both(mw))
    assert dask.is_dask_collection(joined["features"])


def test_blocks_travel_to_other_processes(water: xr.Dataset) -> None:
    soap, lens = both(water)
    joined = ice.join(soap, ice.smooth(lens, window=3))
    copy = cloudpickle.loads(cloudpickle.dumps(joined["features"]))
    np.testing.assert_array_equal(copy, joined["features"])


def parts(trj: xr.Dataset, **options: Any) -> dict[str, xr.Dataset]:
    return {
        "soap": ice.soap(trj, **{**OPTIONS, **options}),
        "order": ice.steinhardt(trj, r_cut=3.5),
        "q": ice.tetrahedral(trj),
    }


def raw(ds: xr.Dataset) -> np.ndarray:
    (array,) = ds.data_vars.values()
    values = array.values
    return values if values.ndim == 3 else values[:, :, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_combined_values_and_names(water: xr.Dataset, dtype: str) -> None:
    datasets = parts(water, dtype=dtype)
    x = ice.combine(**datasets)
    features = x["features"]
    assert features.dims == ("frame", "atom", "feature")
    expected = [raw(ds).astype(np.float32) for ds in datasets.values()]
    np.testing.assert_array_equal(features, np.concatenate(expected, axis=2))
    assert features.dtype == np.float32
    widths = [block.shape[2] for block in expected]
    blocks = [name for name, width in zip(datasets, widths, strict=True) for _ in range(width)]
    assert features["block"].values.tolist() == blocks
    names = features["feature"].values.tolist()
    assert names[0] == "soap 0" and names[widths[0]] == "order 0" and names[-1] == "q"
    assert len(set(names)) == len(names)
    np.testing.assert_array_equal(features["time"], water["time"])
    np.testing.assert_array_equal(features["atom"], water["atom"])
    assert x.attrs["parameters"] == {"blocks": ["soap", "order", "q"]}
    assert x.attrs["parents"] == [ds.attrs["run_id"] for ds in datasets.values()]


@pytest.mark.parametrize("blocks", [300, 1 << 20])
def test_combine_in_any_blocks(
    water: xr.Dataset, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    whole = ice.combine(**parts(water))
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", blocks)
    datasets = parts(water)
    # Each in blocks of its own.
    datasets["order"] = datasets["order"].chunk({"frame": (1, 3), "atom": 77})
    cut = ice.combine(**datasets)
    np.testing.assert_array_equal(cut["features"], whole["features"])
    assert cut["features"].data.numblocks[2] == 1


def test_combine_is_lazy(mw: xr.Dataset, nothing_computes: None) -> None:
    x = ice.combine(soap=ice.soap(mw, **OPTIONS), q=ice.tetrahedral(mw))
    assert dask.is_dask_collection(x["features"])
    assert x["features"].shape[:2] == (16, 4096)


def test_combine_one_block_or_other_arrays(water: xr.Dataset) -> None:
    q = ice.tetrahedral(water)
    x = ice.combine(q=q)
    assert x["features"].shape == (4, 300, 1)
    mine = xr.Dataset({"energy": (("frame", "atom"), np.random.default_rng(0).random((4, 300)))})
    x = ice.combine(q=q, energy=mine)
    np.testing.assert_array_equal(x["features"][..., 1], mine["energy"].astype(np.float32))


def test_combined_features_are_stored(water: xr.Dataset, tmp_path: Path) -> None:
    x = ice.combine(**parts(water))
    saved = ice.save(x, tmp_path / "s.zarr")
    assert saved.attrs["run_id"] == x.attrs["run_id"]
    np.testing.assert_array_equal(saved["block"], x["block"])
    np.testing.assert_array_equal(saved["features"], x["features"])


def test_combine_refuses_other_rows(water: xr.Dataset) -> None:
    q, order = ice.tetrahedral(water), ice.steinhardt(water, r_cut=3.5)
    with pytest.raises(InputError, match="combine: expected at least one Dataset"):
        ice.combine()
    with pytest.raises(InputError, match="combine: expected the same frames in both, found 4 and"):
        ice.combine(q=q, order=order.isel(frame=slice(3)))
    with pytest.raises(InputError, match="expected the same frames in both, found step"):
        ice.combine(q=q.isel(frame=[0, 1]), order=order.isel(frame=[0, 2]))
    first_ten = ice.steinhardt(water, r_cut=3.5, centers="index 0:9")
    with pytest.raises(InputError, match="combine: expected the same atoms in both"):
        ice.combine(q=q, order=first_ten)
    moved = water.assign(positions=water["positions"] + np.float32(0.1))
    with pytest.raises(InputError, match="combine: expected both of one trajectory"):
        ice.combine(q=q, order=ice.steinhardt(moved, r_cut=3.5))
    with pytest.raises(InputError, match="one floating-point variable"):
        ice.combine(q=q, phase=ice.chill_plus(water))
