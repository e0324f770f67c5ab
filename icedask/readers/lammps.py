"""LAMMPS text dumps, plain or gzipped: frames parsed as blocks of numbers at known offsets."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from icedask.core.provenance import digest
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.elements import ElementMap, map_elements
from icedask.readers.formats import Format, SourceOptions
from icedask.readers.lammps_index import (
    Header,
    Index,
    build_index,
    frame_text,
    open_dump,
    parse_header,
)
from icedask.readers.units import Units, lammps_units
from icedask.store.frame_block import FrameBlock, join_blocks

# Coordinate columns: unwrapped first, because a wrapped position follows from an unwrapped one.
_CONVENTIONS = {
    "xu yu zu": False,
    "xsu ysu zsu": True,
    "x y z": False,
    "xs ys zs": True,
}
_VECTORS = {
    "velocity": ("vx", "vy", "vz"),
    "force": ("fx", "fy", "fz"),
    "image": ("ix", "iy", "iz"),
}
_PER_ATOM = ("id", "type", "element", "mol", "mass")
# Columns, variables and types of per-atom coordinates.
_ATOMS = (
    ("id", "id", np.int64),
    ("mol", "molecule", np.int64),
    ("mass", "mass", np.float64),
    ("type", "type", str),
)
_RENAMED = {"q": "charge"}
_LJ = ("lj_sigma", "lj_epsilon", "lj_tau")


def _column_digests(table: pd.DataFrame) -> dict[str, str]:
    digests = {}
    for name in ("id", "type", "element"):
        if name in table:
            values = table[name]
            whole = values.dtype.kind in "iu"
            hashed = values if whole else pd.util.hash_pandas_object(values, index=False)
            digests[name] = digest(hashed.to_numpy())
    return digests


@dataclass(frozen=True)
class Reference:
    """Atoms and columns of the first frame, which every other one must have."""

    n_atoms: int
    columns: tuple[str, ...]
    digests: Mapping[str, str]

    @classmethod
    def of(cls, header: Header, table: pd.DataFrame) -> Reference:
        """Return the reference that a frame is; raise InputError if two atoms have the same id."""
        if "id" in table and table["id"].duplicated().any():
            twice = table["id"][table["id"].duplicated()].iloc[0]
            raise InputError(
                f"the id {twice} stands for two atoms of the first frame; icedask needs an id that "
                "is an atom's own"
            )
        return cls(len(table), tuple(header.columns), _column_digests(table))

    def check(self, header: Header, table: pd.DataFrame, where: str) -> None:
        """Raise InputError if a frame has other atoms or columns."""
        if len(table) != self.n_atoms:
            raise InputError(
                f"{where}: expected {self.n_atoms} atoms as in the first frame, found "
                f"{len(table)}; icedask needs a constant number of atoms: dump a fixed group"
            )
        if tuple(header.columns) != self.columns:
            raise InputError(
                f"{where}: expected the columns {' '.join(self.columns)} as in the first frame, "
                f"found {' '.join(header.columns)}; split the file where they change"
            )
        for name, value in _column_digests(table).items():
            if value != self.digests[name]:
                raise InputError(
                    f"{where}: column {name} differs from the first frame; icedask needs the same "
                    "atoms in every frame" + ("" if "id" in table else ": dump the atom id too")
                )


def _parse_body(body: bytes, n_columns: int, n_atoms: int) -> pd.DataFrame:
    blank = np.frombuffer(body, np.uint8) == ord(" ")
    first_line = body[: body.index(b"\n")] if b"\n" in body else body
    # Single blanks between columns, the same number in every line, are parsed a third faster than
    # runs of blanks.
    single = (
        not (blank[1:] & blank[:-1]).any()
        and np.count_nonzero(blank) == n_atoms * first_line.count(b" ")
        and b"\t" not in body
        and not body.startswith(b" ")
    )
    return pd.read_csv(
        io.BytesIO(body),
        sep=" " if single else r"\s+",
        header=None,
        usecols=range(n_columns),
        nrows=n_atoms,
        engine="c",
        na_values=[],
        keep_default_na=True,
        low_memory=False,
    )


def _read_table(path: str, index: Index, file: BinaryIO, frame: int) -> tuple[Header, pd.DataFrame]:
    text = frame_text(file, index, frame)
    header = parse_header(text, path)
    try:
        table = _parse_body(text[header.body :], len(header.columns), header.n_atoms)
    except (pd.errors.ParserError, ValueError) as error:
        raise InputError(f"{path}: frame {frame}: the atoms cannot be read ({error})") from error
    table.columns = pd.Index(header.columns)
    if len(table) != header.n_atoms:
        raise InputError(
            f"{path}: frame {frame}: expected {header.n_atoms} atoms, found {len(table)}"
        )
    for name in ("id", "mol"):
        if name in table and table[name].dtype.kind not in "iu":
            raise InputError(
                f"{path}: frame {frame}: column {name} is not a whole number everywhere; "
                "repair the file"
            )
    if "id" in table and not table["id"].is_monotonic_increasing:
        table = table.sort_values("id", kind="stable", ignore_index=True)
    return header, table


@dataclass(frozen=True)
class LammpsDump(Format):
    """A LAMMPS text dump, plain or gzipped."""

    title: ClassVar = "LAMMPS text dumps"
    suffixes: ClassVar = (".lammpstrj", ".dump", ".lammpsdump")
    unpacks: ClassVar = ("gz",)
    options: ClassVar = ("units", "timestep", "elements", "columns", *_LJ)
    advice: ClassVar = (
        "a LAMMPS dump states its steps and boundaries and needs no topology: give timestep "
        "(--timestep) and elements (--elements)"
    )
    rank: ClassVar = 0

    path: str
    n_frames: int
    truncated: str
    index: Index
    units: Units
    timestep: float | None  # in the file's unit of time; None if the dump states the time itself
    elements: ElementMap
    columns: Mapping[str, str | None] | None
    gzip_index: str | None  # file of seek points
    reference: Reference

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file has the name of a dump, or begins like one."""
        return super().recognises(file) or file.head.startswith(b"ITEM: ")

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None) -> LammpsDump:
        """Index the frames of a dump, and note the first one, which all others must match."""
        path = file.plain
        gzip_index = None
        if path.endswith(".gz") and scratch is not None:
            gzip_index = str(scratch / f"{digest(path)}.gzidx")
        index = build_index(path, gzip_index)
        n_frames = len(index.steps)
        if n_frames == 0:
            raise InputError(f"{path}: has no whole frame: {index.truncated}")
        with open_dump(path, gzip_index) as dump:
            header, table = _read_table(path, index, dump, 0)
        if header.units is not None and options.units not in (None, header.units):
            raise InputError(
                f"{path}: expected units {header.units}, as the file says, found units="
                f"{options.units!r}; leave units out"
            )
        if header.time is None and options.timestep is None and options.frame_interval is None:
            raise InputError(
                f"{path}: the dump does not say its time; give timestep= (--timestep) in the units "
                "of the simulation (fs for real, ps for metal, tau for lj), and units= (--units)"
            )
        scale = {name: getattr(options, name) for name in _LJ}
        units = lammps_units(header.units or options.units, **scale)
        return cls(
            path=path,
            n_frames=n_frames,
            truncated=index.truncated,
            index=index,
            units=units,
            timestep=options.timestep,
            elements=options.elements,
            columns=options.columns,
            gzip_index=gzip_index,
            reference=Reference.of(header, table),
        )

    @property
    def column_units(self) -> str:
        """Units of per-atom columns that icedask does not know."""
        return f"unconverted ({self.units.style})"

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates, from the first frame."""
        with open_dump(self.path, self.gzip_index) as file:
            _, table = _read_table(self.path, self.index, file, 0)
        atoms: dict[str, npt.NDArray[Any]] = {
            name: table[column].to_numpy().astype(kind)
            for column, name, kind in _ATOMS
            if column in table
        }
        if self.elements is None and "element" in table:
            atoms["element"] = table["element"].to_numpy().astype(str)
        else:
            keys = atoms.get("type", np.full(len(table), ""))
            atoms["element"] = map_elements(keys, self.elements, "atom type")
        return atoms

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        blocks = []
        with open_dump(self.path, self.gzip_index) as file:
            for frame in frames:
                head, table = _read_table(self.path, self.index, file, frame)
                self.reference.check(head, table, f"{self.path}: frame {frame}")
                blocks.append(self._convert(head, table))
        return join_blocks(blocks)

    def _convert(self, head: Header, table: pd.DataFrame) -> FrameBlock:
        units = self.units
        convention = next(
            (names for names in _CONVENTIONS if set(names.split()) <= set(head.columns)), None
        )
        if convention is None:
            raise InputError(
                f"{self.path}: expected the columns x y z, xs ys zs, xu yu zu or xsu ysu zsu, "
                f"found {' '.join(head.columns)}"
            )
        xyz = self._numbers(table, convention.split())
        if _CONVENTIONS[convention]:
            xyz = xyz @ head.cell + head.origin
        time = head.time if head.time is not None else head.step * (self.timestep or np.nan)
        with np.errstate(over="ignore"):  # what does not fit is refused as infinite
            positions = (xyz * units.length).astype(np.float32)
        return FrameBlock(
            positions=positions[None],
            cell=head.cell[None] * units.length,
            pbc=head.pbc,
            time=np.array([time * units.time]),
            step=np.array([head.step]),
            cell_origin=head.origin[None] * units.length,
            columns={k: v[None] for k, v in self._columns(table, convention.split()).items()},
        )

    def _columns(self, table: pd.DataFrame, used: list[str]) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom variables of one frame, in icedask's units where these are known."""
        factors = {"velocity": self.units.velocity, "force": self.units.force}
        factors |= dict.fromkeys(("potential_energy", "kinetic_energy"), self.units.energy)
        wanted = dict(self.columns or {})
        unknown = [name for name in wanted if name not in table]
        if unknown:
            raise InputError(
                f"columns: the dump has no {', '.join(unknown)}; it has {' '.join(table.columns)}"
            )
        result: dict[str, npt.NDArray[Any]] = {}
        done = {*used, *_PER_ATOM}
        for name, parts in _VECTORS.items():
            if set(parts) <= set(table.columns) and not set(parts) & wanted.keys():
                values = self._numbers(table, list(parts)) * factors.get(name, 1)
                result[name] = values.astype(np.int32 if name == "image" else np.float32)
                done |= set(parts)
        for column in table.columns:
            target = wanted.get(column, _RENAMED.get(column, column))
            if (column in done and column not in wanted) or target is None:
                continue
            if target in result:
                raise InputError(
                    f"columns: two columns are called {target}; give one of them another name, or "
                    "drop it"
                )
            values = self._numbers(table, [column])[:, 0] * factors.get(target, 1)
            with np.errstate(over="ignore"):
                result[target] = values.astype(np.float32)
        return result

    def _numbers(self, table: pd.DataFrame, names: list[str]) -> npt.NDArray[np.float64]:
        values = table[names]
        bad = [name for name, kind in values.dtypes.items() if kind.kind not in "iufb"]
        if bad:
            raise InputError(
                f"{self.path}: column {bad[0]} is not numeric; repair the file, or drop the "
                f"column with columns={{{bad[0]!r}: None}} (--column {bad[0]}=)"
            )
        return values.to_numpy(np.float64)
