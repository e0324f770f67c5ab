"""Mutations of text files: bits, bytes and lines that were lost, doubled, swapped or changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rng = np.random.Generator


def flip_bit(text: bytes, rng: Rng) -> bytes:
    """Change one bit."""
    data = bytearray(text)
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def flip_bits(text: bytes, rng: Rng) -> bytes:
    """Change up to eight bits."""
    for _ in range(int(rng.integers(2, 9))):
        text = flip_bit(text, rng)
    return text


def delete_byte(text: bytes, rng: Rng) -> bytes:
    """Leave out one byte."""
    at = int(rng.integers(len(text)))
    return text[:at] + text[at + 1 :]


def insert_byte(text: bytes, rng: Rng) -> bytes:
    """Insert one byte, a frequent one of the file or any."""
    at = int(rng.integers(len(text)))
    byte = text[int(rng.integers(len(text)))] if rng.random() < 0.7 else int(rng.integers(256))
    return text[:at] + bytes([byte]) + text[at:]


def replace_byte(text: bytes, rng: Rng) -> bytes:
    """Replace one byte by another one of the file."""
    at, other = rng.integers(len(text), size=2)
    return text[:at] + text[other : other + 1] + text[at + 1 :]


def _lines(change: Callable[[list[bytes], Rng], None]) -> Callable[[bytes, Rng], bytes]:
    def mutate(text: bytes, rng: Rng) -> bytes:
        lines = text.split(b"\n")
        change(lines, rng)
        return b"\n".join(lines)

    mutate.__name__ = change.__name__
    mutate.__doc__ = change.__doc__
    return mutate


@_lines
def delete_line(lines: list[bytes], rng: Rng) -> None:
    """Leave out one line."""
    del lines[int(rng.integers(len(lines) - 1))]


@_lines
def repeat_line(lines: list[bytes], rng: Rng) -> None:
    """Write one line twice."""
    at = int(rng.integers(len(lines) - 1))
    lines.insert(at, lines[at])


@_lines
def move_line(lines: list[bytes], rng: Rng) -> None:
    """Move one line elsewhere."""
    line = lines.pop(int(rng.integers(len(lines) - 1)))
    lines.insert(int(rng.integers(len(lines))), line)


@_lines
def swap_lines(lines: list[bytes], rng: Rng) -> None:
    """Exchange two lines."""
    a, b = rng.integers(len(lines) - 1, size=2)
    lines[a], lines[b] = lines[b], lines[a]


@_lines
def delete_lines(lines: list[bytes], rng: Rng) -> None:
    """Leave out up to six lines that follow each other."""
    at = int(rng.integers(len(lines) - 1))
    del lines[at : at + int(rng.integers(2, 7))]


@_lines
def blank_line(lines: list[bytes], rng: Rng) -> None:
    """Insert a blank line."""
    lines.insert(int(rng.integers(len(lines))), b"")


def cut(text: bytes, rng: Rng) -> bytes:
    """Cut the file off."""
    return text[: int(rng.integers(1, len(text)))]


def cut_start(text: bytes, rng: Rng) -> bytes:
    """Leave out the start of the file."""
    return text[int(rng.integers(1, len(text))) :]


def delete_field(text: bytes, rng: Rng) -> bytes:
    """Leave out one field of one line."""
    return _change_field(text, rng, lambda fields, at: fields.pop(at))


def split_field(text: bytes, rng: Rng) -> bytes:
    """Put a blank into one field."""

    def split(fields: list[bytes], at: int) -> None:
        middle = int(rng.integers(len(fields[at]) + 1))
        fields[at] = fields[at][:middle] + b" " + fields[at][middle:]

    return _change_field(text, rng, split)


def join_fields(text: bytes, rng: Rng) -> bytes:
    """Leave out a blank between two fields."""

    def join(fields: list[bytes], at: int) -> None:
        fields[at : at + 2] = [b"".join(fields[at : at + 2])]

    return _change_field(text, rng, join)


def _change_field(text: bytes, rng: Rng, change: Callable[[list[bytes], int], object]) -> bytes:
    lines = text.split(b"\n")
    row = int(rng.integers(len(lines) - 1))
    fields = lines[row].split(b" ")
    change(fields, int(rng.integers(len(fields))))
    lines[row] = b" ".join(fields)
    return b"\n".join(lines)


MUTATIONS = (
    flip_bit,
    flip_bits,
    delete_byte,
    insert_byte,
    replace_byte,
    delete_line,
    repeat_line,
    move_line,
    swap_lines,
    delete_lines,
    blank_line,
    cut,
    cut_start,
    delete_field,
    split_field,
    join_fields,
)
