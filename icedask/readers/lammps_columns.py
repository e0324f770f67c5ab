"""Columns of a LAMMPS text dump: what each holds, and what has to stay as in the first frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from icedask.core.provenance import digest
from icedask.core.types import FloatArray
from icedask.readers.lammps_body import NUMBER, SKIPPED, TEXT, WHOLE, Columns, is_whole, strings
from icedask.readers.lammps_header import FrameError, Header

# Coordinate columns: unwrapped first, because a wrapped position follows from an unwrapped one.
_CONVENTIONS = {
    ("xu", "yu", "zu"): False,
    ("xsu", "ysu", "zsu"): True,
    ("x", "y", "z"): False,
    ("xs", "ys", "zs"): True,
}
COORDINATES = tuple(name for names in _CONVENTIONS for name in names)
VECTORS = {
    "velocity": ("vx", "vy", "vz"),
    "force": ("fx", "fy", "fz"),
    "image": ("ix", "iy", "iz"),
}
LABELS = ("type", "typelabel", "element")
PER_ATOM = ("id", "mol", "mass", *LABELS)
_KINDS = {
    **dict.fromkeys(("id", "mol", *VECTORS["image"]), WHOLE),
    **dict.fromkeys(("typelabel", "element"), TEXT),
}
# Columns that do not change from frame to frame.
_CONSTANT = ("id", *LABELS)


def _stated(header: Header) -> tuple[bool, ...] | None:
    return None if header.pbc is None else tuple(header.pbc.tolist())


def convention(columns: Sequence[str]) -> tuple[str, str, str]:
    """Return the coordinate columns that are read; raise FrameError if there are none."""
    chosen = next((names for names in _CONVENTIONS if set(names) <= set(columns)), None)
    if chosen is None:
        raise FrameError(
            "expected the columns x y z, xs ys zs, xu yu zu or xsu ysu zsu, found "
            f"{' '.join(columns)}"
        )
    return chosen


def column_kinds(
    header: Header, line: bytes, columns: Mapping[str, str | None] | None
) -> dict[str, int]:
    """Return the kind of each column of a dump whose first atom is in a line.

    Types are numbers or labels, all of one kind. Columns that are dropped may hold anything.
    """
    needed = (*convention(header.columns), *PER_ATOM)
    kinds = {}
    for place, name in enumerate(header.columns):
        kind = _KINDS.get(name, NUMBER)
        if name == "type":
            kind = WHOLE if is_whole(line, place) else TEXT
        elif name in (columns or {}) and name not in needed:
            kind = SKIPPED if (columns or {})[name] is None else NUMBER
        kinds[name] = kind
    return kinds


@dataclass(frozen=True)
class Reference:
    """Atoms and columns of the first frame, which every other one must have."""

    n_atoms: int
    columns: tuple[str, ...]
    kinds: Mapping[str, int]
    units: str | None
    timed: bool
    pbc: tuple[bool, ...] | None  # as stated
    digests: Mapping[str, str]

    @classmethod
    def of(cls, header: Header, kinds: Mapping[str, int], table: Columns) -> Reference:
        """Return the reference that a frame is; raise FrameError if two atoms have the same id."""
        if "id" in table:
            same = table["id"][1:] == table["id"][:-1]
            if same.any():
                raise FrameError(
                    f"the id {table['id'][int(np.argmax(same))]} stands for two atoms; icedask "
                    "needs an id that is an atom's own"
                )
        for name in ("id", "mol"):
            if name in table and table[name].min() < 0:
                raise FrameError(
                    f"column {name}: expected no negative number, found {table[name].min()}"
                )
        _check_types(table)
        return cls(
            header.n_atoms,
            header.columns,
            kinds,
            header.units,
            header.time is not None,
            _stated(header),
            {name: digest(table[name]) for name in _CONSTANT if name in table},
        )

    def check_header(self, header: Header) -> None:
        """Raise FrameError if a frame has another number of atoms, or other items or columns."""
        if header.n_atoms != self.n_atoms:
            raise FrameError(
                f"expected {self.n_atoms} atoms as in the first frame, found {header.n_atoms}; "
                "icedask needs a constant number of atoms: dump a fixed group"
            )
        if header.columns != self.columns:
            raise FrameError(
                f"expected the columns {' '.join(self.columns)} as in the first frame, found "
                f"{' '.join(header.columns)}; split the file where they change"
            )
        if header.units not in (None, self.units):
            raise FrameError(
                f"expected units {self.units or 'as in the first frame, none'}, found "
                f"{header.units}; split the file where they change"
            )
        if (header.time is not None) != self.timed:
            raise FrameError(
                f"expected {'ITEM: TIME' if self.timed else 'no ITEM: TIME'} as in the first "
                "frame; split the file where it changes"
            )
        if _stated(header) != self.pbc:
            raise FrameError(
                f"the boundaries change from {self.pbc or 'none'} in the first frame to "
                f"{_stated(header) or 'none'}; split the file where they change"
            )

    def check_atoms(self, table: Columns) -> None:
        """Raise FrameError if a frame has other atoms."""
        for name, value in self.digests.items():
            if digest(table[name]) != value:
                raise FrameError(
                    f"column {name} differs from the first frame; icedask needs the same atoms in "
                    "every frame" + ("" if "id" in table else ": dump the atom id too")
                )


def _check_types(table: Columns) -> None:
    """Raise FrameError if a type is no number from 1 on, or no label where others are labels."""
    types = table.get("type")
    if types is None:
        return
    if types.dtype.kind == "i":
        wrong = types[types < 1].tolist()
    else:
        wrong = [label for label in strings(np.unique(types)) if label[0] in "0123456789#*"]
    if wrong:
        raise FrameError(
            f"column type: expected numbers from 1 on or labels of types, found {wrong[0]}"
        )


def by_id(table: Columns) -> Columns:
    """Return the atoms in the order of their ids, where there are any."""
    if "id" not in table or (table["id"][1:] >= table["id"][:-1]).all():
        return table
    order = np.argsort(table["id"], kind="stable")
    return {name: values[order] for name, values in table.items()}


def coordinates(header: Header, table: Columns) -> FloatArray:
    """Return the coordinates in the file's unit."""
    names = convention(header.columns)
    xyz = np.stack([table[name] for name in names], axis=1)
    return xyz @ header.cell + header.origin if _CONVENTIONS[names] else xyz
