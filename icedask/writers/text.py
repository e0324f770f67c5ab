"""Lines of text of the columns of frames, for the formats that have such."""

from __future__ import annotations

import gzip
import os
import shutil
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np
import numpy.typing as npt

from icedask.core.types import IntArray
from icedask.kernels.text import Bytes, float_cells, int_cells, lines
from icedask.writers.formats import ColumnLayout, Format, FrameTable

Cells = tuple[Bytes, IntArray]

# Fields that are made into text at a time: 16 MB of cells.
_FIELDS = 2**20
_COPY_BYTES = 2**24
_GZIP_LEVEL = 4


def text_cells(values: npt.NDArray[Any], nothing: bytes = b"nan") -> Cells:
    """Return one column of values as text; NaN as `nothing`.

    Numbers are read back equal: float32 from at most 9 digits, float64 from 17.
    """
    if values.dtype.kind == "f" and values.dtype.itemsize <= 4:
        return float_cells(values.astype(np.float32, copy=False), nothing)
    if values.dtype.kind in "iub":
        return int_cells(values.astype(np.int64, copy=False))
    if values.dtype.kind == "f":
        words = [repr(value).encode() if value == value else nothing for value in values.tolist()]
        encoded = np.array(words or [b""], "S")[: len(values)]
    else:
        encoded = np.char.encode(values.astype(np.str_), "utf-8")
    width = max(encoded.dtype.itemsize, 1)
    table = np.ascontiguousarray(encoded.astype(f"S{width}")).view(np.uint8)
    return table.reshape(len(values), width), np.char.str_len(encoded).astype(np.int64)


class TextFormat(Format):
    """A format whose frames are lines of fields, one for each atom."""

    separator: ClassVar = b" "
    nothing: ClassVar = b"nan"

    @property
    @abstractmethod
    def fields(self) -> Sequence[ColumnLayout]:
        """Columns of a line, in order."""

    @abstractmethod
    def frame_header(self, frame: FrameTable) -> bytes:
        """Return the lines before the atoms of a frame."""

    def frame_values(self, frame: FrameTable) -> list[np.number[Any]]:
        """Return the values of the frame that stand at the beginning of each line."""
        return []

    @property
    def file_header(self) -> bytes:
        """The lines before the first frame."""
        return b""

    def clean(self, texts: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
        """Return texts as they can stand in a line."""
        return texts

    def _cells(self, values: npt.NDArray[Any]) -> Cells:
        return text_cells(self.clean(values) if values.dtype.kind == "U" else values, self.nothing)

    def write(self, path: Path, frames: Iterable[FrameTable]) -> None:
        """Write some consecutive frames into a file, a part of the whole."""
        shared: dict[str, Cells] = {}
        for column in self.fields:
            if column.values is not None:
                shared[column.name] = self._cells(column.values)
        with self._opened(path) as file:
            for frame in frames:
                file.write(self.frame_header(frame))
                for text in self._lines(frame, shared):
                    file.write(text.data)

    def _opened(self, path: Path) -> BinaryIO:
        if self.compressed:
            return cast(BinaryIO, gzip.open(path, "wb", _GZIP_LEVEL))
        return path.open("wb")

    def _lines(self, frame: FrameTable, shared: dict[str, Cells]) -> Iterator[Bytes]:
        """Yield the lines of the atoms of a frame, some thousands at a time."""
        n_fields = sum(len(column.names) for column in self.fields)
        size = max(1, _FIELDS // max(n_fields, 1))
        for start in range(0, len(frame.rows), size):
            part = slice(start, start + size)
            rows = frame.rows[part]
            head = self.frame_values(frame)
            cells = [self._cells(np.full(len(rows), value)) for value in head]
            for column in self.fields:
                if column.name in shared:
                    table, lengths = shared[column.name]
                    cells.append((table[rows], lengths[rows]))
                    continue
                values = frame.columns[column.name][part]
                several = values.T if values.ndim == 2 else [values]
                cells += [self._cells(component) for component in several]
            yield lines(cells, self.separator)

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Make one file of its parts, in order; the parts are deleted."""
        if not self.file_header:
            # The first part grows: nothing of it is copied.
            first, *parts = parts
            first.replace(target)
        with target.open("ab") as file:
            if self.file_header:
                header = self.file_header
                file.write(gzip.compress(header) if self.compressed else header)
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file, _COPY_BYTES)
                part.unlink()
            file.flush()
            os.fsync(file.fileno())
