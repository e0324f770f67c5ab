"""XYZ and extended XYZ files, of any program: strict, from an index of the frames."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.elements import ElementMap
from icedask.readers.formats import Format, SourceOptions
from icedask.readers.units import OWN, Units
from icedask.readers.xyz_columns import kept_columns, per_atom
from icedask.readers.xyz_comment import NUMBER, Comment
from icedask.readers.xyz_frame import XyzFrame, elements_of, read_frame
from icedask.readers.xyz_index import XyzIndex, build_index, parse_count
from icedask.readers.xyz_options import LJ, boundaries_of, units_of
from icedask.store.frame_block import FrameBlock, join_blocks

logger = logging.getLogger("icedask")

_FEMTOSECOND = 1e-3  # picosecond
# What every frame states if the first one does.
_STATED = {"cell": "a cell", "origin": "Origin=", "pbc": "pbc=", "step": "a step", "time": "a time"}
# What is the same in every frame.
_SAME = {
    "writer": "the program that wrote it",
    "bead": "the bead",
    "units": "the units",
    "length": "the units of positions and cell",
    "names_columns": "Properties= or none",
}


@dataclass(frozen=True)
class XyzFile(Format):
    """An XYZ or extended XYZ file."""

    title: ClassVar = "XYZ files"
    suffixes: ClassVar = (".xyz", ".extxyz")
    options: ClassVar = (
        "units",
        "timestep",
        "elements",
        "columns",
        "cell",
        "pbc",
        "fixed_order",
        *LJ,
    )
    advice: ClassVar = (
        "an XYZ file names its atoms: leave it out, and map labels to elements with elements "
        "(--elements)"
    )
    rank: ClassVar = 0

    path: str
    n_frames: int
    truncated: str
    plain: str  # the file itself, or its unpacked copy
    index: XyzIndex
    first: Comment
    identity: Mapping[str, str]  # digests of what names the atoms of the first frame
    n_atoms: int
    units: Units | None
    timestep: float | None
    elements: ElementMap
    columns: Mapping[str, str | None]
    cell: tuple[float, ...] | None  # where the file has none
    pbc: tuple[bool, bool, bool] | None  # in place of what the file states; None where it does
    fixed_order: bool | None

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file has the name of an XYZ file, or begins like one."""
        return super().recognises(file) or _begins_like_xyz(file.head)

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None) -> XyzFile:
        """Index the frames, and check the options against the first one."""
        index = build_index(file.path, file.plain)
        n_frames = len(index.starts)
        if n_frames == 0:
            raise InputError(f"{file.path}: has no whole frame: {index.truncated}")
        columns = dict(options.columns or {})
        with Path(file.plain).open("rb") as opened:
            frame = _read(file.path, opened, index, 0, columns)
        try:
            units = units_of(frame.comment, options, file.name)
            pbc = boundaries_of(frame, options)
        except ValueError as error:
            raise InputError(f"{file.path}: {error}") from error
        source = cls(
            path=file.path,
            n_frames=n_frames,
            truncated=index.truncated,
            plain=file.plain,
            index=index,
            first=frame.comment,
            identity=frame.identity,
            n_atoms=frame.n_atoms,
            units=units,
            timestep=options.timestep,
            elements=options.elements,
            columns=columns,
            cell=options.cell,
            pbc=pbc,
            fixed_order=options.fixed_order,
        )
        source._check_columns(frame)
        return source

    @property
    def keeps_order(self) -> bool:
        """Whether atoms have ids, or a program wrote them that keeps their order."""
        if "the ids of atoms" in self.identity:
            return True
        return self.first.writer != "LAMMPS" if self.fixed_order is None else self.fixed_order

    @property
    def column_units(self) -> str:
        """Units of per-atom columns that icedask does not know."""
        return (
            "unconverted (not stated)"
            if self.units in (None, OWN)
            else f"unconverted ({self.units.style})"
        )

    def stamps(self) -> tuple[IntArray, FloatArray]:
        """Return step, or else number, and time (picosecond, NaN if unknown) of every frame."""
        steps, times = self.index.steps, self.index.times
        steps = np.arange(self.n_frames) if steps is None else steps
        unknown = np.full(self.n_frames, np.nan)
        return steps, self._picoseconds(steps, unknown if times is None else times)

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates, from the first frame."""
        with Path(self.plain).open("rb") as file:
            frame = _read(self.path, file, self.index, 0, self.columns)
        try:
            return per_atom(frame, elements_of(frame, self.elements), self.columns)
        except ValueError as error:
            raise InputError(f"{self.path}: {error}") from error

    def ask_elements(self, atoms: Mapping[str, npt.NDArray[Any]]) -> None:
        """Raise InputError if the element of an atom that is kept is not known."""
        if (atoms["element"] == "").any():
            with Path(self.plain).open("rb") as file:
                frame = _read(self.path, file, self.index, 0, self.columns)
            try:
                elements_of(frame, self.elements, atoms["atom"])
            except InputError as error:
                raise InputError(f"{self.path}: {error}") from error

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        blocks = []
        with Path(self.plain).open("rb") as file:
            for number in frames:
                frame = _read(self.path, file, self.index, number, self.columns)
                self._check_same(frame, number)
                try:
                    blocks.append(self._convert(frame, number))
                except ValueError as error:
                    raise InputError(f"{self.path}: frame {number}: {error}") from error
        return join_blocks(blocks)

    def _check_columns(self, frame: XyzFrame) -> None:
        names = self.index.names | frame.arrays.keys()
        unknown = [name for name in self.columns if name not in names]
        if unknown:
            raise InputError(
                f"{self.path}: columns: the file has no {', '.join(unknown)}; it has "
                f"{' '.join(sorted(names))}"
            )
        try:
            elements_of(frame, self.elements)
            _, left_out = kept_columns(frame, self.columns, self.units, self.elements)
        except ValueError as error:
            raise InputError(f"{self.path}: {error}") from error
        if left_out:
            logger.info(
                "%s: not kept, neither numbers nor vectors of three: %s",
                self.path,
                ", ".join(left_out),
            )
        if self.index.times is not None and self._time_unit() is None:
            logger.info(
                "%s: the unit of its times is not stated; give units (--units) or frame_interval "
                "(--frame-interval) for times",
                self.path,
            )

    def _check_same(self, frame: XyzFrame, number: int) -> None:
        """Raise InputError unless a frame has the atoms of the first and states as much."""
        where = f"{self.path}: frame {number}"
        if frame.n_atoms != self.n_atoms:
            raise InputError(
                f"{where}: expected the {self.n_atoms} atoms of the first frame, found "
                f"{frame.n_atoms}; icedask needs the same atoms in every frame"
            )
        if frame.identity != self.identity:
            names = self.identity.keys() | frame.identity.keys()
            other = min(n for n in names if self.identity.get(n) != frame.identity.get(n))
            sort = "" if self.keeps_order else ", in the same order: dump_modify sort id"
            raise InputError(
                f"{where}: expected {other} as in the first frame, found others, or other "
                f"elements; icedask needs the same atoms in every frame{sort}"
            )
        for name, what in _STATED.items():
            stated = getattr(self.first, name) is not None, getattr(frame.comment, name) is not None
            if stated[0] != stated[1]:
                less = f"{what} as in the first frame, found none"
                more = f"no more than in the first frame, found {what}"
                raise InputError(
                    f"{where}: expected in the comment {less if stated[0] else more}; make the "
                    "comments alike, or choose frames with frames= (--frames)"
                )
        for name, what in _SAME.items():
            expected, value = getattr(self.first, name), getattr(frame.comment, name)
            if expected != value:
                raise InputError(
                    f"{where}: expected {what} as in the first frame, {expected!r}, found in the "
                    f"comment {value!r}; split the file"
                )

    def _time_unit(self) -> float | None:
        """Return the picoseconds of a unit of time in the comments."""
        if self.first.writer == "CP2K":
            return _FEMTOSECOND
        return None if self.units is None else self.units.time

    def _picoseconds(self, step: Any, time: Any) -> Any:
        unit = self._time_unit()
        if unit is None:
            return time * np.nan
        return (time if self.timestep is None else step * self.timestep) * unit

    def _convert(self, frame: XyzFrame, number: int) -> FrameBlock:
        comment = frame.comment
        length = 1.0 if self.units is None else self.units.length
        of_positions, of_cell = comment.length or (length, length)
        cell = np.zeros(9)
        if comment.cell is not None:
            cell = np.array(comment.cell) * of_cell
        elif self.cell is not None:
            cell = np.array(self.cell)
        columns, _ = kept_columns(frame, self.columns, self.units, self.elements)
        with np.errstate(over="ignore"):  # what does not fit is refused as infinite
            positions = (frame.positions * of_positions).astype(np.float32)
        step = number if comment.step is None else comment.step
        time = np.nan if comment.time is None else comment.time
        return FrameBlock(
            positions=positions[None],
            cell=cell.reshape(1, 3, 3),
            pbc=np.array(comment.pbc if self.pbc is None else self.pbc),
            time=np.array([self._picoseconds(step, time)], float),
            cell_origin=None
            if comment.origin is None
            else np.array([comment.origin], float) * of_cell,
            step=np.array([step], np.int64),
            columns={name: values[None] for name, values in columns.items()},
        )


def _begins_like_xyz(head: bytes) -> bool:
    """Return whether a number of atoms, a comment, and a label with three numbers come first."""
    lines = head.lstrip().splitlines()
    if len(lines) < 3:
        return False
    try:
        parse_count(lines[0])
    except ValueError:
        return False
    if b"Properties=" in lines[1]:
        return True
    label, *numbers = [word.decode("latin-1") for word in lines[2].split()[:4]] or [""]
    return (
        len(numbers) == 3
        and all(re.fullmatch(NUMBER, number) for number in numbers)
        and (label.isdigit() or not re.fullmatch(NUMBER, label))
    )


def _read(
    path: str, file: BinaryIO, index: XyzIndex, number: int, columns: Mapping[str, str | None]
) -> XyzFrame:
    dropped = [name for name, target in columns.items() if target is None]
    try:
        return read_frame(file, index, number, dropped)
    except ValueError as error:
        way_out = f", or leave it out with frames=slice({number}) (--frames :{number})"
        raise InputError(
            f"{path}: frame {number}: {error}; repair it{way_out if number else ''}"
        ) from error
