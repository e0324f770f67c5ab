"""Trajectories that ASE reads: its own format, VASP and many more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    suffixes: ClassVar = (".traj", ".db", ".vasp", ".cif", ".poscar")
    options: ClassVar = ("columns", "pbc")
    advice: ClassVar = (
        "this format states its units and names its elements; give frame_interval "
        "(--frame-interval) for a time between frames"
    )

    path: str
    n_frames: int
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
        import ase.io

        path = file.plain
        taken = {name: getattr(options, name) for name in cls.options}
        try:
            n_frames = sum(1 for _ in ase.io.iread(path, index=":"))
        except Exception as error:
            raise InputError(f"{path}: ASE cannot read it: {error}") from error
        source = cls(path, n_frames, **taken)
        if source.n_frames == 0:
            return source
        return replace(source, numbers=source._atoms(0).numbers)

    def _atoms(self, frame: int) -> Any:
        import ase.io

        return ase.io.read(self.path, index=frame)

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
