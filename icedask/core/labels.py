"""Labels (frame, atom): their checks, the names of their states, and what is written of these."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import array_record, lazy_blocks
from icedask.core.provenance import Record
from icedask.core.trajectory import frame_interval
from icedask.core.variables import ATOM, FRAME, check_variable
from icedask.errors import InputError

Counts = npt.NDArray[np.int64]

# Summaries hold the square of their number.
MAX_STATES = 1024
_FLAGS = ("flag_values", "flag_meanings")


class Labels(NamedTuple):
    """Checked labels.

    Attributes
    ----------
    array
        The variable.
    blocks
        Its values, lazy.
    record
        Of the Dataset.
    n_named
        Number of states that the attributes speak of, 0 if they name none.
    interval
        Time from frame to frame, picosecond; None if it is not known or not even.
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

    Parameters
    ----------
    labels
        With label (frame, atom), int32.
    caller
        The function that the errors speak of.
    span
        Frames to which a pair reaches: there must be more frames than that.
    because
        What asks for so many.

    Raises
    ------
    InputError
        If there is no such variable, or too few frames or atoms.
    """
    found = labels
    if isinstance(labels, xr.Dataset) and "label" in labels.data_vars:
        found = labels["label"]
    if not isinstance(found, xr.DataArray):
        held = ", ".join(map(str, getattr(labels, "data_vars", ()))) or type(labels).__name__
        raise InputError(
            f"{caller}: expected a Dataset with label (frame, atom), found {held}; pass what "
            "predict, chill_plus or merge_states returned"
        )
    check_variable(found, "label")
    if found.sizes[ATOM] == 0 or found.sizes[FRAME] == 0:
        raise InputError(
            f"{caller}: expected labels of at least one frame and atom, found the shape "
            f"{found.shape}"
        )
    if found.sizes[FRAME] <= span:
        raise InputError(
            f"{caller}: {because} needs at least {span + 1} frames, the labels have "
            f"{found.sizes[FRAME]}; choose a shorter lag"
        )
    named = np.atleast_1d(np.asarray(found.attrs.get("flag_values", []), np.int64))
    return Labels(
        found,
        lazy_blocks(found),
        array_record(labels, found),
        n_states_of(named),
        frame_interval(found),
    )


def n_states_of(labels: npt.NDArray[np.integer]) -> int:
    """Return the number of states that labels speak of: the largest plus one.

    Raises
    ------
    InputError
        If there are too many.
    """
    n_states = max(int(labels.max(initial=-1)) + 1, 0)
    if n_states > MAX_STATES:
        raise InputError(
            f"label: expected states below {MAX_STATES}, found {n_states - 1}; number the states "
            "from 0 without gaps, or merge some"
        )
    return n_states


def added(parts: list[Counts]) -> Counts:
    """Return the sum of arrays of counts; smaller ones are filled up with zeros."""
    total = np.zeros(np.max([part.shape for part in parts], axis=0), np.int64)
    for part in parts:
        total[tuple(map(slice, part.shape))] += part
    return total


def widened(counts: Counts, *shape: int) -> Counts:
    """Return counts filled up with zeros to at least a shape."""
    return added([counts, np.zeros(shape, np.int64)])
