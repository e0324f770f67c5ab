"""DCD files: steps and times from the header, whose unit depends on the program that wrote it."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of
from icedask.readers.formats import SourceOptions
from icedask.readers.lammps_boundaries import is_flat_without_origin
from icedask.readers.mdanalysis import MDAnalysisFile
from icedask.readers.units import Units, lammps_units
from icedask.store.frame_block import FrameBlock

# The unit of time of CHARMM and NAMD: sqrt(amu angstrom^2 mol / kcal), picosecond.
_AKMA = 0.0488882129
_LJ = ("lj_sigma", "lj_epsilon", "lj_tau")


@dataclass(frozen=True)
class DcdHeader:
    """Header of a DCD file, and its frames by the size of the file."""

    n_atoms: int
    first_step: int
    step_interval: int
    delta: float  # time step, in the unit of time of the program
    title: str
    n_whole: int  # frames, by the size of the file
    spare: int  # bytes behind the last whole frame

    @property
    def delta_is_stated(self) -> bool:
        """Whether the time step is that of a simulation, not a placeholder.

        The DCD plugin of VMD, which other programs use too, writes 1 for whatever it converts.
        """
        placeholder = "DCD plugin" in self.title and self.delta == 1 and self.step_interval == 1
        return self.delta > 0 and self.step_interval > 0 and not placeholder


def read_dcd_header(path: str, shown: str) -> DcdHeader:
    """Read the header of a DCD file, and count the frames in it by its size.

    Raises InputError if it is cut, or its records are not those of a DCD file.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        start = file.read(4)
        order = "<" if start == struct.pack("<i", 84) else ">"
        file.seek(0)

        def record() -> bytes:
            mark = file.read(4)
            if len(mark) < 4:
                raise InputError(f"{shown}: the file ends within its header; write it again")
            (length,) = struct.unpack(f"{order}i", mark)
            data = file.read(length) if 0 <= length <= size else b""
            if len(data) != length or file.read(4) != mark:
                raise InputError(
                    f"{shown}: expected the records of a DCD file, found others at byte "
                    f"{file.tell()}; the file is cut or damaged: write it again"
                )
            return data

        def titles() -> str:
            # By their number: the length of the record is wrong in files of some programs.
            mark, count = file.read(4), file.read(4)
            n_titles = struct.unpack(f"{order}i", count)[0] if len(count) == 4 else -1
            text = file.read(80 * n_titles) if 0 <= n_titles <= 1000 else b""
            if len(text) != 80 * n_titles or file.read(4) != mark:
                raise InputError(
                    f"{shown}: expected titles of 80 characters in the header, found another "
                    "content; the file is cut or damaged: write it again"
                )
            return text.decode("latin-1").replace("\0", " ")

        first = record()
        numbers = struct.unpack(f"{order}20i", first[4:84])
        # CHARMM and those after it state a version; X-PLOR has a time step of 8 bytes instead.
        charmm = numbers[19] != 0
        delta = (
            float(str(np.frombuffer(first[40:44], f"{order}f4")[0]))
            if charmm
            else struct.unpack(f"{order}d", first[40:48])[0]
        )
        title = titles()
        (n_atoms,) = struct.unpack(f"{order}i", record()[:4])
        n_fixed = numbers[8]
        if n_fixed:
            record()
        body = file.tell()
    if n_atoms <= 0 or not 0 <= n_fixed <= n_atoms:
        raise InputError(
            f"{shown}: expected a number of atoms, found {n_atoms}, of which {n_fixed} are fixed"
        )
    dimensions = 4 if charmm and numbers[11] else 3
    cell = 56 if charmm and numbers[10] else 0
    whole = cell + dimensions * (4 * n_atoms + 8)
    # Atoms that are fixed are written in the first frame only.
    later = cell + dimensions * (4 * (n_atoms - n_fixed) + 8)
    if size - body < whole:
        return DcdHeader(n_atoms, numbers[1], numbers[2], delta, title, 0, size - body)
    n_later, spare = divmod(size - body - whole, later)
    return DcdHeader(n_atoms, numbers[1], numbers[2], delta, title, 1 + n_later, spare)


