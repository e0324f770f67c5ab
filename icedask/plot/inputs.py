"""Inputs of figures: checked variables, samples of rows with their states, counts by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from icedask.core.features import feature_variable, lazy_blocks
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import ATOM, FRAME, FROM, STATE, TO
from icedask.errors import InputError
from icedask.plot import style
from icedask.tasks.reduce import reduce_blocks
from icedask.tasks.sampling import Sample, stratified_sample

CATEGORIES = ("ice", "transient", "liquid")
# Classes of CHILL+, the first at the bottom of a stack.
ICES = ("cubic ice", "hexagonal ice", "interfacial ice")
_KINDS = {"iu": " of integers", "f": " of floating-point numbers", "iuf": ""}


class Rows(NamedTuple):
    """Rows of features, their frames and the states they are in."""

    values: FloatArray
    frame: IntArray
    label: IntArray


class Flux(NamedTuple):
    """Names and colours of states, and the number of transitions between each two, (from, to)."""

    names: list[str]
    colors: list[str]
    counts: IntArray


def required(
    ds: xr.Dataset, name: str, dims: tuple[str, ...], caller: str, source: str, kinds: str = "iuf"
) -> xr.DataArray:
    """Return a variable of a Dataset, with its dimensions in the order of `dims`.

    Raises InputError if there is none, or it has other dimensions or another kind of numbers.
    """
    array = ds.get(name) if isinstance(ds, xr.Dataset) else None
    if array is None or set(array.dims) != set(dims) or array.dtype.kind not in kinds:
        what = "no such variable" if array is None else f"{array.dims} of {array.dtype}"
        wanted = f"{name} ({', '.join(dims)}){_KINDS[kinds]}"
        raise InputError(f"{caller}: expected {wanted}, found {what}; pass what {source} returned")
    return array.transpose(*dims)


def label_variable(labels: xr.Dataset, caller: str) -> xr.DataArray:
    """Return the labels (frame, atom)."""
    return required(labels, "label", (FRAME, ATOM), caller, "predict or merge_states", "iu")


def chill_variable(chill: xr.Dataset, caller: str) -> xr.DataArray:
    """Return labels (frame, atom) whose flags are the classes of CHILL+.

    Raises InputError if there are none, or their flags are others.
    """
    label = label_variable(chill, caller)
    names = style.names_of(label).values()
    if not set(ICES) <= set(names):
        raise InputError(
            f"{caller}: expected labels with the flags of CHILL+, found "
            f"{', '.join(names) or 'none'}; pass what chill_plus returned"
        )
    return label


def population_variable(populations: xr.Dataset, caller: str) -> xr.DataArray:
    """Return populations (frame, state), not all of them NaN."""
    array = required(populations, "population", (FRAME, STATE), caller, "populations")
    if not np.isfinite(array.values).any():
        raise InputError(
            f"{caller}: expected fractions, found none but NaN: no atom has a state; choose frames "
            "with labelled atoms"
        )
    return array


def value_variable(values: xr.DataArray, caller: str) -> None:
    """Raise InputError unless these are numbers (frame, atom)."""
    if not isinstance(values, xr.DataArray) or values.dims != (FRAME, ATOM):
        what = f"{values.dims}" if isinstance(values, xr.DataArray) else type(values).__name__
        raise InputError(
            f"{caller}: expected a DataArray (frame, atom), found {what}; choose one variable of a "
            "Dataset, for example ds['potential_energy']"
        )
    if values.dtype.kind not in "fiu":
        raise InputError(f"{caller}: expected numbers, found {values.dtype}")


def flux_of(transitions: xr.Dataset, names: style.Names | None, caller: str) -> Flux:
    """Return the flux between states, named as in `names` or by their flags.

    Raises InputError if there is none, it is not square or negative somewhere.
    """
    flux = required(transitions, "flux", (FROM, TO), caller, "transitions")
    counts = flux.values
    if counts.shape[0] != counts.shape[1] or not counts.size or (counts < 0).any():
        raise InputError(
            f"{caller}: expected a square matrix of counts, found the shape {counts.shape}"
            f"{' with negative numbers' if (counts < 0).any() else ''}"
        )
    states = [int(state) for state in flux[FROM].values]
    called = style.names_of(flux[FROM], names)
    return Flux(
        [style.state_name(state, called) for state in states],
        [style.state_color(state, called) for state in states],
        counts,
    )


def checked_categories(
    categories: Mapping[int, str], motifs: Iterable[int], caller: str
) -> dict[int, str]:
    """Return the category of each motif.

    Raises InputError if a motif has none, or one that is not known.
    """
    known = {int(motif): str(name) for motif, name in categories.items()}
    missing = [str(motif) for motif in motifs if motif >= 0 and motif not in known]
    if missing:
        raise InputError(
            f"{caller}: categories: expected a category for each motif, found none for "
            f"{', '.join(missing)}"
        )
    unknown = sorted(set(known.values()) - set(CATEGORIES))
    if unknown:
        raise InputError(
            f"{caller}: categories: expected {', '.join(CATEGORIES)}, found {', '.join(unknown)}"
        )
    return known


def check_same(caller: str, ds: xr.Dataset, labels: xr.Dataset, *dims: str) -> None:
    """Raise InputError unless both have the same frames, or atoms."""
    for dim, name in ((FRAME, "step"), (FRAME, "time"), (ATOM, "atom")):
        if dim not in dims:
            continue
        sizes = ds.sizes[dim], labels.sizes[dim]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{caller}: expected labels of the same {dim}s, found {sizes[0]} and {sizes[1]} "
                f"{dim}s; select the same of both, for example with isel({dim}=...)"
            )
        if name not in ds.coords or name not in labels.coords:
            continue
        a, b = ds[name].values, labels[name].values
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
    """Return two components of a sample of rows, and their states."""
    swapped = "label" in getattr(latent, "data_vars", ()) and "label" not in labels
    if swapped:
        raise InputError(
            f"{caller}: expected the latent coordinates, then the labels, found the labels first; "
            "swap the two"
        )
    label = label_variable(labels, caller)
    check_same(caller, latent, labels, FRAME, ATOM)
    sample = sample_points(latent, components, size, seed, caller)
    states = values_at(sample, lazy_blocks(label), size, seed)
    return Rows(sample.rows, sample.frame, states.astype(np.int64))


def sample_points(
    latent: xr.Dataset, components: tuple[int, int], size: int, seed: int, caller: str
) -> Sample:
    """Return two components of a sample of rows.

    Raises InputError if there are no such components, or every row has a NaN.
    """
    array = feature_variable(latent)
    width = array.shape[2] if array.ndim == 3 else 1
    if not all(0 <= component < width for component in components):
        raise InputError(
            f"{caller}: expected components from 0 to {width - 1}, found {tuple(components)}"
        )
    sample = stratified_sample(lazy_blocks(array[:, :, list(components)]), size, seed)
    if not len(sample.rows):
        raise InputError(f"{caller}: every row of the latent space has a NaN; nothing to draw")
    return sample


def values_at(sample: Sample, values: da.Array, size: int, seed: int) -> FloatArray:
    """Return values (frame, atom) at the rows of a sample of that size and seed; NaN stays NaN."""
    drawn = stratified_sample(values[:, :, None], size, seed)
    n_atoms = values.shape[1]
    # Both draws are of the same rows, but in each those with NaN are missing.
    here, there = sample.frame * n_atoms + sample.atom, drawn.frame * n_atoms + drawn.atom
    at_rows = np.full(len(here), np.nan)
    at_rows[np.isin(here, there)] = drawn.rows[np.isin(there, here), 0]
    return at_rows


def by_block(function: Callable[..., Any], *arrays: da.Array) -> list[Any]:
    """Compute a function of each block of arrays that have the same blocks."""
    return reduce_blocks(arrays, partial(_listed, function=function), _joined, None)


def _listed(*blocks: npt.NDArray[Any], function: Callable[..., Any]) -> list[Any]:
    return [function(*blocks)]


def _joined(parts: Sequence[list[Any]]) -> list[Any]:
    return [result for part in parts for result in part]


def histograms(
    edges: FloatArray, values: da.Array, states: da.Array | None = None
) -> dict[int, IntArray]:
    """Count the finite values of each state in bins, block by block; of all atoms as state 0.

    Values beyond the edges count in the outermost bins.
    """
    arrays = [values] if states is None else [values, states.rechunk(values.chunks)]
    return reduce_blocks(arrays, partial(_binned, edges=edges), _summed, None)


def _binned(
    values: npt.NDArray[np.floating],
    states: npt.NDArray[np.integer] | None = None,
    *,
    edges: FloatArray,
) -> dict[int, IntArray]:
    finite = np.isfinite(values)
    inside = np.clip(values[finite], edges[0], edges[-1])
    own = np.zeros(len(inside), int) if states is None else states[finite]
    return {int(state): np.histogram(inside[own == state], edges)[0] for state in np.unique(own)}


def _summed(parts: Sequence[dict[int, IntArray]]) -> dict[int, IntArray]:
    states = sorted({state for part in parts for state in part})
    return {
        state: np.sum([part[state] for part in parts if state in part], axis=0) for state in states
    }


def label_counts(label: xr.DataArray) -> tuple[list[int], IntArray]:
    """Return the labels that occur, and the numbers of atoms with them, (frame, state)."""
    # Frames whole: the parts follow each other.
    parts = by_block(_counted, lazy_blocks(label).rechunk({1: -1}))
    table = pd.concat(parts, ignore_index=True).fillna(0).sort_index(axis=1)
    return table.columns.tolist(), table.to_numpy(np.int64)


def _counted(label: npt.NDArray[np.integer]) -> pd.DataFrame:
    states = np.unique(label)
    return pd.DataFrame({int(state): (label == state).sum(axis=1) for state in states})
