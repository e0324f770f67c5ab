"""Match the frames and atoms of a result to a trajectory, by their coordinates."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError


def matched_rows(
    ds: xr.Dataset, result: xr.Dataset, dim: str, key: str, where: str
) -> IntArray | None:
    """Return the places in a result of the frames or atoms of `ds`; None if they are the same."""
    n, found_n = ds.sizes.get(dim, 1), result.sizes[dim]
    known = key in ds.variables and key in result.variables
    if not known:
        if n != found_n:
            raise InputError(
                f"{where}: expected {n} {dim}s as in the trajectory, found {found_n}; without the "
                f"coordinate {key} they cannot be matched: keep it in the result"
            )
        return None
    own, other = np.atleast_1d(ds[key].values), np.atleast_1d(result[key].values)
    if np.array_equal(own, other):
        _check_same(ds, result, dim, np.arange(n), where)
        return None
    for values in (own, other):
        if len(np.unique(values)) < len(values):
            raise InputError(
                f"{where}: expected the same {dim}s as in the trajectory, found others, and their "
                f"coordinate {key} has a value twice: they cannot be matched; give both with the "
                f"same {dim}s"
            )
    order = np.argsort(other)
    place = np.minimum(np.searchsorted(other[order], own), len(other) - 1)
    rows = np.where(other[order][place] == own, order[place], -1)
    _check_same(ds, result, dim, rows, where)
    return rows.astype(np.int64)


def _check_same(ds: xr.Dataset, result: xr.Dataset, dim: str, rows: IntArray, where: str) -> None:
    if dim == FRAME:
        _check_times(ds, result, rows, where)
    else:
        _check_atoms(ds, result, rows, where)


def _check_atoms(ds: xr.Dataset, result: xr.Dataset, rows: IntArray, where: str) -> None:
    pairs = rows >= 0
    for name in ("id", "element"):
        if any(name not in each.variables or each[name].dims != (ATOM,) for each in (ds, result)):
            continue
        own, other = ds[name].values[pairs], result[name].values[rows[pairs]]
        differ = own.astype(str) != other.astype(str) if name == "element" else own != other
        if differ.any():
            place = int(np.argmax(differ))
            raise InputError(
                f"{where}: expected the atoms of the trajectory, found {name} {other[place]} for "
                f"atom {np.flatnonzero(pairs)[place]}, which has {own[place]}; compute the result "
                "of this trajectory"
            )


def _check_times(ds: xr.Dataset, result: xr.Dataset, rows: IntArray, where: str) -> None:
    if "time" not in ds.variables or "time" not in result.variables:
        return
    own, other = np.atleast_1d(ds["time"].values), np.atleast_1d(result["time"].values)
    pairs = rows >= 0
    differ = np.abs(own[pairs] - other[rows[pairs]]) > 1e-6 * (1 + np.abs(own[pairs]))
    if differ.any():
        frame = int(np.flatnonzero(pairs)[np.argmax(differ)])
        raise InputError(
            f"{where}: expected the times of the trajectory, found {other[rows[frame]]:g} ps and "
            f"{own[frame]:g} ps for one step; compute the result of this trajectory"
        )
