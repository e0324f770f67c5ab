"""What figures take from Datasets: rows of a sample with their states, and counts by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import feature_variable, lazy_blocks
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError
from icedask.tasks.reduce import reduce_blocks
from icedask.tasks.sampling import Sample, stratified_sample


class Rows(NamedTuple):
    """Rows of features, where they stand and the states they are in."""

    values: npt.NDArray[np.float64]
    frame: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]


def label_variable(labels: xr.Dataset, caller: str) -> xr.DataArray:
    """Return the labels (frame, atom).

    Raises
    ------
    InputError
        If there are none.
    """
    found = labels.get("label") if isinstance(labels, xr.Dataset) else None
    if found is None or found.dims != (FRAME, ATOM) or found.dtype.kind not in "iu":
        what = f"{found.dims} of {found.dtype}" if found is not None else "no such variable"
        raise InputError(
            f"{caller}: expected labels with an integer variable label (frame, atom), found "
            f"{what}; pass what predict or merge_states returned"
        )
    return found


def check_same(caller: str, one: xr.Dataset, labels: xr.Dataset, *dims: str) -> None:
    """Raise InputError unless both have the same frames, or atoms."""
    for dim, name in ((FRAME, "step"), (FRAME, "time"), (ATOM, "atom")):
        if dim not in dims:
            continue
        sizes = one.sizes[dim], labels.sizes[dim]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{caller}: expected labels of the same {dim}s, found {sizes[0]} and {sizes[1]} "
                f"{dim}s; select the same of both, for example with isel({dim}=...)"
            )
        if name not in one.coords or name not in labels.coords:
            continue
        a, b = one[name].values, labels[name].values
        # What is NaN is not known.
        same = (a == b) | (a != a) | (b != b)
        if not same.all():
            place = int(np.argmin(same))
            raise InputError(
                f"{caller}: expected labels of the same {dim}s, found {name} {a[place]} and "
                f"{b[place]} at {dim} {place}; select the same of both"
            )


def sample_rows(
    latent: xr.Dataset,
    labels: xr.Dataset,
    components: tuple[int, int],
    size: int,
    seed: int,
    caller: str,
) -> Rows:
    """Return the two components of a sample of rows, and their states."""
    label = label_variable(labels, caller)
    check_same(caller, latent, labels, FRAME, ATOM)
    sample = sample_points(latent, components, size, seed, caller)
    states = values_at(sample, lazy_blocks(label), size, seed)
    return Rows(sample.rows, sample.frame, states.astype(np.int64))


def sample_points(
    latent: xr.Dataset, components: tuple[int, int], size: int, seed: int, caller: str
) -> Sample:
    """Return the two components of a sample of rows.

    Raises
    ------
    InputError
        If there are no such components, or every row has a NaN.
    """
    array = feature_variable(latent)
    width = array.shape[2] if array.ndim == 3 else 1
    if not all(0 <= one < width for one in components):
        raise InputError(
            f"{caller}: expected components from 0 to {width - 1}, found {tuple(components)}"
        )
    sample = stratified_sample(lazy_blocks(array[:, :, list(components)]), size, seed)
    if not len(sample.rows):
        raise InputError(f"{caller}: every row of the latent space has a NaN; nothing to draw")
    return sample


def values_at(sample: Sample, values: da.Array, size: int, seed: int) -> npt.NDArray[np.float64]:
    """Return values (frame, atom) at the rows of a sample of that size and seed; NaN stays NaN."""
    drawn = stratified_sample(values[:, :, None], size, seed)
    n_atoms = values.shape[1]
    # Both draws are of the same rows, but in each those with NaN are missing.
    here, there = sample.frame * n_atoms + sample.atom, drawn.frame * n_atoms + drawn.atom
    found = np.full(len(here), np.nan)
    found[np.isin(here, there)] = drawn.rows[np.isin(there, here), 0]
    return found


def by_block(function: Callable[..., Any], *arrays: da.Array) -> list[Any]:
    """Compute a function of each block of arrays that have the same blocks."""
    return reduce_blocks(arrays, partial(_listed, function=function), _joined, None)


def _listed(*blocks: npt.NDArray[Any], function: Callable[..., Any]) -> list[Any]:
    return [function(*blocks)]


def _joined(parts: Sequence[list[Any]]) -> list[Any]:
    return [one for part in parts for one in part]


def _count_labels(
    label: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.int64]]:
    states, place = np.unique(label, return_inverse=True)
    rows = np.arange(len(label))[:, None] * len(states) + place.reshape(label.shape)
    counts = np.bincount(rows.ravel(), minlength=len(label) * len(states))
    return states, counts.reshape(len(label), len(states))


def label_counts(label: xr.DataArray) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Return the labels that occur, and how many atoms have each in each frame.

    Returns
    -------
    states : list of int
        Sorted.
    counts : (n_frames, n_states) array
    """
    data = lazy_blocks(label)
    parts = by_block(_count_labels, data)
    states = sorted({int(one) for found, _ in parts for one in found})
    counts = np.zeros((data.shape[0], len(states)), np.int64)
    edges = np.concatenate([[0], np.cumsum(data.chunks[0])])
    for number, (found, part) in enumerate(parts):
        row = number // data.numblocks[1]
        counts[edges[row] : edges[row + 1], np.searchsorted(states, found)] += part
    return states, counts
