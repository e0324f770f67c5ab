"""Structural states of atoms that enter, occupy and leave each dynamic state."""

from __future__ import annotations

import dask.array as da
import numpy as np
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.features import check_same_rows, check_same_trajectory, rechunked
from icedask.core.labels import checked_labels, n_states_of, padded
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_atom_order
from icedask.core.types import IntArray, LabelArray
from icedask.core.variables import summary_variables
from icedask.dynamics.lagged_counts import count_over_pairs, first_rows
from icedask.kernels.jit import jit


@over_members
def entry_exit_counts(dynamic: xr.Dataset, structural: xr.Dataset) -> xr.Dataset:
    """Count entries into and exits from each dynamic state by structural state; computes.

    The structural states from which atoms enter a dynamic state, for example one of fast exchange
    of neighbours, and those in which they leave it. A change of the dynamic label from frame t to
    t + 1 is an exit from one state and an entry into the other.

    Parameters
    ----------
    dynamic, structural : xarray.Dataset
        label (frame, atom), int32, of the same frames and atoms; a negative one is no state and
        not counted.

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
    >>> ice.entry_exit_counts(fast, sites)["before"].values
    array([[1, 0, 0],
           [0, 0, 1]])
    """
    name = "entry_exit_counts"
    check_atom_order(dynamic, name)
    fast, sites = checked_labels(dynamic, name), checked_labels(structural, name)
    check_same_rows(fast.array, sites.array, name)
    check_same_trajectory(fast.record, sites.record, name)
    both = da.stack([fast.blocks, rechunked(sites.blocks, fast.blocks.chunks)], axis=2)
    counts = count_over_pairs(both, _count_pairs, 1, "entries and exits")
    before, after, during = (padded(part, fast.n_named, sites.n_named) for part in counts)
    # The name in stores.
    variables = summary_variables("origins", before=before, after=after, during=during)
    n_dynamic, n_structural = during.shape
    coords = {
        **fast.states(n_dynamic, "dynamic_state"),
        **sites.states(n_structural, "structural_state"),
    }
    record = fast.record.child("results", "origins", 1, {}, sites.record)
    return stamped(xr.Dataset(variables, coords), record)


def _count_pairs(rows: LabelArray, seam: int | None) -> tuple[IntArray, IntArray, IntArray]:
    shape = n_states_of(rows[..., 0]), n_states_of(rows[..., 1])
    before, after, during = (np.zeros(shape, np.int64) for _ in range(3))
    _count_changes(rows, *first_rows(len(rows), seam, 1), before, after)
    if seam is None:
        _count_during(rows, during)
    return before, after, during


@jit
def _count_changes(
    rows: LabelArray, first: int, stop: int, before: IntArray, after: IntArray
) -> None:
    for t in range(first, stop):
        for atom in range(rows.shape[1]):
            left, entered = rows[t, atom, 0], rows[t + 1, atom, 0]
            if left < 0 or entered < 0 or left == entered:
                continue
            earlier, later = rows[t, atom, 1], rows[t + 1, atom, 1]
            if earlier >= 0:
                before[entered, earlier] += 1
            if later >= 0:
                after[left, later] += 1


@jit
def _count_during(rows: LabelArray, during: IntArray) -> None:
    for t in range(rows.shape[0]):
        for atom in range(rows.shape[1]):
            dynamic, structural = rows[t, atom, 0], rows[t, atom, 1]
            if dynamic >= 0 and structural >= 0:
                during[dynamic, structural] += 1
