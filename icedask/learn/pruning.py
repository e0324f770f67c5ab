"""Selection of components, and the accuracy of a classifier by the number of components kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import xarray as xr
from sklearn.base import clone

from icedask.core.collection import over_members
from icedask.core.features import feature_variable, input_record
from icedask.core.options import Option, takes_options
from icedask.core.pooled_record import rows_record
from icedask.core.provenance import stamped
from icedask.core.rows import rows_of
from icedask.core.types import IntArray
from icedask.core.variables import CLASS, KEPT, summary_variables
from icedask.errors import InputError
from icedask.learn.attribution import importance_of, mean_importances, overall_importance
from icedask.learn.classification_scores import classification_scores
from icedask.learn.neural_classifier import NeuralClassifier, labels_identity
from icedask.tasks.moments import moments

_CALLER = "accuracy_by_components"

MaxCorrelation = Annotated[
    float,
    Option(
        "Largest correlation, in size, with a more important component; others are ranked last.",
        above=0,
        at_most=1,
    ),
]


@over_members
@takes_options("x : xarray.Dataset or Collection\n    One variable (frame, atom, feature).")
def select_components(
    x: xr.Dataset,
    components: Annotated[
        Sequence[int], Option("Numbers of the components, from 0, in their new order.", at_least=0)
    ],
) -> xr.Dataset:
    """Select components of a descriptor, with their coordinates; lazy.

    {parameters}

    Returns
    -------
    xarray.Dataset
        The variable with these components.

    Raises
    ------
    InputError
        If there is no such variable or component, or a component is listed twice.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> soap = ice.soap(ice.from_ase(bulk("Cu", cubic=True)), r_cut=4.0, n_max=2, l_max=2)
    >>> ice.select_components(soap, [4, 0])["soap"].shape
    (1, 4, 2)
    """
    array = feature_variable(x)
    if array.ndim != 3:
        raise InputError(
            f"select_components: expected a variable (frame, atom, feature), found {array.name} "
            f"with the dimensions {array.dims}"
        )
    width = array.shape[2]
    if max(components) >= width or len(set(components)) < len(components):
        raise InputError(
            f"select_components: components: expected different numbers from 0 to {width - 1}, "
            f"found {list(components)}"
        )
    record = input_record(x).child(
        "descriptors", "select_components", 1, {"components": list(components)}
    )
    selected = array.isel({array.dims[2]: list(components)})
    return stamped(selected.to_dataset(name=array.name or "features"), record)


@takes_options()
def ranked_components(
    importances: xr.Dataset, x: Any = None, *, max_correlation: MaxCorrelation = 0.9
) -> IntArray:
    """Rank the components, the most important first, by the mean over the classes.

    With `x`, a component that is correlated with a more important one, and so has little to add,
    comes after all that are not. Computes the correlations, in one pass over the rows.

    Parameters
    ----------
    importances : xarray.Dataset
        What `mean_importances` returned.
    x : xarray.Dataset or Collection, optional
        Rows for the correlations: those of the training.
    {options}

    Returns
    -------
    (n_features,) array of int

    Raises
    ------
    InputError
        If there are no importances, or `x` has other components.

    Examples
    --------
    >>> import icedask as ice
    >>> import xarray as xr
    >>> values = xr.DataArray([[0.1, 0.5, 0.4]], coords={"class": ["ice"]}, dims=("class", "k"))
    >>> importances = xr.Dataset({"importance": values})
    >>> ice.ranked_components(importances)
    array([1, 2, 0])
    >>> rows = [[[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 2.0, 4.0]]]
    >>> x = xr.Dataset({"features": (("frame", "atom", "k"), rows)})
    >>> ice.ranked_components(importances, x)
    array([1, 0, 2])
    """
    overall = overall_importance(importance_of(importances, "ranked_components"))
    order = np.argsort(-overall, kind="stable")
    if x is None or max_correlation == 1:
        return order
    features = rows_of(x).features
    if features.shape[2] != len(order):
        raise InputError(
            f"ranked_components: x: expected {len(order)} components as in the importances, found "
            f"{features.shape[2]}"
        )
    scatter = moments(features, "ranked_components").scatter
    width = np.sqrt(np.diag(scatter))
    # Constant components are correlated with none.
    width[width == 0] = np.inf
    related = np.abs(scatter / np.outer(width, width)) > max_correlation
    distinct: list[int] = []
    redundant: list[int] = []
    for number in order.tolist():
        (redundant if related[number, distinct].any() else distinct).append(number)
    return np.array([*distinct, *redundant])


@takes_options()
def accuracy_by_components(
    model: NeuralClassifier,
    x: Any,
    labels: Any,
    test: Any,
    test_labels: Any,
    *,
    n_components: Annotated[Sequence[int], Option("Numbers of components to keep.", at_least=1)] = (
        1,
        2,
        5,
        10,
        20,
        30,
    ),
    max_correlation: MaxCorrelation = 0.9,
    importances: xr.Dataset | None = None,
) -> xr.Dataset:
    """Fit a classifier to its most important components, and score it on test rows; computes.

    The components are ranked on the training rows, see `ranked_components`. For each number of them
    a classifier with the parameters of the model is fitted to the first ones.

    Parameters
    ----------
    model : NeuralClassifier
        Fitted on `x` and `labels`.
    x, labels : xarray.Dataset or Collection
        Training rows, as in `fit`.
    test, test_labels : xarray.Dataset or Collection
        Test rows and their classes, of trajectories that `x` has no part of.
    {options}
    importances : xarray.Dataset, optional
        What `mean_importances` returned for the training rows; computed by default.

    Returns
    -------
    xarray.Dataset
        accuracy and accuracy_of_answered (n_components), recall (n_components, class), see
        `classification_scores`; accuracy_of_all, of the model; component (rank), the number of the
        component of each rank.

    Raises
    ------
    InputError
        If the rows do not fit the model, or there are fewer components.

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
    >>> parts = [ds.isel(frame=part) for part in (slice(15), slice(15, 20)) for ds in (x, labels)]
    >>> model = ice.NeuralClassifier(layers=(8,), epochs=10, learning_rate=0.01).fit(*parts[:2])
    >>> kept = ice.accuracy_by_components(model, *parts, n_components=[1])
    >>> bool(kept["accuracy"][0] > 0.9), int(kept["component"][0])
    (True, 1)
    """
    if importances is None:
        importances = mean_importances(model, x, labels)
    order = ranked_components(importances, x, max_correlation=max_correlation)
    if max(n_components) > len(order):
        raise InputError(
            f"{_CALLER}: n_components: expected at most {len(order)}, the number of components, "
            f"found {max(n_components)}"
        )
    whole = classification_scores(model.predict(test), test_labels)
    scores = []
    for number in n_components:
        kept = order[:number].tolist()
        fitted = clone(model).fit(select_components(x, kept), labels)
        predicted = fitted.predict(select_components(test, kept))
        scores.append(classification_scores(predicted, test_labels))
    variables = summary_variables(
        _CALLER,
        accuracy=[float(each["accuracy"]) for each in scores],
        accuracy_of_answered=[float(each["accuracy_of_answered"]) for each in scores],
        recall=[each["recall"].values for each in scores],
        accuracy_of_all=float(whole["accuracy"]),
        component=order,
    )
    coords = {KEPT: list(n_components), CLASS: whole["true_class"].values}
    named, others = labels_identity(x, labels, _CALLER)
    truth = labels_identity(test, test_labels, _CALLER)[1]
    parents = [rows_record(x), *others, rows_record(test), *truth]
    options = {"n_components": list(n_components), "order": order.tolist(), **named}
    record = model.record_.child("results", _CALLER, 1, options, *parents)
    return stamped(xr.Dataset(variables, coords), record)
