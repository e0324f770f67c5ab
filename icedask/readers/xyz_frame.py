"""One frame of an XYZ file as named arrays, its atoms in the order of their ids."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from ase.data import atomic_numbers, chemical_symbols

from icedask.core.provenance import digest
from icedask.core.types import IntArray
from icedask.errors import InputError
from icedask.readers.elements import ElementMap
from icedask.readers.xyz_comment import MOST_COLUMNS, Column, Comment, parse_comment
from icedask.readers.xyz_index import XyzIndex, decode_comment, parse_count
from icedask.readers.xyz_table import count_fields, parse_table

_POSITIONS = ("pos", "positions")
_LABELS = ("species", "symbols", "element")
_PLAIN = (Column("species", "S", 1), Column("pos", "R", 3))


class Labels(NamedTuple):
    """Kinds of atoms by name, and the kind of each atom."""

    kinds: npt.NDArray[np.str_]
    codes: npt.NDArray[np.integer]

    @property
    def text(self) -> npt.NDArray[np.str_]:
        """The label of each atom."""
        return self.kinds[self.codes]


@dataclass(frozen=True)
class XyzFrame:
    """Comment and properties of one frame.

    Attributes
    ----------
    comment
        What its comment line states.
    arrays
        Properties by name, (n_atoms,) or (n_atoms, width); text as pandas categories.
    """

    comment: Comment
    arrays: dict[str, Any]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.positions)

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """Positions in the unit of the file, (n_atoms, 3)."""
        return self.arrays[next(name for name in _POSITIONS if name in self.arrays)]

    @property
    def labels(self) -> Labels | None:
        """Labels of the atoms: species, or else symbols of their numbers, or types."""
        for name in (*_LABELS, "Z", "type"):
            if name in self.arrays:
                values = self.arrays[name]
                if isinstance(values, pd.Categorical):
                    kinds = np.array([str(word) for word in values.categories], np.str_)
                    return Labels(kinds, values.codes)
                numbers, codes = np.unique(values, return_inverse=True)
                return Labels(_symbols(numbers) if name == "Z" else numbers.astype(np.str_), codes)
        return None

    @property
    def identity(self) -> dict[str, str]:
        """Digests of what names the atoms, which are the same in every frame."""
        digests: dict[str, str] = {}
        labels, ids = self.labels, self.arrays.get("id")
        if labels is not None:
            kinds = " ".join(labels.kinds.tolist()).encode()
            digests["the labels of atoms"] = digest(kinds, labels.codes.astype(np.int32))
        if ids is not None:
            digests["the ids of atoms"] = digest(np.ascontiguousarray(ids))
        return digests

    @property
    def used(self) -> set[str]:
        """Names of the properties that are positions, labels and ids."""
        return {*_POSITIONS, *_LABELS, "Z", "id"}


def text_of(values: Any) -> npt.NDArray[np.str_]:
    """Return a column of text or whole numbers as text."""
    if isinstance(values, pd.Categorical):
        categories = np.array([str(word) for word in values.categories], np.str_)
        return categories[values.codes]
    return values.astype(np.str_)


def _symbols(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.str_]:
    return np.array(chemical_symbols)[numbers]


def _check_numbers(numbers: npt.NDArray[np.int64]) -> None:
    wrong = (numbers < 0) | (numbers >= len(chemical_symbols))
    if wrong.any():
        raise ValueError(f"expected atomic numbers in the column Z, found {numbers[wrong][0]}")


def read_frame(file: BinaryIO, index: XyzIndex, frame: int, dropped: Collection[str]) -> XyzFrame:
    """Read a frame of an open file.

    Columns of a plain XYZ file that are `dropped` need not be numbers. Raises ValueError, with
    what is wrong, if the frame is broken.
    """
    start, end = int(index.starts[frame]), int(index.ends[frame])
    file.seek(start)
    text = file.read(end - start)
    if len(text) < end - start:
        raise ValueError("the file has become shorter since it was opened")
    first = text[: len(text) - len(text.lstrip())].count(b"\n")
    count, header, body = text.split(b"\n", first + 2)[first:]
    n_atoms = parse_count(count)
    comment = parse_comment(decode_comment(header))
    columns = comment.columns or _plain_columns(body, dropped)
    width = sum(column.width for column in columns)
    if width != count_fields(body):
        stated = " ".join(f"{column.name}:{column.width}" for column in columns)
        raise ValueError(
            f"atom 0: expected {width} fields ({stated:.100}), found {count_fields(body)}"
        )
    try:
        values = parse_table(body, n_atoms, "".join(kind * width for _, kind, width in columns))
    except ValueError as error:
        if comment.columns is not None or len(columns) == len(_PLAIN):
            raise
        name = columns[-1].name
        raise ValueError(
            f"{error} (text is dropped with columns={{{name!r}: None}}, --column {name}=)"
        ) from error
    arrays: dict[str, Any] = {}
    for column in columns:
        parts, values = values[: column.width], values[column.width :]
        arrays[column.name] = (
            parts[0]
            if column.width == 1
            else np.column_stack([text_of(part) if column.kind == "S" else part for part in parts])
        )
    _check_roles(columns)
    if "Z" in arrays:
        _check_numbers(arrays["Z"])
    return XyzFrame(comment, _by_id(arrays))


def _plain_columns(body: bytes, dropped: Collection[str]) -> tuple[Column, ...]:
    """Return the columns of a frame of which the comment names none."""
    n_fields = count_fields(body)
    if n_fields < 4:
        raise ValueError(f"atom 0: expected a label and x, y, z, found {n_fields} fields")
    if n_fields > MOST_COLUMNS:
        raise ValueError(f"atom 0: expected at most {MOST_COLUMNS} fields, found {n_fields}")
    names = [f"column_{number}" for number in range(5, n_fields + 1)]
    return _PLAIN + tuple(Column(name, "S" if name in dropped else "R", 1) for name in names)


def _check_roles(columns: tuple[Column, ...]) -> None:
    """Raise ValueError unless there are positions, and labels, ids and types are of their kind."""
    by_name = {column.name: column for column in columns}
    names = " ".join(by_name)
    positions = [by_name[name] for name in _POSITIONS if name in by_name]
    if [column[1:] for column in positions] != [("R", 3)]:
        raise ValueError(f"expected positions, pos:R:3, in Properties, found {names:.100}")
    kinds = {**dict.fromkeys(_LABELS, "S"), "Z": "I", "id": "I", "type": "IS"}
    for name, kind in kinds.items():
        column = by_name.get(name)
        if column is not None and (column.kind not in kind or column.width != 1):
            raise ValueError(
                f"expected {name}:{kind[0]}:1 in Properties, found {':'.join(map(str, column))}"
            )


def _by_id(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays in the order of the ids, if there are any."""
    ids = arrays.get("id")
    if ids is None:
        return arrays
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(twice):
        raise ValueError(f"the id {ids[order][twice[0]]} stands for two atoms")
    if (np.diff(order) > 0).all():
        return arrays
    return {name: values[order] for name, values in arrays.items()}


