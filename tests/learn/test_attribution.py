"""Attributions, importances, their correlation, and accuracy by the components kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from scipy.stats import spearmanr

import icedask as ice
from icedask.errors import InputError

INFORMATIVE = (1, 4)
NAMES = ("Ih", "Ic", "water")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with dask.config.set(scheduler="sync"):
        yield


def planted(seed: int = 0, n_frames: int = 16) -> tuple[xr.Dataset, xr.Dataset]:
    """Three classes, of which two of ten components know; components have coordinates."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 3, (n_frames, 40)).astype(np.int32)
    rows = rng.normal(size=(*which.shape, 10))
    rows[..., 1] += 4 * (which == 1)
    rows[..., 4] += 4 * (which == 2)
    coords = {"n_a": ("soap_component", np.arange(10)), "atom": np.arange(40) + 7}
    x = xr.Dataset({"soap": (("frame", "atom", "soap_component"), rows.astype(np.float32))}, coords)
    return x, labelled(which, NAMES)


def labelled(which: np.ndarray, names: tuple[str, ...]) -> xr.Dataset:
    flags = {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}
    return xr.Dataset({"label": (("frame", "atom"), which.astype(np.int32), flags)})


def fitted(**changes: Any) -> ice.NeuralClassifier:
    options: dict[str, Any] = {"layers": (12,), "epochs": 8, "batch_size": 64}
    return ice.NeuralClassifier(**{**options, "learning_rate": 0.01, **changes}).fit(*planted())


@pytest.fixture(scope="module")
def model() -> ice.NeuralClassifier:
    with dask.config.set(scheduler="sync"):
        return fitted(n_networks=2)


def test_planted_components_are_recovered(model: ice.NeuralClassifier) -> None:
    x, y = planted(seed=3)
    result = ice.mean_importances(model, x, y)
    importance = result["importance"]
    assert importance.dims == ("class", "soap_component")
    assert importance["class"].values.tolist() == list(NAMES)
    assert result["n_a"].values.tolist() == list(range(10))
    assert set(ice.ranked_components(result)[:2].tolist()) == set(INFORMATIVE)
    assert int(importance.sel({"class": "Ic"}).argmax("soap_component")) == 1
    assert int(importance.sel({"class": "water"}).argmax("soap_component")) == 4
    assert float(result["completeness_error"]) < 1e-4
    assert result["n_rows"].values.tolist() == np.bincount(y["label"].values.ravel()).tolist()


