"""Tables with one row for each atom of each frame: CSV and Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.writers.formats import ColumnLayout, Format, FrameTable
from icedask.writers.text import TextFormat

_FRAME_COLUMNS = ("frame", "step", "time")


class Csv(TextFormat):
    """Comma-separated values with a line of names; NaN is an empty field."""

    title: ClassVar = "CSV"
    suffixes: ClassVar = (".csv",)
    separator: ClassVar = b","
    nothing: ClassVar = b""

    @cached_property
    def fields(self) -> Sequence[ColumnLayout]:
        """Columns of a line after frame, step and time."""
        return list(self.columns.values())

    @property
    def file_header(self) -> bytes:
        """The line of names."""
        return (",".join(map(_quoted, self.names)) + "\n").encode()

    @property
    def names(self) -> list[str]:
        """Names of the columns in the file."""
        return [*_FRAME_COLUMNS, *super().names]

    def clean(self, texts: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
        """Return texts in quotes where these are needed."""
        if len(texts) == 0:
            return texts
        words, inverse = np.unique(texts, return_inverse=True)
        return np.array([_quoted(word) for word in words.tolist()], np.str_)[inverse]

    def frame_header(self, frame: FrameTable) -> bytes:
        """Return nothing: rows name their frame."""
        return b""

    def frame_values(self, frame: FrameTable) -> list[np.number[Any]]:
        """Return frame, step and time."""
        return [np.int64(frame.frame), np.int64(frame.step), np.float64(frame.time)]


def _quoted(text: str) -> str:
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


class Parquet(Format):
    """Parquet, one row group for some frames; columns have their units as metadata.

    Numbers are stored as they are, NaN as NaN, text as a dictionary.
    """

    title: ClassVar = "Parquet"
    suffixes: ClassVar = (".parquet", ".pq")
    compressible: ClassVar = False
    requires: ClassVar = "pyarrow"

    @property
    def names(self) -> list[str]:
        """Names of the columns in the file."""
        return [*_FRAME_COLUMNS, *super().names]

    @cached_property
    def _schema(self) -> Any:
        import pyarrow as pa

        texts = pa.dictionary(pa.int32(), pa.string())
        fields = [
            pa.field("frame", pa.int64()),
            pa.field("step", pa.int64()),
            pa.field("time", pa.float64(), metadata={"units": "picosecond"}),
        ]
        for column in self.columns.values():
            kind = {"U": texts, "i": pa.int64(), "f": pa.float32(), "d": pa.float64()}[column.kind]
            fields += [pa.field(name, kind, metadata=dict(column.attrs)) for name in column.names]
        return pa.schema(fields)

    def write(self, path: Path, frames: Iterable[FrameTable]) -> None:
        """Write some consecutive frames into a file, a part of the whole."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        words = {
            name: np.unique(column.values, return_inverse=True)
            for name, column in self.columns.items()
            if column.kind == "U" and column.values is not None
        }
        tables = [self._table(frame, words) for frame in frames]
        whole = pa.concat_tables(tables) if tables else self._schema.empty_table()
        pq.write_table(whole.unify_dictionaries(), path)

    def _table(self, frame: FrameTable, words: Mapping[str, tuple[Any, Any]]) -> Any:
        """Return the rows of a frame; `words` are the texts that frames share, and their places."""
        import pyarrow as pa

        n = len(frame.rows)
        arrays: list[Any] = [
            pa.array(np.full(n, frame.frame, np.int64)),
            pa.array(np.full(n, frame.step, np.int64)),
            pa.array(np.full(n, frame.time, np.float64)),
        ]
        for column in self.columns.values():
            if column.name in words:
                texts, places = words[column.name]
                codes = pa.array(places[frame.rows].astype(np.int32))
                arrays.append(pa.DictionaryArray.from_arrays(codes, texts.tolist()))
                continue
            shared = column.values
            values = frame.columns[column.name] if shared is None else shared[frame.rows]
            several = values.T if values.ndim == 2 else [values]
            if column.kind == "U":
                arrays += [pa.array(text.tolist()).dictionary_encode() for text in several]
            else:
                arrays += [pa.array(np.ascontiguousarray(part)) for part in several]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Make one file of its parts, in order; the parts are deleted."""
        import pyarrow.parquet as pq

        with pq.ParquetWriter(target, self._schema) as writer:
            for part in parts:
                writer.write_table(pq.read_table(part, schema=self._schema))
                part.unlink()
