"""The share of the variance that the first principal components hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icedask.errors import InputError
from icedask.plot.style import COLUMN, in_style, new_figure, state_color

if TYPE_CHECKING:
    from icedask.learn.pca import PCA

_MARKERS = "osD^v<>P"


@in_style
def cumulative_variance(
    fits: Mapping[str, PCA | npt.ArrayLike], *, threshold: float = 0.99
) -> Figure:
    """Draw the cumulative explained variance against the number of components.

    A dotted line stands at the threshold; on each curve, the number of components that reach it
    is marked. Components are shown up to twice the largest such number, and at least 10.

    Parameters
    ----------
    fits : mapping of str to PCA or array
        By name: a fitted PCA, or its explained_variance_ratio (component,).
    threshold : float
        Share of the variance to reach, between 0 and 1.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no fit, a ratio is no list of shares, or the threshold is out of bounds.
    """
    if not fits:
        raise InputError("cumulative_variance: expected at least one fit by name, found none")
    if not 0 < threshold < 1:
        raise InputError(
            f"cumulative_variance: threshold: expected a share between 0 and 1, found {threshold}"
        )
    curves = {name: np.cumsum(_ratio(name, fit)) for name, fit in fits.items()}
    needed = {name: n_components(curve, threshold) for name, curve in curves.items()}
    longest = max(len(curve) for curve in curves.values())
    reached = [number for number in needed.values() if number is not None]
    shown = longest if len(reached) < len(needed) else min(longest, max(10, 2 * max(reached)))
    figure = new_figure(COLUMN, 2.8)
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        color, marker = state_color(number), _MARKERS[number % len(_MARKERS)]
        drawn = curve[:shown]
        count = needed[name]
        said = f"more than {len(curve)}" if count is None else str(count)
        axes.plot(
            np.arange(1, len(drawn) + 1),
            drawn,
            color=color,
            marker=marker,
            markersize=3,
            lw=1,
            label=f"{name}: {said}",
            clip_on=False,
        )
        if count is not None:
            axes.plot([count, count], [0, curve[count - 1]], color=color, lw=0.7, ls="--")
            axes.plot(count, curve[count - 1], marker, color=color, markersize=6)
    axes.axhline(threshold, color="0.4", ls=":", lw=1)
    axes.set_xlim(0.5, shown + 0.5)
    low = min(curve[0] for curve in curves.values())
    axes.set_ylim(low - 0.1 * (1 - low), 1 + 0.02 * (1 - low))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("number of components")
    axes.set_ylabel("cumulative explained variance")
    title = f"components for {100 * threshold:.4g} %"
    axes.legend(title=title, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def _ratio(name: str, fit: PCA | npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the explained variance ratios of a fit."""
    ratio = np.asarray(getattr(fit, "explained_variance_ratio_", fit))
    shares = ratio.ndim == 1 and ratio.size > 0 and ratio.dtype.kind == "f"
    if not shares or not (ratio >= 0).all() or ratio.sum() > 1 + 1e-6:
        raise InputError(
            f"cumulative_variance: {name}: expected a fitted PCA or its explained variance ratios, "
            f"which add up to at most 1, found {type(fit).__name__} of the shape {ratio.shape}"
        )
    return ratio.astype(float)


def n_components(curve: npt.NDArray[np.float64], threshold: float) -> int | None:
    """Return how many components reach a share of the variance; None if all do not."""
    reached = curve >= threshold
    return int(np.argmax(reached)) + 1 if reached.any() else None