def elements_of(
    frame: XyzFrame, elements: ElementMap, kept: IntArray | None = None
) -> npt.NDArray[np.str_]:
    """Return the element of each atom: its label, or what `elements` makes of it; "" if unknown.

    Raises InputError if the label of a kept atom is no symbol and is not mapped, or a label is a
    symbol and mapped to another one.
    """
    labels = frame.labels
    if labels is None:
        if isinstance(elements, str) or kept is None:
            return np.full(frame.n_atoms, elements if isinstance(elements, str) else "")
        raise InputError(
            "elements: the file does not say which element each atom is; expected one symbol for "
            "all atoms; give elements= (--elements), for example --elements Cu"
        )
    kinds = labels.kinds.tolist()
    table = [_element(kind, elements) for kind in kinds]
    asked_for = () if kept is None else np.unique(labels.codes[kept])
    missing = [kinds[code] for code in asked_for if table[code] is None]
    if missing:
        shown = ", ".join(map(repr, missing[:10]))
        example = ",".join(f"{label}={_likely(label)}" for label in missing[:3])
        numbers = all(label.isdigit() for label in missing)
        what = "whole numbers, which may be types or atomic numbers" if numbers else "no symbols"
        raise InputError(
            f"elements: expected chemical symbols as labels, found {what}: {shown}; give elements= "
            f"(--elements), for example --elements {example} (X for a massless site)"
        )
    symbols = np.array([symbol or "" for symbol in table])[labels.codes]
    known = symbols != ""
    if "Z" in frame.arrays and (_symbols(frame.arrays["Z"]) != symbols)[known].any():
        raise InputError("elements: the columns of labels and of atomic numbers (Z) disagree")
    return symbols


def _element(label: str, elements: ElementMap) -> str | None:
    known = label if label in atomic_numbers else None
    mapped = elements if isinstance(elements, str) else (elements or {}).get(label)
    if known and mapped and known != mapped:
        raise InputError(
            f"elements: the file says {known}, elements= (--elements) says {mapped} for it; leave "
            "it out, or rename the label in the file"
        )
    return mapped or known


def _likely(label: str) -> str:
    symbol = label.capitalize()
    return symbol if symbol in atomic_numbers else "SYMBOL"
