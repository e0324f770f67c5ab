"""Header of a frame of a LAMMPS text dump, read line by line."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray

_BLANKS = b" \t\r"
_GAP = re.compile(rb"[ \t]+")
_INTEGER = re.compile(rb"\d{1,40}")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BOUNDARY = re.compile(r"pp|[fsm][fsm]")
_TILTS = ["xy", "xz", "yz"]
_LOCAL = re.compile(r"NUMBER OF (ENTRIES|BONDS|ANGLES|DIHEDRALS|IMPROPERS)|ENTRIES|GRID|DIMENSION")
_LARGEST_STEP = 2**63 - 1


class Header(NamedTuple):
    """The lines of one frame before its atoms.

    `time`, `units` and `pbc` are None where the header does not have them; `body` is the offset
    of the atoms in the text and `n_lines` the number of lines before it.
    """

    step: int
    n_atoms: int
    time: float | None
    units: str | None
    cell: FloatArray
    origin: FloatArray
    pbc: npt.NDArray[np.bool_] | None
    columns: tuple[str, ...]
    body: int
    n_lines: int


class FrameError(Exception):
    """Damage of a frame: what was expected there and what was found."""


class CutHeader(FrameError):
    """The end of the text within a header."""


def plain(text: bytes) -> str:
    """Return text of a file, in UTF-8 or else in latin-1."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def shown(text: bytes) -> str:
    """Return the beginning of a text as it is printed in a message."""
    return repr(plain(text[:60])) + ("..." if len(text) > 60 else "")


def fields_of(line: bytes) -> list[bytes]:
    """Return the fields of a line, between blanks and tabs."""
    return [field for field in _GAP.split(line) if field]


class _Lines:
    """Lines of a text from an offset on."""

    def __init__(self, text: bytes, at: int) -> None:
        self.text, self.at, self.count = text, at, 0

    def next(self) -> bytes:
        """Return the next line without the blanks at its end."""
        end = self.text.find(b"\n", self.at)
        if end < 0:
            raise CutHeader("its header is incomplete")
        line = self.text[self.at : end].rstrip(_BLANKS)
        self.at = end + 1
        self.count += 1
        return line


def parse_header(text: bytes, at: int = 0) -> Header:
    """Parse the lines from `at` to the first atom; raise FrameError if one is not as it should be.

    Items stand in any order, each once, ITEM: ATOMS last; nothing else is accepted.
    """
    lines = _Lines(text, at)
    items: dict[str, Any] = {}
    while True:
        line = lines.next()
        if not line.startswith(b"ITEM: "):
            raise FrameError(f"expected a line ITEM: ... of its header, found {shown(line)}")
        label = plain(line[6:])
        words = [word.decode(errors="replace") for word in fields_of(line[6:])]
        if words[:1] == ["ATOMS"]:
            break
        name = "BOX BOUNDS" if label.startswith("BOX BOUNDS") and words[1] == "BOUNDS" else label
        if name in items:
            raise FrameError(f"expected ITEM: ATOMS, found ITEM: {name} for the second time")
        items[name] = _item(name, words, lines)
    for name in ("TIMESTEP", "NUMBER OF ATOMS", "BOX BOUNDS"):
        if name not in items:
            raise FrameError(f"expected ITEM: {name} before ITEM: ATOMS, found none")
    columns = tuple(words[1:])
    _check_columns(columns)
    cell, origin, pbc = items["BOX BOUNDS"]
    return Header(
        step=items["TIMESTEP"],
        n_atoms=items["NUMBER OF ATOMS"],
        time=items.get("TIME"),
        units=items.get("UNITS"),
        cell=cell,
        origin=origin,
        pbc=pbc,
        columns=columns,
        body=lines.at,
        n_lines=lines.count,
    )


