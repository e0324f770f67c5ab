"""Attribution of a classifier's answers to the components of its input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple, cast

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.stats import rankdata

from icedask.core.collection import over_members
from icedask.core.features import (
    block_part,
    feature_blocks,
    feature_variable,
    input_record,
    row_coords,
)
from icedask.core.options import Option, takes_options
from icedask.core.pooled_record import rows_record
from icedask.core.provenance import digest, stamped
from icedask.core.rows import feature_template, rows_of
from icedask.core.targets import targets_of
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import ATOM, CLASS, FEATURE, FRAME, Variable, summary_variables
from icedask.errors import InputError
from icedask.learn.neural_classifier import NeuralClassifier, labels_identity
from icedask.nn.ensemble import Ensemble
from icedask.nn.input_gradients import Output, integrate
from icedask.tasks.reduce import reduce_blocks

_DOI = "doi:10.48550/arXiv.1703.01365"
# Largest error of the sum of the attributions of a row.
TOLERANCE = 1e-3
_COMPLETENESS = Variable(
    "completeness_error",
    (FRAME, ATOM, CLASS),
    "float32",
    "1",
    "sum of the attributions less the difference of the outputs",
    _DOI,
)
_ROWS = 512

Steps = Annotated[int, Option("Nodes of the Gauss-Legendre quadrature.", at_least=1, at_most=1024)]
OutputChoice = Annotated[
    str,
    Option("Output to attribute, before or after the softmax.", choices=("logit", "probability")),
]


class _Problem(NamedTuple):
    """Networks, features at the beginning of the path, and options."""

    ensemble: Ensemble
    baseline: FloatArray
    steps: int
    output: Output


@over_members
@takes_options()
def integrated_gradients(
    model: NeuralClassifier,
    x: xr.Dataset,
    *,
    baseline: Any = None,
    steps: Steps = 64,
    target: Annotated[
        Sequence[str] | None, Option("Classes whose outputs are attributed; all by default.")
    ] = None,
    output: OutputChoice = "logit",
) -> xr.Dataset:
    """Attribute the outputs of a classifier to the components of each row; lazy.

    The integrated gradient of component i is (x_i - x'_i) times the integral over a from 0 to 1 of
    dF/dx_i at x' + a (x - x'), for the output F of a class, and the baseline x'. F is the logit,
    mean over the networks, or the calibrated probability. The sum over the components is F(x) -
    F(x'), to the error of the quadrature.

    Parameters
    ----------
    model : NeuralClassifier
        Fitted.
    x : xarray.Dataset
        One variable (frame, atom, feature), with the features of the fit.
    baseline : (n_features,) array, optional
        Features at the beginning of the path; by default the mean of the training rows.
    {options}

    Returns
    -------
    xarray.Dataset
        attribution (frame, atom, class, feature), float32, NaN for rows with NaN;
        completeness_error (frame, atom, class), float32, the sum of the attributions less F(x) -
        F(x'): more steps make it smaller.

    Raises
    ------
    InputError
        If the features are not those of the fit, or a class or the baseline does not fit.

    References
    ----------
    Sundararajan, Taly and Yan, doi:10.48550/arXiv.1703.01365

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> which = np.random.default_rng(0).integers(0, 2, (20, 50)).astype(np.int32)
    >>> rows = np.random.default_rng(1).normal(size=(20, 50, 3))
    >>> rows[:, :, 1] += 6 * which
    >>> x = xr.Dataset({"features": (("frame", "atom", "feature"), rows)})
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "liquid ice"}
    >>> labels = xr.Dataset({"label": (("frame", "atom"), which, flags)})
    >>> model = ice.NeuralClassifier(layers=(8,), epochs=10, learning_rate=0.01).fit(x, labels)
    >>> result = ice.integrated_gradients(model, x, target=["ice"])
    >>> int(np.abs(result["attribution"]).mean(("frame", "atom", "class")).argmax("feature"))
    1
    >>> bool(np.abs(result["completeness_error"]).max() < 1e-3)
    True
    """
    problem = _problem(model, baseline, steps, output, "integrated_gradients")
    names = model.classes_[:-1]
    chosen = names if target is None else tuple(target)
    if unknown := [name for name in chosen if name not in names]:
        raise InputError(
            f"integrated_gradients: target: expected classes among {', '.join(names)}, found "
            f"{', '.join(unknown)}"
        )
    array = feature_variable(x)
    features = feature_blocks(x)
    n_features = features.shape[2]
    model.check_features(x, len(model.center_), n_features)
    numbers = np.array([names.index(name) for name in chosen])
    together = da.blockwise(
        *(_attribute_block, "fa", features, "fak"),
        *(dask.delayed(problem, pure=True), None),
        numbers=numbers,
        concatenate=True,
        meta=np.empty((0, 0), object),
    )
    dim, labelled = _feature_axis(array)
    spec = Variable(
        "attribution", (FRAME, ATOM, CLASS, dim), "float32", "1", "integrated gradient", _DOI
    )
    axes = {"c": len(chosen), "k": n_features}
    variables = {
        spec.name: spec.of(block_part(together, 0, spec.dtype, "fack", axes)),
        _COMPLETENESS.name: _COMPLETENESS.of(
            block_part(together, 1, _COMPLETENESS.dtype, "fac", {"c": len(chosen)})
        ),
    }
    options = {"steps": steps, "target": list(chosen), "output": output}
    options["baseline"] = digest(problem.baseline)
    record = model.record_.child("results", "integrated_gradients", 1, options, input_record(x))
    coords = {**row_coords(array), **labelled, CLASS: np.array(chosen)}
    return stamped(xr.Dataset(variables, coords), record)


@takes_options()
def mean_importances(
    model: NeuralClassifier,
    x: Any,
    labels: Any = None,
    *,
    baseline: Any = None,
    steps: Steps = 64,
    output: OutputChoice = "logit",
) -> xr.Dataset:
    """Compute the mean importance of each component for each class, in one pass over the rows.

    The importance of a component for a class is the mean absolute integrated gradient of the output
    of that class over the rows of the class, see `integrated_gradients`.

    Parameters
    ----------
    model : NeuralClassifier
        Fitted.
    x : xarray.Dataset
        One variable (frame, atom, feature), with the features of the fit.
    labels : xarray.Dataset, optional
        True classes of the rows, as in `fit`; by default the most probable ones.
    baseline : (n_features,) array, optional
        Features at the beginning of the path; by default the mean of the training rows.
    {options}

    Returns
    -------
    xarray.Dataset
        importance (class, feature), float64: mean absolute attribution; attribution (class,
        feature): mean attribution; NaN for classes without rows. n_rows (class).
        completeness_error: the largest of a row.

    Raises
    ------
    InputError
        If the features are not those of the fit, there are no rows, or the sum of the attributions
        of a row is off by more than 0.001.

    References
    ----------
    Sundararajan, Taly and Yan, doi:10.48550/arXiv.1703.01365

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> which = np.random.default_rng(0).integers(0, 2, (20, 50)).astype(np.int32)
    >>> rows = np.random.default_rng(1).normal(size=(20, 50, 3))
    >>> rows[:, :, 1] += 6 * which
    >>> x = xr.Dataset({"features": (("frame", "atom", "feature"), rows)})
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "liquid ice"}
    >>> labels = xr.Dataset({"label": (("frame", "atom"), which, flags)})
    >>> model = ice.NeuralClassifier(layers=(8,), epochs=10, learning_rate=0.01).fit(x, labels)
    >>> ice.mean_importances(model, x, labels)["importance"].argmax("feature").values
    array([1, 1])
    """
    caller = "mean_importances"
    problem = _problem(model, baseline, steps, output, caller)
    features = rows_of(x).features
    model.check_features(x, len(model.center_), features.shape[2])
    arrays = [features]
    if labels is not None:
        arrays.append(_model_numbers(x, labels, model.classes_[:-1], caller))
    n_classes = len(model.classes_) - 1
    kernel = partial(_importance_block, n_classes=n_classes, problem=problem)
    sums = reduce_blocks(arrays, dask.delayed(kernel), _merged, caller)
    if not sums.by_class.any():
        raise InputError(f"{caller}: expected rows of the classes of the model, found none")
    if sums.error > TOLERANCE:
        raise InputError(
            f"{caller}: expected sums of attributions within {TOLERANCE:g} of the difference of "
            f"the outputs, found {sums.error:.2g} with {steps} steps; choose more steps"
        )
    n = np.where(sums.by_class > 0, sums.by_class, np.nan)[:, None]
    variables = summary_variables(
        caller,
        importance=sums.absolute / n,
        attribution=sums.signed / n,
        n_rows=sums.by_class,
        completeness_error=sums.error,
    )
    named, others = labels_identity(x, labels, caller)
    options = {"steps": steps, "output": output, "baseline": digest(problem.baseline), **named}
    record = model.record_.child("results", caller, 1, options, rows_record(x), *others)
    dim, coords = _feature_axis(feature_template(x))
    ds = xr.Dataset(variables).rename({FEATURE: dim})
    return stamped(ds.assign_coords({**coords, CLASS: np.array(model.classes_[:-1])}), record)


def importance_correlation(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Compute the rank correlation of the importances of the components in two results.

    Parameters
    ----------
    first, second : xarray.Dataset
        What `mean_importances` returned, of the same components and classes: for example of models
        from two seeds.

    Returns
    -------
    xarray.Dataset
        rank_correlation (class), Spearman's; overall_rank_correlation, of the means over the
        classes. NaN where all importances of a result are equal.

    Raises
    ------
    InputError
        If the results are not of the same components and classes.

    Examples
    --------
    >>> import icedask as ice
    >>> import xarray as xr
    >>> values = xr.DataArray([[0.1, 0.5, 0.2]], coords={"class": ["ice"]}, dims=("class", "k"))
    >>> first = xr.Dataset({"importance": values})
    >>> float(ice.importance_correlation(first, first * 2)["overall_rank_correlation"])
    1.0
    """
    caller = "importance_correlation"
    here, there = (importance_of(ds, caller) for ds in (first, second))
    if here.shape != there.shape or here[CLASS].values.tolist() != there[CLASS].values.tolist():
        raise InputError(
            f"{caller}: expected importances of the same classes and components, found "
            f"{here.shape} of {', '.join(here[CLASS].values)} and {there.shape} of "
            f"{', '.join(there[CLASS].values)}"
        )
    values = [_spearman(a, b) for a, b in zip(here.values, there.values, strict=True)]
    overall = _spearman(overall_importance(here), overall_importance(there))
    variables = summary_variables(caller, rank_correlation=values, overall_rank_correlation=overall)
    return xr.Dataset(variables, {CLASS: here[CLASS].values})


