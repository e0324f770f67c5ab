"""Strict parsers of LAMMPS text dumps and extended XYZ, line by line: what a reader may accept.

They share nothing with icedask's readers and are slow. A file is accepted if every byte of it is
where the format has it; then the frames are returned, else Refused is raised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from ase.data import atomic_numbers

_INT = re.compile(rb"[+-]?\d+\Z")
_FLOAT = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_ANY_FLOAT = re.compile(rb"[+-]?(nan|inf|infinity)\Z", re.IGNORECASE)
_FLAGS = re.compile(rb"(pp|[fsm][fsm])\Z")
_COORDINATES = (b"xu yu zu", b"xsu ysu zsu", b"x y z", b"xs ys zs")


class Refused(Exception):
    """Not a file of the format."""


@dataclass
class Frame:
    """One frame."""

    step: int
    positions: np.ndarray
    cell: np.ndarray
    pbc: tuple[bool, ...]
    constant: dict[str, list[bytes]] = field(default_factory=dict)
    layout: tuple = ()


def integer(text: bytes) -> int:
    if not _INT.match(text):
        raise Refused(f"expected an integer, found {text[:40]!r}")
    return int(text)


def number(text: bytes, finite: bool = True) -> float:
    if not finite and _ANY_FLOAT.match(text):
        return float(text)
    if not _FLOAT.match(text):
        raise Refused(f"expected a number, found {text[:40]!r}")
    value = float(text)
    if finite and not np.isfinite(np.float32(value)):
        raise Refused(f"expected a finite number, found {text[:40]!r}")
    return value


class Lines:
    """The lines of a file, one after the other."""

    def __init__(self, text: bytes) -> None:
        self.lines = text.split(b"\n")
        self.ended = self.lines[-1] == b""
        if self.ended:
            self.lines.pop()
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.lines) - self.at

    def next(self) -> bytes:
        if not self.left:
            raise Refused("the file ends in a frame")
        self.at += 1
        return self.lines[self.at - 1].removesuffix(b"\r")

    def fields(self, n: int) -> list[bytes]:
        line = self.next()
        fields = line.replace(b"\t", b" ").split(b" ")
        fields = [each for each in fields if each]
        if len(fields) != n:
            raise Refused(f"expected {n} fields, found {line[:60]!r}")
        return fields


def _all_frames(frames: list[Frame], lines: Lines) -> list[Frame]:
    if not frames:
        raise Refused("no frame")
    if not lines.ended and len(frames) > 1:
        raise Refused("the last line has no end")
    first = frames[0]
    for earlier, frame in pairwise(frames):
        for name in ("pbc", "layout", "constant"):
            if getattr(frame, name) != getattr(first, name):
                raise Refused(f"{name} changes")
        if frame.step <= earlier.step:
            raise Refused("steps do not increase")
    return frames


def parse_dump(text: bytes, elements: set[bytes]) -> list[Frame]:
    """Parse a dump whose types are to be among `elements`, all if that is empty."""
    lines = Lines(text)
    frames = []
    while lines.left:
        frames.append(_dump_frame(lines, elements))
    return _all_frames(frames, lines)


def _dump_frame(lines: Lines, elements: set[bytes]) -> Frame:
    label = lines.next().rstrip()
    time = None
    while label in (b"ITEM: UNITS", b"ITEM: TIME"):
        if label == b"ITEM: TIME":
            time = number(*lines.fields(1))
        else:
            lines.fields(1)
        label = lines.next().rstrip()
    if label != b"ITEM: TIMESTEP":
        raise Refused(f"expected ITEM: TIMESTEP, found {label[:60]!r}")
    step = integer(*lines.fields(1))
    if lines.next().rstrip() != b"ITEM: NUMBER OF ATOMS":
        raise Refused("expected ITEM: NUMBER OF ATOMS")
    n_atoms = integer(*lines.fields(1))
    if not 1 <= n_atoms <= lines.left:
        raise Refused(f"{n_atoms} atoms")
    cell, origin, pbc = _bounds(lines)
    words = lines.next().split()
    if words[:2] != [b"ITEM:", b"ATOMS"] or len(set(words)) < len(words):
        raise Refused(f"expected ITEM: ATOMS, found {words}")
    columns = words[2:]
    rows = [lines.fields(len(columns)) for _ in range(n_atoms)]
    table = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    used = next((names for names in _COORDINATES if set(names.split()) <= set(columns)), None)
    if used is None:
        raise Refused("no coordinates")
    xyz = np.array([[number(token) for token in table[name]] for name in used.split()]).T
    if used.startswith(b"xs"):
        xyz = xyz @ cell + origin
    order = np.arange(n_atoms)
    for name, values in table.items():
        if name in (b"id", b"mol", b"type", b"ix", b"iy", b"iz"):
            numbers = [integer(value) for value in values]
            if name == b"id":
                if len(set(numbers)) < n_atoms:
                    raise Refused("an id twice")
                order = np.argsort(numbers, kind="stable")
            if name == b"type" and elements and not {b"%d" % each for each in numbers} <= elements:
                raise Refused("a type without element")
        elif name not in used.split() and name != b"element":
            for value in values:
                number(value, finite=False)
    constant = {
        name.decode(): [table[name][place] for place in order]
        for name in (b"id", b"type", b"element")
        if name in table
    }
    if "id" in constant:
        constant["id"] = [b"%d" % int(each) for each in constant["id"]]
    if "type" in constant:
        constant["type"] = [b"%d" % int(each) for each in constant["type"]]
    if any(symbol.decode("latin1") not in atomic_numbers for symbol in constant.get("element", [])):
        raise Refused("no element")
    layout = (*columns, time is None)
    return Frame(step, xyz[order], cell, pbc, constant, layout)


def _bounds(lines: Lines) -> tuple[np.ndarray, np.ndarray, tuple[bool, ...]]:
    words = lines.next().split()
    if words[:3] != [b"ITEM:", b"BOX", b"BOUNDS"]:
        raise Refused("expected ITEM: BOX BOUNDS")
    kind, flags = words[3:-3], words[-3:]
    if len(words) < 6 or not all(_FLAGS.match(flag) for flag in flags):
        raise Refused(f"expected boundaries, found {words}")
    pbc = tuple(flag == b"pp" for flag in flags)
    if kind == [b"abc", b"origin"]:
        rows = np.array([[number(each) for each in lines.fields(4)] for _ in range(3)])
        cell, origin = rows[:, :3], rows[:, 3]
        if not np.linalg.det(cell) > 0:
            raise Refused("no volume")
        return cell, origin, pbc
    if kind not in ([], [b"xy", b"xz", b"yz"]):
        raise Refused(f"expected a box, found {words}")
    rows = np.array([[number(each) for each in lines.fields(3 if kind else 2)] for _ in range(3)])
    xy, xz, yz = rows[:, 2] if kind else (0.0, 0.0, 0.0)
    low = rows[:, 0] - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = rows[:, 1] - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    if not (high > low).all():
        raise Refused("no volume")
    size = high - low
    return np.array([[size[0], 0, 0], [xy, size[1], 0], [xz, yz, size[2]]]), low, pbc


_VALUE = rb"""(?:"([^"]*)"|'([^']*)'|\{([^}]*)\}|\[([^\]]*)\]|([^\s="'{}\[\]]+))"""
_PAIR = re.compile(rb"""\s*([^\s="'{}\[\]]+)(?:[ ]*=[ ]*""" + _VALUE + rb""")?(?=\s|\Z)""")
_KINDS = {b"S", b"R", b"I", b"L"}


