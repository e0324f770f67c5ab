"""Trajectories that MDAnalysis reads: GROMACS, CHARMM/NAMD, AMBER and many more."""

from __future__ import annotations

import importlib.util
import re
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from ase.geometry import cellpar_to_cell

from icedask.core.trajectory import select_in_universe
from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import Content, content_of
from icedask.readers.elements import ElementMap, map_elements
from icedask.readers.formats import Format, SourceOptions, boxed
from icedask.readers.single import excess, several
from icedask.readers.topology import Topology, topology_of
from icedask.readers.units import KJ_MOL
from icedask.store.frame_block import FrameBlock

# Formats that have no place for a unit cell.
_WITHOUT_CELL = ("CRD", "COOR", "PQR", "PDBQT")
# Filters of warnings belong to the process: one thread changes them at a time.
_FILTERS = threading.RLock()


@contextmanager
def quiet():  # type: ignore[no-untyped-def]
    """Silence the warnings of MDAnalysis about guessed masses and types, which are not used."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@lru_cache(maxsize=2)
def _cached_universe(topology: Topology, path: str, key: str, changed: int) -> Any:
    import MDAnalysis

    with quiet():
        options = topology.options()
        if topology.plain == path:
            return MDAnalysis.Universe(path, format=key or None, **options)
        return MDAnalysis.Universe(topology.plain, path, format=key or None, **options)


@lru_cache(maxsize=2)
def _cached_topology(topology: Topology, changed: int) -> Any:
    return new_universe(topology)


def topology_universe(topology: Topology) -> Any:
    """Return a Universe with the atoms of a topology; each process keeps the last ones."""
    return _cached_topology(topology, Path(topology.plain).stat().st_mtime_ns)


def new_universe(topology: Topology) -> Any:
    """Return a new Universe with the atoms of a topology, which may be changed."""
    import MDAnalysis

    with quiet():
        try:
            universe = MDAnalysis.Universe(topology.plain, **topology.options())
        except Exception as error:
            raise InputError(
                f"{topology.path}: cannot be read as a topology ({_reason(error)}); give a tpr, "
                "gro, psf, prmtop or pdb file with topology= (--topology)"
            ) from error
    return universe


def universe_atoms(universe: Any, elements: ElementMap) -> dict[str, npt.NDArray[Any]]:
    """Return the per-atom coordinates of a Universe or AtomGroup; element "" is not known."""
    atoms = universe.atoms
    result: dict[str, npt.NDArray[Any]] = {}
    for name, attribute in (
        ("id", "ids"),
        ("type", "types"),
        ("name", "names"),
        ("residue", "resnames"),
        ("molecule", "resids"),
    ):
        if hasattr(atoms, attribute):
            values = getattr(atoms, attribute)
            result[name] = values.astype(np.int64 if name in ("id", "molecule") else str)
    symbols = atoms.elements.astype(str) if hasattr(atoms, "elements") else np.full(len(atoms), "")
    symbols = np.char.capitalize(symbols)
    if isinstance(elements, str):
        symbols = np.full(len(atoms), elements)
    elif elements:
        what, key = ("atom name", "name") if "name" in result else ("atom type", "type")
        labels = result.get(key, np.full(len(atoms), ""))
        # Keys are atom names, or the symbols that the file has: {"D": "H"}.
        keys = np.where(np.isin(symbols, [str(key) for key in elements]), symbols, labels)
        listed = np.isin(keys, [str(key) for key in elements])
        symbols = symbols.astype("U16")
        symbols[listed] = map_elements(keys[listed], elements, what)
    result["element"] = symbols
    return result


def _time(ts: Any) -> float:
    """Return the time of a frame; NaN where the file has none and MDAnalysis would assume 1 ps."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            return float(ts.time)
        except UserWarning:
            return float("nan")


def block_of(frames: Iterable[Any], pbc: Sequence[bool] | None) -> FrameBlock:
    """Convert timesteps to a block.

    Velocities and forces are kept where every frame has them. Raises InputError if a frame has no
    positions, or only some frames have a unit cell.
    """
    read = []
    for ts in frames:
        if not ts.has_positions:
            raise InputError(
                f"frame {ts.frame}: expected positions, found velocities or forces only; leave it "
                "out with frames= (--frames)"
            )
        columns: dict[str, Any] = {}
        if ts.has_velocities:
            columns["velocity"] = ts.velocities.astype(np.float32)
        if ts.has_forces:
            columns["force"] = (ts.forces * KJ_MOL).astype(np.float32)
        cell = None if ts.dimensions is None else np.asarray(ts.triclinic_dimensions, np.float64)
        step = int(ts.data.get("step", max(ts.frame, 0)))
        read.append((ts.positions.astype(np.float32), cell, _time(ts), step, columns))
    positions, cells, times, steps, columns_list = zip(*read, strict=True)
    return stacked_frames(positions, cells, times, steps, columns_list, pbc)