def _by_lammps(file: SourceFile) -> bool:
    return b"LAMMPS" in file.head[92:1024].split(b"CORD")[0][:400]


@dataclass(frozen=True)
class DcdFile(MDAnalysisFile):
    """A DCD file of CHARMM, NAMD or another program with their units: angstrom and AKMA."""

    title: ClassVar = "DCD"
    rank: ClassVar = 0

    header: DcdHeader = field(default_factory=lambda: DcdHeader(0, 0, 0, 0.0, "", 0, 0))
    scale: Units = field(default_factory=lambda: Units("akma", 1.0, _AKMA, math.nan))

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is a DCD file that LAMMPS did not write."""
        content = content_of(file)
        return content is not None and content.key == "DCD" and not _by_lammps(file)

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None) -> Self:
        """Read the header, and open the file once with its topology."""
        header = read_dcd_header(file.plain, file.path)
        truncated = f"{header.spare} bytes follow the last whole frame" if header.spare else ""
        if header.n_whole == 0:
            raise InputError(
                f"{file.path}: has no whole frame: it ends {header.spare} bytes after its header; "
                "write it again"
            )
        source = super().open(file, options, scratch)
        return replace(source, header=header, n_frames=header.n_whole, truncated=truncated)

    def stamps(self) -> tuple[IntArray, FloatArray]:
        """Return step and time of every frame; the time is NaN where the header has none."""
        header = self.header
        steps = header.first_step + np.arange(self.n_frames) * max(header.step_interval, 1)
        steps = steps.astype(np.int64)
        if not header.delta_is_stated:
            return steps, np.full(self.n_frames, np.nan)
        return steps, steps.astype(np.float64) * (header.delta * self.scale.time)

    def raw(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames as the file has them, in angstrom and picoseconds."""
        block = super().raw(frames)
        steps, times = self.stamps()
        chosen = np.asarray(frames, int)
        return replace(
            block,
            positions=(block.positions * np.float32(self.scale.length)).astype(np.float32),
            cell=block.cell * self.scale.length,
            step=steps[chosen],
            time=times[chosen],
        )


@dataclass(frozen=True)
class LammpsDcd(DcdFile):
    """A DCD file of LAMMPS: lengths and times are in the units of the run, which are asked for."""

    title: ClassVar = "DCD of LAMMPS"
    options: ClassVar[tuple[str, ...]] = (*DcdFile.options, "units", *_LJ)
    advice: ClassVar = "its header states the time step, in the unit of the run (--units)"

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is a DCD file with the title of LAMMPS."""
        content = content_of(file)
        return content is not None and content.key == "DCD" and _by_lammps(file)

    @classmethod
    def label(cls, file: SourceFile) -> str:
        """Return the name of the format."""
        return cls.title

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None) -> Self:
        """Open the file with the units of the run."""
        if options.units is None:
            raise InputError(
                f"{file.path}: LAMMPS wrote this DCD file (its title says so), with times and "
                "lengths in the units of the run, which it does not state; give units= (--units) "
                "real, metal or lj, as in the units command"
            )
        scale = lammps_units(options.units, **{name: getattr(options, name) for name in _LJ})
        source = replace(super().open(file, options, scratch), scale=scale)
        if options.pbc is None:
            first = source.raw([0])
            if is_flat_without_origin(first.positions[0].astype(np.float64), first.cell[0]):
                raise InputError(
                    f"{file.path}: all atoms lie in one plane, as in a run of dimension 2, and a "
                    "DCD file does not state its boundaries; give pbc= (--pbc xy) for such a run, "
                    "or --pbc xyz if z is periodic"
                )
        return source
