"""Index of an XYZ file: offsets, atom counts, steps and times of its frames, found in one pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.xyz_comment import Comment, parse_comment

_SCAN_BYTES = 16 * 2**20
_LONGEST_LINE = 2**20
_TAIL_BYTES = 2**12
_BOM = b"\xef\xbb\xbf"


class XyzIndex(NamedTuple):
    """Where the whole frames of a file are, and what their comments state of step and time.

    Attributes
    ----------
    starts, ends
        Offsets of the line with the number of atoms, and of the end of the last atom.
    steps, times
        Of each frame, times in the unit of the run; None where a frame states none.
    names
        Names of the properties of all frames of extended XYZ.
    truncated
        What is wrong with the end of the file, "" if it is whole.
    """

    starts: IntArray
    ends: IntArray
    steps: IntArray | None
    times: FloatArray | None
    names: frozenset[str]
    truncated: str


class _Lines:
    """Lines of a file, read in blocks; runs of lines are counted without a loop over them."""

    def __init__(self, path: str) -> None:
        self.offset = 0  # of the next line
        self._file = Path(path).open("rb")  # noqa: SIM115
        self._data = b""
        self._base = 0  # offset of the data in the file
        self._ends = np.empty(0, np.intp)
        self._next = 0  # index of the next line end

    def close(self) -> None:
        self._file.close()

    def _fill(self, *, keep: bool) -> bool:
        """Read the next block, and keep the part of the next line that the last one holds."""
        block = self._file.read(_SCAN_BYTES)
        if not block:
            return False
        left = self._data[self.offset - self._base :] if keep else b""
        self._base += len(self._data) - len(left)
        self._data = left + block
        self._ends = np.flatnonzero(np.frombuffer(self._data, np.uint8) == ord("\n"))
        self._next = 0
        return True

    def line(self) -> bytes:
        """Return the next line with its end; nothing at the end of the file."""
        while self._next == len(self._ends):
            if self._base + len(self._data) - self.offset > _LONGEST_LINE:
                raise ValueError(f"a line of more than {_LONGEST_LINE} bytes")
            if not self._fill(keep=True):
                last = self._data[self.offset - self._base :]
                self.offset += len(last)
                return last
        start, end = self.offset - self._base, int(self._ends[self._next]) + 1
        self._next += 1
        self.offset = self._base + end
        return self._data[start:end]

    def skip(self, count: int) -> int:
        """Skip lines; return how many there were, of which the last may have no end."""
        left = count
        while left:
            step = min(left, len(self._ends) - self._next)
            if step:
                self._next += step
                self.offset = self._base + int(self._ends[self._next - 1]) + 1
                left -= step
            if left and not self._fill(keep=False):
                end = self._base + len(self._data)
                cut, self.offset = end > self.offset, end
                return count - left + cut
        return count


def parse_count(line: bytes) -> int:
    """Return the number of atoms in the first line of a frame; raise ValueError if it has none."""
    text = line.removeprefix(_BOM).strip()
    if not text.isdigit() or len(text) > 18 or int(text) == 0:
        raise ValueError(f"expected a number of atoms, found {_shown(text)}")
    return int(text)


def decode_comment(line: bytes) -> str:
    """Return the text of a comment line, which may be of any encoding."""
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return line.decode("latin-1").rstrip("\r\n")


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("latin-1"))


def build_index(path: str, plain: str) -> XyzIndex:
    """Scan the file `plain` once for its frames; `path` is its name in messages.

    Raises InputError if the file is empty or a frame does not begin with its number of atoms.
    """
    lines = _Lines(plain)
    try:
        return _build(path, plain, lines)
    finally:
        lines.close()


def _build(path: str, plain: str, lines: _Lines) -> XyzIndex:
    starts: list[int] = []
    ends: list[int] = []
    comments: list[tuple[int | None, float | None]] = []
    names: set[str] = set()
    truncated, n_atoms = "", 0
    while True:
        start = lines.offset
        try:
            line = lines.line()
            if not line:
                break
            if not line.removeprefix(_BOM).strip():
                continue
            n_atoms = parse_count(line)
            header = lines.line()
        except ValueError as error:
            before = f"; look for a line too much or too little in frame {len(starts) - 1}"
            hint = before if starts else "; is this an XYZ file?"
            raise InputError(
                f"{path}: frame {len(starts)}, at byte {start}: {error}{hint}"
            ) from error
        n_lines = lines.skip(n_atoms)
        if not header.endswith(b"\n"):
            truncated = "its header is incomplete"
        elif n_lines < n_atoms:
            truncated = f"it has {n_lines} of {n_atoms} atoms"
        if truncated:
            break
        starts.append(start)
        ends.append(lines.offset)
        try:
            comment = parse_comment(decode_comment(header))
        except ValueError:
            comment = Comment()  # reported when the frame is read
        comments.append((comment.step, comment.time))
        names |= {column.name for column in comment.columns or ()}
    if not starts and not truncated:
        raise InputError(f"{path}: the file is empty")
    if not truncated and _may_be_cut(plain, starts[-1], ends[-1], n_atoms, alone=len(starts) == 1):
        truncated = "its last line has no line end and may be cut"
        del starts[-1], ends[-1], comments[-1]
    return XyzIndex(
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        _whole([step for step, _ in comments], np.int64),
        _whole([time for _, time in comments], np.float64),
        frozenset(names),
        truncated,
    )


def _whole(values: list, dtype: type) -> np.ndarray | None:
    return None if None in values else np.array(values, dtype)


def _may_be_cut(plain: str, start: int, end: int, n_atoms: int, *, alone: bool) -> bool:
    """Return whether digits may be missing from a last line that has no line end.

    Numbers of a fixed format have as many digits as those of the lines before; of others that
    cannot be told, and only the one frame of a file, which no run was writing, is believed.
    """
    begin = max(start, end - _TAIL_BYTES)
    with Path(plain).open("rb") as file:
        file.seek(begin)
        tail = file.read(end - begin)
    if tail.endswith(b"\n"):
        return False
    *before, last = tail.split(b"\n")
    before = before[begin > start :][1 - n_atoms :] if n_atoms > 1 else []
    rows, fields = [line.split() for line in before], last.split()
    if any(len(row) > len(fields) for row in rows):
        return True
    shapes = {_shape(row[-1]) for row in rows if row}
    if len(shapes) == 1 and b".0" in min(shapes):
        return _shape(fields[-1]) not in shapes
    return not alone


def _shape(token: bytes) -> bytes:
    """Return a number from its point on, every digit a 0: what a fixed format keeps."""
    return re.sub(rb"\d", b"0", token[token.find(b".") :] if b"." in token else b"")
