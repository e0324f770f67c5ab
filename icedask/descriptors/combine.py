"""Several descriptors of an atom side by side, in named blocks."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import (
    check_same_rows,
    check_same_trajectory,
    feature_variable,
    input_record,
    lazy_blocks,
    row_coords,
)
from icedask.core.provenance import stamped
from icedask.core.variables import BLOCK, FEATURE, VARIABLES
from icedask.errors import InputError


def combine(**blocks: xr.Dataset) -> xr.Dataset:
    """Put descriptors of the same atoms side by side, each a named block of features; lazy.

    The values stay as they are. What is fitted to them scales each block apart, by its name.

    Parameters
    ----------
    **blocks : xarray.Dataset
        By name: a variable (frame, atom, feature) or (frame, atom) each.

    Returns
    -------
    xarray.Dataset
        features (frame, atom, feature), float32; coordinate feature names them, coordinate block
        says which block each is of.

    Raises
    ------
    InputError
        If there is none, or they are not of the same trajectory, frames and atoms.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True))
    >>> order = ice.steinhardt(trj, n_neighbors=12)
    >>> x = ice.combine(soap=ice.soap(trj, r_cut=4.0, n_max=2, l_max=2), order=order)
    >>> x["features"].shape, x["block"].values[-3:].tolist()
    ((1, 4, 11), ['soap', 'order', 'order'])
    """
    if not blocks:
        raise InputError("combine: expected at least one Dataset by name, found none")
    arrays = {name: feature_variable(one) for name, one in blocks.items()}
    records = [input_record(one) for one in blocks.values()]
    first, *others = arrays.values()
    for array, record in zip(others, records[1:], strict=True):
        check_same_rows(first, array, "combine")
        check_same_trajectory(records[0], record, "combine")
    record = records[0].child("descriptors", "combine", 1, {"blocks": [*arrays]}, *records[1:])
    rows = lazy_blocks(first).chunks[:2]
    arguments: list[Any] = []
    for number, array in enumerate(arrays.values(), 2):
        with dask.config.set({"array.rechunk.method": "tasks"}):
            data = lazy_blocks(array).rechunk(dict(enumerate(rows)))
        # Each has features of its own, which are not those of the result.
        arguments += [data, (0, 1, number)[: data.ndim]]
    widths = [array.shape[2] if array.ndim == 3 else 1 for array in arrays.values()]
    joined = da.blockwise(
        _side_by_side,
        (0, 1, -1),
        *arguments,
        new_axes={-1: sum(widths)},
        concatenate=True,
        meta=np.empty((0, 0, 0), np.float32),
    )
    spec = VARIABLES["features"]
    names = [
        f"{name} {number}" if array.ndim == 3 else name
        for (name, array), width in zip(arrays.items(), widths, strict=True)
        for number in range(width)
    ]
    coords = {
        **row_coords(first),
        FEATURE: np.array(names),
        BLOCK: (FEATURE, np.repeat([*arrays], widths)),
    }
    attrs = {**spec.attrs, "long_name": "descriptors side by side", "reference": ""}
    return stamped(xr.Dataset({spec.name: (spec.dims, joined, attrs)}, coords), record)


def _side_by_side(*blocks: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    columns = [block if block.ndim == 3 else block[:, :, None] for block in blocks]
    return np.concatenate(columns, axis=2, dtype=np.float32, casting="same_kind")
