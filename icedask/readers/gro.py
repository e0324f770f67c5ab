"""GROMACS gro files: all frames of a file, with the times that their titles state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from icedask.core.provenance import digest
from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of
from icedask.readers.formats import SourceOptions
from icedask.readers.mdanalysis import MDAnalysisFile, stacked_frames
from icedask.store.frame_block import FrameBlock

_NM = 10.0  # angstrom
_NAMES = 20  # columns of residue, atom name and number
_TIME = re.compile(rb"\bt=\s*([-+\d.eE]+)")
_STEP = re.compile(rb"\bstep=\s*(\d+)")
# Places in the 9 numbers of a box: xx yy zz xy xz yx yz zx zy.
_BOX = np.array([[0, 3, 4], [5, 1, 6], [7, 8, 2]])


class _Stamp(NamedTuple):
    """Step, -1 where the title has none, and time in picoseconds, NaN where it has none."""

    step: int
    time: float


def _stamp(title: bytes) -> _Stamp:
    time, step = _TIME.search(title), _STEP.search(title)
    return _Stamp(
        -1 if step is None else int(step.group(1)),
        float("nan") if time is None else float(time.group(1)),
    )


class _GroIndex(NamedTuple):
    """Bytes from the first atom of each frame to the end of its box, stamps, how it is cut."""

    spans: IntArray
    stamps: list[_Stamp]
    truncated: str


def gro_index(path: str, shown: str) -> _GroIndex:
    """Find the frames of a file, which blank lines may separate.

    Raises InputError where a frame should begin and does not.
    """
    spans: list[tuple[int, int]] = []
    stamps: list[_Stamp] = []
    truncated = ""
    with Path(path).open("rb") as file:
        while title := file.readline():
            count = file.readline()
            while count and not title.strip() and not count.strip().isdigit():
                title, count = count, file.readline()
            if not count:
                truncated = "it ends after the title of a frame" if title.strip() else ""
                break
            if not count.strip().isdigit():
                raise InputError(
                    f"{shown}: frame {len(stamps)}: expected a number of atoms in its second line, "
                    f"found {count[:40].decode('latin-1')!r}; repair the file"
                )
            start, n_lines, n_read, last = file.tell(), int(count) + 1, 0, b""
            for last in islice(file, n_lines):  # noqa: B007
                n_read += 1
            if n_read < n_lines or not last.strip():
                truncated = f"it has {n_read} of {n_lines} lines with atoms and box"
                break
            stamps.append(_stamp(title))
            spans.append((start, file.tell()))
    return _GroIndex(np.array(spans, np.int64).reshape(-1, 2), stamps, truncated)


@dataclass(frozen=True)
class GroFile(MDAnalysisFile):
    """A GROMACS gro file of one or more frames."""

    title: ClassVar = "GROMACS gro"
    rank: ClassVar = 0

    spans: IntArray = field(default_factory=lambda: np.zeros((0, 2), int))
    steps: IntArray = field(default_factory=lambda: np.zeros(0, int))
    times: FloatArray = field(default_factory=lambda: np.zeros(0))
    names: str = ""  # digest of the columns with residues and names, which every frame must have

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is a gro file."""
        content = content_of(file)
        return content is not None and content.key == "GRO"

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None) -> Self:
        """Find the frames of a file."""
        file = file.in_ascii(scratch)
        spans, stamps, truncated = gro_index(file.plain, file.path)
        if not stamps:
            raise InputError(f"{file.path}: has no whole frame: {truncated or 'it is empty'}")
        source = super().open(file, options, scratch)
        steps = [stamp.step if stamp.step >= 0 else number for number, stamp in enumerate(stamps)]
        source = replace(
            source,
            n_frames=len(stamps),
            spans=spans,
            steps=np.array(steps, np.int64),
            times=np.array([stamp.time for stamp in stamps]),
            truncated=truncated,
        )
        return replace(source, names=digest(_names(source._lines(0))))

    def stamps(self) -> tuple[IntArray, FloatArray]:
        """Return step and time of every frame, from their titles."""
        return self.steps, self.times

    def raw(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames as the file has them."""
        positions, cells, columns = [], [], []
        for frame in frames:
            lines = self._lines(frame)
            if len(lines) - 1 != self.n_atoms or digest(_names(lines)) != self.names:
                raise InputError(
                    f"{self.path}: frame {frame}: expected the {self.n_atoms} atoms of the first "
                    f"frame, found {len(lines) - 1} or other ones; icedask needs the same atoms in "
                    "every frame"
                )
            values = self._vectors(lines[:-1], frame)
            positions.append((values[:, :3] * _NM).astype(np.float32))
            cells.append(self._cell(lines[-1], frame))
            columns.append(
                {"velocity": (values[:, 3:] * _NM).astype(np.float32)}
                if values.shape[1] == 6
                else {}
            )
        chosen = np.asarray(frames, int)
        times, steps = self.times[chosen], self.steps[chosen]
        return stacked_frames(positions, cells, times, steps, columns)

    def _lines(self, frame: int) -> list[bytes]:
        """Return the lines of a frame with atoms, and that of the box."""
        start, end = self.spans[frame].tolist()
        with Path(self.plain).open("rb") as file:
            file.seek(start)
            return file.read(end - start).splitlines()

    def _vectors(self, lines: list[bytes], frame: int) -> npt.NDArray[np.float64]:
        """Return 3 or 6 numbers of each atom, whose width the distance of two points gives."""
        first = lines[0][_NAMES:]
        point = first.find(b".")
        width = first.find(b".", point + 1) - point
        rows: list[list[bytes]] = []
        n_numbers = 6 if len(lines[0].rstrip()) > _NAMES + 3 * width else 3
        for number, line in enumerate(lines):
            text = line.rstrip()
            if len(text) != _NAMES + n_numbers * width:
                raise InputError(
                    f"{self.path}: frame {frame}, atom {number}: expected {n_numbers} numbers of "
                    f"{width} characters, found {text[_NAMES:].decode('latin-1')!r}; repair it"
                )
            rows.append([text[_NAMES + k * width :][:width] for k in range(n_numbers)])
        try:
            return np.array(rows).astype(np.float64)
        except ValueError as error:
            raise InputError(
                f"{self.path}: frame {frame}: a coordinate is not a number ({error}); repair the "
                "file"
            ) from error

    def _cell(self, line: bytes, frame: int) -> npt.NDArray[np.float64] | None:
        try:
            numbers = np.array([float(part) for part in line.split()])
        except ValueError:  # numbers of five decimals that touch, in large boxes
            parts = re.findall(rb"-?\d+\.\d{5}", line)
            numbers = np.array([float(part) for part in parts])
        if len(numbers) not in (3, 9):
            raise InputError(
                f"{self.path}: frame {frame}: expected a box of 3 or 9 numbers in its last line, "
                f"found {line.decode('latin-1')!r}; repair the file"
            )
        if not numbers.any():
            return None
        matrix = np.diag(numbers) if len(numbers) == 3 else numbers[_BOX]
        return np.asarray(matrix * _NM)


def _names(lines: list[bytes]) -> bytes:
    return b"".join(line[: _NAMES - 5] for line in lines[:-1])