def importance_of(ds: Any, caller: str) -> xr.DataArray:
    """Return the importances (class, feature) of a Dataset; raise InputError if there are none."""
    array = ds.get("importance") if isinstance(ds, xr.Dataset) else None
    if array is None or array.ndim != 2 or array.dims[0] != CLASS or CLASS not in array.coords:
        raise InputError(
            f"{caller}: expected importance (class, feature), found "
            f"{'no such variable' if array is None else array.dims}; pass what mean_importances "
            "returned"
        )
    return array


def overall_importance(importance: xr.DataArray) -> FloatArray:
    """Return the mean importance of each component over the classes that have rows."""
    values: FloatArray = importance.values
    there = np.isfinite(values).all(axis=1)
    return values[there].mean(axis=0)


def _spearman(first: FloatArray, second: FloatArray) -> float:
    ranks = np.array([rankdata(first, nan_policy="omit"), rankdata(second, nan_policy="omit")])
    if not (ranks.std(axis=1) > 0).all():
        return np.nan
    return float(np.corrcoef(ranks)[0, 1])


def _problem(
    model: NeuralClassifier, baseline: Any, steps: int, output: str, caller: str
) -> _Problem:
    ensemble = model.ensemble()
    start = ensemble.center
    if baseline is not None:
        start = np.asarray(getattr(baseline, "values", baseline))
        if start.dtype.kind not in "iuf" or start.shape != ensemble.center.shape:
            raise InputError(
                f"{caller}: baseline: expected {len(ensemble.center)} numbers, one for each "
                f"feature, found {start.dtype} of the shape {start.shape}"
            )
        if not np.isfinite(start).all():
            raise InputError(f"{caller}: baseline: expected finite numbers, found NaN or infinity")
    return _Problem(ensemble, start.astype(float), steps, cast(Output, output))


