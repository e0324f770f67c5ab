"""What is known of each state, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import dask
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from icedask.core.features import feature_variable, lazy_blocks
from icedask.core.types import FloatArray
from icedask.tasks.reduce import reduce_blocks


class _Sums(NamedTuple):
    """Rows with a label, of these the ones with a value, and the sum of values, by label."""

    n: FloatArray
    n_values: FloatArray
    total: FloatArray


def state_table(
    states: xr.Dataset, series: xr.Dataset, transitions: xr.Dataset, residence: xr.Dataset
) -> pd.DataFrame:
    """Return size, dynamics and exchange of each state; computes.

    Parameters
    ----------
    states : xarray.Dataset
        label (frame, atom).
    series : xarray.Dataset
        A variable (frame, atom), such as LENS, of the same frames and atoms.
    transitions, residence : xarray.Dataset
        Of these states.

    Returns
    -------
    pandas.DataFrame
        By state: population (fraction of all labels), the mean of the series under its name,
        residence (as in `residence`), stays (probability to be in it one frame later),
        entered_from and left_to (the state most atoms come from and go to), and the shares of
        entries and exits that these are.
    """
    n_states = residence.sizes["state"]
    values = feature_variable(series)
    sums = _sums(states["label"], values)
    n, n_values, total = (_padded(part, n_states) for part in sums)
    flux = transitions["flux"].values.astype(float)
    probability = transitions["probability"].values
    others = np.where(np.eye(len(flux), dtype=bool), 0.0, flux)
    units = residence["residence_time"].attrs.get("units", "")
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "population": n / n.sum(),
                str(values.name): total / n_values,
                f"residence ({units})": residence["residence_time"].values,
                "stays": np.diag(probability),
                "entered_from": _largest(others, axis=0),
                "entered_share": others.max(axis=0) / others.sum(axis=0),
                "left_to": _largest(others, axis=1),
                "left_share": others.max(axis=1) / others.sum(axis=1),
            },
            index=pd.Index(residence["state"].values, name="state"),
        )


def _largest(flux: FloatArray, axis: int) -> pd.arrays.IntegerArray:
    """Return the state with the largest flux along an axis; missing where there is none."""
    return pd.arrays.IntegerArray(flux.argmax(axis=axis), flux.sum(axis=axis) == 0)


def _sums(labels: xr.DataArray, values: xr.DataArray) -> _Sums:
    rows = lazy_blocks(labels)
    with dask.config.set({"array.rechunk.method": "tasks"}):
        aligned = lazy_blocks(values).rechunk(rows.chunks)
    return reduce_blocks([rows, aligned], _block_sums, _merged, "state means")


def _block_sums(labels: npt.NDArray[np.integer], values: npt.NDArray[np.floating]) -> _Sums:
    known = labels >= 0
    finite = known & np.isfinite(values)
    weights = values[finite].astype(np.float64)
    return _Sums(
        np.bincount(labels[known]).astype(float),
        np.bincount(labels[finite]).astype(float),
        np.bincount(labels[finite], weights=weights).astype(float),
    )


def _merged(parts: Sequence[_Sums]) -> _Sums:
    size = max(len(part.n) for part in parts)
    return _Sums(
        *(np.sum([_padded(one, size) for one in some], axis=0) for some in zip(*parts, strict=True))
    )


def _padded(values: FloatArray, size: int) -> FloatArray:
    return np.pad(values, (0, size - len(values)))