def test_means_are_those_of_the_attributions(model: ice.NeuralClassifier) -> None:
    x, y = planted(seed=3)
    x["soap"][2, 3, 0] = np.nan
    y["label"][5] = -1
    attribution = ice.integrated_gradients(model, x)["attribution"].values
    which = np.where(np.isnan(x["soap"]).any("soap_component"), -1, y["label"])
    means = ice.mean_importances(model, x.chunk({"frame": 5, "atom": 17}), y)
    for number in range(3):
        own = attribution[which == number][:, number]
        np.testing.assert_allclose(means["importance"][number], np.abs(own).mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(means["attribution"][number], own.mean(axis=0), atol=1e-5)
    predicted = ice.mean_importances(model, x)
    assert int(predicted["n_rows"].sum()) == 16 * 40 - 1
    # Classes are matched by their names.
    order = labelled(2 - y["label"].values, NAMES[::-1])
    order["label"] = order["label"].where(y["label"] >= 0, -1).astype(np.int32)
    order["label"].attrs = labelled(which, NAMES[::-1])["label"].attrs
    again = ice.mean_importances(model, x, order)
    np.testing.assert_allclose(again["importance"].values, means["importance"], rtol=1e-10)


def test_attributions_are_lazy_and_sum_to_the_output(
    model: ice.NeuralClassifier, nothing_computes: None, tmp_path: Path
) -> None:
    x, _ = planted(seed=4, n_frames=3)
    lazy = ice.integrated_gradients(
        model, x.chunk({"frame": 2, "atom": 9}), target=["water", "Ih"], output="probability"
    )
    assert lazy["attribution"].dims == ("frame", "atom", "class", "soap_component")
    assert lazy["class"].values.tolist() == ["water", "Ih"]
    with dask.config.set(scheduler="sync"):
        values = lazy.compute()
        mean = xr.Dataset(
            {"soap": (("frame", "atom", "soap_component"), model.center_[None, None])}
        )
        ends = [
            model.predict_proba(ds)["class_probability"].values[..., [2, 0]] for ds in (x, mean)
        ]
        total = values["attribution"].sum("soap_component").values
        np.testing.assert_allclose(total, ends[0] - ends[1], atol=1e-4)
        assert float(np.abs(values["completeness_error"]).max()) < 1e-4
        saved = ice.save(lazy, tmp_path / "s.zarr")
        np.testing.assert_array_equal(saved["attribution"], values["attribution"])
        ice.save(ice.mean_importances(model, x), tmp_path / "s.zarr", label="importances")
    x["soap"][0, 0, 0] = np.nan
    with dask.config.set(scheduler="sync"):
        result = ice.integrated_gradients(model, x).compute()
    assert np.isnan(result["attribution"][0, 0]).all()
    assert int(np.isnan(result["completeness_error"]).all("class").sum()) == 1


def test_too_few_steps_are_refused() -> None:
    x, y = planted()
    model = fitted(epochs=20, learning_rate=0.05)
    far = x.copy(deep=True)
    far["soap"][...] *= 20
    with pytest.raises(InputError, match="with 2 steps; choose more"):
        ice.mean_importances(model, far, y, steps=2)


def test_rank_correlation(model: ice.NeuralClassifier) -> None:
    x, y = planted()
    first = ice.mean_importances(model, x, y)
    second = ice.mean_importances(fitted(seed=5), x, y)
    result = ice.importance_correlation(first, second)
    for number in range(3):
        pair = first["importance"][number], second["importance"][number]
        expected = spearmanr(*pair).statistic
        assert float(result["rank_correlation"][number]) == pytest.approx(expected)
    # Eight components are noise, whose ranks are random.
    assert float(result["overall_rank_correlation"]) > 0
    same = ice.importance_correlation(first, first)
    np.testing.assert_allclose(same["rank_correlation"], 1)
    flat = first * 0
    assert np.isnan(ice.importance_correlation(first, flat)["overall_rank_correlation"])
    with pytest.raises(InputError, match="of the same classes and components"):
        ice.importance_correlation(first, second.isel({"class": slice(2)}))
    with pytest.raises(InputError, match="pass what mean_importances returned"):
        ice.importance_correlation(first, x)


def test_few_components_are_enough(model: ice.NeuralClassifier) -> None:
    x, y = planted()
    test, truth = planted(seed=9)
    result = ice.accuracy_by_components(model, x, y, test, truth, n_components=[1, 2])
    assert float(result["accuracy"][1]) > float(result["accuracy_of_all"]) - 0.03
    assert float(result["accuracy"][0]) < float(result["accuracy"][1]) - 0.1
    assert set(result["component"][:2].values.tolist()) == set(INFORMATIVE)
    assert result["recall"].shape == (2, 3)
    kept = ice.select_components(x, [4, 1])
    assert kept["n_a"].values.tolist() == [4, 1]
    assert kept["atom"].values[0] == 7
    assert kept.attrs["run_id"] != ice.select_components(x, [1, 4]).attrs["run_id"]
    with pytest.raises(InputError, match="expected at most 10"):
        ice.accuracy_by_components(model, x, y, test, truth, n_components=[11])


def test_correlated_components_are_ranked_last(model: ice.NeuralClassifier) -> None:
    x, _ = planted()
    x["soap"][..., 4] = -2 * x["soap"][..., 1] + 1
    x["soap"][..., 6] = 3
    importances = ice.mean_importances(model, planted()[0])
    plain = ice.ranked_components(importances, x, max_correlation=1).tolist()
    assert plain == ice.ranked_components(importances).tolist()
    last = 4 if plain.index(1) < plain.index(4) else 1
    assert ice.ranked_components(importances, x.chunk({"frame": 3})).tolist() == [
        *(number for number in plain if number != last),
        last,
    ]
    with pytest.raises(InputError, match="expected 10 components as in the importances, found 3"):
        ice.ranked_components(importances, x.isel(soap_component=slice(3)))


def test_selected_components_keep_their_meaning() -> None:
    crystal = bulk("Cu", cubic=True) * 2
    crystal.rattle(0.1, seed=1)
    soap = ice.soap(ice.from_ase(crystal), r_cut=3.5, n_max=2, l_max=2)
    first = ice.select_components(soap, [3, 0])
    pca = ice.PCA(1).fit(first)
    with pytest.raises(InputError, match="select_components"):
        pca.transform(ice.select_components(soap, [3, 1]))
    assert soap.attrs["run_id"] in first.attrs["parents"]


@pytest.mark.parametrize("components", [[10], [1, 1], [-1], [0.5], []])
def test_components_that_do_not_exist(components: list[Any]) -> None:
    with pytest.raises(InputError, match="select_components: components"):
        ice.select_components(planted()[0], components)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": ["XI"]}, "expected classes among Ih, Ic, water, found XI"),
        ({"baseline": np.zeros(3)}, "expected 10 numbers"),
        ({"baseline": np.full(10, np.nan)}, "finite numbers"),
        ({"baseline": "mean"}, "expected 10 numbers"),
        ({"steps": 0}, "expected at least 1"),
        ({"output": "loss"}, "expected one of logit, probability"),
    ],
)
def test_bad_options(model: ice.NeuralClassifier, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.integrated_gradients(model, planted()[0], **options)


def test_bad_rows(model: ice.NeuralClassifier) -> None:
    x, y = planted()
    with pytest.raises(InputError, match="expected 10 features as in the fit, found 4"):
        ice.mean_importances(model, x.isel(soap_component=slice(4)), y)
    with pytest.raises(InputError, match="expected labels of classes of the model"):
        ice.mean_importances(model, x, labelled(y["label"].values, ("a", "b", "c")))
    with pytest.raises(InputError, match="expected rows of the classes of the model, found none"):
        ice.mean_importances(model, x * np.nan, y)
    with pytest.raises(ice.NotFittedError):
        ice.integrated_gradients(ice.NeuralClassifier(), x)
