"""Formats of trajectory files: each is one class, in one module of this package.

`ingest` asks every subclass of `Format` whether it recognises a file. A module in
`icedask.readers` with such a class is a new format; nothing else has to change.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from icedask.core.registry import subclasses_in
from icedask.core.trajectory import selected_indices, trajectory
from icedask.core.types import FloatArray, IntArray
from icedask.errors import IcedaskError, InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of, misnamed
from icedask.readers.elements import ElementMap, map_elements
from icedask.store.frame_block import FrameBlock

# Why a format does not take an option: what the file does itself.
_STATED = {
    "topology": "holds its atoms",
    "units": "states its units",
    "timestep": "needs no time step",
    "elements": "names its elements",
    "columns": "has no columns to name",
    "cell": "states its cell",
    "pbc": "states its boundaries",
    "atom_style": "is no LAMMPS data file",
    "fixed_order": "keeps the order of its atoms",
    "lj_sigma": "states its units",
    "lj_epsilon": "states its units",
    "lj_tau": "states its units",
}
_UNKNOWN = (
    "not a trajectory that icedask recognises, by content or by name; it reads dumps of LAMMPS, "
    "XYZ, and files of GROMACS, CHARMM, NAMD, AMBER, VASP and others: see the table of formats in "
    "the guide (ingest-formats.md)"
)


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

    Whatever a method of a format raises that is no error of icedask is turned into an InputError
    with the file, and the frame, so that readers need not catch what their libraries raise.

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
        Remedy where an option is given that it does not take, beyond leaving that out.
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
    advice: ClassVar[str] = ""
    rank: ClassVar[int] = 1

    path: str
    n_frames: int
    truncated: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "open" in own:
            cls.open = classmethod(_guarded_open(own["open"].__func__))  # type: ignore[assignment]
        if "read" in own:
            cls.read = _guarded_read(own["read"])  # type: ignore[method-assign]
        for name in ("atoms", "stamps", "select"):
            if name in own:
                setattr(cls, name, _guarded(own[name]))

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is of this format."""
        return file.name.endswith(cls.suffixes)

    @classmethod
    def label(cls, file: SourceFile) -> str:
        """Return the name of the format of a file that it recognises, for messages."""
        return cls.title

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
        """Return the per-atom coordinates: element and, where known, id, type, name, ...

        An element that is not known may be "": `ask_elements` is called with the atoms that are
        kept.
        """

    def ask_elements(self, atoms: Mapping[str, npt.NDArray[Any]]) -> None:
        """Raise InputError if the element of an atom that is kept is not known.

        `atoms` are those of `atoms()` that are kept, with their indices as "atom".
        """
        ask_elements(atoms)

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
        # X stands for atoms whose element is asked for once they are selected.
        ds = trajectory(
            block.positions,
            element=np.where(element == "", "X", element),
            cell=block.cell,
            pbc=block.pbc,
            atoms=atoms,
        )
        return selected_indices(ds, expression)


def _broken(path: str, what: str, error: Exception) -> InputError:
    """Return the error for what the library of a reader raised."""
    text = (
        "more memory than there is"
        if isinstance(error, MemoryError)
        else " ".join(str(error).split())
    )
    return InputError(
        f"{path}: {what} cannot be read ({type(error).__name__}: {text[:300]}); the file is "
        "damaged, or not what its format asks for: repair or write it again"
    )


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Format, *args: Any) -> Any:
        try:
            return function(self, *args)
        except IcedaskError:
            raise
        except Exception as error:
            raise _broken(self.path, "it", error) from error

    return call


