"""Histograms of the scores of a classifier of phases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from icedask.core.features import lazy_blocks
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.learn.onion.histogram import EMPTY, MAX_BINS, Histogram, histogram, merge
from icedask.plot.style import (
    COLUMN,
    Names,
    in_style,
    legend_width,
    names_of,
    new_figure,
    state_color,
    state_handles,
)
from icedask.tasks.reduce import reduce_blocks

# Powers of two: bins that are seen, 128 at most, over those that are counted.
_COARSER = MAX_BINS.bit_length() - 1 - 7
# Relative to the largest score.
_FINEST = 2.0**-9
# Fractions below this share of the smallest are the margin of the axis.
_BELOW = 0.5
_PLAIN = "#888888"


@in_style
def score_histogram(
    scores: Mapping[str, xr.Dataset],
    *,
    threshold: float | None = None,
    by: str | None = None,
    names: Names | None = None,
) -> Figure:
    """Draw histograms of scores, one under the other, over common bins on a logarithmic scale.

    One pass over the scores. NaN is left out of the histogram, not of the number of atoms.

    Parameters
    ----------
    scores : mapping of str to xarray.Dataset
        By title, for example before and after denoising: score (frame, atom), the distance to the
        nearest reference.
    threshold : float, optional
        A score to draw a line at: what is above is no phase.
    by : str, optional
        A variable (frame, atom) of integers in each Dataset, "nearest" or "label": an outline for
        each of its states. By default all atoms have one.
    names : mapping of int to str, optional
        Names of states; by default those that the variable's flags tell, else their numbers.

    Returns
    -------
    matplotlib.figure.Figure

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
    found = {title: _histograms(title, ds, by) for title, ds in scores.items()}
    states = sorted({state for parts in found.values() for state in parts})
    called: dict[int, str] = {}
    for ds in scores.values():
        called |= {} if by is None else names_of(ds[by], names)
    every = [one for parts in found.values() for one in parts.values() if one.total]
    if not every:
        raise InputError("score_histogram: expected scores, found none but NaN; nothing to draw")
    exponent, first, n_bins = _common_bins(every)
    edges = np.ldexp(first + np.arange(n_bins + 1.0), exponent)

    low, high = float(edges[0]), float(edges[-1])
    if threshold is not None:
        low, high = min(low, 0.9 * threshold), max(high, 1.1 * threshold)
    beside = 0.0 if by is None else legend_width(states, called)
    figure = new_figure(COLUMN + beside, 0.5 + 1.5 * len(scores))
    panels = figure.subplots(len(scores), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    smallest = 1.0
    for axes, (title, parts) in zip(panels, found.items(), strict=True):
        total = scores[title]["score"].size
        # The most common first: what is rare lies on top.
        for state in sorted(parts, key=lambda one: -parts[one].total):
            color = _PLAIN if by is None else state_color(state, called)
            height = _in_bins(parts[state], exponent, first, n_bins) / total
            smallest = min(smallest, height[height > 0].min(initial=1.0))
            if by is None:
                axes.stairs(height, edges, color=color, fill=True, alpha=0.25)
            axes.stairs(height, edges, color=color, lw=1.1)
        axes.set_title(title)
        axes.set_ylabel("fraction per bin")
        if threshold is not None:
            axes.axvline(threshold, color="black", ls="--", lw=0.8)
            left = threshold - low > 0.6 * (high - low)
            axes.annotate(
                f"threshold {threshold:.3g}",
                (threshold, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-3 if left else 3, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="top",
                fontsize=7,
            )
    panels[0].set_yscale("log")
    panels[0].set_ylim(_BELOW * smallest, 1)
    panels[0].set_xlim(low, high)
    panels[-1].set_xlabel("score (distance to the nearest reference)")
    if by is not None:
        figure.legend(
            handles=state_handles(states, called, "s"),
            title="nearest phase" if by == "nearest" else by,
            loc="outside right upper",
            handletextpad=0.2,
        )
    return figure


def _histograms(title: str, ds: xr.Dataset, by: str | None) -> dict[int, Histogram]:
    """Return the histogram of the scores of each state; of all atoms as state 0 without states."""
    score = _variable(title, ds, "score", "f")
    arrays = [lazy_blocks(score)]
    if by is not None:
        arrays.append(lazy_blocks(_variable(title, ds, by, "iu")).rechunk(arrays[0].chunks))
    return reduce_blocks(arrays, _of_block, _merged, None)


def _variable(title: str, ds: xr.Dataset, name: str, kinds: str) -> xr.DataArray:
    found = ds.get(name) if isinstance(ds, xr.Dataset) else None
    if found is None or found.dims != (FRAME, ATOM) or found.dtype.kind not in kinds:
        what = "no such variable" if found is None else f"{found.dims} of {found.dtype}"
        raise InputError(
            f"score_histogram: {title}: expected {name} (frame, atom), "
            f"{'a number' if kinds == 'f' else 'an integer'}, found {what}; pass what predict of a "
            "classifier of phases returned"
        )
    return found


def _of_block(
    score: npt.NDArray[np.floating], state: npt.NDArray[np.integer] | None = None
) -> dict[int, Histogram]:
    finite = np.isfinite(score)
    if state is None:
        return {0: histogram(score[finite])}
    return {int(one): histogram(score[finite & (state == one)]) for one in np.unique(state)}


def _merged(parts: Sequence[dict[int, Histogram]]) -> dict[int, Histogram]:
    states = sorted({state for part in parts for state in part})
    return {state: merge([part.get(state, EMPTY) for part in parts]) for state in states}


def _common_bins(parts: Sequence[Histogram]) -> tuple[int, int, int]:
    """Return the exponent of bins that consist of whole ones of all, the first, and their number.

    They are not more than can be seen, and none where scores differ only by rounding.
    """
    every = merge(parts)
    largest = max(abs(every.low), abs(every.high)) or 1.0
    exponent = max(every.exponent + _COARSER, math.frexp(largest * _FINEST)[1])
    first, last = (math.floor(math.ldexp(one, -exponent)) for one in (every.low, every.high))
    return exponent, first, last - first + 1


def _in_bins(found: Histogram, exponent: int, first: int, n_bins: int) -> npt.NDArray[np.int64]:
    """Return the counts in bins that consist of whole ones."""
    fine = found.first + np.arange(len(found.counts))
    counts = np.zeros(n_bins, np.int64)
    np.add.at(counts, (fine >> min(exponent - found.exponent, 63)) - first, found.counts)
    return counts
