"""Trajectories that MDAnalysis reads: GROMACS, CHARMM/NAMD, AMBER and many more."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.trajectory import select_in_universe
from icedask.core.types import IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.elements import ElementMap, map_elements
from icedask.readers.formats import Format, SourceOptions
from icedask.readers.units import KJ_MOL
from icedask.store.frame_block import FrameBlock


@contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    # MDAnalysis warns of what it guesses (masses, types): nothing guessed is used here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@lru_cache(maxsize=2)
def _cached_universe(topology: str, path: str, changed: int) -> Any:
    import MDAnalysis

    with _quiet():
        if topology == path:
            return MDAnalysis.Universe(topology)
        return MDAnalysis.Universe(topology, path)


def open_universe(topology: str | None, path: str) -> Any:
    """Open a trajectory file with its topology; each process keeps the last ones open."""
    try:
        return _cached_universe(topology or path, path, Path(path).stat().st_mtime_ns)
    except (ValueError, OSError, EOFError, TypeError, IndexError, KeyError) as error:
        hint = "" if topology else "; this format may need topology= (--topology)"
        raise InputError(
            f"{path}: cannot be read with the topology {topology}: {error}{hint}"
        ) from error


def universe_atoms(universe: Any, elements: ElementMap) -> dict[str, npt.NDArray[Any]]:
    """Return the per-atom coordinates of a Universe or AtomGroup."""
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
    unknown = symbols == ""
    if elements is not None or unknown.any():
        what, keys = ("atom name", "name") if "name" in result else ("atom type", "type")
        labels = result.get(keys, np.full(len(atoms), ""))
        if isinstance(elements, str):
            symbols = np.full(len(atoms), elements)
        else:
            listed = np.isin(labels, [str(key) for key in (elements or {})])
            where = unknown | listed
            symbols = symbols.astype("U3")
            symbols[where] = map_elements(labels[where], elements, what)
    result["element"] = symbols
    return result


def _time(ts: Any) -> float:
    """Return the time of a frame; NaN where the file has none and MDAnalysis would assume 1 ps."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            return float(ts.time)
        except UserWarning:
            return float("nan")


def block_of(frames: Iterable[Any], pbc: Sequence[bool] | None) -> FrameBlock:
    """Convert timesteps to a block.

    Velocities and forces are kept where every frame has them.
    """
    read = []
    for ts in frames:
        columns: dict[str, Any] = {}
        if ts.has_velocities:
            columns["velocity"] = ts.velocities.astype(np.float32)
        if ts.has_forces:
            columns["force"] = (ts.forces * KJ_MOL).astype(np.float32)
        cell = None if ts.dimensions is None else np.asarray(ts.triclinic_dimensions, np.float64)
        step = int(ts.data.get("step", ts.frame))
        read.append((ts.positions.astype(np.float32), cell, _time(ts), step, columns))
    positions, cells, times, steps, columns_list = zip(*read, strict=True)
    periodic = cells[0] is not None
    names = sorted(set.intersection(*[set(columns) for columns in columns_list]))
    return FrameBlock(
        positions=np.stack(positions),
        cell=np.stack([np.zeros((3, 3)) if cell is None else cell for cell in cells]),
        pbc=np.array([periodic] * 3 if pbc is None else pbc),
        time=np.array(times),
        step=np.array(steps, np.int64),
        columns={name: np.stack([columns[name] for columns in columns_list]) for name in names},
    )


@dataclass(frozen=True)
class MDAnalysisFile(Format):
    """A trajectory file of a format that MDAnalysis reads."""

    title: ClassVar = "formats of MDAnalysis"
    options: ClassVar = ("topology", "elements", "pbc")
    advice: ClassVar = (
        "this format states its units; give frame_interval (--frame-interval) for a time between "
        "frames"
    )
    rank: ClassVar = 2

    path: str
    topology: str | None  # None where the file holds both
    n_frames: int
    n_atoms: int
    elements: ElementMap = None
    pbc: tuple[bool, bool, bool] | None = None  # in place of what a unit cell implies
    truncated: str = ""

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return True: MDAnalysis is asked for whatever no other format recognises."""
        return True

    @classmethod
    def open(
        cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None
    ) -> MDAnalysisFile:
        """Open a file once to count frames and atoms."""
        path = file.plain
        topology = options.topology
        with _quiet():
            universe = open_universe(topology, path)
            if topology is None and not hasattr(universe.atoms, "names"):
                raise InputError(
                    f"{path}: holds coordinates but no atoms; give topology= (--topology), a tpr, "
                    "gro, psf, prmtop or pdb file"
                )
            sizes = len(universe.trajectory), len(universe.atoms)
            pbc = options.pbc
            return cls(path, topology, *sizes, options.elements, pbc)

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates."""
        return universe_atoms(open_universe(self.topology, self.path), self.elements)

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        universe = open_universe(self.topology, self.path)
        with _quiet():
            return block_of((self._seek(universe, frame) for frame in frames), self.pbc)

    def select(self, expression: str) -> IntArray:
        """Return the atoms that a selection matches in the first frame; the topology counts too."""
        universe = open_universe(self.topology, self.path)
        if not hasattr(universe.atoms, "elements") or self.elements is not None:
            universe.add_TopologyAttr("elements", self.atoms()["element"].astype(object))
        universe.trajectory[0]
        return select_in_universe(universe, expression)

    def _seek(self, universe: Any, frame: int) -> Any:
        try:
            ts = universe.trajectory[frame]
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise InputError(
                f"{self.path}: frame {frame} cannot be read ({error}); leave it out with "
                f"frames=slice({frame}) (--frames :{frame})"
            ) from error
        if len(ts.positions) != self.n_atoms:
            raise InputError(
                f"{self.path}: frame {frame}: expected {self.n_atoms} atoms, found "
                f"{len(ts.positions)}; icedask needs a constant number of atoms"
            )
        return ts
