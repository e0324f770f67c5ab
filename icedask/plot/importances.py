"""Importance of the components of a descriptor for the classes of a classifier."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from icedask.core.variables import CLASS, KEPT
from icedask.errors import InputError
from icedask.learn.attribution import importance_of, overall_importance
from icedask.plot import style
from icedask.plot.inputs import required

# Components with names under their columns, and those of a figure.
_NAMED, _SHOWN = 40, 30
_LABELS = ("species_a", "species_b", "n_a", "n_b", "l")


@style.in_style
def component_importances(importances: xr.Dataset, *, n_components: int = _SHOWN) -> Figure:
    """Draw the importance of the components for each class, and of all by rank.

    On the left the most important components by their mean over the classes, as shares of the
    largest importance of each class. On the right the mean importance of each component relative to
    the largest against its rank: how many carry nothing.

    Parameters
    ----------
    importances : xarray.Dataset
        What `mean_importances` returned: importance (class, feature).
    n_components : int
        Components on the left.

    Raises
    ------
    InputError
        If there are no importances, or all are zero.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import component_importances
    >>> values = np.random.default_rng(0).gamma(0.3, size=(3, 50))
    >>> coords = {"class": ["Ih", "Ic", "water"]}
    >>> ds = xr.Dataset({"importance": (("class", "component"), values)}, coords)
    >>> [axes.get_xlabel() for axes in component_importances(ds).axes[:2]]
    ['component', 'rank of the component']
    """
    caller = "component_importances"
    array = importance_of(importances, caller)
    array = array[np.isfinite(array.values).all(axis=1)]
    if n_components < 1:
        raise InputError(f"{caller}: n_components: expected at least 1, found {n_components}")
    if not array.size or not (array.values.max(axis=1) > 0).all():
        raise InputError(f"{caller}: expected importances above 0 of each class, found none")
    overall = overall_importance(array)
    order = np.argsort(-overall, kind="stable")
    shown = order[:n_components]
    shares = array.values / array.values.max(axis=1, keepdims=True)
    names = _component_names(array)
    width = min(style.PAGE, 3.4 + 0.13 * len(shown))
    figure = style.new_figure(width, max(2.6, 1.5 + 0.17 * len(array)))
    left, right = figure.subplots(1, 2, width_ratios=[max(width - 3.0, 1.2), 1.6])
    image = left.imshow(shares[:, shown], cmap=style.VALUE_MAP, vmin=0, vmax=1, aspect="auto")
    classes = [str(name).replace("_", " ") for name in array[CLASS].values]
    left.set_yticks(range(len(classes)), classes)
    if len(shown) <= _NAMED:
        left.set_xticks(range(len(shown)), [names[number] for number in shown], rotation=90)
    else:
        left.set_xticks([])
    left.set_xlabel("component")
    left.spines[:].set_visible(False)
    left.tick_params(length=0)
    figure.colorbar(image, ax=left, label="share of the largest", pad=0.02)
    ranks = np.arange(1, len(overall) + 1)
    there = overall[order] > 0
    right.plot(ranks[there], overall[order][there] / overall.max(), color=style.PALETTE[0], lw=1.3)
    right.set_xlim(1, max(len(ranks), 2))
    right.set_yscale("log")
    style.plain_logarithm(right.yaxis)
    right.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    right.set_xlabel("rank of the component")
    right.set_ylabel("mean share of the largest")
    return figure


@style.in_style
def accuracy_by_components(scores: xr.Dataset) -> Figure:
    """Draw the accuracy of a classifier against the number of components kept.

    The dashed line is the accuracy with all components.

    Parameters
    ----------
    scores : xarray.Dataset
        What `accuracy_by_components` returned: accuracy (n_components).

    Raises
    ------
    InputError
        If there is no accuracy by the number of components.

    Examples
    --------
    >>> import xarray as xr
    >>> from icedask import plot
    >>> values = {"accuracy": ("n_components", [0.5, 0.9]), "accuracy_of_all": 0.95}
    >>> scores = xr.Dataset(values, {"n_components": [1, 10]})
    >>> plot.accuracy_by_components(scores).axes[0].get_xlabel()
    'components kept'
    """
    caller = "accuracy_by_components"
    accuracy = required(scores, "accuracy", (KEPT,), caller, caller, "f").sortby(KEPT)
    figure = style.new_figure(style.COLUMN, 2.4)
    axes = figure.subplots()
    axes.plot(accuracy[KEPT], accuracy, "o-", color=style.PALETTE[0], ms=4, lw=1.3, label="kept")
    if "accuracy_of_all" in scores:
        whole = float(scores["accuracy_of_all"])
        axes.axhline(whole, color=style.INK, ls="--", lw=0.8, label="all components")
        axes.legend(loc="lower right")
    axes.set_xscale("log")
    style.plain_logarithm(axes.xaxis)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.set_xlabel("components kept")
    axes.set_ylabel("accuracy (%)")
    return figure


def _component_names(array: xr.DataArray) -> list[str]:
    """Return short names of the components, from their coordinates if there are any."""
    dim = array.dims[1]
    if all(name in array.coords for name in _LABELS):
        columns = [array[name].values.tolist() for name in _LABELS]
        return [f"{a}{b} {n},{m} {degree}" for a, b, n, m, degree in zip(*columns, strict=True)]
    if dim in array.coords:
        return [str(value) for value in array[dim].values]
    return [str(number) for number in range(array.shape[1])]
