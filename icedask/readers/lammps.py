"""LAMMPS text dumps, plain or gzipped: frames parsed as blocks of numbers at known offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.provenance import digest
from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.elements import ElementMap, dump_elements
from icedask.readers.formats import Format, SourceOptions
from icedask.readers.lammps_body import NUMBER, BadField, Columns, parse_body, strings
from icedask.readers.lammps_boundaries import checked_boundaries
from icedask.readers.lammps_columns import (
    COORDINATES,
    LABELS,
    PER_ATOM,
    VECTORS,
    Reference,
    by_id,
    column_kinds,
    convention,
    coordinates,
)
from icedask.readers.lammps_header import FrameError, Header, parse_header
from icedask.readers.lammps_index import BOM, DumpFile, Index, build_index, frame_text
from icedask.readers.units import Units, lammps_units
from icedask.store.frame_block import FrameBlock, join_blocks

# Columns and variables of per-atom coordinates.
_ATOMS = {"id": "id", "mol": "molecule", "mass": "mass", "type": "type", "typelabel": "name"}
_RENAMED = {"q": "charge"}
_LJ = ("lj_sigma", "lj_epsilon", "lj_tau")
_TIME_DIGITS = 1e-5  # of times that are written with six digits


@dataclass(frozen=True)
class LammpsDump(Format):
    """A LAMMPS text dump, plain or gzipped."""

    title: ClassVar = "LAMMPS text dumps"
    suffixes: ClassVar = (".lammpstrj", ".dump", ".lammpsdump")
    unpacks: ClassVar = ("gz",)
    options: ClassVar = (
        *("units", "timestep", "elements", "columns", "pbc", "fixed_order"),
        *_LJ,
    )
    advice: ClassVar = (
        "a LAMMPS dump states its steps and cell and needs no topology: give timestep "
        "(--timestep) and elements (--elements)"
    )
    rank: ClassVar = 0

    path: str
    n_frames: int
    truncated: str
    file: DumpFile
    index: Index
    units: Units
    timestep: float | None  # in the file's unit of time; None where the dump states the time
    elements: ElementMap
    columns: Mapping[str, str | None] | None
    pbc: npt.NDArray[np.bool_]
    fixed_order: bool | None
    reference: Reference

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file begins like a text dump, or is some text with the name of one."""
        text = b"\0" not in file.head and not file.head.startswith(b"---")
        head = file.head.removeprefix(BOM).lstrip()
        return head.startswith(b"ITEM:") or (text and super().recognises(file))

    @classmethod
    def open(cls, file: SourceFile, options: SourceOptions, scratch: Path | None) -> LammpsDump:
        """Index the frames of a dump, and note the first one, which all others must match.

        The last line of a dump of one frame may lack its line end. If numbers were cut off with
        it, that is seen where a field is missing, or where all other lines have the same number of
        decimals and this one has fewer. The last frame of several is then truncated.
        """
        _check_options_early(file, options)
        gzip_index = None
        if file.packed and scratch is not None:
            gzip_index = str(scratch / f"{digest(file.plain)}.gzidx")
        source = DumpFile(file.path, file.plain, file.packed == "gz", gzip_index)
        index = build_index(source)
        if len(index.steps) == 0:
            remedy = "" if "; " in index.truncated else "; repair the file"
            raise InputError(f"{file.path}: has no whole frame: {index.truncated}{remedy}")
        try:
            with source.open() as dump:
                text = frame_text(dump, index, 0)
            header = parse_header(text)
            if len(index.steps) == 1:
                _check_last_number(text[header.body :])
            first_line = text[header.body :].split(b"\n", 1)[0]
            kinds = column_kinds(header, first_line, options.columns)
            table = by_id(parse_body(text[header.body :], header.n_atoms, kinds))
            reference = Reference.of(header, kinds, table)
        except Exception as error:
            raise _input_error(file.path, 0, error) from error
        units = _checked_units(file.path, header, options)
        _check_time_step(file.path, index, options.timestep)
        return cls(
            path=file.path,
            n_frames=len(index.steps),
            truncated=index.truncated,
            file=source,
            index=index,
            units=units,
            timestep=options.timestep,
            elements=options.elements,
            columns=options.columns,
            pbc=checked_boundaries(coordinates(header, table), header, options.pbc, file.path),
            fixed_order=options.fixed_order,
            reference=reference,
        )

    @property
    def keeps_order(self) -> bool:
        """Whether atoms have ids, or are known to be in the same order in every frame."""
        known = "id" in self.reference.columns or self.reference.n_atoms == 1
        return known or bool(self.fixed_order)

    @property
    def column_units(self) -> str:
        """Units of per-atom columns that icedask does not know."""
        return f"unconverted ({self.units.style})"

    def stamps(self) -> tuple[IntArray, FloatArray]:
        """Return step and time (picosecond, NaN where unknown) of every frame."""
        steps, times = self.index.steps, self.index.times
        if not self.reference.timed:
            times = steps * np.float64(self.timestep or np.nan)
        return steps, times * self.units.time

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates, from the first frame."""
        table, texts = self._labelled()
        atoms = {
            name: texts.get(column, table[column])
            for column, name in _ATOMS.items()
            if column in table
        }
        atoms["element"] = self._elements(table, texts)
        return atoms

    def ask_elements(self, atoms: Mapping[str, npt.NDArray[Any]]) -> None:
        """Raise InputError if the element of an atom that is kept is not known."""
        if (atoms["element"] == "").any():
            self._elements(*self._labelled(), atoms["atom"])

    def _labelled(self) -> tuple[Columns, dict[str, npt.NDArray[np.str_]]]:
        """Return the atoms of the first frame, and the columns that name elements as text."""
        with self.file.open() as file:
            _, table = self._table(file, 0)
        return table, {name: _as_text(table[name]) for name in LABELS if name in table}

    def _elements(
        self,
        table: Columns,
        texts: Mapping[str, npt.NDArray[np.str_]],
        kept: IntArray | None = None,
    ) -> npt.NDArray[np.str_]:
        mass, n_atoms = table.get("mass"), self.reference.n_atoms
        return dump_elements(texts, self.elements, mass, n_atoms, kept)

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Read frames by index."""
        blocks = []
        with self.file.open() as file:
            for frame in frames:
                header, table = self._table(file, frame)
                blocks.append(self._convert(frame, header, table))
        return join_blocks(blocks)

    def _table(self, file: BinaryIO, frame: int) -> tuple[Header, Columns]:
        """Return header and atoms of a frame, in the order of their ids."""
        try:
            text = frame_text(file, self.index, frame)
            header = parse_header(text)
            self.reference.check_header(header)
            body = text[header.body :]
            table = by_id(parse_body(body, header.n_atoms, self.reference.kinds))
            self.reference.check_atoms(table)
        except Exception as error:
            raise _input_error(self.path, frame, error) from error
        return header, table

    def _convert(self, frame: int, header: Header, table: Columns) -> FrameBlock:
        step, time = self.index.steps[frame], self.stamps()[1][frame]
        with np.errstate(over="ignore"):  # what does not fit is refused as infinite
            positions = (coordinates(header, table) * self.units.length).astype(np.float32)
        columns = self._variables(frame, table)
        return FrameBlock(
            positions=positions[None],
            cell=header.cell[None] * self.units.length,
            pbc=self.pbc,
            time=np.array([time]),
            step=np.array([step]),
            cell_origin=header.origin[None] * self.units.length,
            columns={name: values[None] for name, values in columns.items()},
        )

    def _variables(self, frame: int, table: Columns) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom variables of one frame, in icedask's units where these are known."""
        factors = {"velocity": self.units.velocity, "force": self.units.force}
        factors |= dict.fromkeys(("potential_energy", "kinetic_energy"), self.units.energy)
        names, wanted = self.reference.columns, dict(self.columns or {})
        result: dict[str, npt.NDArray[Any]] = {}
        done = {*convention(names), *PER_ATOM}
        for name, parts in VECTORS.items():
            if set(parts) <= set(names) and not set(parts) & wanted.keys():
                values = np.stack([table[part] for part in parts], axis=1)
                result[name] = self._stored(frame, name, values, factors.get(name, 1))
                done |= set(parts)
        for column in names:
            target = wanted.get(column, _RENAMED.get(column, column))
            if (column in done and column not in wanted) or target is None:
                continue
            if target in result:
                raise InputError(
                    f"columns: two columns are called {target}; give one of them another name, or "
                    "drop it"
                )
            if table[column].dtype.kind == "S":
                raise _input_error(self.path, frame, BadField(column, NUMBER, "", table[column][0]))
            result[target] = self._stored(frame, column, table[column], factors.get(target, 1))
        return result

    def _stored(
        self, frame: int, name: str, values: npt.NDArray[Any], factor: float
    ) -> npt.NDArray[Any]:
        """Return values of a column in icedask's unit and the type in which they are stored."""
        if name == "image":
            stored = values.astype(np.int32)
            lost = stored != values
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                stored = (values * factor).astype(np.float32)
                lost = np.isinf(stored) & np.isfinite(values)
        if lost.any():
            raise InputError(
                f"{self.path}: frame {frame}: {name}: expected values that fit into "
                f"{stored.dtype}, found {values[lost][0]:g}; repair the file, or drop the columns "
                "with columns= (--column NAME=)"
            )
        return stored


