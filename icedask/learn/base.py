"""Base of the estimators: checked options, input, records, lazy results, storing and loading."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Annotated, Any, ClassVar, Self

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError as SklearnNotFittedError

from icedask.core.collection import Collection
from icedask.core.features import (
    block_part,
    check_same_meaning,
    feature_blocks,
    feature_variable,
    input_record,
    row_coords,
    whole_number,
)
from icedask.core.options import Option, Parameter, documented, parameters_of, plain_signature
from icedask.core.pooled_record import rows_record
from icedask.core.provenance import Record, record_of, stamped
from icedask.core.rows import Rows
from icedask.core.types import FloatArray
from icedask.core.variables import COMPONENT, VARIABLES
from icedask.errors import IcedaskError, InputError, StoreError
from icedask.nn.mlp import weight_arrays, weights_of
from icedask.store.runs import has_run, open_run
from icedask.store.save import save
from icedask.tasks.sampling import stratified_sample

logger = logging.getLogger("icedask")

# Packages whose modules define estimators, by name: a module is imported when it is needed.
_PACKAGES = ("icedask.learn", "icedask.motifs")
# Sums of larger squares leave the range of floating-point numbers.
_LARGEST = 1e150


def _checked_widths(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{where}: expected widths such as (64, 32), found {value!r}")
    return tuple(whole_number(width, where, at_least=1) for width in value)


class NotFittedError(IcedaskError, SklearnNotFittedError):
    """An estimator is used before `fit`."""


HiddenLayers = Annotated[
    Sequence[int], Option("Widths of the network's hidden layers.", check=_checked_widths)
]
SampleSize = Annotated[int, Option("Number of rows of the sample.", at_least=1)]


def _checking(initialise: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that raises InputError if a parameter is not valid."""

    @wraps(initialise)
    def checking(self: Estimator, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        # Of a subclass with a constructor of its own, that one checks.
        if type(self).__init__ is checking:
            self.check_parameters()

    return checking


class Estimator(BaseEstimator):
    """Base of the estimators.

    A subclass declares its parameters as options in the annotations of its constructor, and its
    learned attributes in class variables. `record_` is the record of the fit.
    """

    # Name in stores, and version of the algorithm: raised when its numbers change.
    _slug: ClassVar[str]
    _version: ClassVar[int]
    # Learned arrays with their dimensions, plain values, and prefixes of the names in weights_.
    _learned: ClassVar[dict[str, tuple[str, ...]]]
    _numbers: ClassVar[tuple[str, ...]] = ()
    _networks: ClassVar[tuple[str, ...]] = ()
    # Arrays that stores of before have not, and those whose shape of zeros they have then.
    _later: ClassVar[dict[str, str]] = {}

    parameters: ClassVar[tuple[Parameter, ...]] = ()
    record_: Record
    # Run ids of the input of each member of a collection; empty for a Dataset.
    members_: dict[str, str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Read the options of the constructor, and put them into the docstring."""
        super().__init_subclass__(**kwargs)
        if "__init__" not in cls.__dict__:
            return
        cls.parameters = parameters_of(cls.__init__)
        cls.__init__ = _checking(cls.__init__)  # type: ignore[method-assign]
        cls.__doc__ = documented(cls.__doc__, cls.parameters)
        signature = inspect.signature(cls.__init__)
        arguments = list(signature.parameters.values())[1:]
        cls.__signature__ = plain_signature(
            signature.replace(parameters=arguments), cls.parameters, inspect.Signature.empty
        )

    def check_parameters(self) -> dict[str, Any]:
        """Return all parameters in their plain types; raise InputError if one is not valid."""
        name = type(self).__name__
        values = {}
        for parameter in self.parameters:
            value = getattr(self, parameter.name)
            # Stored untouched: 2.0 and 2 would be the same fit under two run ids.
            if parameter.type is int and isinstance(value, float | np.floating):
                where = f"{name}: {parameter.name}"
                raise InputError(f"{where}: expected a whole number, found {value!r}")
            values[parameter.name] = parameter.check(value, name)
        return values

    def fitted_record(self, x: xr.Dataset | xr.DataArray | Collection) -> Record:
        """Return the record of a fit on `x`, without fitting."""
        return rows_record(x).child("models", self._slug, self._version, self.get_params())

    def note_fit(self, x: xr.Dataset | xr.DataArray | Collection, *others: Any) -> None:
        """Note what the estimator was fitted on: its record, and the members of a collection."""
        self.record_ = self.fitted_record(x, *others)
        self.members_ = members_of(x)

    def check_fitted(self) -> None:
        """Raise NotFittedError before `fit`."""
        if not hasattr(self, "record_"):
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted; call fit before transform or predict")

    def check_features(
        self, x: xr.Dataset | xr.DataArray | Collection, n_features: int, n_here: int
    ) -> None:
        """Raise InputError unless `x` has the features of the fit."""
        name = type(self).__name__
        if n_here != n_features:
            expected = f"expected {n_features} features as in the fit"
            raise InputError(f"{name}: {expected}, found {n_here}")
        check_same_meaning(self.record_, rows_record(x), name)

    def label_rows(
        self,
        x: xr.Dataset,
        n_features: int,
        kernel: Callable[..., tuple[Any, ...]],
        names: Sequence[str],
        *arguments: Any,
        classes: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Return specified variables (frame, atom) of every row of `x`, or of each member; lazy.

        `kernel` is a function of a block (frame, atom, feature) and of `arguments` that returns an
        array for each of `names`; `classes` are the names of the labels, `parameters` those of the
        result. Large arguments should be `dask.delayed`, to be sent once; small ones let the kernel
        run in the task that computes its block.
        """
        if isinstance(x, Collection):
            options = {"classes": classes, "parameters": parameters}
            return x.map(self.label_rows, n_features, kernel, names, *arguments, **options)
        together = self._apply(x, n_features, kernel, arguments, "fa", np.empty((0, 0), object))
        arrays = {
            name: block_part(together, number, VARIABLES[name].dtype)
            for number, name in enumerate(names)
        }
        labels = self.result(x, arrays, parameters=parameters)
        if classes:
            flags = {"flag_values": list(range(len(classes))), "flag_meanings": " ".join(classes)}
            labels["label"].attrs |= flags
        return labels

    def map_rows(
        self,
        x: xr.Dataset,
        n_features: int,
        kernel: Callable[..., Any],
        n_components: int,
        *arguments: Any,
        dtype: npt.DTypeLike = np.float32,
    ) -> xr.Dataset:
        """Return the latent coordinates of every row of `x`, or of each member; lazy.

        `kernel` is a function of a block (frame, atom, feature) and of `arguments`, as those of
        `label_rows`, that returns (frame, atom, component).
        """
        if isinstance(x, Collection):
            options = {"dtype": dtype}
            return x.map(self.map_rows, n_features, kernel, n_components, *arguments, **options)
        meta = np.empty((0, 0, 0), dtype)
        latent = self._apply(x, n_features, kernel, arguments, "fac", meta, c=n_components)
        return self.result(x, {"latent": latent}, {COMPONENT: np.arange(n_components)})

    def _apply(
        self,
        x: xr.Dataset,
        n_features: int,
        kernel: Callable[..., Any],
        arguments: Sequence[Any],
        index: str,
        meta: npt.NDArray[Any],
        **axes: int,
    ) -> da.Array:
        self.check_fitted()
        features = feature_blocks(x)
        self.check_features(x, n_features, features.shape[2])
        pairs = [part for argument in arguments for part in (argument, None)]
        return da.blockwise(
            *(kernel, index, features, "fak", *pairs), concatenate=True, new_axes=axes, meta=meta
        )

    def result(
        self,
        x: xr.Dataset,
        arrays: Mapping[str, da.Array],
        coords: Mapping[str, Any] | None = None,
        name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Return arrays computed from the rows of `x` as a Dataset of specified variables.

        `name` is that of the result in stores, by default the estimator's; `parameters` are the
        options of the result.
        """
        variables = {
            name: (VARIABLES[name].dims, array, VARIABLES[name].attrs)
            for name, array in arrays.items()
        }
        source = input_record(x)
        slug = name or self._slug
        record = self.record_.child("results", slug, self._version, parameters or {}, source)
        if source.positions:
            # It belongs to the trajectory of the rows, whatever the model was fitted on.
            record = replace(record, trajectory=source.trajectory, positions=source.positions)
        rows = row_coords(feature_variable(x))
        return stamped(xr.Dataset(variables, {**rows, **(coords or {})}), record)

    def learned_arrays(self) -> dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]]:
        """Return the learned arrays with their dimensions, by the name of their variable."""
        arrays = {
            name: (dims, np.asarray(getattr(self, f"{name}_")))
            for name, dims in self._learned.items()
        }
        return arrays | (weight_arrays(self.weights_) if self._networks else {})

    def to_dataset(self) -> xr.Dataset:
        """Return the learned attributes as a Dataset, to be saved."""
        self.check_fitted()
        attrs: dict[str, Any] = {name: getattr(self, f"{name}_") for name in self._numbers}
        if members := getattr(self, "members_", {}):
            attrs["members"] = members
        return stamped(xr.Dataset(self.learned_arrays(), attrs=attrs), self.record_)

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator of a Dataset that `to_dataset` returned."""
        record = record_of(ds)
        if record.name != cls._slug:
            raise InputError(f"expected a stored {cls._slug}, found {record.name}")
        known = cls._get_param_names()
        estimator = cls(**{k: v for k, v in record.parameters.items() if k in known})
        for name in cls._learned:
            if name not in ds and name in cls._later:
                values = np.zeros_like(ds[cls._later[name]].values)
            else:
                values = ds[name].values
            setattr(estimator, f"{name}_", values)
        for name in cls._numbers:
            setattr(estimator, f"{name}_", ds.attrs[name])
        if cls._networks:
            estimator.weights_ = weights_of(ds, *cls._networks)
        estimator.record_ = record
        estimator.members_ = dict(ds.attrs.get("members", {}))
        return estimator


class Clusterer(Estimator):
    """Estimator with `fit` and `predict`."""

    def fit_predict(self, x: xr.Dataset) -> xr.Dataset:
        """Fit on `x`, then label it; the labels are lazy."""
        return self.fit(x).predict(x)


class Transformer(Estimator):
    """Estimator with `fit` and `transform`."""

    def fit_transform(self, x: xr.Dataset) -> xr.Dataset:
        """Fit on `x`, then transform it; the coordinates are lazy."""
        return self.fit(x).transform(x)


def fit_or_load(estimator: Any, x: xr.Dataset, store: str | os.PathLike[str]) -> Any:
    """Return the estimator fitted on `x`, from the store if it is there, else fitted and saved."""
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
    estimator = _estimator(name) if ds.attrs["group"] == "models" else None
    if estimator is None:
        raise StoreError(f"{store}: run {run!r} is a {name}, not a fitted model")
    return estimator.from_dataset(ds.load())


def _estimator(slug: str) -> type[Estimator] | None:
    """Return the estimator of a slug, first from the module of that name."""
    modules = [
        f"{package}.{module.name}"
        for package in _PACKAGES
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
    ]
    modules.sort(key=lambda name: name.rpartition(".")[2] != slug)
    for module in ("", *modules):
        if module:
            importlib.import_module(module)
        for estimator in _subclasses(Estimator):
            if estimator.__dict__.get("_slug") == slug:
                return estimator
    return None


def _subclasses(cls: type[Estimator]) -> Iterator[type[Estimator]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def members_of(x: xr.Dataset | xr.DataArray | Collection) -> dict[str, str]:
    """Return the run id of the features of each member of a collection; nothing for a Dataset."""
    if not isinstance(x, Collection):
        return {}
    return {name: input_record(member).run_id for name, member in x.items()}


def warn_if_unsaved(x: xr.Dataset | xr.DataArray | Collection, caller: str) -> None:
    """Log a warning if each pass over `x` would compute it again."""
    members = list(x.values()) if isinstance(x, Collection) else [x]
    if any(
        feature_variable(member).chunks is not None and member.attrs.get("status") != "complete"
        for member in members
    ):
        logger.warning(
            "%s passes over its input many times, and computes it each time unless it is read from "
            "a store: x = icedask.save(x, store) first",
            caller,
        )


def starting_sample(
    features: Rows, at_least: int, sample_size: int, seed: int, caller: str
) -> FloatArray:
    """Compute the sample of rows that iterations start from.

    Raises InputError if it has fewer than `at_least` distinct rows, or too large numbers.
    """
    rows = stratified_sample(features, sample_size, seed).rows
    _check_size(rows, caller)
    distinct = len(np.unique(rows, axis=0))
    if distinct < at_least:
        raise InputError(
            f"{caller}: expected at least {at_least} distinct rows without NaN, found {distinct}"
        )
    return rows


def starting_values(values: Any, shape: tuple[int, ...], where: str) -> FloatArray:
    """Return a parameter as a float64 array; raise InputError if its shape or values do not fit."""
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: expected finite numbers of the shape {shape}, found {values!r}"
        ) from error
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(f"{where}: expected finite numbers of the shape {shape}, found {array!r}")
    _check_size(array, where)
    return array


def _check_size(rows: npt.NDArray[np.floating], caller: str) -> None:
    """Raise InputError if squares of the numbers overflow."""
    largest = float(np.abs(rows).max(initial=0.0))
    if largest > _LARGEST:
        raise InputError(
            f"{caller}: expected features of at most {_LARGEST:g} in size, found {largest:g}; "
            "scale them, or leave such rows out as NaN"
        )
