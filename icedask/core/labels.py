"""Labels (frame, atom): checks, names of the states, and arrays of counts by state."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import array_record, lazy_blocks
from icedask.core.provenance import Record
from icedask.core.trajectory import frame_interval
from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME, check_variable
from icedask.errors import InputError

# Summaries hold the square of their number.
MAX_STATES = 1024
_FLAGS = ("flag_values", "flag_meanings")


class Labels(NamedTuple):
    """Checked labels: the variable, its values as a lazy array, and the record of the Dataset.

    `n_named` is the number of states with a name; `interval` is the time between frames in
    picosecond, None if it is not known or not even.
    """

    array: xr.DataArray
    blocks: da.Array
    record: Record
    n_named: int
    interval: float | None

    def time_of(self, frames: Any) -> tuple[Any, str]:
        """Return a number of frames as a time and its units; in frames where time is not known."""
        if self.interval is None:
            return frames, "frame"
        return frames * self.interval, "picosecond"

    @property
    def names(self) -> dict[int, str]:
        """The names of the states that have one."""
        values = np.atleast_1d(self.array.attrs.get("flag_values", [])).tolist()
        meanings = str(self.array.attrs.get("flag_meanings", "")).split()
        return dict(zip(values, meanings, strict=False))

    def states(self, n_states: int, *dims: str) -> dict[str, xr.Variable]:
        """Return coordinates that number the states, with their names if there are any."""
        named = {key: self.array.attrs[key] for key in _FLAGS if key in self.array.attrs}
        attrs = {"long_name": "number of the state", "units": "1", **named}
        numbers = np.arange(n_states, dtype=np.int32)
        return {dim: xr.Variable(dim, numbers, attrs) for dim in dims}


def checked_labels(
    labels: xr.Dataset | xr.DataArray, caller: str, *, span: int = 0, because: str = "it"
) -> Labels:
    """Return the variable `label` of a Dataset, checked.

    Raises InputError if it is none of label (frame, atom), int32, it is empty, or there are not
    more than `span` frames, which `because` needs.
    """
    array = labels
    if isinstance(labels, xr.Dataset) and "label" in labels.data_vars:
        array = labels["label"]
    if not isinstance(array, xr.DataArray):
        held = ", ".join(map(str, getattr(labels, "data_vars", ()))) or type(labels).__name__
        raise InputError(
            f"{caller}: expected a Dataset with label (frame, atom), found {held}; pass what "
            "predict, chill_plus or merge_states returned"
        )
    check_variable(array, "label")
    if array.sizes[ATOM] == 0 or array.sizes[FRAME] == 0:
        raise InputError(
            f"{caller}: expected labels of at least one frame and atom, found the shape "
            f"{array.shape}"
        )
    if array.sizes[FRAME] <= span:
        raise InputError(
            f"{caller}: {because} needs at least {span + 1} frames, the labels have "
            f"{array.sizes[FRAME]}; choose a shorter lag"
        )
    named = np.atleast_1d(np.asarray(array.attrs.get("flag_values", []), np.int64))
    record = array_record(labels, array)
    return Labels(array, lazy_blocks(array), record, n_states_of(named), frame_interval(array))


def n_states_of(labels: npt.NDArray[np.integer]) -> int:
    """Return the number of states: the largest label plus one; raise InputError if too large."""
    n_states = max(int(labels.max(initial=-1)) + 1, 0)
    if n_states > MAX_STATES:
        raise InputError(
            f"label: expected states below {MAX_STATES}, found {n_states - 1}; number the states "
            "from 0 without gaps, or merge some"
        )
    return n_states


def sum_padded(parts: list[IntArray]) -> IntArray:
    """Return the sum of arrays of counts, each padded with zeros to the largest shape."""
    total = np.zeros(np.max([part.shape for part in parts], axis=0), np.int64)
    for part in parts:
        total[tuple(map(slice, part.shape))] += part
    return total


def padded(counts: IntArray, *shape: int) -> IntArray:
    """Return counts padded with zeros to at least a shape."""
    return sum_padded([counts, np.zeros(shape, np.int64)])
