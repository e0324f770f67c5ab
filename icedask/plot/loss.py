"""The loss of a training against its steps, or its epochs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icedask.errors import InputError
from icedask.plot.style import COLUMN, PALETTE, in_style, new_figure, plain_logarithm

# Of the steps, what the mean is over.
_WINDOW = 50
# Losses that span a smaller factor have a linear scale.
_SPAN = 3


@in_style
def learning_curve(loss: npt.ArrayLike, *, steps: npt.ArrayLike | None = None) -> Figure:
    """Draw the loss of each step on a logarithmic scale, and its running mean.

    The mean is over one fiftieth of the steps about each; its last value is written at its end.

    Parameters
    ----------
    loss : (n_steps,) array
        Above zero; NaN is left out.
    steps : (n_steps,) array, optional
        Numbers of the steps, increasing; by default from 1 on.

    Returns
    -------
    matplotlib.figure.Figure

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
    values = np.asarray(loss, float)
    if values.ndim != 1 or not np.isfinite(values).any() or (values <= 0).any():
        what = f"the shape {values.shape}" if values.ndim != 1 else "none"
        if (values <= 0).any():
            what = f"{values.min():g}"
        raise InputError(f"learning_curve: expected one loss above 0 for each step, found {what}")
    numbers = np.arange(1, len(values) + 1) if steps is None else np.asarray(steps)
    if numbers.shape != values.shape or not (np.diff(numbers) > 0).all():
        raise InputError(
            f"learning_curve: steps: expected {len(values)} increasing numbers, one for each loss, "
            f"found the shape {numbers.shape}"
        )
    there = np.isfinite(values)
    numbers, values = numbers[there], values[there]
    smooth = run_mean(values, max(1, len(values) // _WINDOW))
    figure = new_figure(COLUMN, 2.4)
    axes = figure.subplots()
    axes.plot(numbers, values, color=PALETTE[0], lw=0.5, alpha=0.35, rasterized=True)
    axes.plot(numbers, smooth, color=PALETTE[0], lw=1.4)
    axes.annotate(
        f"{smooth[-1]:.3g}",
        (numbers[-1], smooth[-1]),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
    )
    axes.set_yscale("log")
    plain_logarithm(axes.yaxis)
    axes.set_xlim(numbers[0], max(numbers[-1], numbers[0] + 1))
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    return figure


@in_style
def training_curves(curves: Mapping[str, npt.ArrayLike], *, best: int | None = None) -> Figure:
    """Draw losses of each epoch of a training, such as those of training and of held-out rows.

    The scale is logarithmic where all are above zero and they span a factor of three.

    Parameters
    ----------
    curves : mapping of str to (n_epochs,) array
        By name; epochs are numbered from 1 on. NaN is left out: epochs without such a loss.
    best : int, optional
        The epoch to mark, whose network is kept.

    Returns
    -------
    matplotlib.figure.Figure

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
    found = {name: np.asarray(one, float) for name, one in curves.items()}
    if not found:
        raise InputError("training_curves: expected at least one loss by name, found none")
    for name, values in found.items():
        if values.ndim != 1 or not np.isfinite(values).any():
            what = f"the shape {values.shape}" if values.ndim != 1 else "none that is finite"
            raise InputError(
                f"training_curves: {name}: expected one loss for each epoch, found {what}"
            )
    last = max(len(one) for one in found.values())
    if best is not None and not 1 <= best <= last:
        raise InputError(f"training_curves: best: expected an epoch from 1 to {last}, found {best}")
    figure = new_figure(COLUMN, 2.4)
    axes = figure.subplots()
    for (name, values), color in zip(found.items(), cycle(PALETTE), strict=False):
        there = np.isfinite(values)
        epochs = 1 + np.flatnonzero(there)
        marker = "o" if len(epochs) == 1 else None
        axes.plot(epochs, values[there], color=color, lw=1.3, marker=marker, ms=4, label=name)
        if best is not None and best <= len(values) and there[best - 1]:
            axes.plot(best, values[best - 1], "o", color=color, ms=4, zorder=3)
    if best is not None:
        axes.axvline(best, color="black", ls="--", lw=0.8, label=f"best epoch: {best}", zorder=1)
    every = np.concatenate(list(found.values()))
    if np.nanmin(every) > 0 and np.nanmax(every) > _SPAN * np.nanmin(every):
        axes.set_yscale("log")
        plain_logarithm(axes.yaxis)
    axes.set_xlim(1, max(last, 2))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend()
    return figure


def run_mean(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Return the mean of `width` values about each; of fewer at the ends."""
    window = np.ones(2 * (width // 2) + 1)
    if len(window) > len(values):
        window = window[: len(values)]
    total = np.convolve(values, window, mode="same")
    return total / np.convolve(np.ones(len(values)), window, mode="same")
