"""Comment lines of XYZ frames: what each program writes there of cell, columns, steps and units."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import ase.units
from ase.geometry import cellpar_to_cell

from icedask.core.variables import FILE_UNITS

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"

_COUNT = r"\d{1,18}"
_NUMBER = re.compile(NUMBER, re.ASCII)


def _nested(opening: str, closing: str, depth: int = 3) -> str:
    inner = rf"[^{opening}{closing}]"
    for _ in range(depth):
        inner = rf"(?:[^{opening}{closing}]|{opening}{inner}*+{closing})"
    return rf"{opening}{inner}*+{closing}"


_QUOTED = r'"(?:[^"\\]|\\.)*+"' + r"|'(?:[^'\\]|\\.)*+'"
_BRACES, _BRACKETS = _nested(r"\{", r"\}"), _nested(r"\[", r"\]")
_KEY = rf"[^\s=\"'{{}}\[\]]++|{_QUOTED}"
_VALUE = rf"{_QUOTED}|{_BRACES}|{_BRACKETS}|[^\s\"'{{}}\[\]][^\s\"{{}}\[\]]*+"
_PAIR = re.compile(rf"\s*+(?P<key>{_KEY})(?:\s*+=\s*+(?P<value>{_VALUE}))?+(?=\s|$)", re.ASCII)
_EXTENDED = re.compile(r"(?<![^\s\"'])(lattice|properties|pbc)\s*=", re.IGNORECASE | re.ASCII)

_LAMMPS_DUMP = re.compile(rf"\s*Atoms\. Timestep: ({_COUNT})(?: Time: ({NUMBER}))?\s*", re.ASCII)
_CP2K = re.compile(rf"\s*i =\s*({_COUNT}),(?: time =\s*({NUMBER}),)?.* E =\s*{NUMBER}.*", re.ASCII)
_IPI_CELL = re.compile(r"CELL[(\[{](abcABC|H|GENH)[)\]}]:((?:\s+[^\s{}]+)*)(?=\s|$)", re.ASCII)
_IPI_UNIT = re.compile(r"\b(?!CELL)(\w+)\{(\w*)\}", re.ASCII)
_IPI_STEP = re.compile(rf"Step:\s*({_COUNT})(?=\s|$)", re.ASCII)
_IPI_BEAD = re.compile(rf"[Bb]ead:\s*({_COUNT})(?=\s|$)", re.ASCII)
_IPI_LENGTHS = {
    "": ase.units.Bohr,
    "automatic": ase.units.Bohr,
    "atomic_unit": ase.units.Bohr,
    "bohr": ase.units.Bohr,
    "angstrom": 1.0,
    "nanometer": 10.0,
}
_BOOLEANS = {
    **dict.fromkeys(("T", "True", "true", "TRUE", "1"), True),
    **dict.fromkeys(("F", "False", "false", "FALSE", "0"), False),
}
# More columns in all are no property of an atom, but a broken file.
MOST_COLUMNS = 10_000


class Column(NamedTuple):
    """A property of extended XYZ: one or several columns of a kind, R, I, L or S."""

    name: str
    kind: str
    width: int


@dataclass(frozen=True)
class Comment:
    """What the comment line of a frame states; None where it does not.

    Attributes
    ----------
    writer
        LAMMPS, CP2K or i-PI, "" for any other program.
    columns
        Properties of an extended XYZ frame, by default a label and a position.
    names_columns
        Whether it names them.
    cell
        Nine components of the vectors a, b, c, in the unit of the file.
    pbc
        Periodic directions.
    origin
        Corner of the cell from which its vectors go, in the unit of the cell.
    units
        Units of lengths, times and energies, as an export of icedask states them.
    step, time
        Number of the step, and the time in the unit of the run.
    length
        Angstrom of a unit of length of the positions and of the cell.
    bead
        Replica of a path integral.
    """

    writer: str = ""
    columns: tuple[Column, ...] | None = None
    names_columns: bool = False
    cell: tuple[float, ...] | None = None
    origin: tuple[float, ...] | None = None
    pbc: tuple[bool, bool, bool] | None = None
    units: str | None = None
    step: int | None = None
    time: float | None = None
    length: tuple[float, float] | None = None
    bead: int | None = None


def parse_comment(text: str) -> Comment:
    """Return what a comment line states.

    Raises ValueError, with what is wrong, if it is one of extended XYZ or of i-PI and broken.
    """
    if match := _LAMMPS_DUMP.fullmatch(text):
        return Comment("LAMMPS", step=int(match[1]), time=_number(match[2]))
    if match := _CP2K.fullmatch(text):
        return Comment("CP2K", step=int(match[1]), time=_number(match[2]))
    if not _EXTENDED.search(text):
        if "CELL" in text and text.lstrip().startswith("#"):
            return _ipi(text)
        pairs = dict(_pairs(text) or ())
        return Comment(step=_step(pairs), time=_time(pairs))
    keys_and_values = _pairs(text)
    if keys_and_values is None:
        raise ValueError(
            "expected key=value pairs in the comment, found quotes or brackets that are not closed "
            "or that touch the next word"
        )
    return _extended(keys_and_values)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text) else None


def _words(text: str) -> list[str]:
    return re.findall(r"[^ \t,]+", text)


# Cells and columns are mostly the same in every frame.
@lru_cache(maxsize=4)
def _numbers(text: str, count: int, what: str) -> tuple[float, ...]:
    words = _words(text)
    numbers = [_number(word) for word in words]
    if len(numbers) != count or None in numbers:
        raise ValueError(f"expected {count} numbers as {what}, found {text.strip()!r:.100}")
    return tuple(number for number in numbers if number is not None)


def _pairs(text: str) -> list[tuple[str, str]] | None:
    """Return the keys and values of a comment, "" for a key alone; None if it has no such form."""
    text = text.rstrip()
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            return None
        pairs.append((_plain(match["key"]), _plain(match["value"] or "")))
        at = match.end()
    return pairs


def _plain(text: str) -> str:
    """Return a key or value without its quotes or brackets."""
    if text.startswith(('"', "'")):
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if "\\" in text else text[1:-1]
    return text[1:-1] if text.startswith(("{", "[")) else text


def _step(pairs: dict[str, str]) -> int | None:
    values = [pairs[name] for name in ("Timestep", "step", "Step") if name in pairs]
    return int(values[0]) if values and re.fullmatch(_COUNT, values[0], re.ASCII) else None


def _time(pairs: dict[str, str]) -> float | None:
    values = [pairs[name] for name in ("Time", "time") if name in pairs]
    return _number(values[0]) if values else None


def _extended(keys_and_values: list[tuple[str, str]]) -> Comment:
    names = [name for name, _ in keys_and_values]
    for name in ("Lattice", "Properties", "pbc"):
        if names.count(name) > 1:
            raise ValueError(f"expected {name}= once in the comment, found it more than once")
        if name not in names:
            wrong = next(
                (key for key, value in keys_and_values if _is_misspelt(name, key, value)), None
            )
            if wrong is not None:
                raise ValueError(f"expected {name}= in the comment, found {wrong!r:.40}")
    pairs = dict(keys_and_values)
    cell = _numbers(pairs["Lattice"], 9, "Lattice") if "Lattice" in pairs else None
    ipi = pairs.get("ipi_comment")
    return Comment(
        writer="i-PI" if ipi is not None else "LAMMPS" if "Timestep" in pairs else "",
        columns=_columns(pairs.get("Properties", "species:S:1:pos:R:3")),
        names_columns="Properties" in pairs,
        cell=cell,
        origin=None if cell is None else _origin(pairs.get("Origin", "")),
        pbc=_pbc(pairs["pbc"]) if "pbc" in pairs else None,
        units=FILE_UNITS if pairs.get("units") == FILE_UNITS else None,
        step=_step(pairs) if ipi is None else _ipi_count(_IPI_STEP, ipi),
        time=_time(pairs),
        length=None if ipi is None else _ipi_lengths(ipi, "angstrom"),
        bead=None if ipi is None else _ipi_count(_IPI_BEAD, ipi),
    )


def _origin(text: str) -> tuple[float, ...] | None:
    """Return the origin of the cell as OVITO writes it; None for a text on something else."""
    words = _words(text)
    if len(words) != 3 or not any(_NUMBER.fullmatch(word) for word in words):
        return None
    return _numbers(text, 3, "Origin")


def _is_misspelt(name: str, key: str, value: str) -> bool:
    """Return whether a key is nearly `name`, and its value of that kind: not to be passed over."""
    if key.lower() == name.lower():
        return key != name
    if name == "Properties":
        return re.search(r":[RILS]:[0-9]", f"{key}={value}") is not None
    words = _words(value)
    same_kind = (
        len(words) == 3 and set(words) <= _BOOLEANS.keys() if name == "pbc" else len(words) == 9
    )
    return same_kind and SequenceMatcher(None, key.lower(), name.lower()).ratio() > 0.6


def _pbc(text: str) -> tuple[bool, bool, bool]:
    words = _words(text)
    if len(words) != 3 or not set(words) <= _BOOLEANS.keys():
        raise ValueError(f'expected pbc="T T F" with three of T and F, found {text!r:.60}')
    a, b, c = (_BOOLEANS[word] for word in words)
    return a, b, c


@lru_cache(maxsize=4)
def _columns(text: str) -> tuple[Column, ...]:
    words = text.split(":")
    triples = list(zip(words[::3], words[1::3], words[2::3], strict=False))
    right = len(words) % 3 == 0 and all(
        name.strip() and kind in tuple("RILS") and re.fullmatch(r"[1-9][0-9]{0,17}", width)
        for name, kind, width in triples
    )
    if not right:
        raise ValueError(
            "expected Properties=name:kind:columns:..., with the kinds R, I, L and S, found "
            f"{text!r:.100}"
        )
    columns = tuple(Column(name, kind, int(width)) for name, kind, width in triples)
    total = sum(column.width for column in columns)
    if total > MOST_COLUMNS:
        raise ValueError(f"expected at most {MOST_COLUMNS} columns in Properties, found {total}")
    names = sorted(column.name for column in columns)
    twice = next((name for name, after in pairwise(names) if name == after), None)
    if twice is not None:
        raise ValueError(f"expected different names in Properties, found {twice} twice")
    return columns


def _ipi(text: str) -> Comment:
    match = _IPI_CELL.search(text)
    if match is None:
        raise ValueError(
            "expected a cell such as CELL(abcABC): a b c alpha beta gamma, as i-PI writes it, "
            f"found {text.strip()!r:.100}"
        )
    kind = match[1]
    words = _leading_numbers(match[2])
    n_numbers = 6 if kind == "abcABC" else 9
    numbers = _numbers(words, n_numbers, f"CELL({kind})")
    return Comment(
        "i-PI",
        cell=_IPI_CELLS[kind](numbers),
        step=_ipi_count(_IPI_STEP, text),
        length=_ipi_lengths(text, "atomic_unit"),
        bead=_ipi_count(_IPI_BEAD, text),
    )


def _leading_numbers(text: str) -> str:
    """Return the words of a text up to that which names the next entry (Step:, Bead:, ...)."""
    words: list[str] = []
    for word in text.split():
        if word[0].isalpha() and word.lower() not in ("nan", "inf"):
            break
        words.append(word)
    return " ".join(words)


def _columns_as_rows(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return numbers[0::3] + numbers[1::3] + numbers[2::3]


_IPI_CELLS: dict[str, Callable[[tuple[float, ...]], tuple[float, ...]]] = {
    "abcABC": lambda numbers: tuple(cellpar_to_cell(numbers).ravel().tolist()),
    "H": _columns_as_rows,
    "GENH": lambda numbers: numbers,
}


def _ipi_count(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return None if match is None else int(match[1])


def _ipi_lengths(text: str, default: str) -> tuple[float, float]:
    """Return angstrom of a unit of the positions and of the cell; i-PI names each in braces."""
    units = dict(_IPI_UNIT.findall(text))
    cell = units.pop("cell", default)
    quantity, unit = next(iter(units.items()), ("positions", default))
    if quantity not in ("positions", "x_centroid"):
        raise ValueError(f"expected positions, found {quantity}; give i-PI's file of positions")
    for name in (cell, unit):
        if name not in _IPI_LENGTHS:
            raise ValueError(
                f"expected lengths in atomic_unit, angstrom or nanometer, found {name!r}"
            )
    return _IPI_LENGTHS[unit], _IPI_LENGTHS[cell]
