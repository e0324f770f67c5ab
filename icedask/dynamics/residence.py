"""Residence times: how long atoms stay in a state."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.labels import Counts, added, checked_labels, widened
from icedask.core.provenance import stamped
from icedask.core.types import LabelArray
from icedask.core.variables import DURATION, STATE, summary_variables
from icedask.dynamics import lagged_counts as pairs
from icedask.dynamics.dwell import Visits, merge_visits, visits_in
from icedask.tasks.reduce import reduce_columns

_Both = tuple[Visits, pairs.Pairs]
_COUNT = partial(pairs.transitions_between, lags=(1,))


def residence_times(labels: xr.Dataset) -> xr.Dataset:
    """Count the visits of atoms to each state by their duration; computes, in one pass.

    A visit is a run of frames in which an atom has one label. It is complete if the atom is seen
    in other states in the frame before and in the frame after; it is censored if it is cut by an
    end of the trajectory or by a negative label. The mean over complete visits would be too short,
    because long visits are cut most. So the residence time is the one that maximises the
    likelihood of all that was seen: the frames in the state after which the next label is known,
    over the exits to other states among these; that is the time between frames over
    1 - P, with P the probability of staying that `transitions` gives.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom), int32; a negative one is no state.

    Returns
    -------
    xarray.Dataset
        visits, censored (state, duration), int64: complete and cut visits of `duration` frames.
        n_visits (state), int64: all of them. residence_time (state), float64, in picosecond if
        all times are known and even, else in frames, as its units say: inf if no exit is seen,
        NaN if the state is never visited.

    Raises
    ------
    InputError
        If there is no such variable, or it is empty.

    References
    ----------
    Anderson and Goodman, Ann. Math. Stat. 28, 89 (1957), doi:10.1214/aoms/1177707039

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> label = np.array([[0], [0], [0], [1], [1], [0]], np.int32)
    >>> found = ice.residence_times(xr.Dataset({"label": (("frame", "atom"), label)}))
    >>> found["residence_time"].values
    array([3., 2.])
    """
    given = checked_labels(labels, "residence_times")
    columns = reduce_columns(given.blocks, _summary, _merge, "residence times")
    flux = added([column.counts[0][0] for _, column in columns])
    flux = widened(flux, given.n_named, given.n_named)
    complete, censored, durations = _by_duration([visits for visits, _ in columns], len(flux))
    n_visits = (complete + censored).sum(axis=1)
    times, units = given.time_of(_residence(flux, n_visits))
    variables = summary_variables(
        "residence_times",
        units,
        visits=complete,
        censored=censored,
        n_visits=n_visits,
        residence_time=times,
    )
    attrs = {"long_name": "length of the visit", "units": "frame"}
    coords = {**given.states(len(flux), STATE), DURATION: (DURATION, durations, attrs)}
    record = given.record.child("results", "residence_times", 1, {})
    return stamped(xr.Dataset(variables, coords), record)


def _summary(block: LabelArray) -> _Both:
    return visits_in(block), pairs.summary(block, _COUNT, 1)


def _merge(parts: Sequence[_Both]) -> _Both:
    visits, others = zip(*parts, strict=True)
    return merge_visits(visits), pairs.merge(others, _COUNT, 1)


def _by_duration(columns: Sequence[Visits], n_states: int) -> tuple[Counts, Counts, Counts]:
    """Return complete and censored visits (state, duration) of all atoms, and the durations."""
    tables = [column.table(n_states) for column in columns]
    durations = np.unique(np.concatenate([table[2] for table in tables]))
    complete, censored = np.zeros((2, n_states, len(durations)), np.int64)
    for some_complete, some_censored, lengths in tables:
        places = np.searchsorted(durations, lengths)
        complete[:, places] += some_complete
        censored[:, places] += some_censored
    return complete, censored, durations


def _residence(flux: Counts, n_visits: Counts) -> npt.NDArray[np.float64]:
    """Return the mean residence times in frames."""
    followed = flux.sum(axis=1)
    exits = followed - np.diagonal(flux)
    never_left = np.where(n_visits > 0, np.inf, np.nan)
    return np.divide(followed, exits, out=never_left, where=exits > 0)
