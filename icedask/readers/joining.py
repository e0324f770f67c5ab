"""Join files in time: which frames of which files make the trajectory.

A run that is continued dumps the frame that it starts from once more, and one that was killed and
restarted dumps a part of its frames again. Equal repetitions are left out; of different ones the
user says which are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.formats import Format, SourceOptions

# Frames that are read at a time for their times.
_BATCH = 16


def join_frames(
    files: Sequence[Format], options: SourceOptions
) -> tuple[IntArray, tuple[str, ...]]:
    """Return (file, frame in file) of every frame of the trajectory, and notes on those left out.

    Frames are ordered by time; with `frame_interval` by step, where steps that begin again, in a
    file or in the next one, continue those before them. Raises InputError if frames of one time
    differ and the options do not say which to keep, or if files are not in the order of time.
    """
    table = _all_frames(files)
    if options.repeated is None and _in_order(files, options.frame_interval):
        return table, ()
    keys = _keys(files, options.frame_interval)
    kept = np.arange(len(table))
    if keys is not None:
        kept = _increasing(_Frames(files, table, keys, options))
    elif options.repeated is not None:
        raise InputError(
            f"repeated: expected files that state the times of their frames, found "
            f"{files[0].path}, which does not; choose frames with frames= (--frames)"
        )
    if keys is None or options.frame_interval is not None:
        kept = _without_repeated_seams(files, table, kept)
    left_out = np.setdiff1d(np.arange(len(table)), kept)
    if not len(left_out):
        return table, ()
    return table[kept], (_note(files, table[left_out], options),)


def _all_frames(files: Sequence[Format]) -> IntArray:
    rows = [
        np.stack([np.full(file.n_frames, number), np.arange(file.n_frames)], axis=1)
        for number, file in enumerate(files)
    ]
    return np.concatenate(rows).astype(np.int64)


def _in_order(files: Sequence[Format], interval: float | None) -> bool:
    """Return whether the times of all frames increase, as far as two frames of each file show."""
    if interval is not None:
        stamps = files[0].stamps()
        return len(files) == 1 and (stamps is None or bool((np.diff(stamps[0]) > 0).all()))
    times = []
    for file in files:
        stamps = file.stamps()
        if stamps is not None:
            times.append(stamps[1])
        elif len(files) > 1:
            ends = sorted({0, file.n_frames - 1})
            times.append(np.concatenate([file.read([frame]).time for frame in ends]))
    # Times of a single file without an index are checked when its frames are read.
    joined = np.concatenate(times) if times else np.zeros(0)
    if len(files) == 1 and np.isnan(joined).all():
        return True
    return bool((np.diff(joined) > 0).all())


def _keys(files: Sequence[Format], interval: float | None) -> FloatArray | None:
    """Return what orders all frames: times, or steps if times are replaced; None if not known."""
    if interval is None:
        times = np.concatenate([_times(file) for file in files])
        return None if np.isnan(times).any() else times
    stamps = [file.stamps() for file in files]
    steps = [np.asarray(each[0], float) for each in stamps if each is not None]
    if len(steps) < len(files):
        return None
    # A file can hold several runs too, one after another.
    runs = [run for each in steps for run in np.split(each, np.flatnonzero(np.diff(each) <= 0) + 1)]
    offset = 0.0
    keys = [runs[0]]
    for earlier, later in pairwise(runs):
        if later[0] <= earlier[0]:  # numbered from the start again
            offset = keys[-1].max() + 1 - later[0]
        keys.append(later + offset)
    return np.concatenate(keys)


def _times(file: Format) -> FloatArray:
    """Return the time of every frame, reading them where the format has no index."""
    stamps = file.stamps()
    if stamps is not None:
        return stamps[1]
    starts = range(0, file.n_frames, _BATCH)
    batches = [range(start, min(start + _BATCH, file.n_frames)) for start in starts]
    return np.concatenate([file.read(batch).time for batch in batches])


@dataclass(frozen=True)
class _Frames:
    """All frames in the order in which they are given."""

    files: Sequence[Format]
    table: IntArray  # (file, frame in file)
    keys: FloatArray  # times or steps
    options: SourceOptions

    def text(self, frame: int) -> str:
        """Return file and frame in words."""
        number, index = self.table[frame].tolist()
        return f"frame {index} of {Path(self.files[number].path).name}"

    def at(self, frame: int) -> str:
        """Return time or step in words."""
        key = self.keys[frame]
        return f"{key:g} ps" if self.options.frame_interval is None else f"step {key:.0f}"


def _increasing(frames: _Frames) -> IntArray:
    """Return the frames to keep, in the order of time, each time once."""
    keys = frames.keys
    starts = np.flatnonzero(np.diff(keys) <= 0) + 1
    first, *parts = np.split(np.arange(len(keys)), starts)
    kept = first
    for part in parts:
        if keys[part[0]] < keys[kept[0]]:
            raise InputError(
                f"{frames.text(part[0])} is at {frames.at(part[0])}, before the first frame "
                f"({frames.text(kept[0])}, {frames.at(kept[0])}); give the files in the order of "
                "time, or ingest separate runs into separate stores"
            )
        if frames.options.repeated == "last":
            kept = np.concatenate([kept[keys[kept] < keys[part[0]]], part])
            continue
        again = keys[part] <= keys[kept[-1]]
        if frames.options.repeated is None:
            _check_equal(frames, kept, part[again])
        kept = np.concatenate([kept, part[~again]])
    return kept


def _check_equal(frames: _Frames, kept: IntArray, again: IntArray) -> None:
    """Raise InputError unless each frame that comes again equals a kept one of its time."""
    interval = (
        "state the time between frames with frame_interval= (--frame-interval) if these are no "
        "times of one run, "
    )
    remedy = (
        "say which frames are right with repeated= (--repeated) first or last, "
        + (interval if frames.options.frame_interval is None else "")
        + "or ingest separate runs into separate stores"
    )
    for frame in again:
        place = int(np.searchsorted(frames.keys[kept], frames.keys[frame]))
        other = int(kept[place])
        if frames.keys[other] != frames.keys[frame]:
            raise InputError(
                f"{frames.text(frame)} is at {frames.at(frame)}, before {frames.text(kept[-1])} "
                f"({frames.at(kept[-1])}), and no earlier frame has its time; {remedy}"
            )
        if not _equal(frames.files, frames.table[other], frames.table[frame]):
            raise InputError(
                f"{frames.text(frame)} and {frames.text(other)} are both at {frames.at(frame)}, "
                f"with other positions; {remedy}"
            )


def _equal(files: Sequence[Format], first: IntArray, second: IntArray) -> bool:
    """Return whether two frames have the same positions, to the last digit of their files."""
    a, b = (files[number].read([frame]) for number, frame in (first.tolist(), second.tolist()))
    return np.array_equal(a.positions, b.positions) and np.allclose(a.cell, b.cell, rtol=1e-6)


def _without_repeated_seams(files: Sequence[Format], table: IntArray, kept: IntArray) -> IntArray:
    """Return frames without the first one of each file that repeats the end of the file before."""
    rows = table[kept]
    seams = np.flatnonzero(np.diff(rows[:, 0]) > 0)
    repeats = [seam + 1 for seam in seams if _equal(files, rows[seam], rows[seam + 1])]
    return np.delete(kept, repeats)


def _note(files: Sequence[Format], left_out: IntArray, options: SourceOptions) -> str:
    """Return how many frames of which files were left out, and why."""
    numbers, counts = np.unique(left_out[:, 0], return_counts=True)
    names = [
        f"{count} of {Path(files[number].path).name}"
        for number, count in zip(numbers, counts, strict=True)
    ]
    why = (
        "equal to another frame of the same time"
        if options.repeated is None
        else f"of times that come twice, kept the {options.repeated}"
    )
    return f"left out frames: {', '.join(names)} ({why})"
