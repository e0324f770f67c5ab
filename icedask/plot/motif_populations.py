"""Fractions of atoms in each motif against time, one panel for each category."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icedask.core.types import FloatArray
from icedask.core.variables import FRAME, STATE
from icedask.errors import InputError
from icedask.plot.motifs import CATEGORIES, check_categories
from icedask.plot.style import PAGE, Times, axes_at, frame_times, in_style, new_figure, state_color
from icedask.plot.timelines import APART, name_at_the_end

# Inches.
_WIDTH, _HEIGHT, _GAP = 0.8 * PAGE, 1.5, 0.28
_SUM = "#D9D9D9"


@in_style
def motif_populations(populations: xr.Dataset, categories: Mapping[int, str]) -> Figure:
    """Draw the fraction of each motif against time, those of a category in one panel.

    The number of a motif stands at the end of its line. The thick pale line is the sum of the
    category. Each panel has a scale of its own.

    Parameters
    ----------
    populations : xarray.Dataset
        What `populations` returned: population (frame, state).
    categories : mapping of int to str
        Of each motif: ice, transient or liquid.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no such variable, every population is NaN, or a motif has no category.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import motif_populations
    >>> label = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]], np.int32)
    >>> labels = xr.Dataset({"label": (("frame", "atom"), label)})
    >>> figure = motif_populations(ice.populations(labels), {0: "ice", 1: "liquid"})
    >>> [axes.get_title() for axes in figure.axes]
    ['liquid', 'ice']
    """
    found = populations.get("population") if isinstance(populations, xr.Dataset) else None
    if found is None or found.dims != (FRAME, STATE):
        raise InputError(
            "motif_populations: expected population (frame, state), found "
            f"{'no such variable' if found is None else found.dims}; pass what populations returned"
        )
    motifs = [int(one) for one in found[STATE].values]
    known = check_categories(categories, motifs, "motif_populations")
    fractions = dict(zip(motifs, found.values.T, strict=True))
    if not np.isfinite(found.values).any():
        raise InputError(
            "motif_populations: expected fractions, found none but NaN: no atom has a motif"
        )
    shown = [name for name in CATEGORIES[::-1] if name in {known[one] for one in motifs}]
    times = frame_times(populations)
    parts = {name: [one for one in motifs if known[one] == name] for name in shown}
    # Names stand one above the other beside a panel.
    most = max(len(one) for one in parts.values()) + 1
    height = max(_HEIGHT, APART * most / 72)
    figure = new_figure(_WIDTH + 1.2, 0.45 + len(shown) * (height + _GAP))
    for number, (name, own) in enumerate(parts.items()):
        bottom = 0.45 + (len(shown) - 1 - number) * (height + _GAP)
        axes = axes_at(figure, 0.6, bottom, _WIDTH, height)
        _draw_category(axes, times, {one: fractions[one] for one in own})
        name_at_the_end(axes, APART / 72 / height)
        axes.set_title(name)
        axes.set_ylabel("fraction of atoms")
        axes.tick_params(labelbottom=number == len(shown) - 1)
    figure.axes[-1].set_xlabel(times.label)
    return figure


def _draw_category(axes: Axes, times: Times, fractions: Mapping[int, FloatArray]) -> None:
    """Draw the lines of the motifs of a category, and their sum."""
    marker = "o" if len(times.values) == 1 else None
    total = np.sum(list(fractions.values()), axis=0)
    axes.plot(times.values, total, color=_SUM, lw=4, marker=marker, label="all", zorder=1)
    for motif, fraction in fractions.items():
        color = state_color(motif)
        axes.plot(times.values, fraction, color=color, lw=1, marker=marker, label=str(motif))
    if len(times.values) > 1:
        axes.margins(x=0)
    # A category may be empty.
    axes.set_ylim(0, 1.05 * max(np.nanmax(total), 1e-6))
