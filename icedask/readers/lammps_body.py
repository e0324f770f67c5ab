"""Atoms of one frame of a LAMMPS text dump: lines of fields, each checked as it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.jit import jit
from icedask.readers.lammps_header import FrameError, fields_of, plain, shown

# Kinds of columns.
SKIPPED, NUMBER, WHOLE, TEXT = range(4)
Columns = dict[str, npt.NDArray[Any]]

_DONE, _FEW, _MANY, _BAD = range(4)
_LONGEST = 128  # bytes of a text
_POWERS = np.array([float(f"1e{power}") for power in range(309)])
_WHOLE = re.compile(rb"[+-]?\d+")
_TAB, _LF, _CR, _SPACE = 9, 10, 13, 32
_PLUS, _MINUS, _POINT, _ZERO, _NINE = 43, 45, 46, 48, 57
_WORDS = np.array([list(b"nan     "), list(b"inf     "), list(b"infinity")], np.uint8)
_BLOCK = 4096
_LAST = (2**63 - 1) // 10

Bytes = npt.NDArray[np.uint8]


@jit
def skip_lines(text: Bytes, at: int, n_lines: int) -> tuple[int, int]:
    """Return the offset behind `n_lines` line ends, or the end of the text, and lines passed."""
    passed = 0
    while at < len(text):
        stop = min(at + _BLOCK, len(text))
        count = 0
        for place in range(at, stop):
            count += text[place] == _LF
        if passed + count >= n_lines:
            break
        passed += count
        at = stop
    while passed < n_lines and at < len(text):
        passed += text[at] == _LF
        at += 1
    return at, passed


@jit
def _is_word(text: Bytes, begin: int, end: int) -> int:
    """Return which special number a field is: 0 for NaN, 1 or 2 for infinity, -1 for none."""
    for number in range(3):
        length = 8 if number == 2 else 3
        same = end - begin == length
        if same:
            for place in range(length):
                same = same and (text[begin + place] | 32) == _WORDS[number, place]
        if same:
            return number
    return -1


@jit
def _ends(text: Bytes, at: int) -> bool:
    """Return whether a field ends before an offset."""
    byte = text[at]
    return byte in (_SPACE, _TAB, _LF) or (byte == _CR and text[at + 1] == _LF)


@jit
def _parse(
    text: Bytes,
    at: int,
    kinds: IntArray,
    slots: IntArray,
    powers: FloatArray,
    numbers: FloatArray,
    wholes: IntArray,
    texts: IntArray,
) -> tuple[int, int, int, int]:
    """Read rows of fields; return how it ended, and row, column and offset where it did.

    The text ends with a line end. The number of rows is that of the output arrays (n_slots,
    n_rows), `texts` (n_slots, n_rows, 2) has begin and end of each field. A number of up to 15
    digits is the nearest float64, of more digits within two units in the last place.
    """
    n_rows = numbers.shape[1]
    for row in range(n_rows):
        if at >= len(text):
            return _FEW, row, 0, at
        for column in range(len(kinds)):
            while text[at] == _SPACE or text[at] == _TAB:
                at += 1
            if text[at] == _LF or (text[at] == _CR and text[at + 1] == _LF):
                return _FEW, row, column, at
            begin, kind = at, kinds[column]
            if kind in (SKIPPED, TEXT):
                while not _ends(text, at):
                    at += 1
                if kind == TEXT:
                    if at - begin > _LONGEST:
                        return _BAD, row, column, begin
                    texts[slots[column], row, 0] = begin
                    texts[slots[column], row, 1] = at
                continue
            negative = text[at] == _MINUS
            if negative or text[at] == _PLUS:
                at += 1
            first = at
            mantissa, digits, exponent, seen = 0, 0, 0, 0
            while _ZERO <= text[at] <= _NINE:
                seen += 1
                digit = text[at] - _ZERO
                fits = mantissa < _LAST or (mantissa == _LAST and digit <= 7)
                if digits < 18 or (kind == WHOLE and digits == 18 and fits):
                    mantissa = mantissa * 10 + digit
                    digits += mantissa > 0
                else:
                    exponent += 1
                at += 1
            if kind == NUMBER:
                if text[at] == _POINT:
                    at += 1
                    while _ZERO <= text[at] <= _NINE:
                        seen += 1
                        if digits < 18:
                            mantissa = mantissa * 10 + (text[at] - _ZERO)
                            digits += mantissa > 0
                            exponent -= 1
                        at += 1
                if seen > 0 and (text[at] | 32) == 101:
                    at += 1
                    lower = text[at] == _MINUS
                    if lower or text[at] == _PLUS:
                        at += 1
                    power, places = 0, 0
                    while _ZERO <= text[at] <= _NINE:
                        power = min(power * 10 + (text[at] - _ZERO), 100000)
                        places += 1
                        at += 1
                    if places == 0:
                        return _BAD, row, column, begin
                    exponent += -power if lower else power
            ended = _ends(text, at)
            if kind == WHOLE:
                if seen == 0 or exponent > 0 or not ended:
                    return _BAD, row, column, begin
                wholes[slots[column], row] = -mantissa if negative else mantissa
                continue
            if seen == 0:
                while text[at] > _SPACE:
                    at += 1
                word = _is_word(text, first, at)
                if word < 0:
                    return _BAD, row, column, begin
                value = np.nan if word == 0 else np.inf
            elif not ended:
                return _BAD, row, column, begin
            elif mantissa == 0 or exponent < -400:
                value = 0.0
            elif exponent >= 0:
                if exponent > 308:
                    return _BAD, row, column, begin
                value = mantissa * powers[exponent]
                if np.isinf(value):
                    return _BAD, row, column, begin
            elif exponent >= -308:
                value = mantissa / powers[-exponent]
            else:
                value = mantissa / powers[308] / powers[-exponent - 308]
            numbers[slots[column], row] = -value if negative else value
        while text[at] == _SPACE or text[at] == _TAB:
            at += 1
        if text[at] == _CR and text[at + 1] == _LF:
            at += 1
        if text[at] != _LF:
            return _MANY, row, len(kinds), at
        at += 1
    return _DONE, n_rows, 0, at


@jit
def _gather(text: Bytes, places: IntArray, table: Bytes) -> None:
    """Copy fields into the rows of a table (n_rows, width) of zeros."""
    for row in range(len(places)):
        for k in range(places[row, 1] - places[row, 0]):
            table[row, k] = text[places[row, 0] + k]


def parse_body(body: bytes, n_atoms: int, kinds: Mapping[str, int]) -> Columns:
    """Return the columns of the atoms by name: float64, int64 or bytes.

    Parameters
    ----------
    body
        Text behind the header: as many lines as atoms, each with as many fields as columns, and
        blank lines.
    n_atoms
        Number of atoms in the header.
    kinds
        Kind of each column, in order: SKIPPED, NUMBER, WHOLE or TEXT.

    Raises
    ------
    FrameError
        If there are more or fewer lines or fields, or a field is not of its kind.
    """
    if n_atoms * 2 * len(kinds) > len(body) + 1:
        _explain_shortness(body, n_atoms, len(kinds))
    if not body.endswith(b"\n"):
        body += b"\n"
    text = np.frombuffer(body, np.uint8)
    slots, counts = [], [0, 0, 0, 0]
    for kind in kinds.values():
        slots.append(counts[kind])
        counts[kind] += 1
    numbers = np.empty((counts[NUMBER], n_atoms))
    wholes = np.empty((counts[WHOLE], n_atoms), np.int64)
    places = np.empty((counts[TEXT], n_atoms, 2), np.int64)
    codes = np.array(list(kinds.values()), np.int64)
    end = _parse(text, 0, codes, np.array(slots), _POWERS, numbers, wholes, places)
    _check_end(body, n_atoms, kinds, *end)
    columns: Columns = {}
    for (name, kind), slot in zip(kinds.items(), slots, strict=True):
        if kind == TEXT:
            columns[name] = _texts(text, places[slot])
        elif kind != SKIPPED:
            columns[name] = (numbers if kind == NUMBER else wholes)[slot]
    return columns


def _explain_shortness(body: bytes, n_atoms: int, n_columns: int) -> None:
    """Raise FrameError for the first line with too few fields, before arrays are made for all."""
    lines = body.split(b"\n")[: body.count(b"\n")]
    for row, line in enumerate(lines[:n_atoms]):
        _check_fields(line, row, n_columns)
    raise FrameError(f"expected {n_atoms} lines of atoms, found {len(lines)}")


def _check_fields(line: bytes, row: int, n_columns: int) -> None:
    line = line.removesuffix(b"\r")
    n_fields = len(fields_of(line))
    if n_fields != n_columns:
        raise FrameError(
            f"line {row + 1} of its atoms: expected {n_columns} fields, as there are columns, "
            f"found {n_fields}: {shown(line)}"
        )


def _texts(text: Bytes, places: IntArray) -> npt.NDArray[np.bytes_]:
    width = int((places[:, 1] - places[:, 0]).max(initial=1))
    table = np.zeros((len(places), width), np.uint8)
    _gather(text, places, table)
    return table.view(f"S{width}")[:, 0]


def _check_end(
    body: bytes, n_atoms: int, kinds: Mapping[str, int], ended: int, row: int, column: int, at: int
) -> None:
    """Raise FrameError unless all rows were read, and only blank lines are left."""
    if ended == _DONE:
        rest = body[at:].strip()
        if rest:
            lines = n_atoms + len(rest.split(b"\n"))
            raise FrameError(f"expected {n_atoms} lines of atoms, found {lines}")
        return
    if at >= len(body):
        raise FrameError(f"expected {n_atoms} lines of atoms, found {row}")
    begin = body.rfind(b"\n", 0, at) + 1
    line = body[begin : body.find(b"\n", at)].removesuffix(b"\r")
    _check_fields(line, row, len(kinds))
    name, kind = list(kinds.items())[column]
    field = fields_of(line[at - begin : at - begin + 1000])[0]
    raise BadField(name, kind, f"line {row + 1} of its atoms", field)


class BadField(FrameError):
    """A field of another kind than its column."""

    def __init__(self, name: str, kind: int, where: str, field: bytes) -> None:
        self.column = name
        expected = {
            NUMBER: ("is not numeric", "a number"),
            WHOLE: ("is not a whole number everywhere", "a whole number"),
            TEXT: ("is too long", f"a text of at most {_LONGEST} bytes"),
        }[kind]
        super().__init__(
            f"{where}: column {name} {expected[0]}: expected {expected[1]}, found {shown(field)}"
        )


def is_whole(line: bytes, column: int) -> bool:
    """Return whether a field of a line is a whole number."""
    fields = fields_of(line.removesuffix(b"\r"))
    return column < len(fields) and _WHOLE.fullmatch(fields[column]) is not None


def strings(values: npt.NDArray[np.bytes_]) -> npt.NDArray[np.str_]:
    """Return text of a file as strings."""
    kinds, inverse = np.unique(values, return_inverse=True)
    return np.array([plain(kind) for kind in kinds.tolist()], np.str_)[inverse]
