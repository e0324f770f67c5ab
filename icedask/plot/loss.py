"""Losses of trainings against their steps or epochs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.plot import style

# The running mean is over the steps divided by this.
_WINDOW = 50
# Losses that span a smaller factor have a linear scale.
_SPAN = 3


@style.in_style
def learning_curve(loss: npt.ArrayLike, *, steps: npt.ArrayLike | None = None) -> Figure:
    """Draw the loss of each step on a logarithmic scale, and its running mean.

    The mean is over one fiftieth of the steps about each; its last value is written at its end.

    Parameters
    ----------
    loss : (n_steps,) array
        Above zero; NaN is left out.
    steps : (n_steps,) array, optional
        Numbers of the steps, increasing; by default from 1 on.

    Raises
    ------
    InputError
        If there is no loss above zero, one is not, or the numbers of the steps do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from icedask.plot import learning_curve
    >>> noise = np.random.default_rng(0).lognormal(sigma=0.2, size=1000)
    >>> figure = learning_curve(0.1 + np.exp(-np.arange(1000) / 100) * noise)
    >>> figure.axes[0].get_ylabel()
    'loss'
    """
    values = _losses(loss, "learning_curve", "step")
    if (values <= 0).any():
        raise InputError(
            f"learning_curve: expected losses above 0, found {np.nanmin(values):g}; draw others "
            "with training_curves"
        )
    numbers = np.arange(1, len(values) + 1) if steps is None else np.asarray(steps)
    if numbers.shape != values.shape or not (np.diff(numbers) > 0).all():
        raise InputError(
            f"learning_curve: steps: expected {len(values)} increasing numbers, one for each loss, "
            f"found the shape {numbers.shape}"
        )
    there = np.isfinite(values)
    numbers, values = numbers[there], values[there]
    smooth = run_mean(values, max(1, len(values) // _WINDOW))
    figure, axes = _axes("step", numbers[0], numbers[-1])
    axes.plot(numbers, values, color=style.PALETTE[0], lw=0.5, alpha=0.35, rasterized=True)
    axes.plot(numbers, smooth, color=style.PALETTE[0], lw=1.4)
    style.write(axes, f"{smooth[-1]:.3g}", (numbers[-1], smooth[-1]), (4, 0))
    axes.set_yscale("log")
    style.plain_logarithm(axes.yaxis)
    return figure


@style.in_style
def training_curves(curves: Mapping[str, npt.ArrayLike], *, best: int | None = None) -> Figure:
    """Draw losses of a training, on held-out rows too, against its epochs.

    The scale is logarithmic where all are above zero and they span a factor of three.

    Parameters
    ----------
    curves : mapping of str to (n_epochs,) array
        By name; epochs are numbered from 1 on. NaN, where an epoch has no such loss, is left out.
    best : int, optional
        The epoch to mark, whose network is kept.

    Raises
    ------
    InputError
        If there is no curve, one is not a row of numbers, or no curve has the best epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from icedask.plot import training_curves
    >>> training = np.exp(-np.arange(30) / 10)
    >>> figure = training_curves({"training": training, "held out": training + 0.05}, best=30)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['training', 'held out', 'best epoch: 30']
    """
    losses = {
        name: _losses(loss, f"training_curves: {name}", "epoch") for name, loss in curves.items()
    }
    if not losses:
        raise InputError("training_curves: expected at least one loss by name, found none")
    last = max(map(len, losses.values()))
    if best is not None and not 1 <= best <= last:
        raise InputError(f"training_curves: best: expected an epoch from 1 to {last}, found {best}")
    figure, axes = _axes("epoch", 1, last)
    for (name, values), color in zip(losses.items(), cycle(style.PALETTE), strict=False):
        there = np.isfinite(values)
        epochs = 1 + np.flatnonzero(there)
        marker = "o" if len(epochs) == 1 else None
        axes.plot(epochs, values[there], color=color, lw=1.3, marker=marker, ms=4, label=name)
        if best is not None and best <= len(values) and there[best - 1]:
            axes.plot(best, values[best - 1], "o", color=color, ms=4, zorder=3)
    if best is not None:
        axes.axvline(best, color=style.INK, ls="--", lw=0.8, label=f"best epoch: {best}", zorder=1)
    every = np.concatenate(list(losses.values()))
    if np.nanmin(every) > 0 and np.nanmax(every) > _SPAN * np.nanmin(every):
        axes.set_yscale("log")
        style.plain_logarithm(axes.yaxis)
    axes.legend()
    return figure


def _losses(loss: npt.ArrayLike, where: str, unit: str) -> FloatArray:
    """Return losses, checked to be a row of numbers, not all of them NaN."""
    values = np.asarray(loss, float)
    if values.ndim != 1 or not np.isfinite(values).any():
        what = f"the shape {values.shape}" if values.ndim != 1 else "none that is finite"
        raise InputError(f"{where}: expected one loss for each {unit}, found {what}")
    return values


def _axes(unit: str, first: float, last: float) -> tuple[Figure, Axes]:
    """Return a figure with the axes of a loss against steps or epochs."""
    figure = style.new_figure(style.COLUMN, 2.4)
    axes = figure.subplots()
    # One step has no extent.
    axes.set_xlim(first, max(last, first + 1))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel(unit)
    axes.set_ylabel("loss")
    return figure, axes


def run_mean(values: FloatArray, width: int) -> FloatArray:
    """Return the mean of `width` values about each; of fewer at the ends."""
    window = np.ones(2 * (width // 2) + 1)
    if len(window) > len(values):
        window = window[: len(values)]
    total = np.convolve(values, window, mode="same")
    return total / np.convolve(np.ones(len(values)), window, mode="same")
