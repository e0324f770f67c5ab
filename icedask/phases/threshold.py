"""Unsupervised threshold: the minimum between the two modes of the score histogram."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from icedask.core.collection import over_members
from icedask.core.features import lazy_blocks, rechunked, variables_record
from icedask.core.options import Option, takes_options
from icedask.core.provenance import stamped
from icedask.core.types import FloatArray, IntArray, LabelArray
from icedask.core.variables import summary_variables
from icedask.errors import InputError
from icedask.tasks.reduce import reduce_blocks

# Bins of equal width on a logarithmic scale; what lies outside counts in the outermost.
_DECADES, _PER_DECADE = (-7, 5), 40
# Standard deviation, in bins, by which counts are smoothed before the minimum is searched.
_SMOOTHING = 1.5
# A minimum is within this factor of the expected place, less than half as high as the lower of
# the modes, and each side of it holds at least this part of the atoms.
_FACTOR, _DEPTH, _SMALLEST_SIDE = 3.0, 0.5, 1e-3


@over_members
@takes_options("compared : xarray.Dataset\n    Result of `PhaseClassifier.compare`.")
def score_threshold(
    compared: xr.Dataset,
    *,
    near: Annotated[
        float,
        Option(
            "Expected threshold, such as `PhaseClassifier.threshold_`: the minimum is searched "
            "from a third to three times of it.",
            above=0,
        ),
    ],
) -> xr.Dataset:
    """Histogram of scores, and its minimum between crystals and the rest; computes.

    {parameters}

    Returns
    -------
    xarray.Dataset
        count (phase, score_bin), of atoms in frames, by nearest phase, with the bounds of the bins
        as score_low and score_high; and threshold, NaN where there is no minimum: nearly all atoms
        are on one side of it, or it is hardly lower than the modes beside it.

    Raises
    ------
    InputError
        If `compared` has no scores, or `near` is not a positive number.
    """
    _check_compared(compared)
    names = [str(name) for name in compared["nearest"].attrs["flag_meanings"].split()]
    rows = lazy_blocks(compared["nearest"])
    scores = rechunked(lazy_blocks(compared["score"]), rows.chunks)
    counts = reduce_blocks(
        [scores, rows], partial(count_scores, n_phases=len(names)), _sum, "score histogram"
    )
    edges = bin_edges()
    variables = summary_variables(
        "score_threshold",
        count=counts,
        score_low=edges[:-1],
        score_high=edges[1:],
        threshold=minimum_between_modes(counts.sum(axis=0), edges, near),
    )
    record = variables_record(compared, ["score", "nearest"]).child(
        "results", "score_histogram", 1, {"near": near}
    )
    return stamped(xr.Dataset(variables, {"phase": names}), record)


def _check_compared(compared: xr.Dataset) -> None:
    is_dataset = isinstance(compared, xr.Dataset)
    nearest = compared.variables.get("nearest") if is_dataset else None
    if nearest is not None and "score" in compared and "flag_meanings" in nearest.attrs:
        return
    listed = ", ".join(map(str, compared.data_vars)) if is_dataset else type(compared).__name__
    raise InputError(
        "score_threshold: expected what PhaseClassifier.compare returned, found "
        f"{listed or 'no variable'}"
    )


def bin_edges() -> FloatArray:
    """Return the edges of the bins of scores, evenly spaced on a logarithmic scale."""
    low, high = _DECADES
    return np.logspace(low, high, (high - low) * _PER_DECADE + 1)


def count_scores(scores: npt.NDArray[np.float32], nearest: LabelArray, n_phases: int) -> IntArray:
    """Return the number of scores in each bin, by nearest phase (n_phases, n_bins)."""
    edges = bin_edges()
    bins = np.searchsorted(edges, scores.ravel(), side="right") - 1
    bins = np.clip(bins, 0, len(edges) - 2)
    n_bins = len(edges) - 1
    flat = np.bincount(nearest.ravel() * n_bins + bins, minlength=n_phases * n_bins)
    return flat.reshape(n_phases, n_bins)


def _sum(parts: Sequence[IntArray]) -> IntArray:
    return np.sum(parts, axis=0, dtype=np.int64)


def minimum_between_modes(counts: IntArray, edges: FloatArray, near: float) -> float:
    """Return the place of the minimum between two modes of a histogram; NaN without two modes.

    The bins are evenly spaced on a logarithmic scale; the minimum is expected at `near`.
    """
    smooth = gaussian_filter1d(counts.astype(float), _SMOOTHING, mode="constant")
    centers = np.sqrt(edges[:-1] * edges[1:])
    here = np.flatnonzero((centers > near / _FACTOR) & (centers < near * _FACTOR))
    below, above = np.maximum.accumulate(smooth), np.maximum.accumulate(smooth[::-1])[::-1]
    modes = np.minimum(below, above)[here]
    depth = smooth[here] / np.where(modes > 0, modes, np.inf)
    depth[modes <= 0] = np.inf
    lowest = here[depth <= depth.min(initial=np.inf) * (1 + 1e-9)]
    if not len(lowest) or depth.min() >= _DEPTH:
        return float("nan")
    # Of a flat bottom, the middle.
    place = lowest[len(lowest) // 2]
    share = counts[: place + 1].sum() / counts.sum()
    if not _SMALLEST_SIDE <= share <= 1 - _SMALLEST_SIDE:
        return float("nan")
    return float(centers[place])
