"""Trajectories that ASE reads: its own format, VASP, and many more."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.provenance import digest
from icedask.core.types import IntArray
from icedask.errors import InputError, StoreError
from icedask.readers.compressed import DISK_FULL, SourceFile
from icedask.readers.contents import content_of
from icedask.readers.elements import ElementMap, map_elements
from icedask.readers.formats import Format, SourceOptions, boxed
from icedask.readers.single import excess as excess_structures
from icedask.store.frame_block import FrameBlock, join_blocks

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
    """A trajectory file of a format that ASE reads.

    ASE's own traj is read by frame. Others are read once, from the beginning to the end, into a
    file of blocks in the scratch folder: reading frame by frame would begin again for each.
    """

    title: ClassVar = "formats of ASE"
    options: ClassVar = ("columns", "pbc", "cell", "elements")
    advice: ClassVar = "give frame_interval (--frame-interval) for a time between frames"

    path: str
    key: str  # ASE's name of the format
    blocks: str  # file of blocks, or the traj file itself
    n_frames: int
    offsets: IntArray  # of the blocks
    numbers: IntArray  # atomic numbers, which every frame must have
    columns: Mapping[str, str | None] | None = None
    pbc: tuple[bool, bool, bool] | None = None
    cell: tuple[float, ...] | None = None
    elements: ElementMap = None
    truncated: str = ""

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether ASE reads the content of a file."""
        content = content_of(file)
        return content is not None and content.library == "ase"

    @classmethod
    def label(cls, file: SourceFile) -> str:
        """Return the name of the format of a file."""
        content = content_of(file)
        return cls.title if content is None else content.label

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None) -> AseFile:
        """Count the frames of a traj file; read others once."""
        content = content_of(file)
        assert content is not None  # it was recognised
        if content.text:
            file = file.in_ascii(scratch)
        taken = {name: getattr(options, name) for name in cls.options}
        if content.key == "traj":
            from ase.io.trajectory import Trajectory

            with Trajectory(file.plain) as frames:
                if len(frames) == 0:
                    raise InputError(f"{file.path}: the file is empty")
                numbers = frames[0].numbers
                offsets = np.zeros(0, np.int64)
                return cls(file.path, "traj", file.plain, len(frames), offsets, numbers, **taken)
        if scratch is None:
            raise InputError(f"{file.path}: {content.label} needs a scratch folder to be read")
        blocks = scratch / f"{digest(file.path, 'blocks')}.frames"
        offsets, numbers = _convert(file, content.key, blocks)
        n_frames = len(offsets)
        excess = excess_structures(file.plain, content.key, len(numbers), n_frames)
        if excess:
            raise InputError(f"{file.path}: {excess}")
        return cls(file.path, content.key, str(blocks), n_frames, offsets, numbers, **taken)

    def _frames(self, frames: Sequence[int]) -> Iterator[Any]:
        if self.key == "traj":
            from ase.io.trajectory import Trajectory

            with Trajectory(self.blocks) as file:
                for frame in frames:
                    yield file[int(frame)]
            return
        with Path(self.blocks).open("rb") as file:
            for frame in frames:
                file.seek(int(self.offsets[frame]))
                yield pickle.load(file)

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates."""
        coords = atoms_of(next(self._frames([0])))
        symbols = coords["element"].astype("U16")
        if isinstance(self.elements, str):
            symbols[:] = self.elements
        elif self.elements:
            listed = np.isin(symbols, [str(key) for key in self.elements])
            symbols[listed] = map_elements(symbols[listed], self.elements, "element of the file")
        return {**coords, "element": symbols}

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        blocks = []
        for frame, atoms in zip(frames, self._frames(frames), strict=True):
            if not np.array_equal(atoms.numbers, self.numbers):
                same = len(atoms) == len(self.numbers)
                raise InputError(
                    f"{self.path}: frame {frame}: expected the {len(self.numbers)} atoms of the "
                    f"first frame in the same order, found {len(atoms)} atoms"
                    f"{' of other elements' if same else ''}; icedask needs the same atoms in "
                    "every frame"
                )
            blocks.append(frame_of(atoms, self.columns or {}, frame, None))
        return boxed(
            join_blocks(blocks),
            self.path,
            self.cell,
            self.pbc,
            states_pbc=self.key in ("traj", "db"),
        )


def _convert(file: SourceFile, key: str, blocks: Path) -> tuple[IntArray, IntArray]:
    """Write every frame of a file into a file of blocks; return offsets and atomic numbers."""
    import ase.io

    offsets: list[int] = []
    numbers = np.zeros(0, np.int64)
    try:
        with blocks.open("wb") as output, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for atoms in ase.io.iread(file.plain, index=":", format=key):
                if not offsets:
                    numbers = atoms.numbers
                offsets.append(output.tell())
                pickle.dump(_plain(atoms), output, protocol=5)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise StoreError(
            f"{blocks.parent}: the disk of the store is full ({error.strerror}) while "
            f"{file.path} is read; free space there, or choose a store on another disk"
        ) from error
    except Exception as error:
        raise InputError(
            f"{file.path}: ASE cannot read frame {len(offsets)} ({type(error).__name__}: {error}); "
            "repair the file, or write it as extended XYZ"
        ) from error
    if not offsets or len(numbers) == 0:
        raise InputError(f"{file.path}: expected atoms, found none; the file is empty or cut")
    return np.array(offsets, np.int64), numbers


def _plain(atoms: Any) -> Any:
    """Return Atoms with their arrays and calculated results only."""
    from ase.calculators.singlepoint import SinglePointCalculator

    plain = atoms.copy()
    plain.info.clear()
    plain.set_constraint()
    if atoms.calc is not None:
        kept = {k: v for k, v in atoms.calc.results.items() if k in ("forces", "energies")}
        plain.calc = SinglePointCalculator(plain, **kept)
    return plain