def parse_extxyz(text: bytes) -> list[Frame]:
    """Parse extended XYZ whose frames state lattice and properties."""
    lines = Lines(text)
    frames = []
    while lines.left:
        frames.append(_xyz_frame(lines, len(frames)))
    return _all_frames(frames, lines)


def _comment(line: bytes) -> dict[bytes, bytes]:
    pairs: dict[bytes, bytes] = {}
    at = 0
    line = line.rstrip()
    while at < len(line):
        match = _PAIR.match(line, at)
        if match is None:
            raise Refused(f"expected key=value, found {line[at : at + 40]!r}")
        key, *values = match.groups()
        if key in pairs:
            raise Refused(f"{key!r} twice")
        pairs[key] = next((value for value in values if value is not None), b"T")
        at = match.end()
    return pairs


def _xyz_frame(lines: Lines, index: int) -> Frame:
    n_atoms = integer(*lines.fields(1))
    if not 1 <= n_atoms <= lines.left - 1:
        raise Refused(f"{n_atoms} atoms")
    pairs = _comment(lines.next())
    if b"Lattice" not in pairs or b"Properties" not in pairs:
        raise Refused("no lattice or no properties")
    cell = np.array([number(each) for each in pairs[b"Lattice"].split()])
    if len(cell) != 9 or not np.linalg.det(cell.reshape(3, 3)) > 0:
        raise Refused("expected nine numbers of a right-handed lattice")
    flags = pairs.get(b"pbc", b"T T T").split()
    if len(flags) != 3 or not set(flags) <= {b"T", b"F"}:
        raise Refused(f"expected pbc, found {flags}")
    words = pairs[b"Properties"].split(b":")
    if len(words) % 3:
        raise Refused("properties are no triples")
    columns: dict[bytes, tuple[bytes, int, int]] = {}
    width = 0
    for name, kind, count in zip(words[::3], words[1::3], words[2::3], strict=True):
        size = integer(count)
        if kind not in _KINDS or not 1 <= size <= 100 or name in columns or not name:
            raise Refused(f"no property: {name!r}:{kind!r}:{count!r}")
        columns[name] = (kind, width, size)
        width += size
    if columns.get(b"pos", (b"", 0, 0))[::2] != (b"R", 3):
        raise Refused("no positions")
    if columns.get(b"species", (b"", 0, 0))[::2] != (b"S", 1):
        raise Refused("no species")
    rows = [lines.fields(width) for _ in range(n_atoms)]
    check = {b"R": lambda each: number(each, finite=False), b"I": integer, b"L": _logical}
    for kind, start, size in columns.values():
        for row in rows if kind != b"S" else []:
            for token in row[start : start + size]:
                check[kind](token)
    start = columns[b"pos"][1]
    positions = np.array([[number(each) for each in row[start : start + 3]] for row in rows])
    species = [row[columns[b"species"][1]] for row in rows]
    if any(symbol.decode("latin1") not in atomic_numbers for symbol in species):
        raise Refused("no element")
    constant = {"species": species}
    order = np.arange(n_atoms)
    if columns.get(b"id", (b"", 0, 0))[::2] == (b"I", 1):
        ids = [int(row[columns[b"id"][1]]) for row in rows]
        if len(set(ids)) < n_atoms:
            raise Refused("an id twice")
        order = np.argsort(ids, kind="stable")
        constant = {
            "species": [species[place] for place in order],
            "id": [b"%d" % ids[place] for place in order],
        }
    layout = tuple((name, *value) for name, value in columns.items())
    pbc = tuple(flag == b"T" for flag in flags)
    return Frame(index, positions[order], cell.reshape(3, 3), pbc, constant, layout)


def _logical(text: bytes) -> bool:
    if text not in (b"T", b"F", b"True", b"False", b"TRUE", b"FALSE", b"true", b"false"):
        raise Refused(f"expected T or F, found {text!r}")
    return text[:1] in b"Tt"