def reader_steps(reader: Any, block: FrameBlock) -> IntArray:
    """Return the steps of a block: steps of the simulation for DCD, not positions in the file."""
    if getattr(reader, "format", None) != "DCD" or not reader.dt > 0:
        return block.step
    return np.rint(block.time / reader.dt * reader.skip_timestep).astype(np.int64)


def stacked_frames(
    positions: Sequence[npt.NDArray[np.float32]],
    cells: Sequence[npt.NDArray[np.float64] | None],
    times: Sequence[float] | FloatArray,
    steps: Sequence[int] | IntArray,
    columns: Sequence[Mapping[str, Any]],
    pbc: Sequence[bool] | None = None,
) -> FrameBlock:
    """Stack what a file states of each frame; periodic where it has a cell, without `pbc`.

    Raises InputError if only some frames have a unit cell.
    """
    return FrameBlock(
        positions=np.stack(positions),
        cell=_same_cells(cells),
        pbc=np.array([cells[0] is not None] * 3 if pbc is None else pbc),
        time=np.asarray(times, float),
        step=np.asarray(steps, np.int64),
        columns=_same_columns(columns),
    )


def _same_cells(cells: Sequence[npt.NDArray[np.float64] | None]) -> npt.NDArray[np.float64]:
    """Stack unit cells, zeros where no frame has one; raise InputError if only some have."""
    missing = [number for number, cell in enumerate(cells) if cell is None]
    if 0 < len(missing) < len(cells):
        raise InputError(
            f"expected a unit cell in every frame or in none, found {len(missing)} of "
            f"{len(cells)} frames without one; split the file there, or choose frames with "
            "frames= (--frames)"
        )
    return np.stack([np.zeros((3, 3)) if cell is None else cell for cell in cells])


def _same_columns(columns: Sequence[Mapping[str, Any]]) -> dict[str, npt.NDArray[Any]]:
    """Stack the per-atom columns that every frame has."""
    names = sorted(set.intersection(*[set(frame) for frame in columns]))
    return {name: np.stack([frame[name] for frame in columns]) for name in names}


