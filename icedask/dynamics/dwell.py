"""Visits of atoms to states, from blocks of any length: mergeable summaries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.labels import Counts, n_states_of
from icedask.core.types import LabelArray
from icedask.kernels.jit import jit

# A visit as one number: (state, whether it was cut) above, frames below.
_DURATION_BITS = 40
_DURATION_MASK = (1 << _DURATION_BITS) - 1


class Ends(NamedTuple):
    """The runs of equal labels at one end of a stretch of frames, one per atom.

    Attributes
    ----------
    label : (atom,) int32
    length : (atom,) int64
        Frames; all of the stretch if it is a single run.
    cut : (atom,) bool
        Whether beyond the run, within the stretch, there is no state.
    """

    label: LabelArray
    length: Counts
    cut: npt.NDArray[np.bool_]


class Visits(NamedTuple):
    """The visits within a stretch of frames, and the runs at its ends.

    Attributes
    ----------
    n_frames
        Of the stretch.
    head, tail
        The same where the whole stretch is one run.
    kinds, counts
        Sorted kinds of visits that are not at an end, and how many of each.
    """

    n_frames: int
    head: Ends
    tail: Ends
    kinds: Counts
    counts: Counts

    def table(self, n_states: int) -> tuple[Counts, Counts, Counts]:
        """Return complete visits and cut ones, (state, duration), and the durations."""
        two = self.head.length < self.n_frames
        cut = np.ones(len(two), bool)
        kinds, counts = _tallied(
            (self.kinds, self.counts), _kinds(self.head, cut, cut), _kinds(self.tail, two, cut)
        )
        durations, column = np.unique(kinds & _DURATION_MASK, return_inverse=True)
        row = kinds >> _DURATION_BITS
        found = np.zeros((n_states, 2, len(durations)), np.int64)
        found[row >> 1, row & 1, column] = counts
        return found[:, 0], found[:, 1], durations


def visits_in(block: LabelArray) -> Visits:
    """Return the summary of a block (frame, atom) of labels."""
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
    head_length: Counts,
    head_cut: npt.NDArray[np.bool_],
    tail_label: LabelArray,
    tail_length: Counts,
    tail_cut: npt.NDArray[np.bool_],
    tally: Counts,
) -> None:
    """Find the runs at the ends of each column, and count those between by state, cut, length."""
    n_frames, n_atoms = rows.shape
    if n_frames == 0:
        return
    # Frame by frame, as they lie in memory: the run that is under way is kept in `tail`.
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
    """Merge the summaries of stretches of the same atoms that follow each other."""
    return reduce(_merge_two, [part for part in parts if part.n_frames] or parts[:1])


def _merge_two(one: Visits, two: Visits) -> Visits:
    n_frames = one.n_frames + two.n_frames
    left, right = one.tail, two.head
    same = left.label == right.label
    all_one, all_two = left.length == one.n_frames, right.length == two.n_frames
    # The runs on either side of the seam, one if they are of the same state.
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
    head = _chosen(all_one, before, one.head)
    tail = _chosen(all_two, after, two.tail)
    return Visits(
        n_frames,
        head,
        tail,
        *_tallied(
            (one.kinds, one.counts),
            (two.kinds, two.counts),
            _kinds(before, ~all_one & ~(same & all_two), left.cut | before.cut),
            _kinds(after, ~all_two & ~same, right.cut | after.cut),
        ),
    )


def _chosen(which: npt.NDArray[np.bool_], these: Ends, those: Ends) -> Ends:
    return Ends(
        np.where(which, these.label, those.label),
        np.where(which, these.length, those.length),
        np.where(which, these.cut, those.cut),
    )


def _kinds(
    ends: Ends, which: npt.NDArray[np.bool_], cut: npt.NDArray[np.bool_]
) -> tuple[Counts, Counts]:
    """Return the kinds of the chosen visits to states, and how many of each."""
    which = which & (ends.label >= 0)
    row = 2 * ends.label[which].astype(np.int64) + cut[which]
    return np.unique(row << _DURATION_BITS | ends.length[which], return_counts=True)


def _tallied(*parts: tuple[Counts, Counts]) -> tuple[Counts, Counts]:
    """Merge kinds and their counts."""
    kinds, place = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    counts = np.zeros(len(kinds), np.int64)
    np.add.at(counts, place, np.concatenate([part[1] for part in parts]))
    return kinds, counts
