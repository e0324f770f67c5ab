"""Transitions between states at a lag, and the populations of states over time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.features import row_coords
from icedask.core.labels import checked_labels, n_states_of, padded, sum_padded
from icedask.core.options import Option, takes_options
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_atom_order
from icedask.core.types import FloatArray, IntArray, LabelArray
from icedask.core.variables import ATOM, FROM, STATE, TO, summary_variables
from icedask.dynamics.lagged_counts import count_over_pairs, transitions_between
from icedask.kernels.jit import jit
from icedask.tasks.reduce import reduce_columns

LABELS = "labels : xarray.Dataset\n    label (frame, atom), int32; a negative one is no state."


@over_members
@takes_options(LABELS)
def transitions(
    labels: xr.Dataset,
    *,
    lag: Annotated[int, Option("Lag between the labels of a pair.", "frame", at_least=1)] = 1,
) -> xr.Dataset:
    """Count the transitions between states; computes, in one pass over the labels.

    Each pair of frames t, t + lag of each atom counts. The result does not depend on the blocks
    of the labels.

    {parameters}

    Returns
    -------
    xarray.Dataset
        flux (from, to), int64: number of pairs with these states, in this order.
        probability (from, to), float64: flux over the sum of its row, the maximum-likelihood
        estimate for a Markov chain; NaN in the row of a state that no pair begins with.
        entered_from (from, to), float64: of the entries into `to` from other states, the share
        that came from `from`; NaN in the column of a state that is never entered.
        Attributes: lag in frames; n_excluded, pairs with a negative label; lag_time in
        picosecond, only where all times are known and even. The pairs count either way.

    Raises
    ------
    InputError
        If there is no such variable, or fewer frames than a pair needs.

    References
    ----------
    Anderson and Goodman, Ann. Math. Stat. 28, 89 (1957), doi:10.1214/aoms/1177707039

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> label = np.array([[0], [0], [1], [1], [1]], np.int32)
    >>> labels = xr.Dataset({"label": (("frame", "atom"), label)})
    >>> ice.transitions(labels)["flux"].values
    array([[1, 1],
           [0, 2]])
    """
    check_atom_order(labels, "transitions")
    checked = checked_labels(labels, "transitions", span=lag, because=f"lag {lag}")
    counts, excluded = count_over_pairs(
        checked.blocks, partial(transitions_between, lags=(lag,)), lag, "transitions"
    )
    flux = padded(counts[0], checked.n_named, checked.n_named)
    attrs: dict[str, Any] = {"lag": lag, "n_excluded": int(excluded[0])}
    if checked.interval is not None:
        attrs["lag_time"] = lag * checked.interval
    variables = summary_variables(
        "transitions", flux=flux, probability=row_shares(flux), entered_from=entry_shares(flux)
    )
    record = checked.record.child("results", "transitions", 1, {"lag": lag})
    ds = xr.Dataset(variables, checked.states(len(flux), FROM, TO), attrs)
    return stamped(ds, record)


def row_shares(flux: IntArray) -> FloatArray:
    """Return counts over the sums of their rows, along the last axis; NaN for an empty row."""
    sums = flux.sum(axis=-1, keepdims=True)
    return np.divide(flux, sums, out=np.full(flux.shape, np.nan), where=sums > 0)


def entry_shares(flux: IntArray) -> FloatArray:
    """Return the share of each state in the entries into another; NaN without entries."""
    entries = flux.copy()
    np.fill_diagonal(entries, 0)
    return row_shares(entries.T).T


@over_members
def populations(labels: xr.Dataset) -> xr.Dataset:
    """Compute the fraction of atoms in each state for each frame, in one pass over the labels.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom), int32; a negative one is no state.

    Returns
    -------
    xarray.Dataset
        population (frame, state), float64: fraction of the atoms with a state in the frame; NaN
        if there are none.

    Raises
    ------
    InputError
        If there is no such variable, or it is empty.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> label = np.array([[0, 0, 1, -1], [1, 1, 1, 0]], np.int32)
    >>> ds = xr.Dataset({"label": (("frame", "atom"), label)})
    >>> ice.populations(ds)["population"].values[1]
    array([0.25, 0.75])
    """
    checked = checked_labels(labels, "populations")
    columns = reduce_columns(checked.blocks, _frame_counts, _concatenated, "populations")
    counts = padded(sum_padded(columns), 0, checked.n_named)
    coords = {
        name: coord for name, coord in row_coords(checked.array).items() if ATOM not in coord.dims
    }
    ds = xr.Dataset(
        summary_variables("populations", population=row_shares(counts)),
        {**coords, **checked.states(counts.shape[1], STATE)},
    )
    return stamped(ds, checked.record.child("results", "populations", 1, {}))


def _frame_counts(block: LabelArray) -> IntArray:
    counts = np.zeros((len(block), n_states_of(block)), np.int64)
    _count_per_frame(np.ascontiguousarray(block), counts)
    return counts


def _concatenated(parts: Sequence[IntArray]) -> IntArray:
    n_states = max(part.shape[1] for part in parts)
    return np.concatenate([padded(part, 0, n_states) for part in parts])


@jit
def _count_per_frame(rows: LabelArray, counts: IntArray) -> None:
    for t in range(rows.shape[0]):
        for atom in range(rows.shape[1]):
            if rows[t, atom] >= 0:
                counts[t, rows[t, atom]] += 1
