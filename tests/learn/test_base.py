"""Estimators by their options: checks, documentation, storing, and a new one in a single file."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError as SklearnNotFittedError

import icedask as ice
import icedask.learn
from icedask.errors import InputError, StoreError
from icedask.learn.base import Estimator

ESTIMATORS: list[tuple[Any, dict[str, Any]]] = [
    (ice.PCA, {}),
    (ice.KMeans, {"n_clusters": 2}),
    (ice.GaussianMixture, {"n_components": 2}),
    (ice.HDBSCAN, {"min_cluster_size": 5}),
    (ice.OnionClustering, {"window": 3}),
    (ice.UMAP, {}),
    (ice.VAE, {}),
    (ice.NeuralClassifier, {}),
    (ice.Motifs, {}),
]
TOY = '''
from typing import Annotated, ClassVar, Self

import numpy as np
import xarray as xr

from icedask.core.features import feature_blocks
from icedask.core.options import Option
from icedask.learn.base import Clusterer
from icedask.tasks.moments import moments


def _above(block, model):
    mean, shift = model
    return ((block[:, :, 0] > mean[0] + shift).astype(np.int32),)


class Halves(Clusterer):
    """Two clusters, below and above the mean of the first feature.

    {parameters}
    """

    _slug = "toy"
    _version = 1
    _learned: ClassVar = {"mean": ("feature",)}

    def __init__(self, shift: Annotated[float, Option("Shift of the boundary.", at_least=0)] = 0.0):
        self.shift = shift

    def fit(self, x: xr.Dataset) -> Self:
        self.check_parameters()
        self.mean_ = moments(feature_blocks(x), "toy").mean
        self.record_ = self.fitted_record(x)
        return self

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        model = self.mean_, self.shift
        return self.label_rows(x, len(self.mean_), _above, ("label",), model)
'''


def rows() -> xr.Dataset:
    values = np.arange(24.0).reshape(2, 4, 3)
    return xr.Dataset({"latent": (("frame", "atom", "component"), values)})


@pytest.mark.parametrize(("estimator", "required"), ESTIMATORS)
def test_options_are_the_parameters(estimator: Any, required: dict[str, Any]) -> None:
    model = estimator(**required)
    names = list(inspect.signature(estimator).parameters)
    assert [option.name for option in estimator.parameters] == names
    assert sorted(model.get_params()) == sorted(names)
    for option in estimator.parameters:
        assert f"\n{option.name} : {option.kind}" in estimator.__doc__, option.name
        assert f"\n    {option.help}" in estimator.__doc__, option.name
    assert estimator.__doc__.index("Parameters\n---") < estimator.__doc__.index("Attributes\n---")
    assert list(model.check_parameters()) == names


@pytest.mark.parametrize(("estimator", "required"), ESTIMATORS)
def test_parameters_are_stored_untouched(estimator: Any, required: dict[str, Any]) -> None:
    model = estimator(**required)
    for option in estimator.parameters:
        value = object()
        assert getattr(model.set_params(**{option.name: value}), option.name) is value
    values = {option.name: np.int64(16) for option in estimator.parameters if option.type is int}
    copy = clone(estimator(**values))
    assert all(type(copy.get_params()[name]) is np.int64 for name in values)


def test_whole_numbers_are_not_rounded() -> None:
    with pytest.raises(InputError, match="KMeans: n_clusters: expected a whole number"):
        ice.KMeans(2.0).check_parameters()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="VAE: layers: expected a whole number"):
        ice.VAE(layers=(3, 2.0)).check_parameters()  # type: ignore[arg-type]
    assert ice.VAE(np.int64(3), beta=1).check_parameters()["beta"] == 1.0


def test_an_estimator_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(icedask.learn, "__path__", [*icedask.learn.__path__, str(tmp_path)])
    from icedask.learn.toy import Halves  # type: ignore[import-not-found]

    x, store = rows(), tmp_path / "s.zarr"
    model = Halves(shift=2.0)
    assert "shift : float, optional\n    Shift of the boundary. Default 0.0." in Halves.__doc__
    with pytest.raises(InputError, match="Halves: shift: expected at least 0, found -1"):
        Halves(shift=-1.0).fit(x)
    labels = model.fit_predict(x)
    np.testing.assert_array_equal(labels["label"], x["latent"].values[..., 0] > 12.5)
    ice.save(model, store, label="toy")
    ice.save(labels, store)
    # In a process that has not imported the estimator.
    code = (
        "import sys, icedask as ice, icedask.learn\n"
        "icedask.learn.__path__.append(sys.argv[1])\n"
        "model = ice.load_model(sys.argv[2], 'toy')\n"
        "assert model.shift == 2.0, model\n"
        "heavy = {'umap', 'hdbscan', 'torch', 'icedask.learn.vae', 'icedask.motifs.motifs'}\n"
        "print(type(model).__name__, model.record_.run_id, sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(store)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.split() == ["Halves", model.record_.run_id, "[]"]
    assert ice.load_model(store, "toy").predict(x).attrs["run_id"] == labels.attrs["run_id"]


def test_a_run_that_is_no_model(tmp_path: Path) -> None:
    x = rows()
    saved = ice.save(ice.PCA(1).fit_transform(x), tmp_path / "s.zarr")
    with pytest.raises(StoreError, match="is a pca, not a fitted model"):
        ice.load_model(tmp_path / "s.zarr", saved.attrs["run_id"])

    class Hidden(Estimator):
        """An estimator that no module defines."""

        _slug, _version, _learned = "pca", 1, {}

    other = ice.KMeans(1).fit(x).to_dataset()
    with pytest.raises(InputError, match="expected a stored pca, found kmeans"):
        Hidden.from_dataset(other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ice.GaussianMixture(0), "GaussianMixture: n_components: expected at least 1"),
        (lambda: ice.HDBSCAN(0.01), "HDBSCAN: min_cluster_size: expected a whole number"),
        (lambda: ice.KMeans(-1), "KMeans: n_clusters: expected at least 1, found -1"),
        (lambda: ice.KMeans("two"), "KMeans: n_clusters: expected a number, found 'two'"),
    ],
)
def test_parameters_are_checked_at_construction(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_not_fitted_is_an_error_of_icedask() -> None:
    with pytest.raises(ice.IcedaskError, match="call fit before") as caught:
        ice.PCA(1).check_fitted()
    assert isinstance(caught.value, ice.NotFittedError)
    assert isinstance(caught.value, SklearnNotFittedError)
