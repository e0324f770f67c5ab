"""Residence times: the durations of visits to each state, from blocks of any length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import over_members
from icedask.core.labels import checked_labels, n_states_of, padded, sum_padded
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_atom_order
from icedask.core.types import FloatArray, IntArray, LabelArray
from icedask.core.variables import DURATION, STATE, summary_variables
from icedask.dynamics.lagged_counts import Pairs, count_block, merge_pairs, transitions_between
from icedask.kernels.jit import jit
from icedask.tasks.reduce import reduce_columns

# A visit as one number: state and whether it is cut in the high bits, frames in the low ones.
_DURATION_BITS = 40
_DURATION_MASK = (1 << _DURATION_BITS) - 1
_COUNT = partial(transitions_between, lags=(1,))


@over_members
def residence_times(labels: xr.Dataset) -> xr.Dataset:
    """Count the visits of atoms to each state by duration; computes, in one pass.

    A visit is a run of frames in which an atom has one label. It is complete if the atom is seen
    in other states in the frame before and in the frame after; it is censored if it is cut by an
    end of the trajectory or by a negative label. The mean over complete visits would be too short,
    because long visits are cut most. So the residence time is the one that maximises the
    likelihood of all visits: the frames in the state after which the next label is known, over
    the exits to other states among these. It equals the time between frames over 1 - P, with P
    the probability of staying that `transitions` returns.

    Parameters
    ----------
    labels : xarray.Dataset
        label (frame, atom), int32; a negative one is no state.

    Returns
    -------
    xarray.Dataset
        visits, censored (state, duration), int64: complete and cut visits of `duration` frames.
        n_visits (state), int64: all of them. residence_time (state), float64, in picosecond if
        all times are known and even, else in frames, as in its units: inf without exits,
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
    >>> labels = xr.Dataset({"label": (("frame", "atom"), label)})
    >>> ice.residence_times(labels)["residence_time"].values
    array([3., 2.])
    """
    check_atom_order(labels, "residence_times")
    checked = checked_labels(labels, "residence_times")
    columns = reduce_columns(checked.blocks, _count, _merge, "residence times")
    flux = sum_padded([column.counts[0][0] for _, column in columns])
    flux = padded(flux, checked.n_named, checked.n_named)
    complete, censored, durations = _by_duration([visits for visits, _ in columns], len(flux))
    n_visits = (complete + censored).sum(axis=1)
    times, units = checked.time_of(_residence(flux, n_visits))
    variables = summary_variables(
        "residence_times",
        units,
        visits=complete,
        censored=censored,
        n_visits=n_visits,
        residence_time=times,
    )
    attrs = {"long_name": "length of the visit", "units": "frame"}
    coords = {**checked.states(len(flux), STATE), DURATION: (DURATION, durations, attrs)}
    record = checked.record.child("results", "residence_times", 1, {})
    return stamped(xr.Dataset(variables, coords), record)


def _count(block: LabelArray) -> tuple[Visits, Pairs]:
    return count_visits(block), count_block(block, _COUNT, 1)


def _merge(parts: Sequence[tuple[Visits, Pairs]]) -> tuple[Visits, Pairs]:
    visits, pairs = zip(*parts, strict=True)
    return merge_visits(visits), merge_pairs(pairs, _COUNT, 1)


def _by_duration(columns: Sequence[Visits], n_states: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return complete and censored visits (state, duration) of all atoms, and the durations."""
    tables = [column.table(n_states) for column in columns]
    durations = np.unique(np.concatenate([table[2] for table in tables]))
    complete, censored = np.zeros((2, n_states, len(durations)), np.int64)
    for column_complete, column_censored, lengths in tables:
        places = np.searchsorted(durations, lengths)
        complete[:, places] += column_complete
        censored[:, places] += column_censored
    return complete, censored, durations


def _residence(flux: IntArray, n_visits: IntArray) -> FloatArray:
    """Return the mean residence times in frames."""
    followed = flux.sum(axis=1)
    exits = followed - np.diagonal(flux)
    never_left = np.where(n_visits > 0, np.inf, np.nan)
    return np.divide(followed, exits, out=never_left, where=exits > 0)


class Ends(NamedTuple):
    """Runs of equal labels at one end of a block, by atom.

    Length in frames, and whether the label beyond the run, within the block, is negative.
    """

    label: LabelArray
    length: IntArray
    cut: npt.NDArray[np.bool_]


