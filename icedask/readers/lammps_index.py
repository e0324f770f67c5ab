"""Index of a LAMMPS text dump: offsets, steps and times of its frames.

The header of a frame states the number of its atoms: its body is so many lines, and behind them
another frame begins or the file ends. The first frame that is otherwise ends the index.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import pieces
from icedask.readers.lammps_body import skip_lines
from icedask.readers.lammps_header import CutHeader, FrameError, Header, parse_header, shown

_SCAN_BYTES = 16 * 2**20
_GZIP_MAGIC = b"\x1f\x8b\x08"
# Bytes at the end of a file in which its last gzip stream begins, and of its content at most.
_LAST_STREAM, _LAST_CONTENT = 2**25, 2**28
_GZIP_SPACING = 16 * 2**20
_LONGEST_HEADER = 2**20
BOM = b"\xef\xbb\xbf"


class Index(NamedTuple):
    """Where the whole frames of a file are.

    `offsets` has one more entry than there are frames; `times` are NaN where a header has none.
    `truncated` is what is wrong with the frame behind the last whole one, "" if there is none.
    """

    offsets: IntArray
    steps: IntArray
    times: FloatArray
    truncated: str


class DumpFile(NamedTuple):
    """Where the bytes of a dump are: the path in messages, the file, and its seek points."""

    path: str
    plain: str
    packed: bool
    gzip_index: str | None

    def open(self) -> BinaryIO:
        """Open for reading at any offset; a gzipped one at once only with its seek points."""
        if not self.packed:
            return Path(self.plain).open("rb")
        if self.gzip_index is None or not Path(self.gzip_index).exists():
            return cast(BinaryIO, gzip.open(self.plain, "rb"))
        from indexed_gzip import IndexedGzipFile

        return IndexedGzipFile(self.plain, index_file=self.gzip_index)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(_SCAN_BYTES), b"")


def _rescued_pieces(source: DumpFile, reason: list[str]) -> Iterator[bytes]:
    """Yield the text of a gzip stream up to where it was cut, and note that it was.

    Raises InputError if it is damaged: what is before the place may be wrong too.
    """
    with gzip.open(source.plain, "rb") as file:
        try:
            while piece := file.read1(2**16):
                yield piece
        except EOFError as error:
            reason.append(f"the gzip stream breaks off ({error})")
        except (OSError, zlib.error) as error:
            raise InputError(
                f"{source.path}: expected a whole gzip stream, found a damaged one ({error}); make "
                "the file again"
            ) from error


def _check_tail(source: DumpFile, file: BinaryIO, size: int) -> None:
    """Raise InputError if something else follows the gzip streams, which their reader passes over.

    A file of one stream ends with the size of its content. Of several the last one is looked for
    from the end, and must be the end of the content that was read. Others are read through once
    more.
    """
    with Path(source.plain).open("rb") as packed:
        packed.seek(-4, 2)
        if int.from_bytes(packed.read(4), "little") == size % 2**32:
            return
        last = _last_stream(packed)
    if last is not None:
        file.seek(max(size - len(last), 0))
        if file.read(len(last)) == last:
            return
    try:
        for _ in pieces(source.plain, "gz"):
            pass
    except ValueError as error:
        raise InputError(
            f"{source.path}: expected gzip streams only, found something else ({error}); cut that "
            "off, or ingest it as a file of its own"
        ) from error


def _last_stream(packed: BinaryIO) -> bytes | None:
    """Return the content of the gzip stream with which a file ends; None if it is a long one."""
    end = packed.seek(0, 2)
    start = max(0, end - _LAST_STREAM)
    packed.seek(start)
    data = packed.read()
    at = len(data)
    while (at := data.rfind(_GZIP_MAGIC, 0, at)) >= 0:
        unpack = zlib.decompressobj(31)
        with suppress(zlib.error):
            content = unpack.decompress(data[at:], _LAST_CONTENT)
            if unpack.eof and not unpack.unused_data and content:
                return content
    return None


class _Scan:
    """A window on the bytes of a dump that moves forward, and the number of the line."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = iter(pieces)
        self.buffer, self.base, self.at, self.line = b"", 0, 0, 1

    @property
    def offset(self) -> int:
        return self.base + self.at

    def grow(self) -> bool:
        """Read on and forget the text behind; return whether there was more."""
        piece = next(self.pieces, b"")
        if piece:
            self.buffer = self.buffer[self.at :] + piece
            self.base += self.at
            self.at = 0
        return bool(piece)

    def skip_blank(self) -> bool:
        """Move to the next line that is not blank; return whether there is one."""
        while True:
            end = self.buffer.find(b"\n", self.at)
            if end < 0:
                if not self.grow():
                    return bool(self.buffer[self.at :].strip())
            elif self.buffer[self.at : end].strip():
                return True
            else:
                self.at, self.line = end + 1, self.line + 1

    def header(self) -> Header:
        """Parse the header here and move behind it."""
        while True:
            try:
                header = parse_header(self.buffer, self.at)
            except CutHeader:
                if len(self.buffer) - self.at > _LONGEST_HEADER or not self.grow():
                    raise
            else:
                self.at, self.line = header.body, self.line + header.n_lines
                return header

    def skip_atoms(self, n_atoms: int) -> int:
        """Move behind the lines of atoms; return how many there were, with one not ended."""
        left = n_atoms
        while True:
            text = np.frombuffer(self.buffer, np.uint8)
            self.at, passed = skip_lines(text, self.at, min(left, 2**62))
            left -= passed
            if left == 0 or not self.grow():
                break
        self.line += n_atoms - left
        return n_atoms - left

    def open_line(self) -> bool:
        """Return whether the text ends in a line that has no line end."""
        return not self.buffer.endswith(b"\n")


