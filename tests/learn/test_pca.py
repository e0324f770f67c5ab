"""PCA against scikit-learn, for any blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import sklearn.decomposition
import xarray as xr
from helpers.systems import system
from sklearn.exceptions import NotFittedError

import icedask as ice
from icedask.errors import InputError


def features(n_frames: int = 12, n_atoms: int = 90, width: int = 20, seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(width, width)) * np.logspace(0, -4, width)
    rows = rng.normal(size=(n_frames, n_atoms, width)) @ mixing.T + 100 * rng.normal(size=width)
    return xr.Dataset({"feature_value": (("frame", "atom", "feature"), rows)})


@pytest.mark.parametrize("blocks", [(12, 90), (1, 90), (5, 31)])
@pytest.mark.parametrize("n_components", [None, 4, 0.97])
def test_equals_scikit_learn(blocks: tuple[int, int], n_components: float | None) -> None:
    x = features()
    rows = x["feature_value"].values.reshape(-1, 20)
    theirs = sklearn.decomposition.PCA(n_components, svd_solver="full").fit(rows)
    ours = ice.PCA(n_components).fit(x.chunk({"frame": blocks[0], "atom": blocks[1]}))
    scale = theirs.explained_variance_[0]
    np.testing.assert_allclose(
        ours.explained_variance_, theirs.explained_variance_, rtol=1e-8, atol=1e-12 * scale
    )
    np.testing.assert_allclose(
        ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-8, atol=1e-12
    )
    np.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-8)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-12)
    assert ours.n_samples_ == len(rows)
    latent = ours.transform(x)["latent"].values.reshape(len(rows), -1)
    np.testing.assert_allclose(latent, theirs.transform(rows), atol=1e-6)


@pytest.mark.parametrize("blocks", [(16, 4096), (3, 4096), (2, 1000)])
def test_equals_scikit_learn_on_soap(mw: xr.Dataset, blocks: tuple[int, int]) -> None:
    part = ice.select(mw.isel(frame=slice(0, 16, 4)), "index 0:799")
    soap = ice.soap(part, r_cut=4.5, n_max=4, l_max=4, dtype="float64").compute()
    rows = soap["soap"].values.reshape(-1, soap.sizes["soap_component"])
    theirs = sklearn.decomposition.PCA(10, svd_solver="full").fit(rows)
    ours = ice.PCA(10).fit(soap.chunk({"frame": blocks[0], "atom": blocks[1]}))
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-8)


def test_models_of_the_same_features_share_their_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    from icedask.learn import pca
    from icedask.tasks import moments

    calls: list[int] = []
    original = moments.rows_moments

    def counted(rows: np.ndarray) -> Any:
        calls.append(rows.shape[1])
        return original(rows)

    monkeypatch.setattr(moments, "rows_moments", counted)
    wide, narrow = features(width=20).chunk({"frame": 3}), features(width=7).chunk({"frame": 3})
    models = [ice.PCA(2), ice.PCA(), ice.PCA(3)]
    pairs = list(zip(models, (wide, wide, narrow), strict=True))
    with dask.config.set(scheduler="sync"):
        fitted = pca.fit_together(pairs)
        assert sorted(calls) == [7] * 4 + [20] * 4
        for model, (_, x) in zip(fitted, pairs, strict=True):
            alone = ice.PCA(model.n_components).fit(x)
            np.testing.assert_array_equal(model.components_, alone.components_)
            assert model.record_.run_id == alone.record_.run_id


def test_transform_is_lazy(nothing_computes: None) -> None:
    with dask.config.set(scheduler="sync"):
        pca = ice.PCA(2).fit(features())
    latent = pca.transform(features().chunk({"frame": 2}))
    assert dask.is_dask_collection(latent["latent"])


def test_soap_is_fused_into_the_tasks(mw: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from icedask.store import chunks

    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 4096)
    part = mw.isel(frame=slice(0, 6))
    soap = ice.soap(part, r_cut=4.0, n_max=2, l_max=2)
    latent = ice.PCA(2).fit(soap).transform(soap)["latent"].data

    def soap_tasks(graph: Any) -> list[str]:
        names = {str(key[0] if isinstance(key, tuple) else key) for key in dict(graph)}
        return [name for name in names if name.startswith("only-") and "project" not in name]

    assert soap_tasks(latent.dask)
    (optimized,) = dask.optimize(latent)
    # Descriptor and projection are one task for each block, beside the reading of inputs.
    assert not soap_tasks(optimized.dask)


def test_rows_with_nan_are_left_out() -> None:
    x = features()
    x["feature_value"][-2:] = np.nan
    whole = ice.PCA(3).fit(x)
    part = ice.PCA(3).fit(x.isel(frame=slice(0, -2)))
    np.testing.assert_allclose(whole.components_, part.components_, atol=1e-12)
    assert whole.n_samples_ == 900
    assert np.isnan(whole.transform(x)["latent"].values[-2:]).all()


def test_two_dimensional_variable() -> None:
    trj = ice.from_ase([system("orthogonal")] * 4)
    trj["positions"][1] += np.random.default_rng(0).normal(0, 0.5, trj["positions"].shape[1:])
    assert ice.PCA().fit(ice.lens(trj, r_cut=3.5)).components_.tolist() == [[1.0]]


def test_stored_and_loaded(tmp_path: Path) -> None:
    trj = ice.from_ase([system("orthogonal")] * 3)
    soap = ice.soap(trj, r_cut=4.0, n_max=3, l_max=2)
    pca = ice.PCA(3).fit(soap)
    ice.save(pca, tmp_path / "s.zarr", label="axes")
    loaded = ice.load_model(tmp_path / "s.zarr", "axes")
    np.testing.assert_array_equal(loaded.components_, pca.components_)
    assert loaded.n_components == 3
    assert loaded.n_samples_ == pca.n_samples_
    first, second = pca.transform(soap), loaded.transform(soap)
    assert first.attrs["run_id"] == second.attrs["run_id"]
    assert first.attrs["parents"] == [pca.record_.run_id, soap.attrs["run_id"]]
    assert soap.attrs["run_id"] in first.attrs["lineage"]
    np.testing.assert_array_equal(first["latent"], second["latent"])


@pytest.mark.parametrize("n_components", [0, 21, 1.5, -0.1, "all"])
def test_bad_number_of_components(n_components: object) -> None:
    with pytest.raises(InputError, match="n_components"):
        ice.PCA(n_components).fit(features())  # type: ignore[arg-type]


def test_not_fitted() -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        ice.PCA(2).transform(features())


def test_other_features() -> None:
    pca = ice.PCA(2).fit(features())
    with pytest.raises(InputError, match="expected 20 features as in the fit, found 19"):
        pca.transform(features(width=19))


def test_same_number_of_other_features() -> None:
    trj = ice.from_ase([system("orthogonal")] * 2)
    options = {"n_max": 2, "l_max": 2, "r_cut": 4.0}
    pca = ice.PCA(2).fit(ice.soap(trj, **options))
    with pytest.raises(InputError, match="compute them with the same options"):
        pca.transform(ice.soap(trj, **{**options, "r_cut": 5.0}))
    part = ice.soap(trj.isel(frame=[0]), **options, centers="index 0:9", dtype="float64")
    assert pca.transform(part)["latent"].shape == (1, 10, 2)


def test_no_features() -> None:
    with pytest.raises(InputError, match="one floating-point variable"):
        ice.PCA(2).fit(xr.Dataset())


def test_too_few_rows() -> None:
    with pytest.raises(InputError, match="at least two rows"):
        ice.PCA(1).fit(features(1, 1))
