"""Export of a trajectory and of results per atom into a file of another program."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask._task_spec import Task, TaskRef

from icedask.core.columns import Column, Joined, Results, join_columns, of_atoms, plain
from icedask.core.expressions import Condition
from icedask.core.features import rechunked
from icedask.core.frames import check_frames
from icedask.core.options import Option, parameters_of, takes_options
from icedask.core.trajectory import check_trajectory
from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError, StoreError
from icedask.store.lock import LOCK_FILE, locked
from icedask.tasks.graphs import LazyGraph, block_key, task_waves
from icedask.tasks.progress import stage
from icedask.tasks.run import run_tasks
from icedask.writers.checks import (
    FRAME_NAMES,
    check_target,
    chosen_columns,
    condition_on,
    wanted_frames,
)
from icedask.writers.formats import ColumnLayout, Format, format_of
from icedask.writers.parts import Part, Taken, part_path, write_part

logger = logging.getLogger("icedask")

# Atoms times frames of one task, in whole frames: some 20 MB of text.
_PART_ROWS = 2**18
_PART_BYTES = 2**26
_NEEDED = ("positions", "element", "id", "atom")


class Exported(NamedTuple):
    """What was written: the file, its frames, its rows of atoms and the columns of the file."""

    path: Path
    frames: int
    rows: int
    columns: list[str]


def _check_names(value: Any, where: str) -> list[str]:
    names = [value] if isinstance(value, str) else list(value)
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where}: expected names of columns, found {value!r}")
    return names


@takes_options(
    "trj : xarray.Dataset\n    A trajectory.",
    "path : path\n    New file: .extxyz, .xyz, .lammpstrj, .dump, .csv (each also with .gz) or "
    ".parquet.",
    "results : xarray.Dataset, or sequence or mapping of these, optional\n"
    "    Results with dimension atom; their variables become columns, of the names in a mapping.",
)
def export(
    trj: xr.Dataset,
    path: str | os.PathLike[str],
    results: Results = None,
    *,
    frames: Annotated[
        slice | str | int | None,
        Option("Frames to write: start:stop:step, or one index.", check=check_frames),
    ] = None,
    where: Annotated[
        str | None,
        Option(
            "Condition on columns that atoms must meet in a frame to be written, such as "
            "\"lens > 0.3 and element == 'O'\"."
        ),
    ] = None,
    columns: Annotated[
        Sequence[str] | None,
        Option("Columns to write beside positions, element and id; all by default."),
    ] = None,
    fill: Annotated[
        bool,
        Option("Write atoms and frames too that a result does not have, with NaN or -1."),
    ] = False,
    overwrite: Annotated[bool, Option("Replace an existing file.")] = False,
) -> Exported:
    """Write a trajectory and results of its atoms into a file of another program; computes.

    Dask tasks write some frames each, which are then joined: memory does not grow with the number
    of frames. The file appears under its name when it is whole. Results are matched by step and
    atom; atoms and frames that one of them does not have are left out.

    {parameters}

    Returns
    -------
    Exported
        path, and the number of frames, rows and the names of the columns.

    Raises
    ------
    InputError
        If the path, an option or the condition is not valid, a result belongs to another
        trajectory, the file exists, or nothing is left to write.
    StoreError
        If the file cannot be written, or another export writes it.

    Notes
    -----
    Lengths are in angstrom, times in picosecond, energies in eV. Floating-point numbers are read
    back equal. Without ids in the source, id is the index of the atom, from 0.

    Examples
    --------
    >>> import tempfile
    >>> import ase.io
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True) * (3, 3, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = ice.export(trj, f"{folder}/cu.extxyz", ice.coordination(trj, r_cut=3.0))
    ...     ase.io.read(done.path).arrays["coordination"][:3].tolist()
    [12, 12, 12]
    """
    return planned(
        trj,
        path,
        results,
        frames=frames,
        where=where,
        columns=columns,
        fill=fill,
        overwrite=overwrite,
    ).run()


PARAMETERS = parameters_of(export)


def planned(
    trj: xr.Dataset,
    path: str | os.PathLike[str],
    results: Results,
    *,
    frames: Any,
    where: str | None,
    columns: Sequence[str] | None,
    fill: bool,
    overwrite: bool,
) -> Export:
    """Check the arguments of `export`; return the job, of which nothing is computed yet."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"export: expected the path of a new file, found {path!r}")
    target = Path(path).absolute()
    kind, compressed = format_of(target)
    check_target(target, overwrite)
    check_trajectory(trj, "export")
    if trj.sizes[ATOM] == 0:
        raise InputError("export: expected atoms, found a trajectory without any")
    joined = join_columns(trj, results, "export", fill=fill)
    condition = None if where is None else condition_on(where, joined)
    chosen = _chosen(joined, wanted_frames(trj.sizes[FRAME], frames))
    written = _written(joined, columns)
    layouts = [_layout(column, joined.atoms) for column in written]
    format_ = kind(layouts, compressed=compressed)
    twice = [name for name in format_.names if format_.names.count(name) > 1]
    if twice:
        raise InputError(
            f"export: two columns are called {twice[0]} in {kind.title}; name the results, or "
            "choose the columns"
        )
    return Export(trj, target, format_, joined, chosen, condition, overwrite)


def _chosen(joined: Joined, wanted: IntArray) -> IntArray:
    """Return the frames to write."""
    chosen = wanted[np.isin(wanted, joined.frames)]
    if len(chosen) == 0:
        raise InputError(
            "export: frames: the results have none of the chosen frames; choose others, or write "
            "NaN and -1 for them with fill=True (--fill)"
        )
    return chosen


def _written(joined: Joined, names: Sequence[str] | None) -> list[Column]:
    """Return the columns to write."""
    if names is None:
        return list(joined.columns.values())
    kept = chosen_columns(names, joined) | {*_NEEDED, "type"}
    return [column for name, column in joined.columns.items() if name in kept]


def _layout(column: Column, atoms: IntArray) -> ColumnLayout:
    values = None
    if not column.by_frame:
        values = of_atoms(plain(np.asarray(column.data), column.kind), column.atom_rows)[atoms]
    wide = column.kind == "f" and column.data.dtype.itemsize > 4
    kind = "d" if wide else column.kind
    return ColumnLayout(column.name, column.parts, column.names, kind, column.attrs, values)


@dataclass(frozen=True)
class Export:
    """A checked export."""

    trj: xr.Dataset
    target: Path
    format: Format
    joined: Joined
    frames: IntArray
    condition: Condition | None
    overwrite: bool

    @cached_property
    def _used(self) -> list[Column]:
        """The columns that are written or in the condition."""
        joined = self.joined
        names = set(self.format.columns)
        if self.condition is not None:
            wanted = (joined.aliases.get(name, name) for name in self.condition.names)
            names |= {joined.component(n)[0].name for n in wanted if n not in FRAME_NAMES}
        return [column for name, column in joined.columns.items() if name in names]

    @cached_property
    def part_frames(self) -> int:
        """Frames of one task."""
        n_atoms = len(self.joined.atoms)
        row = sum(
            column.data.dtype.itemsize * max(len(column.parts), 1)
            for column in self._used
            if column.by_frame
        )
        ceiling = min(_PART_ROWS // n_atoms, _PART_BYTES // (n_atoms * max(row, 1)))
        return max(1, min(ceiling, len(self.frames)))

    @property
    def n_parts(self) -> int:
        """Number of tasks."""
        return -(-len(self.frames) // self.part_frames)

    def run(self) -> Exported:
        """Write the file, with the active client's workers or in the threads of this process."""
        for note in [*self.format.notes, *self._unconverted]:
            logger.info("%s", note)
        with _staging(self.target) as folder:
            counts = run_tasks(self._waves(folder), self.n_parts, "export")
            n_frames, n_rows = (sum(count[k] for count in counts) for k in (0, 1))
            if n_frames == 0:
                text = "" if self.condition is None else self.condition.text
                raise InputError(
                    f"export: where: {text!r} holds for no atom in {len(self.frames)} frames; "
                    "nothing is written"
                )
            parts = [part_path(folder, n) for n, count in enumerate(counts) if count[0]]
            self._join(parts, folder)
        if n_frames < len(self.frames):
            logger.info(
                "export: %d of %d frames have no such atoms and are left out",
                len(self.frames) - n_frames,
                len(self.frames),
            )
        return Exported(self.target, n_frames, n_rows, self.format.names)

    @property
    def _unconverted(self) -> list[str]:
        """A sentence on columns that are in units of the source."""
        own = {
            name: column.attrs["units"].removeprefix("unconverted")
            for name, column in self.format.columns.items()
            if column.attrs.get("units", "").startswith("unconverted")
        }
        listed = ", ".join(f"{name}{units}" for name, units in own.items())
        return [f"export: in units of the source, not converted: {listed}"] if own else []

    def _join(self, parts: Sequence[Path], folder: Path) -> None:
        whole = folder / "whole"
        with stage("export: join", 1) as advance:
            self.format.join(parts, whole)
            advance(1)
        check_target(self.target, self.overwrite)
        whole.replace(self.target)

    def _waves(self, folder: Path) -> Iterator[Any]:
        size = self.part_frames
        arrays, taken = [], []
        for column in (column for column in self._used if column.by_frame):
            array, missing = _frames_of(column, self.frames)
            arrays.append(rechunked(array, {0: size, **dict.fromkeys(range(1, array.ndim), -1)}))
            rows = column.atom_rows
            atoms = self.joined.atoms
            whole = rows is None and len(atoms) == array.shape[1]
            rows = None if whole else atoms if rows is None else rows[atoms]
            taken.append(Taken(column.name, column.names, column.kind, rows, missing))
        part = self._part(folder, tuple(taken))
        # One object for all tasks, which travels once.
        shared = da.from_delayed(dask.delayed(part, pure=False), (), object)
        graph = LazyGraph([shared, *arrays])
        numbers = np.arange(self.n_parts)[:, None]

        def keys_of(row: IntArray) -> list[Any]:
            number = int(row[0])
            return [block_key(shared, ()), *(block_key(array, (number,)) for array in arrays)]

        def task_of(row: IntArray, _: int) -> Task:
            number = int(row[0])
            keys = keys_of(row)
            return Task(("export", number), write_part, number, *map(TaskRef, keys))

        return task_waves(graph, numbers, keys_of, task_of, values=True)

    def _part(self, folder: Path, taken: tuple[Taken, ...]) -> Part:
        trj, frames, atoms = self.trj, self.frames, self.joined.atoms
        known = trj.variables
        shared = {
            column.name: values
            for column in self._used
            if (values := _layout(column, atoms).values) is not None
        }
        return Part(
            format=self.format,
            folder=folder,
            frames=frames,
            step=np.asarray(trj["step"].values[frames]) if "step" in known else frames,
            time=np.asarray(trj["time"].values[frames], float)
            if "time" in known
            else np.full(len(frames), np.nan),
            cell=np.asarray(trj["cell"].values[frames], float),
            origin=np.asarray(trj["cell_origin"].values[frames], float)
            if "cell_origin" in known
            else None,
            pbc=np.asarray(trj["pbc"].values, bool),
            size=self.part_frames,
            columns=taken,
            shared=shared,
            condition=self.condition,
            aliases=dict(self.joined.aliases),
            n_atoms=len(atoms),
        )


def _frames_of(column: Column, frames: IntArray) -> tuple[da.Array, npt.NDArray[np.bool_] | None]:
    """Return the values of frames as a lazy array, and which of them have none."""
    data = column.data if isinstance(column.data, da.Array) else da.from_array(column.data)
    rows = frames if column.frame_rows is None else column.frame_rows[frames]
    missing = rows < 0
    rows = np.maximum(rows, 0)
    steps = np.unique(np.diff(rows))
    if len(rows) == 1 or (len(steps) == 1 and steps[0] > 0):
        step = int(steps[0]) if len(rows) > 1 else 1
        array = data[int(rows[0]) : int(rows[-1]) + 1 : step]
    else:
        array = data[rows]
    return array, missing if missing.any() else None


@contextmanager
def _lock(folder: Path, target: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except StoreError as error:
            raise StoreError(
                f"export: {target}: another process is writing this file; wait for it to end, or "
                "give another path"
            ) from error
        yield


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Make a folder beside the file for its parts, held by one export, and delete it."""
    folder = target.with_name(f".{target.name}.parts")
    try:
        folder.mkdir(exist_ok=True)
        with _lock(folder, target):
            try:
                # A killed export left its parts.
                for path in folder.iterdir():
                    if path.name != LOCK_FILE:
                        path.unlink()
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise StoreError(
            f"export: {target}: cannot be written ({error.strerror or error}); free space, or "
            "choose another folder"
        ) from error
