"""Compiled formatting of numbers as text: cells of bytes, joined to lines.

A cell is a row of a table (n, width) of bytes, of which the first `length` count.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.jit import jit

Bytes = npt.NDArray[np.uint8]

FLOAT_WIDTH = 17
INT_WIDTH = 20
# Powers of ten from 10**-64 on.
_POWERS = np.array([float(f"1e{exponent}") for exponent in range(-64, 65)])
_ZERO, _MINUS, _POINT, _E, _PLUS = 48, 45, 46, 101, 43


@jit
def _digits(value: float, gap: float, powers: FloatArray) -> tuple[int, int]:
    """Return as few digits as give back a positive float32, and the exponent of the first.

    `value` is the float32 as a float64, `gap` the distance to the one below. Nine digits always
    suffice; fewer are taken where they are nearer to it than to another, however they are read.
    """
    exponent = math.floor(math.log10(value))
    for precision in (6, 7, 8, 9):
        shift = precision - 1 - exponent
        scaled = value * powers[64 + shift] if shift >= 0 else value / powers[64 - shift]
        whole = math.floor(scaled + 0.5)
        back = whole / powers[64 + shift] if shift >= 0 else whole * powers[64 - shift]
        if precision == 9 or abs(back - value) < 0.49 * gap:
            break
    while whole % 10 == 0 and whole > 0:
        whole //= 10
        shift -= 1
    count = 0
    rest = whole
    while rest > 0:
        rest //= 10
        count += 1
    return whole, count - 1 - shift


@jit
def _write_digits(whole: int, row: Bytes, at: int, end: int) -> None:
    """Write the digits of a number so that they end before `end`."""
    place = end - 1
    while place >= at:
        row[place] = _ZERO + whole % 10
        whole //= 10
        place -= 1


@jit
def _write_float(whole: int, exponent: int, row: Bytes, at: int) -> int:
    """Write a positive number from its digits; return where it ends."""
    count = 1
    rest = whole // 10
    while rest > 0:
        rest //= 10
        count += 1
    if -5 <= exponent < 0:
        row[at] = _ZERO
        row[at + 1] = _POINT
        at += 2
        for _ in range(-1 - exponent):
            row[at] = _ZERO
            at += 1
        _write_digits(whole, row, at, at + count)
        return at + count
    if 0 <= exponent < 9:
        before = exponent + 1
        if count <= before:
            _write_digits(whole, row, at, at + count)
            for place in range(at + count, at + before):
                row[place] = _ZERO
            row[at + before] = _POINT
            row[at + before + 1] = _ZERO
            return at + before + 2
        tens = 1
        for _ in range(count - before):
            tens *= 10
        _write_digits(whole // tens, row, at, at + before)
        row[at + before] = _POINT
        _write_digits(whole % tens, row, at + before + 1, at + count + 1)
        return at + count + 1
    tens = 1
    for _ in range(count - 1):
        tens *= 10
    row[at] = _ZERO + whole // tens
    row[at + 1] = _POINT
    if count == 1:
        row[at + 2] = _ZERO
        at += 3
    else:
        _write_digits(whole % tens, row, at + 2, at + 1 + count)
        at += 1 + count
    row[at] = _E
    row[at + 1] = _MINUS if exponent < 0 else _PLUS
    _write_digits(abs(exponent), row, at + 2, at + 4)
    return at + 4


@jit
def _float_cells(
    values: npt.NDArray[np.float32],
    gaps: npt.NDArray[np.float32],
    powers: FloatArray,
    nothing: Bytes,
    cells: Bytes,
    lengths: IntArray,
) -> None:
    for n in range(len(values)):
        value = float(values[n])
        row = cells[n]
        at = 0
        if math.isnan(value):
            for byte in nothing:
                row[at] = byte
                at += 1
            lengths[n] = at
            continue
        if value < 0 or (value == 0 and math.copysign(1.0, value) < 0):
            row[at] = _MINUS
            at += 1
            value = -value
        if math.isinf(value):
            row[at], row[at + 1], row[at + 2] = 105, 110, 102
            lengths[n] = at + 3
        elif value == 0:
            row[at], row[at + 1], row[at + 2] = _ZERO, _POINT, _ZERO
            lengths[n] = at + 3
        else:
            whole, exponent = _digits(value, float(gaps[n]), powers)
            lengths[n] = _write_float(whole, exponent, row, at)


def float_cells(values: npt.NDArray[np.float32], nothing: bytes) -> tuple[Bytes, IntArray]:
    """Return float32 values as text that gives them back, with few digits; NaN as `nothing`."""
    cells = np.empty((len(values), FLOAT_WIDTH), np.uint8)
    lengths = np.empty(len(values), np.int64)
    values = np.ascontiguousarray(values, np.float32)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(values - np.nextafter(values, np.float32(0)))
    _float_cells(values, gaps, _POWERS, np.frombuffer(nothing, np.uint8), cells, lengths)
    return cells, lengths


@jit
def _int_cells(values: IntArray, cells: Bytes, lengths: IntArray) -> None:
    for n in range(len(values)):
        row, value = cells[n], values[n]
        at = 0
        if value < 0:
            row[0] = _MINUS
            at = 1
        # The smallest integer has no positive counterpart.
        last = -(value % -10) if value < 0 else value % 10
        rest = (value + last) // -10 if value < 0 else value // 10
        count, left = 0, rest
        while left > 0:
            left //= 10
            count += 1
        _write_digits(rest, row, at, at + count)
        row[at + count] = _ZERO + last
        lengths[n] = at + count + 1


def int_cells(values: IntArray) -> tuple[Bytes, IntArray]:
    """Return integers as text."""
    cells = np.empty((len(values), INT_WIDTH), np.uint8)
    lengths = np.empty(len(values), np.int64)
    _int_cells(np.ascontiguousarray(values, np.int64), cells, lengths)
    return cells, lengths


@jit
def _fill_lines(
    cells: Bytes, starts: IntArray, lengths: IntArray, separator: int, text: Bytes
) -> int:
    at = 0
    n_columns = len(starts)
    for n in range(len(cells)):
        for column in range(n_columns):
            start = starts[column]
            for place in range(start, start + lengths[n, column]):
                text[at] = cells[n, place]
                at += 1
            text[at] = separator
            at += 1
        text[at - 1] = 10
    return at


def lines(columns: list[tuple[Bytes, IntArray]], separator: bytes) -> Bytes:
    """Return the lines whose fields are the cells of each column."""
    cells = np.concatenate([table for table, _ in columns], axis=1)
    lengths = np.stack([length for _, length in columns], axis=1)
    widths = [table.shape[1] for table, _ in columns]
    starts = np.cumsum([0, *widths[:-1]])
    text = np.empty(int(lengths.sum()) + lengths.size, np.uint8)
    end = _fill_lines(cells, starts, lengths, separator[0], text)
    return text[:end]
