"""Structural states before, during and after the visits to dynamic states."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import xarray as xr

from icedask.core.features import check_same_rows, check_same_trajectory
from icedask.core.labels import Counts, checked_labels, n_states_of, widened
from icedask.core.provenance import stamped
from icedask.core.types import LabelArray
from icedask.core.variables import summary_variables
from icedask.dynamics.lagged_counts import count_over_pairs, first_rows
from icedask.kernels.jit import jit


def origins(dynamic: xr.Dataset, structural: xr.Dataset) -> xr.Dataset:
    """Count the structural states that atoms have around a visit to each dynamic state; computes.

    Where atoms in a dynamic state, for example one of fast exchange of neighbours, come from and
    go to. A change of the dynamic label from frame t to t + 1 is an exit from one state and an
    entry into the other.

    Parameters
    ----------
    dynamic, structural : xarray.Dataset
        label (frame, atom), int32, of the same frames and atoms; a negative one is no state, and
        whatever involves one is left out.

    Returns
    -------
    xarray.Dataset
        All (dynamic_state, structural_state), int64. before: entries into the dynamic state, by
        the structural label of frame t. after: exits from it, by the structural label of frame
        t + 1. during: frames of atoms with both labels.

    Raises
    ------
    InputError
        If there are no such variables, or not of the same trajectory, frames and atoms.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> dims = ("frame", "atom")
    >>> fast = xr.Dataset({"label": (dims, np.array([[0], [1], [0]], np.int32))})
    >>> sites = xr.Dataset({"label": (dims, np.array([[2], [0], [1]], np.int32))})
    >>> ice.origins(fast, sites)["before"].values
    array([[1, 0, 0],
           [0, 0, 1]])
    """
    one, other = checked_labels(dynamic, "origins"), checked_labels(structural, "origins")
    check_same_rows(one.array, other.array, "origins")
    check_same_trajectory(one.record, other.record, "origins")
    with dask.config.set({"array.rechunk.method": "tasks"}):
        both = da.stack([one.blocks, other.blocks.rechunk(one.blocks.chunks)], axis=2)
    counts = count_over_pairs(both, _around_changes, 1, "origins")
    before, after, during = (widened(some, one.n_named, other.n_named) for some in counts)
    variables = summary_variables("origins", before=before, after=after, during=during)
    n_dynamic, n_structural = during.shape
    coords = {
        **one.states(n_dynamic, "dynamic_state"),
        **other.states(n_structural, "structural_state"),
    }
    record = one.record.child("results", "origins", 1, {}, other.record)
    return stamped(xr.Dataset(variables, coords), record)


def _around_changes(rows: LabelArray, seam: int | None) -> tuple[Counts, Counts, Counts]:
    shape = n_states_of(rows[..., 0]), n_states_of(rows[..., 1])
    before, after, during = (np.zeros(shape, np.int64) for _ in range(3))
    _count_around(rows, *first_rows(len(rows), seam, 1), before, after)
    if seam is None:
        _count_during(rows, during)
    return before, after, during


@jit
def _count_around(rows: LabelArray, first: int, stop: int, before: Counts, after: Counts) -> None:
    for t in range(first, stop):
        for atom in range(rows.shape[1]):
            left, entered = rows[t, atom, 0], rows[t + 1, atom, 0]
            if left < 0 or entered < 0 or left == entered:
                continue
            come_from, gone_to = rows[t, atom, 1], rows[t + 1, atom, 1]
            if come_from >= 0:
                before[entered, come_from] += 1
            if gone_to >= 0:
                after[left, gone_to] += 1


@jit
def _count_during(rows: LabelArray, during: Counts) -> None:
    for t in range(rows.shape[0]):
        for atom in range(rows.shape[1]):
            dynamic, structural = rows[t, atom, 0], rows[t, atom, 1]
            if dynamic >= 0 and structural >= 0:
                during[dynamic, structural] += 1
