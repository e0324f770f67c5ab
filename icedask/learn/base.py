"""What all estimators share: their input, their record, and how they are stored and loaded."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from icedask.core.features import input_record
from icedask.core.provenance import Record, canonical, record_of, stamped
from icedask.errors import InputError, StoreError
from icedask.store.runs import has_run, open_run
from icedask.store.save import save

_ESTIMATORS = {
    "gmm": ("icedask.learn.gmm", "GaussianMixture"),
    "hdbscan": ("icedask.learn.hdbscan", "HDBSCAN"),
    "kmeans": ("icedask.learn.kmeans", "KMeans"),
    "motifs": ("icedask.motifs.motifs", "Motifs"),
    "onion": ("icedask.learn.onion", "OnionClustering"),
    "pca": ("icedask.learn.pca", "PCA"),
    "umap": ("icedask.learn.umap", "UMAP"),
    "vae": ("icedask.learn.vae", "VAE"),
}

# Options that change which rows there are, or how they are stored, but not what a feature means.
_NOT_OF_FEATURES = ("centers", "dtype", "precision")


def _meaning(identity: Mapping[str, Any], lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two results must share for their features to be the same quantities.

    The options, and those of what they were computed from; but a model must be the same model.
    """
    parameters = {k: v for k, v in identity["parameters"].items() if k not in _NOT_OF_FEATURES}
    parents = [(run_id, lineage[run_id]) for run_id in identity["parents"]]
    if parents and parents[0][1]["function"].startswith("models/"):
        sources: list[Any] = [parents[0][0]]
    else:
        sources = [_meaning(parent, lineage) for _, parent in parents]
    return {"function": identity["function"], "parameters": parameters, "sources": sources}


def _differences(expected: Any, found: Any, where: str = "features") -> list[str]:
    """Return in words where two meanings differ."""
    if canonical(expected) == canonical(found):
        return []
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.get("function") == found.get("function"):
            where = str(expected.get("function", where))
            keys = [key for key in expected if key in found]
            pairs = [(expected[key], found[key], f"{where} {key}") for key in keys]
            inner = [one for a, b, name in pairs for one in _differences(a, b, name)]
            if inner:
                return inner
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(a, b, where) for a, b in zip(expected, found, strict=True)]
        return [one for a, b, name in pairs for one in _differences(a, b, name)]
    return [f"{where}: {_brief(expected)} in the fit, {_brief(found)} here"]


def _brief(value: Any) -> str:
    """Return a value, or the name of the function that a meaning is of."""
    if isinstance(value, dict) and "function" in value:
        return str(value["function"])
    return canonical(value)


class Estimator(BaseEstimator):
    """Base of the estimators.

    Attributes
    ----------
    record_ : Record
        What the fit was computed from and how; set by `fit`.
    """

    _slug: ClassVar[str]
    _version: ClassVar[int]
    _learned: ClassVar[dict[str, tuple[str, ...]]]
    _numbers: ClassVar[tuple[str, ...]] = ()

    record_: Record

    def fitted_record(self, x: xr.Dataset | xr.DataArray) -> Record:
        """Return the record that a fit on `x` has, without fitting."""
        return input_record(x).child("models", self._slug, self._version, self.get_params())

    def check_fitted(self) -> None:
        """Raise NotFittedError before `fit`."""
        if not hasattr(self, "record_"):
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted; call fit before transform or predict")

    def check_features(self, x: xr.Dataset | xr.DataArray, n_features: int, found: int) -> None:
        """Raise InputError if the features of `x` are not those of the fit."""
        name = type(self).__name__
        if found != n_features:
            raise InputError(f"{name}: expected {n_features} features as in the fit, found {found}")
        fitted = self.record_.lineage[self.record_.parents[0]]
        given = input_record(x)
        expected = _meaning(fitted, self.record_.lineage)
        other = _meaning(given.identity, given.lineage)
        if '"external/' in canonical([expected, other]):
            return
        if canonical(expected) != canonical(other):
            raise InputError(
                f"{name}: expected the features of the fit, found others: "
                f"{'; '.join(_differences(expected, other))}; compute them with the same options"
            )

    def to_dataset(self) -> xr.Dataset:
        """Return the learned attributes as a Dataset, to be saved.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        self.check_fitted()
        arrays = {
            name: (dims, np.asarray(getattr(self, f"{name}_")))
            for name, dims in self._learned.items()
        }
        attrs: dict[str, Any] = {name: getattr(self, f"{name}_") for name in self._numbers}
        return stamped(xr.Dataset(arrays, attrs=attrs), self.record_)

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator that a Dataset was made from."""
        record = record_of(ds)
        if record.name != cls._slug:
            raise InputError(f"expected a stored {cls._slug}, found {record.name}")
        known = cls._get_param_names()
        estimator = cls(**{k: v for k, v in record.parameters.items() if k in known})
        for name in cls._learned:
            setattr(estimator, f"{name}_", ds[name].values)
        for name in cls._numbers:
            setattr(estimator, f"{name}_", ds.attrs[name])
        estimator.record_ = record
        return estimator


def fit_or_load(estimator: Any, x: xr.Dataset, store: str | os.PathLike[str]) -> Any:
    """Return the estimator fitted on `x`: from the store if it is there, else fitted and saved."""
    run_id = estimator.fitted_record(x).run_id
    if has_run(store, run_id):
        return load_model(store, run_id)
    fitted = estimator.fit(x)
    save(fitted, store)
    return fitted


def load_model(store: str | os.PathLike[str], run: str) -> Any:
    """Load a fitted estimator from a store.

    Parameters
    ----------
    store : path
        The store.
    run : str
        Run id or label of the model.

    Returns
    -------
    Estimator
        Ready to transform or predict.

    Raises
    ------
    StoreError
        If there is no such run, or it is not a model.
    """
    ds = open_run(store, run)
    name = ds.attrs["function"]
    if ds.attrs["group"] != "models" or name not in _ESTIMATORS:
        raise StoreError(f"{store}: run {run!r} is a {name}, not a fitted model")
    module, attribute = _ESTIMATORS[name]
    return getattr(importlib.import_module(module), attribute).from_dataset(ds.load())