class Visits(NamedTuple):
    """Visits within a block of `n_frames`, and the runs at its ends.

    `head` equals `tail` where the whole block is one run. `kinds` are sorted, of visits that are
    not at an end, with their `counts`.
    """

    n_frames: int
    head: Ends
    tail: Ends
    kinds: IntArray
    counts: IntArray

    def table(self, n_states: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return complete visits and cut ones, (state, duration), and the durations."""
        split = self.head.length < self.n_frames
        cut = np.ones(len(split), bool)
        kinds, counts = _tallied(
            (self.kinds, self.counts), _kinds(self.head, cut, cut), _kinds(self.tail, split, cut)
        )
        durations, column = np.unique(kinds & _DURATION_MASK, return_inverse=True)
        row = kinds >> _DURATION_BITS
        table = np.zeros((n_states, 2, len(durations)), np.int64)
        table[row >> 1, row & 1, column] = counts
        return table[:, 0], table[:, 1], durations


def count_visits(block: LabelArray) -> Visits:
    """Count the visits within a block (frame, atom) of labels."""
    rows = np.ascontiguousarray(block)
    n_frames, n_atoms = rows.shape
    head, tail = (
        Ends(np.empty(n_atoms, np.int32), np.empty(n_atoms, np.int64), np.zeros(n_atoms, bool))
        for _ in range(2)
    )
    tally = np.zeros((n_states_of(rows), 2, n_frames + 1), np.int64)
    _find_visits(rows, *head, *tail, tally)
    state, cut, length = np.nonzero(tally)
    kinds = (2 * state + cut) << _DURATION_BITS | length
    return Visits(n_frames, head, tail, kinds, tally[state, cut, length])


@jit
def _find_visits(
    rows: LabelArray,
    head_label: LabelArray,
    head_length: IntArray,
    head_cut: npt.NDArray[np.bool_],
    tail_label: LabelArray,
    tail_length: IntArray,
    tail_cut: npt.NDArray[np.bool_],
    tally: IntArray,
) -> None:
    """Find the runs at the ends of each column, and count those between by state, cut, length."""
    n_frames, n_atoms = rows.shape
    if n_frames == 0:
        return
    # Frame by frame, as in memory: the current run is kept in `tail`.
    for atom in range(n_atoms):
        tail_label[atom] = rows[0, atom]
        tail_length[atom] = 1
        head_length[atom] = n_frames
    for t in range(1, n_frames):
        for atom in range(n_atoms):
            label, before = rows[t, atom], tail_label[atom]
            if label == before:
                tail_length[atom] += 1
                continue
            if head_length[atom] == n_frames:
                head_length[atom] = tail_length[atom]
                head_cut[atom] = label < 0
            elif before >= 0:
                cut = tail_cut[atom] or label < 0
                tally[before, int(cut), tail_length[atom]] += 1
            tail_label[atom] = label
            tail_length[atom] = 1
            tail_cut[atom] = before < 0
    for atom in range(n_atoms):
        head_label[atom] = rows[0, atom]


def merge_visits(parts: Sequence[Visits]) -> Visits:
    """Merge the visits of successive blocks of the same atoms."""
    return reduce(_merge_two, [part for part in parts if part.n_frames] or parts[:1])


def _merge_two(first: Visits, second: Visits) -> Visits:
    n_frames = first.n_frames + second.n_frames
    left, right = first.tail, second.head
    same = left.label == right.label
    all_first, all_second = left.length == first.n_frames, right.length == second.n_frames
    # The runs on either side of the seam; the same run if their labels are equal.
    before = Ends(
        left.label,
        left.length + same * right.length,
        np.where(same, right.cut, right.label < 0),
    )
    after = Ends(
        right.label,
        right.length + same * left.length,
        np.where(same, left.cut, left.label < 0),
    )
    head = _select(all_first, before, first.head)
    tail = _select(all_second, after, second.tail)
    return Visits(
        n_frames,
        head,
        tail,
        *_tallied(
            (first.kinds, first.counts),
            (second.kinds, second.counts),
            _kinds(before, ~all_first & ~(same & all_second), left.cut | before.cut),
            _kinds(after, ~all_second & ~same, right.cut | after.cut),
        ),
    )


def _select(which: npt.NDArray[np.bool_], these: Ends, those: Ends) -> Ends:
    return Ends(
        np.where(which, these.label, those.label),
        np.where(which, these.length, those.length),
        np.where(which, these.cut, those.cut),
    )


def _kinds(
    ends: Ends, which: npt.NDArray[np.bool_], cut: npt.NDArray[np.bool_]
) -> tuple[IntArray, IntArray]:
    """Return the kinds of the chosen visits to states, and the number of each."""
    which = which & (ends.label >= 0)
    row = 2 * ends.label[which].astype(np.int64) + cut[which]
    return np.unique(row << _DURATION_BITS | ends.length[which], return_counts=True)


def _tallied(*parts: tuple[IntArray, IntArray]) -> tuple[IntArray, IntArray]:
    """Merge kinds and their counts."""
    kinds, place = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    counts = np.zeros(len(kinds), np.int64)
    np.add.at(counts, place, np.concatenate([part[1] for part in parts]))
    return kinds, counts
