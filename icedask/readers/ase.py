"""Trajectories that ASE reads: extended XYZ, ASE's own format and many more."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.types import IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.formats import Format, SourceOptions
from icedask.store.frame_block import FrameBlock, join_blocks

# Files of VASP.
_NAMES = ("xdatcar", "poscar", "contcar", "outcar", "vasprun.xml")
_RESERVED = ("numbers", "positions", "momenta", "tags", "masses", "initial_magmoms")
# Constant per-atom arrays, and the kinds of their values.
_PER_ATOM = {"molecule": "iu", "id": "iu", "type": "iuU", "name": "U", "residue": "U"}
_RENAMED = {"initial_charges": "charge", "energies": "potential_energy", "forces": "force"}


def extxyz_offsets(path: str) -> tuple[IntArray, str]:
    """Return the offsets of the frames of an XYZ file and of their end, and how it is truncated."""
    offsets = [0]
    with Path(path).open("rb") as file:
        while line := file.readline():
            if not line.strip():
                continue
            try:
                n_atoms = int(line)
            except ValueError as error:
                raise InputError(
                    f"{path}: expected an atom count at byte {offsets[-1]}, found "
                    f"{line[:40]!r}; is this an XYZ file?"
                ) from error
            lines, last = 0, b""
            for last in islice(file, n_atoms + 1):  # noqa: B007
                lines += 1
            if lines < n_atoms + 1:
                return np.array(offsets), f"it has {max(lines - 1, 0)} of {n_atoms} atoms"
            if not last.endswith(b"\n"):
                # Whether digits are missing cannot be told.
                return np.array(offsets), "its last line has no line end and may be cut"
            offsets.append(file.tell())
    if len(offsets) == 1:
        raise InputError(f"{path}: the file is empty")
    return np.array(offsets), ""


def frame_of(
    atoms: Any, columns: Mapping[str, str | None], frame: int, interval: float | None
) -> FrameBlock:
    """Convert ASE Atoms to a block of one frame."""
    from ase import units

    values = {
        name: array
        for name, array in atoms.arrays.items()
        if name not in (*_RESERVED, *_PER_ATOM) and array.dtype.kind in "iuf"
    }
    if atoms.calc is not None:
        for name in ("forces", "energies"):
            if name in atoms.calc.results:
                values[name] = atoms.calc.results[name]
    if "momenta" in atoms.arrays:
        values["velocity"] = atoms.get_velocities() * (1000 * units.fs)
    kept: dict[str, npt.NDArray[Any]] = {}
    for name, array in values.items():
        target = columns.get(name, _RENAMED.get(name, name))
        if target is None or not (array.ndim == 1 or array.shape[1:] == (3,)):
            continue
        if target in kept:
            raise InputError(
                f"columns: two arrays are called {target}; give one of them another name, or drop "
                "it"
            )
        kept[target] = np.asarray(array, np.float32)[None]
    return FrameBlock(
        positions=atoms.positions.astype(np.float32)[None],
        cell=np.asarray(atoms.cell.array, np.float64)[None],
        pbc=np.asarray(atoms.pbc, bool),
        time=np.array([np.nan if interval is None else frame * interval]),
        step=np.array([frame]),
        columns=kept,
    )


def atoms_of(atoms: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the per-atom coordinates of ASE Atoms."""
    coords = {"element": np.array(atoms.get_chemical_symbols())}
    for name, kinds in _PER_ATOM.items():
        values = atoms.arrays.get(name)
        if values is not None and values.ndim == 1 and values.dtype.kind in kinds:
            coords[name] = values.astype(np.str_ if "U" in kinds else np.int64)
    return coords


@dataclass(frozen=True)
class AseFile(Format):
    """A trajectory file of a format that ASE reads."""

    title: ClassVar = "formats of ASE"
    suffixes: ClassVar = (".xyz", ".extxyz", ".traj", ".db", ".vasp", ".cif", ".poscar")
    options: ClassVar = ("columns", "pbc")
    advice: ClassVar = (
        "this format states its units and names its elements; give frame_interval "
        "(--frame-interval) for a time between frames"
    )

    path: str
    n_frames: int
    offsets: IntArray | None  # of the frames of an XYZ file
    numbers: IntArray | None = None  # atomic numbers, which every frame must have
    columns: Mapping[str, str | None] | None = None
    pbc: tuple[bool, bool, bool] | None = None
    truncated: str = ""

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file has a name that ASE knows."""
        return super().recognises(file) or file.name in _NAMES

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None) -> AseFile:
        """Open a file once to count frames."""
        path = file.plain
        taken = {name: getattr(options, name) for name in cls.options}
        if path.endswith((".xyz", ".extxyz")):
            offsets, truncated = extxyz_offsets(path)
            source = cls(path, len(offsets) - 1, offsets, truncated=truncated, **taken)
        else:
            import ase.io

            try:
                n_frames = sum(1 for _ in ase.io.iread(path, index=":"))
            except Exception as error:
                raise InputError(f"{path}: ASE cannot read it: {error}") from error
            source = cls(path, n_frames, None, **taken)
        if source.n_frames == 0:
            return source
        return replace(source, numbers=source._atoms(0).numbers)

    def _atoms(self, frame: int) -> Any:
        import ase.io
        from ase.io.extxyz import XYZError

        if self.offsets is None:
            return ase.io.read(self.path, index=frame)
        start, end = self.offsets[frame : frame + 2]
        with Path(self.path).open("rb") as file:
            file.seek(start)
            text = file.read(end - start).decode()
        try:
            return ase.io.read(io.StringIO(text), index=0, format="extxyz")
        except (ValueError, KeyError, IndexError, XYZError) as error:
            raise InputError(
                f"{self.path}: frame {frame} cannot be read ({error}); repair it, or leave it out "
                f"with frames=slice({frame}) (--frames :{frame})"
            ) from error

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates."""
        return atoms_of(self._atoms(0))

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        blocks = []
        for frame in frames:
            atoms = self._atoms(frame)
            if self.numbers is not None and not np.array_equal(atoms.numbers, self.numbers):
                same = len(atoms) == len(self.numbers)
                raise InputError(
                    f"{self.path}: frame {frame}: expected the {len(self.numbers)} atoms of the "
                    f"first frame in the same order, found {len(atoms)} atoms"
                    f"{' of other elements' if same else ''}; icedask needs the same atoms in "
                    "every frame"
                )
            blocks.append(frame_of(atoms, self.columns or {}, frame, None))
        joined = join_blocks(blocks)
        return joined if self.pbc is None else replace(joined, pbc=np.array(self.pbc))