def _lines_of_atoms(source: DumpFile, start: int) -> tuple[int, bool]:
    """Return the whole lines from an offset to the next frame, and whether there is one."""
    lines, tail = 0, b"\n"
    with source.open() as file, suppress(EOFError):  # of a gzip stream that was cut
        file.seek(start)
        for piece in _pieces(file):
            text = tail + piece
            at = text.find(b"\nITEM:")
            if at >= 0:
                return lines + text.count(b"\n", len(tail), at + 1), True
            lines += piece.count(b"\n")
            tail = text[-5:]
    return lines, False


def build_index(source: DumpFile) -> Index:
    """Scan a dump once for the offset of each frame; keep the seek points of a gzipped one.

    Raises InputError if the file is empty, not a LAMMPS text dump, or its gzip stream damaged.
    """
    if not source.packed:
        with Path(source.plain).open("rb") as file:
            return _index(source, _Scan(_pieces(file)))
    from indexed_gzip import IndexedGzipFile, ZranError

    try:
        with IndexedGzipFile(source.plain, spacing=_GZIP_SPACING) as file:
            index = _index(source, _Scan(_pieces(file)))
            while file.read(_SCAN_BYTES):
                pass
            if source.gzip_index is not None:
                file.export_index(source.gzip_index)
            _check_tail(source, file, file.tell())
        return index
    except (ZranError, OSError, EOFError):
        reason: list[str] = []
        return _index(source, _Scan(_rescued_pieces(source, reason)), reason)


def _index(source: DumpFile, scan: _Scan, reason: list[str] | None = None) -> Index:
    offsets: list[int] = []
    steps: list[int] = []
    times: list[float] = []
    truncated = ""
    if not scan.skip_blank():
        what = "".join(reason or []) or "the file is empty"
        raise InputError(f"{source.path}: expected a LAMMPS text dump, found nothing in it: {what}")
    if scan.buffer.startswith(BOM, scan.at):
        scan.at += len(BOM)
    if not scan.buffer.startswith(b"ITEM:", scan.at):
        line = scan.buffer[scan.at : scan.at + 200].split(b"\n")[0].strip()
        raise InputError(
            f'{source.path}: expected a LAMMPS text dump ("ITEM: TIMESTEP ..."), found '
            f"{shown(line)}"
        )
    end = scan.offset
    while scan.skip_blank():
        start, number = scan.offset, scan.line
        try:
            header = scan.header()
            body = scan.offset
            _skip_body(source, scan, header.n_atoms, body, whole=not offsets)
        except FrameError as error:
            truncated = f"frame {len(offsets)}, from line {number} on: {error}"
            break
        offsets.append(start)
        steps.append(header.step)
        times.append(np.nan if header.time is None else header.time)
        end = scan.offset
    truncated = "".join(reason or []) or truncated
    return Index(
        np.array([*offsets, end], np.int64), np.array(steps, np.int64), np.array(times), truncated
    )


def _skip_body(source: DumpFile, scan: _Scan, n_atoms: int, body: int, *, whole: bool) -> None:
    """Move behind the atoms of a frame; raise FrameError if they are more or fewer.

    A last line without its end counts where it is that of the first frame (`whole`): there is
    nothing to learn from the other frames of how long it is.
    """
    lines = scan.skip_atoms(n_atoms)
    if lines == n_atoms - 1 and scan.open_line():
        if not whole:
            raise FrameError(
                "its last line has no line end and may be cut; if nothing is missing, add one"
            )
        scan.at = len(scan.buffer)
        return
    follows = lines == n_atoms and scan.skip_blank()
    if lines == n_atoms and (not follows or scan.buffer.startswith(b"ITEM:", scan.at)):
        return
    n_lines, more = _lines_of_atoms(source, body)
    if not more and n_lines < n_atoms:
        raise FrameError(f"it has {n_lines} of {n_atoms} atoms")
    raise FrameError(f"expected {n_atoms} lines of atoms, found {n_lines}")


def frame_text(file: BinaryIO, index: Index, frame: int) -> bytes:
    """Return the bytes of one frame of an open dump."""
    start, end = index.offsets[frame : frame + 2]
    file.seek(start)
    return file.read(end - start)
