"""A boundary that nobody labelled: the valley between the two hills of a histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from icedask.core.features import lazy_blocks, variables_record
from icedask.core.provenance import stamped
from icedask.core.types import FloatArray
from icedask.core.variables import summary_variables
from icedask.errors import InputError
from icedask.tasks.reduce import reduce_blocks

# Bins of equal width on a logarithmic scale; what lies outside counts in the outermost.
_DECADES, _PER_DECADE = (-7, 5), 40
# Bins over which counts are smoothed before a valley is looked for.
_SMOOTHING = 1.5
# A valley is within this factor of where it is expected, less than half as high as the lower of
# the hills, and each side of it holds at least this part of the atoms.
_FACTOR, _DEPTH, _SMALLEST_SIDE = 3.0, 0.5, 1e-3


def score_histogram(compared: xr.Dataset, *, near: float) -> xr.Dataset:
    """Count scores, and find the valley between those of crystals and the others; computes.

    Parameters
    ----------
    compared : xarray.Dataset
        What `PhaseClassifier.compare` returned.
    near : float
        Where the valley is expected, such as `PhaseClassifier.threshold_`: it is looked for from a
        third to three times of it.

    Returns
    -------
    xarray.Dataset
        count (phase, score_bin), of atoms in frames, by nearest phase, with the bounds of the bins
        as score_low and score_high; and threshold, NaN where there is no valley: nearly all atoms
        are on one side of it, or it is hardly lower than the hills beside it.

    Raises
    ------
    InputError
        If `compared` has no scores, or `near` is not a positive number.
    """
    given = isinstance(compared, xr.Dataset)
    if not given or "score" not in compared or "flag_meanings" not in _attrs(compared, "nearest"):
        listed = ", ".join(map(str, compared.data_vars)) if given else type(compared).__name__
        raise InputError(
            "score_histogram: expected what PhaseClassifier.compare returned, found "
            f"{listed or 'no variable'}"
        )
    number = isinstance(near, int | float | np.number) and not isinstance(near, bool)
    if not number or not 0 < near < np.inf:
        raise InputError(f"score_histogram: near: expected a positive number, found {near!r}")
    names = [str(name) for name in compared["nearest"].attrs["flag_meanings"].split()]
    rows = lazy_blocks(compared["nearest"])
    with dask.config.set({"array.rechunk.method": "tasks"}):
        scores = lazy_blocks(compared["score"]).rechunk(rows.chunks)
    counts = reduce_blocks(
        [scores, rows], partial(_counts, n_phases=len(names)), _sum, "score histogram"
    )
    edges = bin_edges()
    variables = summary_variables(
        "score_histogram",
        count=counts,
        score_low=edges[:-1],
        score_high=edges[1:],
        threshold=valley(counts.sum(axis=0), edges, near),
    )
    record = variables_record(compared, ["score", "nearest"]).child(
        "results", "score_histogram", 1, {"near": float(near)}
    )
    return stamped(xr.Dataset(variables, {"phase": names}), record)


def _attrs(ds: xr.Dataset, name: str) -> Mapping[str, Any]:
    return ds[name].attrs if name in ds.variables else {}


def bin_edges() -> FloatArray:
    """Return the edges of the bins of scores, evenly spaced on a logarithmic scale."""
    low, high = _DECADES
    return np.logspace(low, high, (high - low) * _PER_DECADE + 1)


def _counts(
    scores: npt.NDArray[np.float32], nearest: npt.NDArray[np.int32], n_phases: int
) -> npt.NDArray[np.int64]:
    edges = bin_edges()
    bins = np.searchsorted(edges, scores.ravel(), side="right") - 1
    bins = np.clip(bins, 0, len(edges) - 2)
    n_bins = len(edges) - 1
    flat = np.bincount(nearest.ravel() * n_bins + bins, minlength=n_phases * n_bins)
    return flat.reshape(n_phases, n_bins)


def _sum(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.sum(parts, axis=0, dtype=np.int64)


def valley(counts: npt.NDArray[np.int64], edges: FloatArray, near: float) -> float:
    """Return where counts are lowest between two hills, NaN if there are no two.

    Parameters
    ----------
    counts : (n_bins,)
    edges : (n_bins + 1,)
        Evenly spaced on a logarithmic scale.
    near
        Where it is expected.
    """
    smooth = gaussian_filter1d(counts.astype(float), _SMOOTHING, mode="constant")
    centers = np.sqrt(edges[:-1] * edges[1:])
    here = np.flatnonzero((centers > near / _FACTOR) & (centers < near * _FACTOR))
    below, above = np.maximum.accumulate(smooth), np.maximum.accumulate(smooth[::-1])[::-1]
    hills = np.minimum(below, above)[here]
    depth = smooth[here] / np.where(hills > 0, hills, np.inf)
    depth[hills <= 0] = np.inf
    lowest = here[depth <= depth.min(initial=np.inf) * (1 + 1e-9)]
    if not len(lowest) or depth.min() >= _DEPTH:
        return float("nan")
    # Of a flat bottom, the middle.
    place = lowest[len(lowest) // 2]
    share = counts[: place + 1].sum() / counts.sum()
    if not _SMALLEST_SIDE <= share <= 1 - _SMALLEST_SIDE:
        return float("nan")
    return float(centers[place])