@dataclass(frozen=True)
class MDAnalysisFile(Format):
    """A trajectory file of a format that MDAnalysis reads."""

    title: ClassVar = "formats of MDAnalysis"
    options: ClassVar[tuple[str, ...]] = (
        "topology",
        "elements",
        "columns",
        "pbc",
        "cell",
        "atom_style",
    )
    rank: ClassVar = 2

    path: str
    plain: str
    key: str  # MDAnalysis' name of the format
    topology: Topology  # the file itself where it holds the atoms too
    n_frames: int
    n_atoms: int
    elements: ElementMap = None
    columns: Mapping[str, str | None] | None = None
    pbc: tuple[bool, bool, bool] | None = None  # in place of what a unit cell implies
    cell: tuple[float, ...] | None = None  # of a file without one
    truncated: str = ""

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether MDAnalysis reads the content of a file."""
        content = content_of(file)
        return content is not None and content.library == "mdanalysis"

    @classmethod
    def label(cls, file: SourceFile) -> str:
        """Return the name of the format of a file."""
        content = content_of(file)
        return cls.title if content is None else content.label

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None) -> Self:
        """Open a file once to count frames and atoms."""
        content = content_of(file)
        assert content is not None  # it was recognised
        _check_package(file, content)
        if content.text:
            file = file.in_ascii(scratch)
        if content.key in _WITHOUT_CELL and options.cell is None and options.pbc is None:
            raise InputError(
                f"{file.path}: {content.label} has no unit cell; give cell= (--cell) of a periodic "
                "system, or pbc= (--pbc none) for atoms in a vacuum"
            )
        more = several(file.plain, content.key)
        if more:
            raise InputError(f"{file.path}: {more}")
        if content.key == "PDB":
            options = _with_cell_of_title(file, options)
        if content.key == "NCDF":
            _check_netcdf(file)
        topology = topology_of(file, content.key, options, scratch)
        universe = _open(topology, file.path, file.plain, content.key)
        sizes = len(universe.trajectory), len(universe.atoms)
        if 0 in sizes:
            raise InputError(
                f"{file.path}: expected frames of atoms, found {sizes[0]} frames of "
                f"{sizes[1]} atoms; write the file again"
            )
        more = excess(file.plain, content.key, sizes[1], sizes[0])
        if more:
            raise InputError(f"{file.path}: {more}")
        return cls(file.path, file.plain, content.key, topology, *sizes, **cls.taken(options))

    @classmethod
    def taken(cls, options: SourceOptions) -> dict[str, Any]:
        """Return the options that are kept for reading."""
        return {
            "elements": options.elements,
            "columns": options.columns,
            "pbc": options.pbc,
            "cell": options.cell,
        }

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates."""
        return universe_atoms(self._universe(), self.elements)

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        block = self.raw(frames)
        columns = {}
        for name in self.columns or {}:
            if name not in block.columns:
                raise InputError(
                    f"columns: the file has no {name}; it has "
                    f"{', '.join(sorted(block.columns)) or 'none'}"
                )
        for name, values in block.columns.items():
            target = (self.columns or {}).get(name, name)
            if target is not None:
                columns[target] = values
        return boxed(replace(block, columns=columns), self.path, self.cell, self.pbc)

    def raw(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames as the file has them, before options change columns, cell or boundaries."""
        universe = self._universe()
        with quiet():
            return block_of((self._seek(universe, frame) for frame in frames), None)

    def select(self, expression: str) -> IntArray:
        """Return the atoms that a selection matches in the first frame; the topology counts too."""
        from MDAnalysis.lib.mdamath import triclinic_box

        universe = new_universe(self.topology)
        block = self.read([0])
        with quiet():
            dimensions = triclinic_box(*block.cell[0]) if block.cell.any() else None
            universe.load_new(block.positions, order="fac", dimensions=dimensions)
            if not hasattr(universe.atoms, "elements") or self.elements is not None:
                symbols = self.atoms()["element"].astype(object)
                universe.add_TopologyAttr("elements", symbols)
            return select_in_universe(universe, expression)

    def _universe(self) -> Any:
        return _open(self.topology, self.path, self.plain, self.key)

    def _seek(self, universe: Any, frame: int) -> Any:
        try:
            ts = universe.trajectory[frame]
        except Exception as error:
            raise InputError(
                f"{self.path}: frame {frame} cannot be read ({error}); leave it out with "
                f"frames=slice({frame}) (--frames :{frame})"
            ) from error
        if ts.n_atoms != self.n_atoms:
            raise InputError(
                f"{self.path}: frame {frame}: expected {self.n_atoms} atoms, found "
                f"{ts.n_atoms}; icedask needs a constant number of atoms"
            )
        return ts


def _open(topology: Topology, path: str, plain: str, key: str) -> Any:
    """Open a trajectory file with its topology; each process keeps the last ones open."""
    try:
        return _cached_universe(topology, plain, key, Path(plain).stat().st_mtime_ns)
    except Exception as error:
        other = "" if topology.plain == plain else f" with the topology {topology.path}"
        raise InputError(
            f"{path}: cannot be read{other} ({type(error).__name__}: {_reason(error)}); repair it "
            "or write it again"
        ) from error


def _reason(error: Exception) -> str:
    """Return the first sentence of an error of a library, in one line."""
    text = " ".join(str(error).split()).rpartition(" Error: ")[2]
    return text.split(". ")[0].removesuffix(".")[:200]


def _with_cell_of_title(file: SourceFile, options: SourceOptions) -> SourceOptions:
    """Return options with the cell that a PDB file states before its first model, for all of them.

    Raises InputError if another one is given.
    """
    title = re.split(rb"^(?:MODEL|ATOM|HETATM)\b", file.head, maxsplit=1, flags=re.MULTILINE)[0]
    record = re.search(rb"^CRYST1(.{9})(.{9})(.{9})(.{7})(.{7})(.{7})", title, re.MULTILINE)
    if record is None:
        return options
    numbers = [float(part) for part in record.groups()]
    if numbers[:3] == [1, 1, 1] or min(numbers) <= 0:
        return options  # a placeholder
    cell = cellpar_to_cell(numbers)
    if options.cell is not None:
        boxed(_box_of(cell), file.path, options.cell, None)
    return replace(options, cell=tuple(cell.ravel().tolist()))


def _box_of(cell: npt.NDArray[np.float64]) -> FrameBlock:
    zero = np.zeros(1)
    return FrameBlock(
        np.zeros((1, 1, 3), np.float32), cell[None], np.ones(3, bool), zero, zero.astype(int)
    )


def _check_netcdf(file: SourceFile) -> None:
    """Raise InputError if a NetCDF file is cut: the reader's own error leaves a traceback."""
    from scipy.io import netcdf_file

    try:
        netcdf_file(file.plain, mmap=True).close()
    except Exception as error:
        raise InputError(
            f"{file.path}: expected a whole NetCDF file, found it cut or damaged "
            f"({_reason(error)}); write it again, or repair it with cpptraj"
        ) from error


def _check_package(file: SourceFile, content: Content) -> None:
    package = content.package
    if package and importlib.util.find_spec(package) is None:
        raise InputError(
            f"{file.path}: {content.label} needs the package {package}, which is not installed; "
            f'install it with pip install "icedask[{content.extra}]"'
        )