def _guarded_open(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(
        cls: type[Format], file: SourceFile, options: SourceOptions, scratch: Path | None = None
    ) -> Any:
        try:
            return function(cls, file, options, scratch)
        except IcedaskError:
            raise
        except Exception as error:
            raise _broken(file.path, "it", error) from error

    return call


def _guarded_read(function: Callable[..., FrameBlock]) -> Callable[..., FrameBlock]:
    @functools.wraps(function)
    def call(self: Format, frames: Sequence[int]) -> FrameBlock:
        try:
            return function(self, frames)
        except IcedaskError:
            raise
        except Exception as error:
            if len(frames) > 1:
                for frame in frames:  # which one it is
                    call(self, [frame])
                raise _broken(self.path, f"frames {frames[0]} to {frames[-1]}", error) from error
            broken = _broken(self.path, f"frame {frames[0]}", error)
            raise InputError(
                f"{broken}, or leave the frame out with frames= (--frames :{frames[0]})"
            ) from error

    return call


def ask_elements(atoms: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise InputError if the element of an atom is not known."""
    unknown = np.asarray(atoms["element"]) == ""
    if unknown.any():
        what, key = ("atom name", "name") if "name" in atoms else ("atom type", "type")
        labels = atoms.get(key, np.full(len(unknown), ""))
        map_elements(np.asarray(labels).astype(str)[unknown], None, what)


def boxed(
    block: FrameBlock,
    path: str,
    cell: tuple[float, ...] | None,
    pbc: tuple[bool, bool, bool] | None,
    *,
    states_pbc: bool = False,
) -> FrameBlock:
    """Return a block with the cell and the boundaries that are given where the file has none.

    A cell means periodic in all three directions where boundaries are not given.

    Raises
    ------
    InputError
        If the file states them itself, and other ones.
    """
    if cell is not None:
        chosen = np.array(cell, float).reshape(3, 3)
        stated = block.cell[0]
        if stated.any() and not np.allclose(stated, chosen, atol=1e-3):
            raise InputError(
                f"{path}: cell: expected the cell of the file, {_lengths(stated)} angstrom along "
                f"its vectors, found {_lengths(chosen)}; leave cell (--cell) out"
            )
        if not stated.any():
            everywhere = np.broadcast_to(chosen, block.cell.shape).copy()
            block = replace(block, cell=everywhere, pbc=np.ones(3, bool))
    if pbc is None:
        return block
    if states_pbc and block.pbc.tolist() != list(pbc):
        raise InputError(
            f"{path}: pbc: expected the boundaries of the file, {block.pbc.tolist()}, found "
            f"{list(pbc)}; leave pbc (--pbc) out"
        )
    return replace(block, pbc=np.array(pbc))


def _lengths(cell: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{length:.6g}" for length in np.linalg.norm(cell, axis=1))


def formats() -> list[type[Format]]:
    """Return every format in the modules of this package, in the order in which they are asked."""
    kinds = subclasses_in("icedask.readers", Format)  # type: ignore[type-abstract]
    return sorted(kinds, key=lambda kind: (kind.rank, kind.title))


def open_file(path: str, options: SourceOptions, scratch: Path | None) -> Format:
    """Open one file with the reader for its format.

    Raises InputError if the format is not known or not read, or does not take an option that is
    given.
    """
    file = SourceFile.of(path)
    if not file.head.strip():
        raise InputError(f"{path}: the file is empty")
    kind = _kind_of(file)
    unused = [
        name
        for name, value in vars(options).items()
        if value is not None and value != {} and name not in (*kind.options, *COMMON)
    ]
    if unused:
        reasons = dict.fromkeys(_STATED[name] for name in unused)
        named = ", ".join(f"{name} (--{name.replace('_', '-')})" for name in unused)
        advice = f"; {kind.advice}" if kind.advice else ""
        raise InputError(
            f"{path}: is read as {kind.label(file)}, which {' and '.join(reasons)}: leave out "
            f"{named}{advice}"
        )
    if file.packed and file.packed not in kind.unpacks:
        if scratch is None:
            raise InputError(f"{path}: expected a file that is not compressed, found {file.packed}")
        file = file.unpacked(scratch)
    return kind.open(file, options, scratch)


def _kind_of(file: SourceFile) -> type[Format]:
    """Return the format that reads a file, by its content, or else by its name.

    Raises InputError if there is none.
    """
    kinds = formats()
    nameless = replace(file, path="")
    kind = next((kind for kind in kinds if kind.recognises(nameless)), None)
    if kind is not None:
        return kind
    content = content_of(file)
    if content is not None and content.refusal:
        raise InputError(f"{file.path}: is {content.label}, which is not read; {content.refusal}")
    kind = next((kind for kind in kinds if kind.recognises(file)), None)
    if kind is not None:
        return kind
    raise InputError(f"{file.path}: {misnamed(file) or _UNKNOWN}")