def _feature_axis(array: xr.DataArray) -> tuple[str, dict[Any, xr.DataArray]]:
    """Return the dimension of the features, and its coordinates."""
    if array.ndim == 2:
        return FEATURE, {}
    dim = str(array.dims[2])
    return dim, {name: coord for name, coord in array.coords.items() if coord.dims == (dim,)}


def _model_numbers(x: Any, labels: Any, names: Sequence[str], caller: str) -> da.Array:
    """Return the numbers of the true classes in the model, -1 for other classes."""
    targets = targets_of(x, labels, caller)
    known = [name.replace(" ", "_") for name in targets.names]
    if not set(known) & set(names):
        raise InputError(
            f"{caller}: expected labels of classes of the model, {', '.join(names)}, found "
            f"{', '.join(known)}"
        )
    table = np.array([names.index(name) if name in names else -1 for name in known] + [-1])
    return da.map_blocks(_renumbered, targets.numbers, table=table, dtype=np.int32)


def _renumbered(numbers: npt.NDArray[np.integer], table: IntArray) -> npt.NDArray[np.int32]:
    # The last entry is that of rows without a class.
    return table[np.maximum(numbers, -1)].astype(np.int32)


def _attribute_block(
    block: npt.NDArray[np.floating], problem: _Problem, numbers: IntArray
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    rows = block.reshape(-1, block.shape[-1])
    values = np.full((len(rows), len(numbers), rows.shape[1]), np.nan, np.float32)
    error = np.full((len(rows), len(numbers)), np.nan, np.float32)
    finite = np.flatnonzero(np.isfinite(rows).all(axis=1))
    for start in range(0, len(finite), _ROWS):
        part = finite[start : start + _ROWS]
        targets = np.broadcast_to(numbers, (len(part), len(numbers)))
        values[part], error[part] = _integrated(rows[part], targets, problem)
    shape = block.shape[:2]
    return values.reshape(*shape, *values.shape[1:]), error.reshape(*shape, -1)


def _integrated(
    rows: npt.NDArray[np.floating], targets: IntArray, problem: _Problem
) -> tuple[FloatArray, FloatArray]:
    return integrate(
        problem.ensemble, rows, problem.baseline, targets, problem.steps, problem.output
    )


class _Sums(NamedTuple):
    """Rows of each class, sums of attributions and of their absolute values, largest error."""

    by_class: IntArray
    signed: FloatArray
    absolute: FloatArray
    error: float


def _importance_block(
    block: npt.NDArray[np.floating],
    classes: npt.NDArray[np.integer] | None = None,
    *,
    n_classes: int,
    problem: _Problem,
) -> _Sums:
    rows = block.reshape(-1, block.shape[-1])
    finite = np.isfinite(rows).all(axis=1)
    if classes is None:
        rows = rows[finite]
        own = problem.ensemble.probabilities(rows).argmax(axis=1)
    else:
        known = finite & (classes.ravel() >= 0)
        rows, own = rows[known], classes.ravel()[known]
    count = np.bincount(own, minlength=n_classes)
    signed, absolute = np.zeros((2, n_classes, rows.shape[1]))
    largest = 0.0
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        values, error = _integrated(rows[part], own[part, None], problem)
        np.add.at(signed, own[part], values[:, 0])
        np.add.at(absolute, own[part], np.abs(values[:, 0]))
        largest = max(largest, float(np.abs(error).max()))
    return _Sums(count, signed, absolute, largest)


def _merged(parts: Sequence[_Sums]) -> _Sums:
    count, signed, absolute, error = zip(*parts, strict=True)
    return _Sums(sum(count), sum(signed), sum(absolute), max(error))
