"""From paths to one source of frames: finding files, and opening them as one trajectory."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from dask import delayed

from icedask.core.types import IntArray
from icedask.errors import InputError
from icedask.readers.contents import folder_content
from icedask.readers.formats import Format, SourceOptions, open_file
from icedask.readers.joining import join_frames
from icedask.store.frame_block import FrameBlock, join_blocks
from icedask.tasks.graphs import delayed_waves
from icedask.tasks.run import run_tasks


def find_files(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the files of a source: a path, a glob pattern (in natural order) or several."""
    patterns = [source] if isinstance(source, str | os.PathLike) else list(source)
    files: list[str] = []
    for pattern in map(str, patterns):
        matches = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern), key=_natural)
        if not matches:
            raise InputError(f"{pattern}: no such file, and no file matches it as a pattern")
        files += matches
    for path in files:
        if Path(path).is_dir():
            raise InputError(f"{path}: expected a trajectory file, found {folder_content(path)}")
        if Path(path).stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
    paths = [str(Path(path).resolve()) for path in files]
    twice = next((path for path, count in Counter(paths).items() if count > 1), None)
    if twice is not None:
        raise InputError(
            f"{twice}: expected each file once, found it {paths.count(twice)} times; leave the "
            "others out"
        )
    return paths


def _natural(path: str) -> list[tuple[int, int | str]]:
    return [
        (0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path) if part
    ]


@dataclass(frozen=True)
class JoinedSource:
    """Several files as one trajectory."""

    files: tuple[Format, ...]
    # (file, frame in file) of every frame of the whole.
    table: IntArray
    frame_interval: float | None = None
    # Frames that were left out, in words.
    notes: tuple[str, ...] = ()

    @property
    def n_frames(self) -> int:
        """Frames of all files; one that is repeated counts once."""
        return len(self.table)

    @property
    def truncated(self) -> str:
        """Truncation of the last file, "" if it is whole."""
        return self.files[-1].truncated

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates, from the first file."""
        return self.files[0].atoms()

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index, from whichever files hold them."""
        rows = self.table[np.asarray(frames, int)]
        cuts = np.flatnonzero(np.diff(rows[:, 0])) + 1
        block = join_blocks(
            [self.files[part[0, 0]].read(part[:, 1].tolist()) for part in np.split(rows, cuts)]
        )
        if self.frame_interval is None:
            return block
        return replace(block, time=np.asarray(frames, float) * self.frame_interval)


def open_source(
    paths: Sequence[str],
    options: SourceOptions,
    scratch: Path | None = None,
) -> JoinedSource:
    """Open all files of a trajectory, each in a Dask task, and join them in time.

    Raises InputError if files hold different atoms, overlap in time with other positions, or any
    but the last is truncated.
    """
    if len(paths) == 1:
        files = [open_file(paths[0], options, scratch)]
    else:
        opener = delayed(open_file, pure=False)
        tasks = (opener(path, options, scratch) for path in paths)
        files = run_tasks(delayed_waves(tasks, values=True), len(paths), "index")
    atoms = files[0].atoms() if len(files) > 1 else {}
    for number, file in enumerate(files):
        if file.n_frames == 0:
            raise InputError(f"{file.path}: has no whole frame: {file.truncated}")
        if file.truncated and number < len(files) - 1:
            raise InputError(
                f"{file.path}: truncated or damaged after {file.n_frames} whole frames "
                f"({file.truncated}), and another file follows; cut off what is behind them, or "
                "give the files up to this one alone, with frames= (--frames)"
            )
        if number:
            _check_same_atoms(atoms, file.atoms(), files[0].path, file.path)
    table, notes = join_frames(files, options)
    return JoinedSource(tuple(files), table, options.frame_interval, notes)


def _check_same_atoms(
    expected: Mapping[str, npt.NDArray], atoms: Mapping[str, npt.NDArray], first: str, path: str
) -> None:
    for name in ("element", "id", "type", "name"):
        # A missing one is an object array of None.
        if not np.array_equal(np.asarray(expected.get(name)), np.asarray(atoms.get(name))):
            raise InputError(
                f"{path}: expected the atoms of {first}, found others ({name} differs); ingest "
                "different systems into separate stores"
            )