def _item(name: str, words: list[str], lines: _Lines) -> Any:
    """Return what the lines under an ITEM line state."""
    if name == "TIMESTEP":
        return _integer(lines.next(), name)
    if name == "NUMBER OF ATOMS":
        number = _integer(lines.next(), name, largest=None)
        if number == 0:
            raise FrameError("expected at least one atom, found NUMBER OF ATOMS 0")
        return number
    if name == "TIME":
        return _number(lines.next().strip(_BLANKS), "a time")
    if name == "UNITS":
        return plain(lines.next().strip(_BLANKS))
    if name == "BOX BOUNDS":
        return _box(words[2:], lines)
    if _LOCAL.match(name):
        raise FrameError(
            f"found ITEM: {name}: a dump of style local or grid holds no atoms; ingest a dump of "
            "style custom or atom of the same run"
        )
    raise FrameError(f"expected an item of a dump of atoms, found {shown(name.encode())}")


def _integer(line: bytes, name: str, largest: int | None = _LARGEST_STEP) -> int:
    text = line.strip(_BLANKS)
    if not _INTEGER.fullmatch(text) or (largest is not None and int(text) > largest):
        what = "step" if name == "TIMESTEP" else "number"
        raise FrameError(f"expected a whole {what} after ITEM: {name}, found {shown(line)}")
    return int(text)


def _number(text: bytes, what: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise FrameError(f"expected {what}, found {shown(text)}")
    return float(text)


def _check_columns(columns: tuple[str, ...]) -> None:
    if not columns:
        raise FrameError(
            "ITEM: ATOMS does not name its columns, as in files of old versions; add them to every "
            "such line, for example ITEM: ATOMS id type xs ys zs"
        )
    odd = next((name for name in columns if not name.isprintable() or "\ufffd" in name), None)
    if odd is not None:
        raise FrameError(f"expected names of columns in ITEM: ATOMS, found {odd!r}")
    twice = next((name for name, count in Counter(columns).items() if count > 1), None)
    if twice is not None:
        raise FrameError(
            f"expected a name of its own for each column, found {twice} twice in ITEM: ATOMS"
        )


def _box(
    words: list[str], lines: _Lines
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_] | None]:
    """Return cell, origin and periodicity from a line ITEM: BOX BOUNDS and the three after it."""
    tilted, general = words[:3] == _TILTS, words[:2] == ["abc", "origin"]
    flags = words[3 * tilted + 2 * general :]
    if len(flags) not in (0, 3) or not all(_BOUNDARY.fullmatch(word) for word in flags):
        raise FrameError(
            "expected the boundaries of the box, as in ITEM: BOX BOUNDS pp pp ff, found "
            f"{' '.join(words)!r}"
        )
    pbc = np.array([word == "pp" for word in flags]) if flags else None
    width = 3 if tilted else 4 if general else 2
    rows = np.array([_bounds(lines.next(), width) for _ in range(3)])
    if general:
        return rows[:, :3], rows[:, 3], pbc
    low, high = rows[:, 0], rows[:, 1]
    xy, xz, yz = rows[:, 2] if tilted else np.zeros(3)
    # The bounds of a triclinic box enclose it: take the tilts off again.
    low = low - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = high - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    size = high - low
    if (size < 0).any():
        axis = int(np.argmax(size < 0))
        raise FrameError(
            f"expected a cell whose lower bound is below the upper one, found {low[axis]:g} and "
            f"{high[axis]:g} along {'xyz'[axis]}"
        )
    return np.array([[size[0], 0, 0], [xy, size[1], 0], [xz, yz, size[2]]]), low, pbc


def _bounds(line: bytes, width: int) -> list[float]:
    """Return the numbers of a line of the box."""
    words = fields_of(line)
    if {word.lower().lstrip(b"+-") for word in words} & {b"nan", b"inf"}:
        raise FrameError(f"the cell has NaN or infinite bounds: {shown(line)}")
    if len(words) != width or not all(_NUMBER.fullmatch(word) for word in words):
        raise FrameError(
            f"expected {width} numbers in each line of ITEM: BOX BOUNDS, found {shown(line)}"
        )
    values = [float(word) for word in words]
    if not np.isfinite(values).all():
        raise FrameError(f"the cell has NaN or infinite bounds: {shown(line)}")
    return values
