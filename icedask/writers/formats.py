"""Formats of exported files: each is one class, in one module of this package.

`export` takes the class whose suffix a path has. A module in `icedask.writers` with such a class is
a new format; nothing else has to change.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.registry import subclasses_in
from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError


@dataclass(frozen=True)
class ColumnLayout:
    """A column of a file: name, names of its components, kind (f, i, U) and attributes.

    `values` are those of a column that frames share; None where they change.
    """

    name: str
    parts: tuple[str, ...]
    names: tuple[str, ...]
    kind: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    values: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class FrameTable:
    """One frame: where it is in the trajectory, its cell, and the values of the chosen atoms.

    `rows` are the places of the chosen atoms in the columns that frames share; `columns` are the
    values of the others, of these atoms, (n_atoms,) or (n_atoms, n_components).
    """

    frame: int
    step: int
    time: float
    cell: FloatArray
    origin: FloatArray | None
    pbc: npt.NDArray[np.bool_]
    rows: IntArray
    columns: Mapping[str, npt.NDArray[Any]]


class Format(ABC):
    """Writer of one format; picklable.

    Attributes
    ----------
    title
        Name of the format in messages.
    suffixes
        Ends of the names of its files, the usual one first.
    compressible
        Whether a file can be gzipped, with .gz after the suffix.
    requires
        Library that it needs beyond icedask's own.
    columns
        All columns, in the order of the trajectory, then of the results.
    compressed
        Whether the file is gzipped.
    """

    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    compressible: ClassVar[bool] = True
    requires: ClassVar[str] = ""

    def __init__(self, columns: Sequence[ColumnLayout], *, compressed: bool = False) -> None:
        self.columns = {column.name: column for column in columns}
        self.compressed = compressed

    @property
    def names(self) -> list[str]:
        """Names of the columns in the file."""
        return [name for column in self.columns.values() for name in column.names]

    @property
    def notes(self) -> list[str]:
        """Sentences on what the file holds otherwise than the store."""
        return []

    @abstractmethod
    def write(self, path: Path, frames: Iterable[FrameTable]) -> None:
        """Write some consecutive frames into a file, a part of the whole."""

    @abstractmethod
    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Make one file of its parts, in order; the parts are deleted."""


def formats() -> list[type[Format]]:
    """Return every format in the modules of this package."""
    kinds = subclasses_in("icedask.writers", Format)  # type: ignore[type-abstract]
    return sorted(kinds, key=lambda kind: kind.title)


def format_of(path: Path) -> tuple[type[Format], bool]:
    """Return the format of a path by its suffix, and whether it is gzipped."""
    name = path.name.lower()
    compressed = name.endswith(".gz")
    plain = name.removesuffix(".gz")
    for kind in formats():
        if plain.endswith(kind.suffixes) and not (compressed and not kind.compressible):
            if kind.requires and importlib.util.find_spec(kind.requires) is None:
                raise InputError(
                    f"export: {kind.title} needs {kind.requires}, which is not installed: "
                    f"pip install {kind.requires}, or export to .csv"
                )
            return kind, compressed
    known = ", ".join(kind.suffixes[0] for kind in formats())
    gzipped = ", ".join(kind.suffixes[0] for kind in formats() if kind.compressible)
    raise InputError(
        f"export: expected a file that ends in {known} ({gzipped} also with .gz), found {path.name}"
    )
