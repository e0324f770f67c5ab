"""LAMMPS text dumps in units metal, as LAMMPS, OVITO and MDAnalysis read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.writers.extxyz import NO_IDS
from icedask.writers.formats import ColumnLayout, FrameTable
from icedask.writers.text import TextFormat

_FIRST = ("id", "molecule", "type", "element", "mass", "charge", "positions", "image", "velocity")
_NAMES = {
    "molecule": ("mol",),
    "charge": ("q",),
    "positions": ("x", "y", "z"),
    "image": ("ix", "iy", "iz"),
    "velocity": ("vx", "vy", "vz"),
    "force": ("fx", "fy", "fz"),
}
# Smallest extent of a direction without cell vector.
_FLAT = 1e-3


class LammpsTrajectory(TextFormat):
    """LAMMPS text dump; nine lines before the atoms of each frame."""

    title: ClassVar = "LAMMPS dump"
    suffixes: ClassVar = (".lammpstrj", ".dump", ".lammpsdump")

    @cached_property
    def fields(self) -> Sequence[ColumnLayout]:
        """Columns of a line: attributes of LAMMPS, then all others; no text but the element."""
        columns = dict(self.columns)
        own = columns.pop("atom")
        columns.setdefault("id", replace(own, name="id", names=("id",)))
        columns["type"] = self._types()
        rest = [name for name, c in columns.items() if name not in _FIRST and c.kind != "U"]
        return [columns[name] for name in (*_FIRST, *rest) if name in columns]

    def _types(self) -> ColumnLayout:
        """Return the types as numbers."""
        column = self.columns.get("type")
        if column is not None and column.kind == "i":
            return column
        numbers = np.unique(self._labels, return_inverse=True)[1].astype(np.int64) + 1
        return ColumnLayout("type", (), ("type",), "i", {}, numbers)

    @property
    def _labels(self) -> npt.NDArray[Any]:
        values = self.columns["type" if "type" in self.columns else "element"].values
        assert values is not None
        return values

    @property
    def notes(self) -> list[str]:
        """Sentences on what the file holds otherwise than the store."""
        notes = [
            f"{self.title}: units metal; steps, but no times, with which MDAnalysis reads no dump"
        ]
        if "id" not in self.columns:
            notes.append(f"{self.title}: {NO_IDS}")
        if self.columns.get("type") is None or self.columns["type"].kind != "i":
            labels = np.unique(self._labels).tolist()
            listed = ", ".join(f"{number} {label}" for number, label in enumerate(labels, 1))
            notes.append(f"{self.title}: types are numbers: {listed}")
        dropped = [name for name, c in self.columns.items() if c.kind == "U" and name not in _FIRST]
        if dropped:
            notes.append(f"{self.title}: {', '.join(dropped)} are text and left out")
        return notes

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns in the file."""
        names = [name for c in self.fields for name in _NAMES.get(c.name, c.names)]
        return [re.sub(r"\s", "_", name) for name in names]

    def frame_header(self, frame: FrameTable) -> bytes:
        """Return the nine lines of step, number of atoms, box and columns."""
        head = [
            "ITEM: TIMESTEP",
            str(frame.step),
            "ITEM: NUMBER OF ATOMS",
            str(len(frame.rows)),
            *_box(frame),
            f"ITEM: ATOMS {' '.join(self.names)}",
        ]
        return ("\n".join(head) + "\n").encode()


def _box(frame: FrameTable) -> list[str]:
    """Return the four lines of the box: orthogonal, tilted, or of three general vectors."""
    cell, origin = _enclosing(frame)
    flags = " ".join(
        "pp" if periodic else "ff" if vector.any() else "ss"
        for periodic, vector in zip(frame.pbc, frame.cell, strict=True)
    )
    if cell[0, 1] or cell[0, 2] or cell[1, 2] or (np.diag(cell) <= 0).any():
        rows = [_numbers([*vector, low]) for vector, low in zip(cell, origin, strict=True)]
        return [f"ITEM: BOX BOUNDS abc origin {flags}", *rows]
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    high = origin + np.diag(cell)
    if not (xy or xz or yz):
        rows = [_numbers(pair) for pair in zip(origin, high, strict=True)]
        return [f"ITEM: BOX BOUNDS {flags}", *rows]
    # A tilted box is stated by the bounds that enclose it.
    low = origin + np.array([min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0])
    high = high + np.array([max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0])
    rows = [_numbers(row) for row in zip(low, high, (xy, xz, yz), strict=True)]
    return [f"ITEM: BOX BOUNDS xy xz yz {flags}", *rows]


def _numbers(values: Any) -> str:
    return " ".join(repr(float(value)) for value in values)


def _enclosing(frame: FrameTable) -> tuple[FloatArray, FloatArray]:
    """Return cell and origin; directions without cell vector enclose the atoms."""
    cell = frame.cell.copy()
    origin = np.zeros(3) if frame.origin is None else frame.origin.astype(float)
    missing = [axis for axis in range(3) if not cell[axis].any()]
    if not missing:
        return cell, origin
    positions = frame.columns["positions"].astype(float)
    for axis in missing:
        cell[axis] = _direction(cell, axis)
    for axis in missing:
        direction = cell[axis] / np.linalg.norm(cell[axis])
        heights = positions @ direction
        origin = origin + (heights.min() - origin @ direction) * direction
        cell[axis] = max(float(np.ptp(heights)), _FLAT) * direction
    return cell, origin


def _direction(cell: FloatArray, axis: int) -> FloatArray:
    """Return a unit vector along an axis that is orthogonal to the other vectors of the cell."""
    vectors = [vector / np.linalg.norm(vector) for vector in cell if vector.any()]
    if len(vectors) == 2:
        first, second = (cell[(axis + shift) % 3] for shift in (1, 2))
        normal = np.cross(first, second)
        return normal / np.linalg.norm(normal)
    best: FloatArray = np.eye(3)[axis]
    for start in np.eye(3)[[axis, (axis + 1) % 3, (axis + 2) % 3]]:
        rest = start - sum((start @ vector) * vector for vector in vectors)
        if np.linalg.norm(rest) > 0.5:
            best = rest / np.linalg.norm(rest)
            break
    return best
