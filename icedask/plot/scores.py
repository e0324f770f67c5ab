"""Histograms of the scores of a classifier of phases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from icedask.core.features import lazy_blocks
from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.phases.threshold import bin_edges
from icedask.plot import style
from icedask.plot.inputs import histograms, required

# Fractions below this share of the smallest are the margin of the axis.
_BELOW = 0.5
_SOURCE = "predict of a classifier of phases"


@style.in_style
def score_histogram(
    scores: Mapping[str, xr.Dataset],
    *,
    threshold: float | None = None,
    by: str | None = None,
    names: style.Names | None = None,
) -> Figure:
    """Draw histograms of scores, one under the other, over common bins on logarithmic scales.

    The bins are those of the `score_histogram` of the classification of phases: the minimum between
    crystals and the others shows where the threshold is taken from it. The grey area is the
    histogram of all atoms. One pass over the scores. NaN is left out of the histogram, not of the
    number of atoms.

    Parameters
    ----------
    scores : mapping of str to xarray.Dataset
        By title, for example before and after denoising: score (frame, atom), the distance to the
        nearest reference.
    threshold : float, optional
        Score of a line: atoms above it are of no phase.
    by : str, optional
        A variable (frame, atom) of integers in each Dataset, "nearest" or "label": an outline for
        each of its states. By default all atoms have one.

    Raises
    ------
    InputError
        If there is no Dataset, one has no score or no such variable, or there is no finite score.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from icedask.plot import score_histogram
    >>> score = np.random.default_rng(0).gamma(2, size=(5, 100))
    >>> before = xr.Dataset({"score": (("frame", "atom"), score)})
    >>> figure = score_histogram({"before": before, "after": before / 4}, threshold=2.0)
    >>> [axes.get_title() for axes in figure.axes]
    ['before', 'after']
    """
    # A Dataset is a mapping too.
    if not isinstance(scores, Mapping) or isinstance(scores, xr.Dataset) or not scores:
        raise InputError(
            "score_histogram: expected at least one Dataset by title, such as {'before': ...}, "
            f"found {type(scores).__name__ if len(scores) else 'none'}"
        )
    counts = {title: _histograms(title, ds, by) for title, ds in scores.items()}
    present = np.sum([count for parts in counts.values() for count in parts.values()], axis=0)
    if not np.any(present):
        raise InputError("score_histogram: expected scores, found none but NaN; nothing to draw")
    (filled,) = np.nonzero(present)
    bins = slice(filled[0], filled[-1] + 1)
    edges = bin_edges()[filled[0] : filled[-1] + 2]
    states = sorted({state for parts in counts.values() for state in parts})
    called: dict[int, str] = {}
    for ds in scores.values():
        called |= {} if by is None else style.names_of(ds[by], names)

    handles: list[Artist] = []
    if by is not None:
        area = Patch(color=style.GUIDE, alpha=0.25, lw=0, label="all atoms")
        handles = [*style.state_handles(states, called, "s"), area]
    beside = style.legend_width(handles) if handles else 0.0
    figure = style.new_figure(style.COLUMN + beside, 0.5 + 1.5 * len(scores))
    panels = figure.subplots(len(scores), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    smallest = 1.0
    for axes, (title, parts) in zip(panels, counts.items(), strict=True):
        n_rows = scores[title]["score"].size
        heights = {state: count[bins] / n_rows for state, count in parts.items()}
        total = np.sum(list(heights.values()), axis=0)
        axes.stairs(total, edges, color=style.GUIDE, fill=True, alpha=0.25)
        if by is None:
            axes.stairs(total, edges, color=style.GUIDE, lw=1.1)
        else:
            # The most common first: rare ones lie on top.
            for state in sorted(heights, key=lambda state: -heights[state].sum()):
                axes.stairs(heights[state], edges, color=style.state_color(state, called), lw=1.1)
        every = np.concatenate([total, *heights.values()])
        smallest = min(smallest, every[every > 0].min(initial=1.0))
        axes.set_title(title)
        axes.set_ylabel("fraction per bin")
    low, high = float(edges[0]), float(edges[-1])
    if threshold is not None:
        low, high = min(low, threshold / 1.1), max(high, 1.1 * threshold)
    panels[0].set_xscale("log")
    panels[0].set_yscale("log")
    panels[0].set_ylim(_BELOW * smallest, 1)
    panels[0].set_xlim(low, high)
    if threshold is not None:
        for axes in panels:
            _draw_threshold(axes, threshold)
    style.plain_logarithm(panels[-1].xaxis, coarse=high > 100 * low)
    panels[-1].set_xlabel("score (distance to the nearest reference)")
    if handles:
        style.legend_beside(figure, handles, "nearest phase" if by == "nearest" else by)
    return figure


def _draw_threshold(axes: Axes, threshold: float) -> None:
    """Draw a line at the threshold, and write its value where there is more room."""
    low, high = np.log(axes.get_xlim())
    left = np.log(threshold) - low > 0.6 * (high - low)
    axes.axvline(threshold, color=style.INK, ls="--", lw=0.8)
    align = {"ha": "right" if left else "left", "va": "top"}
    shift, coords = (-3 if left else 3, 0), ("data", "axes fraction")
    style.write(axes, f"threshold {threshold:.3g}", (threshold, 1), shift, coords, **align)


def _histograms(title: str, ds: xr.Dataset, by: str | None) -> dict[int, IntArray]:
    """Return the histogram of the scores of each state, or of all atoms."""
    where = f"score_histogram: {title}"
    score = lazy_blocks(required(ds, "score", (FRAME, ATOM), where, _SOURCE, "f"))
    if by is None:
        return histograms(bin_edges(), score)
    states = lazy_blocks(required(ds, by, (FRAME, ATOM), where, _SOURCE, "iu"))
    return histograms(bin_edges(), score, states)
