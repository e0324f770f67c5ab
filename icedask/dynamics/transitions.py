"""Transitions between states: counts of pairs of frames, and what they say of each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import row_coords, whole_number
from icedask.core.labels import Counts, added, checked_labels, n_states_of, widened
from icedask.core.provenance import stamped
from icedask.core.types import LabelArray
from icedask.core.variables import ATOM, FROM, STATE, TO, summary_variables
from icedask.dynamics.lagged_counts import count_over_pairs, transitions_between
from icedask.kernels.jit import jit
from icedask.tasks.reduce import reduce_columns


def transitions(labels: xr.Dataset, *, lag: int = 1) -> xr.Dataset:
    """Count the transitions between states; computes, in one pass over the labels.

    Each pair of frames t, t + lag of each atom counts. The result does not depend on the blocks
    of the labels.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom), int32; a negative one is no state.
    lag : int, optional
        Frames from one label to the other. Default 1.

    Returns
    -------
    xarray.Dataset
        flux (from, to), int64: pairs in which an atom is in one state, then in the other.
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
    >>> found = ice.transitions(xr.Dataset({"label": (("frame", "atom"), label)}))
    >>> found["flux"].values
    array([[1, 1],
           [0, 2]])
    """
    lag = whole_number(lag, "transitions: lag", at_least=1)
    given = checked_labels(labels, "transitions", span=lag, because=f"lag {lag}")
    counts, excluded = count_over_pairs(
        given.blocks, partial(transitions_between, lags=(lag,)), lag, "transitions"
    )
    flux = widened(counts[0], given.n_named, given.n_named)
    attrs: dict[str, Any] = {"lag": lag, "n_excluded": int(excluded[0])}
    if given.interval is not None:
        attrs["lag_time"] = lag * given.interval
    variables = summary_variables(
        "transitions", flux=flux, probability=row_shares(flux), entered_from=entry_shares(flux)
    )
    record = given.record.child("results", "transitions", 1, {"lag": lag})
    ds = xr.Dataset(variables, given.states(len(flux), FROM, TO), attrs)
    return stamped(ds, record)


def row_shares(flux: Counts) -> npt.NDArray[np.float64]:
    """Return counts over the sums of their rows, along the last axis; NaN for an empty row."""
    sums = flux.sum(axis=-1, keepdims=True)
    return np.divide(flux, sums, out=np.full(flux.shape, np.nan), where=sums > 0)


def entry_shares(flux: Counts) -> npt.NDArray[np.float64]:
    """Return the shares of the states from which each state is entered; NaN if none is seen."""
    entries = flux.copy()
    np.fill_diagonal(entries, 0)
    return row_shares(entries.T).T


def populations(labels: xr.Dataset) -> xr.Dataset:
    """Compute the fraction of atoms in each state for each frame, in one pass over the labels.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom), int32; a negative one is no state.

    Returns
    -------
    xarray.Dataset
        population (frame, state), float64: fraction of the atoms that have a state in the frame;
        NaN where none has.

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
    given = checked_labels(labels, "populations")
    columns = reduce_columns(given.blocks, _per_frame, _one_after_another, "populations")
    counts = widened(added(columns), 0, given.n_named)
    coords = {
        name: coord for name, coord in row_coords(given.array).items() if ATOM not in coord.dims
    }
    ds = xr.Dataset(
        summary_variables("populations", population=row_shares(counts)),
        {**coords, **given.states(counts.shape[1], STATE)},
    )
    return stamped(ds, given.record.child("results", "populations", 1, {}))


def _per_frame(block: LabelArray) -> Counts:
    counts = np.zeros((len(block), n_states_of(block)), np.int64)
    _count_per_frame(np.ascontiguousarray(block), counts)
    return counts


def _one_after_another(parts: Sequence[Counts]) -> Counts:
    n_states = max(part.shape[1] for part in parts)
    return np.concatenate([widened(part, 0, n_states) for part in parts])


@jit
def _count_per_frame(rows: LabelArray, counts: Counts) -> None:
    for t in range(rows.shape[0]):
        for atom in range(rows.shape[1]):
            if rows[t, atom] >= 0:
                counts[t, rows[t, atom]] += 1
