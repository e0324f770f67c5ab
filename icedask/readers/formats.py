"""Formats of trajectory files: each is one class, in one module of this package.

`ingest` asks every subclass of `Format` whether it recognises a file. A module in
`icedask.readers` with such a class is a new format; nothing else has to change.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import isabstract
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy.typing as npt

from icedask.core.trajectory import selected_indices, trajectory
from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.elements import ElementMap
from icedask.store.frame_block import FrameBlock


@dataclass(frozen=True)
class SourceOptions:
    """Options of `icedask.ingest` about its source; None where they are not given.

    Those of `COMMON` apply to any source, the others to the formats that list them.
    """

    topology: str | None = None
    units: str | None = None
    timestep: float | None = None
    elements: ElementMap = None
    columns: Mapping[str, str | None] | None = None
    cell: tuple[float, ...] | None = None
    atom_style: str | None = None
    fixed_order: bool | None = None
    pbc: tuple[bool, bool, bool] | None = None
    frame_interval: float | None = None
    repeated: str | None = None
    lj_sigma: float | None = None
    lj_epsilon: float | None = None
    lj_tau: float | None = None


COMMON = ("frame_interval", "repeated")


class Format(ABC):
    """A file of frames, picklable, that any process can open at any frame.

    Attributes
    ----------
    title
        Name of the format in messages.
    suffixes
        Ends of the names of its files, in lower case, without that of a compression.
    unpacks
        Compressions that it reads itself; files of others are unpacked before it opens them.
    options
        Names of the `SourceOptions` that it takes.
    advice
        Remedy where another one is given.
    rank
        Formats are asked in this order: 0 by what is in a file, 1 by its name, 2 for any file.
    path
        The file as it was given, for messages; the bytes may be in another, unpacked one.
    n_frames
        Whole frames in it.
    truncated
        What is wrong with the end of the file, "" if it is whole.
    keeps_order
        Whether an atom has the same index in every frame, by its id or by the format; False
        where the file does not tell.
    """

    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    unpacks: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    advice: ClassVar[str] = "leave them out"
    rank: ClassVar[int] = 1

    path: str
    n_frames: int
    truncated: str

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is of this format."""
        return file.name.endswith(cls.suffixes)

    @classmethod
    @abstractmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None) -> Self:
        """Open a file.

        Parameters
        ----------
        file
            The file, unpacked unless the format reads its compression.
        options
            Those that the format takes.
        scratch
            Folder for files that are needed until all frames are read.
        """

    @abstractmethod
    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates: element and, where known, id, type, name, ..."""

    @abstractmethod
    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames of the file by index, all atoms in the order of `atoms`."""

    def stamps(self) -> tuple[IntArray, FloatArray] | None:
        """Return step and time (picosecond, NaN where unknown) of every frame.

        None where that would mean reading the whole file.
        """
        return None

    @property
    def keeps_order(self) -> bool:
        """Whether an atom has the same index in every frame."""
        return True

    @property
    def column_units(self) -> str:
        """Units of per-atom columns that icedask does not know."""
        return "unconverted (eV, angstrom)"

    def select(self, expression: str) -> IntArray:
        """Return the atoms that a selection matches in the first frame."""
        block, atoms = self.read([0]), self.atoms()
        element = atoms.pop("element")
        ds = trajectory(
            block.positions, element=element, cell=block.cell, pbc=block.pbc, atoms=atoms
        )
        return selected_indices(ds, expression)


def formats() -> list[type[Format]]:
    """Return every format in the modules of this package, in the order in which they are asked."""
    package = importlib.import_module("icedask.readers")
    names = [f"{package.__name__}.{name}" for _, name, _ in pkgutil.iter_modules(package.__path__)]
    kinds = [
        value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, Format) and value.__module__ == name
    ]
    concrete = [kind for kind in kinds if not isabstract(kind)]
    return sorted(concrete, key=lambda kind: (kind.rank, kind.title))


def open_file(path: str, options: SourceOptions, scratch: Path | None) -> Format:
    """Open one file with the reader for its format.

    Raises InputError if an option is given that the format does not take.
    """
    file = SourceFile.of(path)
    kind = next(kind for kind in formats() if kind.recognises(file))
    unused = [
        name
        for name, value in vars(options).items()
        if value is not None and value != {} and name not in (*kind.options, *COMMON)
    ]
    if unused:
        takers = " and ".join(other.title for other in formats() if unused[0] in other.options)
        raise InputError(f"{path}: {', '.join(unused)} apply to {takers} only; {kind.advice}")
    if file.packed and file.packed not in kind.unpacks:
        if scratch is None:
            raise InputError(f"{path}: expected a file that is not compressed, found {file.packed}")
        file = file.unpacked(scratch)
    return kind.open(file, options, scratch)
