"""GROMACS xtc and trr: steps and times of all frames from their headers, frames by offset."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of
from icedask.readers.formats import SourceOptions
from icedask.readers.mdanalysis import (
    MDAnalysisFile,
    stacked_frames,
    topology_universe,
    universe_atoms,
)
from icedask.readers.topology import topology_of
from icedask.readers.units import KJ_MOL
from icedask.store.frame_block import FrameBlock

logger = logging.getLogger("icedask")

_NM = 10.0  # angstrom
_XTC_HEAD = 56  # bytes up to the second number of atoms
_XTC_PACKED = 32  # bytes from there to the number of packed bytes
_WIDE = 2023  # magic number of xtc files with 64-bit lengths


class _Frame(NamedTuple):
    """Position in the file, number of atoms, step, time in picoseconds, what it holds."""

    offset: int
    n_atoms: int
    step: int
    time: float
    has_positions: bool


class _CutError(Exception):
    """The file ends within a frame."""


def _take(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    size = struct.calcsize(layout)
    data = file.read(size)
    if len(data) < size:
        raise _CutError
    return struct.unpack(layout, data)


def _xtc_frame(file: BinaryIO, path: str) -> tuple[_Frame, int]:
    """Return a frame from its header, and the position of its end."""
    start = file.tell()
    magic, n_atoms, step, time = _take(file, ">3if")
    if magic not in (1995, _WIDE) or n_atoms < 0:
        raise _not_a_frame(path, start, magic)
    if n_atoms <= 9:
        return _Frame(start, n_atoms, step, time, True), start + _XTC_HEAD + 12 * n_atoms
    file.seek(start + _XTC_HEAD + _XTC_PACKED)
    (size,) = _take(file, ">q" if magic == _WIDE else ">i")
    if size < 0:
        raise _not_a_frame(path, start, magic)
    return _Frame(start, n_atoms, step, time, True), file.tell() + (size + 3) // 4 * 4


def _trr_frame(file: BinaryIO, path: str) -> tuple[_Frame, int]:
    start = file.tell()
    magic, _, length = _take(file, ">3i")
    if magic != 1993 or not 0 <= length <= 256:
        raise _not_a_frame(path, start, magic)
    file.seek((length + 3) // 4 * 4, 1)
    sizes = _take(file, ">10i")
    n_atoms, step, _ = _take(file, ">3i")
    box, positions = sizes[2], sizes[7]
    vectors = next((size for size in sizes[7:] if size), 0)
    width = box // 9 or (vectors // (3 * n_atoms) if n_atoms > 0 else 4)
    if width not in (4, 8) or min(*sizes, n_atoms) < 0:
        raise _not_a_frame(path, start, magic)
    time, _ = _take(file, ">2f" if width == 4 else ">2d")
    return _Frame(start, n_atoms, step, time, positions > 0), file.tell() + sum(sizes)


def _not_a_frame(path: str, start: int, magic: int) -> InputError:
    return InputError(
        f"{path}: expected the header of a frame at byte {start}, found another content ({magic}); "
        "repair the file with gmx check and gmx trjconv, or ingest the frames before it from a copy"
    )


_READERS = {"XTC": _xtc_frame, "TRR": _trr_frame}


def _frames(path: str, shown: str, key: str) -> Iterator[_Frame | str]:
    """Yield the frames of a file, and at last how it is truncated."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        end = 0
        while end < size:
            file.seek(end)
            try:
                frame, end = _READERS[key](file, shown)
            except _CutError:
                yield "it ends within the header of a frame"
                return
            if end > size:
                yield f"{end - size} bytes are missing"
                return
            yield frame
    yield ""


@dataclass(frozen=True)
class GromacsFile(MDAnalysisFile):
    """A GROMACS xtc or trr file.

    Frames of a trr file without positions are left out, with a notice.
    """

    title: ClassVar = "GROMACS xtc and trr"
    rank: ClassVar = 0

    offsets: IntArray = field(default_factory=lambda: np.zeros(0, int))  # of all frames
    numbers: IntArray = field(default_factory=lambda: np.zeros(0, int))  # with positions, of all
    steps: IntArray = field(default_factory=lambda: np.zeros(0, int))
    times: FloatArray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is an xtc or trr file."""
        content = content_of(file)
        return content is not None and content.key in _READERS

    @classmethod
    def open(
        cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None
    ) -> GromacsFile:
        """Note offset, step and time of every frame from its header."""
        content = content_of(file)
        assert content is not None  # it was recognised
        topology = topology_of(file, content.key, options, scratch)
        n_atoms = len(topology_universe(topology).atoms)
        *frames, truncated = _frames(file.plain, file.path, content.key)
        every = [frame for frame in frames if isinstance(frame, _Frame)]
        for number, frame in enumerate(every):
            if frame.n_atoms != n_atoms:
                raise InputError(
                    f"{file.path}: frame {number}: expected {n_atoms} atoms as in the topology "
                    f"{topology.path}, found {frame.n_atoms}; give the topology of this trajectory"
                )
        numbers = [number for number, frame in enumerate(every) if frame.has_positions]
        if len(numbers) < len(every):
            logger.warning(
                "%s: %d of %d frames have velocities or forces only, and are left out",
                file.path,
                len(every) - len(numbers),
                len(every),
            )
        if every and not numbers:
            raise InputError(
                f"{file.path}: expected positions, found velocities or forces only in all "
                f"{len(every)} frames; write positions (nstxout)"
            )
        return cls(
            path=file.path,
            plain=file.plain,
            key=content.key,
            topology=topology,
            n_frames=len(numbers),
            n_atoms=n_atoms,
            truncated=str(truncated),
            offsets=np.array([frame.offset for frame in every], np.int64),
            numbers=np.array(numbers, np.int64),
            steps=np.array([every[number].step for number in numbers], np.int64),
            times=np.array([every[number].time for number in numbers], float),
            **cls.taken(options),
        )

    def stamps(self) -> tuple[IntArray, FloatArray]:
        """Return step and time of every frame."""
        return self.steps, self.times

    def atoms(self) -> dict[str, Any]:
        """Return the per-atom coordinates."""
        return universe_atoms(topology_universe(self.topology), self.elements)

    def raw(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames as the file has them."""
        from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile

        positions, cells, columns = [], [], []
        with {"XTC": XTCFile, "TRR": TRRFile}[self.key](self.plain) as file:
            file.set_offsets(self.offsets)
            for number in self.numbers[np.asarray(frames, int)]:
                file.seek(int(number))
                frame = file.read()
                more: dict[str, Any] = {}
                if self.key == "TRR" and frame.hasv:
                    more["velocity"] = (frame.v * _NM).astype(np.float32)
                if self.key == "TRR" and frame.hasf:
                    more["force"] = (frame.f * (KJ_MOL / _NM)).astype(np.float32)
                positions.append((frame.x * np.float32(_NM)).astype(np.float32))
                box = np.asarray(frame.box, float)
                cells.append(box * _NM if box.any() else None)
                columns.append(more)
        chosen = np.asarray(frames, int)
        times, steps = self.times[chosen], self.steps[chosen]
        return stacked_frames(positions, cells, times, steps, columns)
