"""Extended XYZ, as ASE and OVITO read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.variables import FILE_UNITS
from icedask.kernels.text import lines
from icedask.writers.formats import ColumnLayout, FrameTable
from icedask.writers.text import TextFormat, text_cells

if TYPE_CHECKING:
    import ase

# Names of the format.
_RENAMED = {
    "element": "species",
    "positions": "pos",
    "force": "forces",
    "mass": "masses",
    "velocity": "velo",
}
_FIRST = ("element", "positions", "id")
_MAX_INT = 2**31
# Characters that names of columns cannot have.
_NO_NAME = re.compile(r"[^0-9A-Za-z_.-]")
NO_IDS = "the source has no ids, id is the index of the atom, from 0"


class ExtendedXyz(TextFormat):
    """Extended XYZ: one line of the cell and the columns, then one for each atom."""

    title: ClassVar = "extended XYZ"
    suffixes: ClassVar = (".extxyz", ".xyz")

    @cached_property
    def fields(self) -> Sequence[ColumnLayout]:
        """Columns of a line: element, positions, id, then all others but the index."""
        rest = [name for name in self.columns if name not in (*_FIRST, "atom")]
        own = "id" if "id" in self.columns else "atom"
        return [self.columns[name] for name in ("element", "positions", own, *rest)]

    @property
    def notes(self) -> list[str]:
        """Sentences on what the file holds otherwise than the store."""
        notes = [] if "id" in self.columns else [f"{self.title}: {NO_IDS}"]
        blank = [column.name for column in self.fields if self._has_blanks(column)]
        if blank:
            notes.append(
                f"{self.title}: blanks in {', '.join(blank)} are written as _, an empty text too"
            )
        return notes

    def clean(self, texts: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
        """Return texts with _ in place of blanks, and of no text."""
        words, inverse = np.unique(texts, return_inverse=True)
        clean = [re.sub(r"\s", "_", word) or "_" for word in words.tolist()]
        return np.array(clean, np.str_)[inverse] if len(texts) else texts

    def _has_blanks(self, column: ColumnLayout) -> bool:
        values = column.values
        if values is None or column.kind != "U":
            return False
        return bool((self.clean(values) != values).any())

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns in the file, one for all components of a column."""
        names = [_RENAMED.get(column.name, column.name) for column in self.fields]
        return ["id" if name == "atom" else _column_name(name) for name in names]

    @cached_property
    def properties(self) -> str:
        """The value of the key Properties."""
        words = []
        for name, column in zip(self.names, self.fields, strict=True):
            kind = {"f": "R", "d": "R", "U": "S", "i": "I"}[column.kind]
            values = column.values
            if kind == "I" and values is not None and np.abs(values).max(initial=0) >= _MAX_INT:
                # Readers keep integers in four bytes.
                kind = "R"
            words.append(f"{name}:{kind}:{len(column.names)}")
        return ":".join(words)

    def frame_header(self, frame: FrameTable) -> bytes:
        """Return the number of atoms and the line of keys."""
        keys: dict[str, Any] = {} if np.isnan(frame.time) else {"time": frame.time}
        keys["step"] = frame.step
        keys["units"] = FILE_UNITS
        if frame.origin is not None and frame.cell.any():
            keys["Origin"] = _numbers(frame.origin)
        return header(len(frame.rows), frame.cell, frame.pbc, self.properties, keys)


def _column_name(name: str) -> str:
    """Return a name without quotes and brackets, which readers take apart: c_1_2 for c_1[2]."""
    return _NO_NAME.sub("_", re.sub(r"\[(\w+)\]", r"_\1", name))


def header(
    n_atoms: int,
    cell: npt.NDArray[np.float64],
    pbc: npt.NDArray[np.bool_],
    properties: str,
    keys: Mapping[str, Any],
) -> bytes:
    """Return the two lines before the atoms: their number, then cell, columns and other keys."""
    lattice = {"Lattice": _numbers(cell.ravel())} if cell.any() else {}
    periodic = " ".join("T" if along else "F" for along in pbc)
    pairs = {**lattice, "Properties": properties, **keys, "pbc": periodic}
    words = [f"{key}={_value(value)}" for key, value in pairs.items()]
    return f"{n_atoms}\n{' '.join(words)}\n".encode()


def _value(value: Any) -> str:
    text = repr(float(value)) if isinstance(value, float) else str(value)
    return f'"{text}"' if re.search(r"\s", text) or not text else text


def write_atoms(path: Path, atoms: ase.Atoms) -> None:
    """Write the elements, positions and `info` of ASE Atoms."""
    symbols = np.array(atoms.get_chemical_symbols(), np.str_)
    columns = [symbols, *atoms.positions.T]
    text = lines([text_cells(column) for column in columns], b" ")
    head = header(len(atoms), atoms.cell.array, atoms.pbc, "species:S:1:pos:R:3", atoms.info)
    path.write_bytes(head + text.tobytes())


def _numbers(values: npt.NDArray[np.float64]) -> str:
    return " ".join(repr(float(value)) for value in values)
