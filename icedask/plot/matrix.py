"""The matrix of transition probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator
from matplotlib.transforms import offset_copy

from icedask.errors import InputError
from icedask.plot.flux import flux_of
from icedask.plot.style import (
    PAGE,
    Names,
    in_style,
    new_figure,
    percent_text,
)

# Per cent: what is rarer has the same colour.
_LOWEST = 0.01
# Points: the squares in the colours of the states.
_MARK = 5


@in_style
def transition_matrix(transitions: xr.Dataset, *, names: Names | None = None) -> Figure:
    """Draw the transition probabilities in per cent, as colours on a logarithmic scale and numbers.

    Rows are the states that atoms leave, columns those that they enter. Cells without any
    transition are white; a row of a state without any pair of frames is hatched. The colour
    saturates at 0.01 %, the numbers do not.

    Parameters
    ----------
    transitions : xarray.Dataset
        What `transitions` returned: flux and probability (from, to).
    names : mapping of int to str, optional
        Names of states; by default those that the flags of the states tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a variable is missing, or is not square.
    """
    called, colors, _ = flux_of(transitions, names, "transition_matrix")
    if "probability" not in transitions:
        raise InputError(
            "transition_matrix: expected a Dataset with probability (from, to), found none; pass "
            "what transitions returned"
        )
    percent = 100 * transitions["probability"].transpose("from", "to").values
    n_states = len(called)
    longest = max(len(one) for one in called)
    margin = 0.06 * longest
    width, height = 1.3 + margin + 0.4 * n_states, 0.6 + margin + 0.36 * n_states
    figure = new_figure(min(PAGE, width), min(PAGE, max(1.9, height)))
    axes = figure.subplots()
    norm = LogNorm(_LOWEST, 100, clip=True)
    # White is for nothing: what there is begins with a tint.
    colors = ListedColormap(colormaps["Blues"](np.linspace(0.1, 1, 256)))
    image = axes.imshow(
        np.ma.masked_invalid(np.where(percent > 0, percent, np.nan)),
        norm=norm,
        cmap=colors,
        aspect="auto",
    )
    for row, column in np.ndindex(percent.shape):
        value = percent[row, column]
        if np.isnan(value):
            corner = (column - 0.5, row - 0.5)
            empty = Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor="0.7", lw=0)
            axes.add_patch(empty)
            continue
        if value == 0:
            continue
        red, green, blue, _ = colors(norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        axes.text(
            column,
            row,
            percent_text(float(value)),
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )
    axes.set_xticks(range(n_states), called, rotation=90 if longest > 3 else 0)
    axes.set_yticks(range(n_states), called)
    axes.set_xticks(np.arange(n_states + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n_states + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1)
    axes.tick_params(which="both", length=0)
    axes.tick_params(pad=_MARK + 5)
    axes.spines[:].set_visible(False)
    shift = -(_MARK / 2 + 2)
    below = offset_copy(axes.get_xaxis_transform(), figure, y=shift, units="points")
    left = offset_copy(axes.get_yaxis_transform(), figure, x=shift, units="points")
    for place, color in enumerate(colors):
        mark: dict[str, Any] = {
            "marker": "s",
            "markersize": _MARK,
            "color": color,
            "clip_on": False,
        }
        axes.plot(place, 0, transform=below, **mark)
        axes.plot(0, place, transform=left, **mark)
    axes.set_xlabel("to")
    axes.set_ylabel("from")
    bar = figure.colorbar(image, ax=axes, label="probability (%)", fraction=0.06, pad=0.02)
    bar.set_ticks([0.01, 0.1, 1, 10, 100])
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    return figure