def _as_text(values: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    return strings(values) if values.dtype.kind == "S" else values.astype(str)


def _check_last_number(body: bytes) -> None:
    """Raise FrameError if a body ends in a number that was cut."""
    if body.endswith(b"\n"):
        return
    *lines, last = (line.split()[-1:] for line in body.split(b"\n"))
    decimals = {_decimals(line[0]) for line in lines if line}
    if last and (
        last[0].endswith(b".") or (len(decimals) == 1 and _decimals(last[0]) < min(decimals))
    ):
        raise FrameError(
            "its last line has no line end, and its last number fewer decimals than the others: it "
            "may be cut; if nothing is missing, add a line end"
        )


def _decimals(number: bytes) -> int:
    return len(number.partition(b".")[2])


def _check_wanted(names: Sequence[str], columns: Mapping[str, str | None] | None) -> None:
    """Raise InputError if a column that is to have another name is not there."""
    unknown = [name for name in columns or {} if name not in names]
    if unknown:
        raise InputError(f"columns: the dump has no {', '.join(unknown)}; it has {' '.join(names)}")


def _check_stated(path: str, header: Header, options: SourceOptions) -> None:
    """Raise InputError if an option contradicts what the first frame states."""
    if header.units is not None and options.units not in (None, header.units):
        raise InputError(
            f"{path}: expected units {header.units}, as the file says, found units="
            f"{options.units!r}; leave units out"
        )
    if "id" in header.columns and options.fixed_order is False:
        raise InputError(
            f"{path}: fixed_order: expected for dumps without ids only, and this one has them; "
            "leave it out"
        )


def _check_options_early(file: SourceFile, options: SourceOptions) -> None:
    """Raise InputError for options that do not fit the first header, before the dump is indexed.

    What cannot be parsed is left to the index, which says where it is.
    """
    with suppress(FrameError):
        _checked_units(file.path, parse_header(file.head.removeprefix(BOM).lstrip()), options)


def _checked_units(path: str, header: Header, options: SourceOptions) -> Units:
    """Return the units; raise InputError if units or times are missing, or contradict the file."""
    _check_wanted(header.columns, options.columns)
    _check_stated(path, header, options)
    units = lammps_units(
        header.units or options.units, **{name: getattr(options, name) for name in _LJ}
    )
    timestep, interval = options.timestep, options.frame_interval
    if interval is not None and timestep is not None:
        raise InputError(
            f"{path}: expected timestep (--timestep) or frame_interval (--frame-interval), found "
            f"both, {timestep:g} and {interval:g}; leave one out"
        )
    if interval is None and timestep is None and header.time is None:
        raise InputError(
            f"{path}: the dump does not say its time; give timestep= (--timestep) in the units of "
            "the simulation (fs for real, ps for metal, tau for lj), or frame_interval= "
            "(--frame-interval) in ps"
        )
    return units


def _check_time_step(path: str, index: Index, timestep: float | None) -> None:
    """Raise InputError if the times in a dump give another time step than the option."""
    steps = np.diff(index.steps)
    if timestep is None or np.isnan(index.times).any() or not (steps > 0).any():
        return
    at = int(np.argmax(steps > 0))
    times = index.times[at : at + 2]
    stated = float(np.diff(times)[0] / steps[at])
    rounding = _TIME_DIGITS * float(np.abs(times).max()) / float(steps[at])
    if abs(stated - timestep) > _TIME_DIGITS * timestep + rounding:
        raise InputError(
            f"{path}: its times (ITEM: TIME) state a time step of {stated:g}, timestep "
            f"(--timestep) gives {timestep:g}; leave timestep out"
        )


def _input_error(path: str, frame: int, error: Exception) -> InputError:
    """Return an error of a frame with file, frame and remedy."""
    if isinstance(error, InputError):
        return error
    if not isinstance(error, FrameError):
        return InputError(f"{path}: frame {frame}: cannot be read ({error})")
    remedy = "" if "; " in str(error) else "; repair the file"
    if isinstance(error, BadField) and error.column not in (*PER_ATOM, *COORDINATES):
        remedy += (
            f", or drop the column with columns={{{error.column!r}: None}} "
            f"(--column {error.column}=)"
        )
    return InputError(f"{path}: frame {frame}: {error}{remedy}")
