"""XYZ files by way of ASE, frame by frame."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.types import IntArray
from icedask.errors import InputError
from icedask.readers.ase import atoms_of, frame_of
from icedask.readers.compressed import SourceFile
from icedask.readers.formats import Format, SourceOptions, boxed
from icedask.store.frame_block import FrameBlock, join_blocks


def extxyz_offsets(path: str) -> tuple[IntArray, str]:
    """Return the offsets of the frames of an XYZ file and of their end, and how it is truncated."""
    offsets = [0]
    with Path(path).open("rb") as file:
        while line := file.readline():
            if not line.strip():
                continue
            try:
                n_atoms = int(line)
            except ValueError as error:
                raise InputError(
                    f"{path}: expected an atom count at byte {offsets[-1]}, found "
                    f"{line[:40]!r}; is this an XYZ file?"
                ) from error
            lines, last = 0, b""
            for last in islice(file, n_atoms + 1):  # noqa: B007
                lines += 1
            if lines < n_atoms + 1:
                return np.array(offsets), f"it has {max(lines - 1, 0)} of {n_atoms} atoms"
            if not last.endswith(b"\n"):
                # Whether digits are missing cannot be told.
                return np.array(offsets), "its last line has no line end and may be cut"
            offsets.append(file.tell())
    if len(offsets) == 1:
        raise InputError(f"{path}: the file is empty")
    return np.array(offsets), ""


@dataclass(frozen=True)
class AseXyz(Format):
    """An XYZ or extended XYZ file."""

    title: ClassVar = "extended XYZ"
    suffixes: ClassVar = (".xyz", ".extxyz")
    options: ClassVar = ("columns", "pbc")
    advice: ClassVar = "give frame_interval (--frame-interval) for a time between frames"

    path: str
    plain: str
    n_frames: int
    offsets: IntArray
    numbers: IntArray | None = None  # atomic numbers, which every frame must have
    columns: Mapping[str, str | None] | None = None
    pbc: tuple[bool, bool, bool] | None = None
    truncated: str = ""

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None) -> AseXyz:
        """Find the frames of a file."""
        offsets, truncated = extxyz_offsets(file.plain)
        source = cls(
            file.path,
            file.plain,
            len(offsets) - 1,
            offsets,
            columns=options.columns,
            pbc=options.pbc,
            truncated=truncated,
        )
        if source.n_frames == 0:
            return source
        return replace(source, numbers=source._atoms(0).numbers)

    def _atoms(self, frame: int) -> Any:
        import ase.io

        start, end = self.offsets[frame : frame + 2]
        with Path(self.plain).open("rb") as file:
            file.seek(start)
            text = file.read(end - start).decode()
        return ase.io.read(io.StringIO(text), index=0, format="extxyz")

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates."""
        return atoms_of(self._atoms(0))

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        blocks = []
        for frame in frames:
            atoms = self._atoms(frame)
            if self.numbers is not None and not np.array_equal(atoms.numbers, self.numbers):
                same = len(atoms) == len(self.numbers)
                raise InputError(
                    f"{self.path}: frame {frame}: expected the {len(self.numbers)} atoms of the "
                    f"first frame in the same order, found {len(atoms)} atoms"
                    f"{' of other elements' if same else ''}; icedask needs the same atoms in "
                    "every frame"
                )
            blocks.append(frame_of(atoms, self.columns or {}, frame, None))
        return boxed(join_blocks(blocks), self.path, None, self.pbc)
