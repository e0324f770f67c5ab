"""Datasets of features: their one variable (frame, atom[, feature]), its blocks and its record."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.provenance import Record, content_of, digest, is_unchanged, record_of
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError


def feature_variable(x: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Return the one variable of `x` with dimensions (frame, atom[, feature]).

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    if not isinstance(x, xr.Dataset | xr.DataArray):
        raise InputError(
            f"expected a Dataset with dimensions (frame, atom, feature), found {type(x).__name__}"
        )
    candidates = [x] if isinstance(x, xr.DataArray) else list(x.data_vars.values())
    found = [
        array
        for array in candidates
        if array.dims[:2] == (FRAME, ATOM) and array.ndim <= 3 and array.dtype.kind == "f"
    ]
    if len(found) != 1:
        listed = ", ".join(
            f"{array.name} ({', '.join(map(str, array.dims))}) of {array.dtype}"
            for array in found or candidates
        )
        remedy = "choose one, for example ds[['soap']]" if found else "integers: astype('float32')"
        raise InputError(
            "expected one floating-point variable of dimensions (frame, atom) or (frame, atom, "
            f"feature), found {listed or 'none'}; {remedy}"
        )
    array = found[0]
    if array.dtype.itemsize not in (4, 8) or 0 in array.shape[2:]:
        raise InputError(
            f"expected features of float32 or float64, at least one, found {array.name} of "
            f"{array.dtype} with the shape {array.shape}"
        )
    return array


def rechunked(array: da.Array, chunks: Any) -> da.Array:
    """Return an array in other blocks, by tasks that fuse with what computes and uses them."""
    with dask.config.set({"array.rechunk.method": "tasks"}):
        return array.rechunk(chunks)


def lazy_blocks(array: xr.DataArray) -> da.Array:
    """Return the values as a lazy array of as many dimensions, in one block along feature."""
    data = array.data if array.chunks is not None else da.from_array(array.values)
    return data.rechunk({2: -1}) if data.ndim == 3 else data


def feature_blocks(x: xr.Dataset | xr.DataArray) -> da.Array:
    """Return the features as a lazy array (frame, atom, feature) in one block along feature."""
    data = lazy_blocks(feature_variable(x))
    return data[:, :, None] if data.ndim == 2 else data


def block_part(
    together: da.Array,
    number: int,
    dtype: npt.DTypeLike,
    index: str = "fa",
    axes: Mapping[str, int] | None = None,
) -> da.Array:
    """Return one of the arrays that each block of `together` (frame, atom) is a tuple of; lazy.

    Parameters
    ----------
    together
        Blocks of frames and atoms.
    number
        Of the array in the tuple.
    dtype
        Of the array.
    index
        Its dimensions, of which f are frames and a atoms.
    axes
        Lengths of the others.
    """
    meta = np.empty((0,) * len(index), dtype)
    return da.blockwise(
        operator.getitem, index, together, "fa", number, None, new_axes=axes or {}, meta=meta
    )


def row_coords(array: xr.DataArray) -> dict[Any, xr.DataArray]:
    """Return the coordinates of the rows: those of frames and atoms, not those of features."""
    return {name: coord for name, coord in array.coords.items() if set(coord.dims) <= {FRAME, ATOM}}


def input_record(x: xr.Dataset | xr.DataArray) -> Record:
    """Return the record of a function's input; data from elsewhere is known by its content."""
    return array_record(x, feature_variable(x))


def array_record(x: xr.Dataset | xr.DataArray, array: xr.DataArray) -> Record:
    """Return the record of an input of which `array` is the variable that matters."""
    known = x if isinstance(x, xr.Dataset) and "function" in x.attrs else None
    if known is not None and is_unchanged(known):
        return record_of(known)
    content = array.data.name if array.chunks is not None else digest(array.values)
    name = str(array.name or "data")
    if known is not None:
        # Changed by other means since: of the same trajectory, but not the recorded result.
        return record_of(known).child("external", name, 1, {"content": content})
    return Record("external", name, 1, {"content": content})


def variables_record(x: xr.Dataset, names: Sequence[str]) -> Record:
    """Return the record of an input of which some variables matter together.

    As of `array_record`: what was changed since, frames that were left out among others, is known
    by its content.
    """
    used = x[list(names)]
    if is_unchanged(used):
        return record_of(used)
    return record_of(used).child("external", names[0], 1, {"content": content_of(used)})


def check_same_rows(one: xr.DataArray, other: xr.DataArray, caller: str) -> None:
    """Raise InputError unless both have the same frames and atoms."""
    for dim in (FRAME, ATOM):
        if one.sizes[dim] != other.sizes[dim]:
            raise InputError(
                f"{caller}: expected the same {dim}s in both, found {one.sizes[dim]} and "
                f"{other.sizes[dim]}; compute both of one trajectory, with the same centers"
            )
    for name, dim in (("step", FRAME), ("time", FRAME), ("atom", ATOM)):
        if name not in one.coords or name not in other.coords:
            continue
        here, there = one[name].values, other[name].values
        same = (here == there) | ((here != here) & (there != there))
        if not same.all():
            place = int(np.argmin(same))
            raise InputError(
                f"{caller}: expected the same {dim}s in both, found {name} {here[place]} and "
                f"{there[place]} at {dim} {place}; compute both of one trajectory, with the same "
                "centers"
            )


def check_same_trajectory(one: Record, other: Record, caller: str) -> None:
    """Raise InputError if both are known to come from different positions."""
    # What comes from elsewhere says nothing of its positions.
    known = one.positions and other.positions
    if known and one.positions != other.positions:
        raise InputError(
            f"{caller}: expected both of one trajectory, found other positions behind "
            f"{one.run_id} than behind {other.run_id}; compute both of the same Dataset, with "
            "centers and species for some of its atoms"
        )


def whole_number(value: Any, where: str, *, at_least: int) -> int:
    """Return `value` as an int.

    Raises
    ------
    InputError
        If it is no whole number or smaller; the message begins with `where`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{where}: expected a whole number, found {value!r}")
    if value < at_least:
        raise InputError(f"{where}: expected at least {at_least}, found {value}")
    return int(value)
