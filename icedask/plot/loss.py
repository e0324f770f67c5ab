"""The loss of a training against its steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from icedask.errors import InputError
from icedask.plot.style import COLUMN, PALETTE, in_style, new_figure

# Of the steps, what the mean is over.
_WINDOW = 50


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
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(numbers[0], max(numbers[-1], numbers[0] + 1))
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    return figure


def run_mean(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Return the mean of `width` values about each; of fewer at the ends."""
    window = np.ones(2 * (width // 2) + 1)
    if len(window) > len(values):
        window = window[: len(values)]
    total = np.convolve(values, window, mode="same")
    return total / np.convolve(np.ones(len(values)), window, mode="same")
