"""LAMMPS data files: one frame, in the units of the run, with the columns of an atom style."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.readers.compressed import SourceFile
from icedask.readers.contents import content_of
from icedask.readers.elements import ElementMap, map_elements
from icedask.readers.formats import Format, SourceOptions
from icedask.readers.topology import ATOM_STYLES, atom_style
from icedask.readers.units import lammps_units
from icedask.store.frame_block import FrameBlock

_LJ = ("lj_sigma", "lj_epsilon", "lj_tau")
_SECTION = re.compile(r"[A-Z][A-Za-z/]*(?: [A-Za-z]+)*")


@dataclass(frozen=True)
class _Data:
    """Counts and box of the header, and the lines of each section, without comments."""

    title: str
    n_atoms: int
    cell: FloatArray
    origin: FloatArray
    sections: dict[str, list[list[str]]]


def _parse(text: str, path: str) -> _Data:
    title, *lines = text.splitlines()
    header: dict[str, list[str]] = {}
    sections: dict[str, list[list[str]]] = {}
    rows: list[list[str]] | None = None
    for line in lines:
        parts = line.split("#", 1)[0].split()
        if not parts:
            continue
        if _SECTION.fullmatch(" ".join(parts)):
            name = " ".join(parts)
            if name in sections:
                raise InputError(
                    f"{path}: expected one section {name}, found two; the file holds more than one "
                    "structure: split it"
                )
            rows = sections[name] = []
        elif rows is not None:
            rows.append(parts)
        else:
            numbers = [part for part in parts if re.match(r"[-+.\d]", part)]
            header[" ".join(parts[len(numbers) :])] = numbers
    if "Atoms" not in sections or "atoms" not in header:
        raise InputError(f"{path}: expected a number of atoms and a section Atoms, found neither")
    cell, origin = _box(header, path)
    return _Data(title, int(header["atoms"][0]), cell, origin, sections)


def _box(header: dict[str, list[str]], path: str) -> tuple[FloatArray, FloatArray]:
    """Return cell vectors as rows, and the origin."""
    try:
        if "avec" in header:
            rows = [header[name] for name in ("avec", "bvec", "cvec")]
            origin = np.array(header["abc origin"], float)
            return np.array(rows, float).reshape(3, 3), origin.reshape(3)
        sides = [header[f"{axis}lo {axis}hi"] for axis in "xyz"]
        low, high = np.array(sides, float).T
        xy, xz, yz = (float(tilt) for tilt in header.get("xy xz yz", ["0", "0", "0"]))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: expected a box (xlo xhi, ylo yhi, zlo zhi, or avec, bvec, cvec, abc origin), "
            f"found none that can be read ({error}); write the file with write_data"
        ) from error
    x, y, z = high - low
    return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]]), low


@dataclass(frozen=True)
class LammpsData(Format):
    """A LAMMPS data file."""

    title: ClassVar = "LAMMPS data"
    options: ClassVar[tuple[str, ...]] = (
        "units",
        "timestep",
        "elements",
        "pbc",
        "atom_style",
        *_LJ,
    )
    rank: ClassVar = 0

    path: str
    block: FrameBlock
    per_atom: dict[str, npt.NDArray[Any]]
    elements: ElementMap
    n_frames: int = 1
    truncated: str = ""

    @classmethod
    def recognises(cls, file: SourceFile) -> bool:
        """Return whether a file is a data file."""
        content = content_of(file)
        return content is not None and content.key == "DATA"

    @classmethod
    def open(
        cls, file: SourceFile, options: SourceOptions, scratch: Path | None = None
    ) -> LammpsData:
        """Read the file."""
        path = file.path
        file = file.in_ascii(scratch)
        style = atom_style(file, options.atom_style)
        data = _parse(Path(file.plain).read_text(), path)
        stated = re.search(r"units = (\w+)", data.title)
        if stated and options.units not in (None, stated[1]):
            raise InputError(
                f"{path}: expected units {stated[1]}, as the file says, found {options.units!r}; "
                "leave units out"
            )
        if options.pbc is None:
            raise InputError(
                f"{path}: a LAMMPS data file does not state its boundaries; give pbc= (--pbc), for "
                "example xyz, as in the boundary command"
            )
        scale = {name: getattr(options, name) for name in _LJ}
        units = lammps_units(stated[1] if stated else options.units, **scale)
        step = re.search(r"timestep = (\d+)", data.title)
        time = int(step[1]) * options.timestep * units.time if step and options.timestep else np.nan
        table = _atoms(data, style, path)
        velocities = _velocities(data, table["id"], path)
        positions = np.stack([table[axis].astype(float) for axis in "xyz"], axis=1)
        columns = {} if velocities is None else {"velocity": velocities * units.velocity}
        if "charge" in table:
            columns["charge"] = table["charge"].astype(float)
        block = FrameBlock(
            positions=(positions * units.length).astype(np.float32)[None],
            cell=data.cell[None] * units.length,
            pbc=np.array(options.pbc),
            time=np.array([time]),
            step=np.array([int(step[1]) if step else 0]),
            cell_origin=data.origin[None] * units.length,
            columns={name: values.astype(np.float32)[None] for name, values in columns.items()},
        )
        per_atom = {"id": table["id"].astype(np.int64), "type": table["type"]}
        if "resid" in table:
            per_atom["molecule"] = table["resid"].astype(np.int64)
        return cls(path, block, per_atom, options.elements)

    def atoms(self) -> dict[str, npt.NDArray[Any]]:
        """Return the per-atom coordinates."""
        types = self.per_atom["type"]
        known = self.elements if isinstance(self.elements, str) else dict(self.elements or {})
        symbols = np.full(len(types), "", "U16")
        listed = np.ones(len(types), bool)
        if not isinstance(known, str):
            listed = np.isin(types, [str(key) for key in known])
        symbols[listed] = map_elements(types[listed], known, "atom type")
        return {**self.per_atom, "element": symbols}

    def read(self, frames: Sequence[int]) -> FrameBlock:
        """Return the frame."""
        return self.block


def _atoms(data: _Data, style: str, path: str) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the section Atoms, in the order of ids."""
    names, rows = ATOM_STYLES[style].split(), data.sections["Atoms"]
    widths = {len(row) for row in rows}
    if len(rows) != data.n_atoms or not rows:
        raise InputError(
            f"{path}: expected {data.n_atoms} atoms, found {len(rows)} lines in the section Atoms; "
            "write the file again"
        )
    if len(widths) > 1 or min(widths) - len(names) not in (0, 3):
        raise InputError(
            f"{path}: expected {len(names)} columns of atom style {style} ({' '.join(names)}), and "
            f"perhaps 3 image flags, found {', '.join(map(str, sorted(widths)))}; give another "
            "atom_style (--atom-style), or write the file again"
        )
    table = dict(zip(names, np.array(rows).T[: len(names)], strict=True))
    order = np.argsort(_whole(table["id"], path))
    ids = _whole(table["id"], path)[order]
    if (np.diff(ids) == 0).any():
        twice = ids[:-1][np.diff(ids) == 0][0]
        raise InputError(f"{path}: expected each id once, found {twice} twice; write it again")
    return {name: values[order] for name, values in table.items()}


def _velocities(data: _Data, ids: npt.NDArray[Any], path: str) -> FloatArray | None:
    rows = data.sections.get("Velocities")
    if rows is None:
        return None
    table = np.array([row[:4] for row in rows]).astype(float)
    order = np.argsort(table[:, 0])
    if not np.array_equal(table[order, 0], ids.astype(float)):
        raise InputError(
            f"{path}: expected velocities of the same atoms, found other ids; write it again"
        )
    return np.asarray(table[order, 1:])


def _whole(values: npt.NDArray[Any], path: str) -> npt.NDArray[np.int64]:
    try:
        return values.astype(np.int64)
    except ValueError as error:
        raise InputError(
            f"{path}: expected whole numbers as ids, found another text ({error}); is the "
            "atom_style right?"
        ) from error
