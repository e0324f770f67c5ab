"""Boundaries of a LAMMPS dump: stated by its headers, or given where they are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.readers.lammps_header import Header

_FLAT = 1e-6  # of the height of the box
_THIN = 1.2  # spacings of the atoms in the plane


def _axes(pbc: Sequence[bool] | npt.NDArray[np.bool_]) -> str:
    return "".join(axis for axis, periodic in zip("xyz", pbc, strict=True) if periodic) or "none"


def is_flat(xyz: FloatArray, header: Header) -> bool:
    """Return whether the first frame is like one of a two-dimensional run.

    LAMMPS states such a run as periodic along z. All its atoms are at one height: at z = 0 in a box
    around it, or in a box about as high as the spacing of its atoms, or lower. A single atom is at
    one height in any run: then the box has to be lower than it is wide.
    """
    low = header.origin[2]
    return _is_plane(xyz, header.cell, around_zero=low < 0 < low + header.cell[2, 2])


def is_flat_without_origin(xyz: FloatArray, cell: FloatArray) -> bool:
    """Return `is_flat` for a file of LAMMPS that does not state where its box begins.

    Three atoms are in one plane in any run.
    """
    return _is_plane(xyz, cell, around_zero=len(xyz) not in (2, 3))


def _is_plane(xyz: FloatArray, cell: FloatArray, *, around_zero: bool) -> bool:
    height = cell[2, 2]
    if not np.linalg.det(cell) > 0:
        return False  # the checks of cells refuse it
    if np.ptp(xyz[:, 2]) > _FLAT * height:
        return False
    centred = around_zero and bool((np.abs(xyz[:, 2]) <= _FLAT * height).all())
    if len(xyz) == 1:
        return centred and height < 0.9 * min(cell[0, 0], cell[1, 1])
    area = np.linalg.norm(np.cross(cell[0], cell[1]))
    return centred or height <= _THIN * float(np.sqrt(area / len(xyz)))


def checked_boundaries(
    xyz: FloatArray, header: Header, chosen: tuple[bool, bool, bool] | None, path: str
) -> npt.NDArray[np.bool_]:
    """Return the periodic directions of a dump with this first frame.

    Raises InputError if the dump does not state them and they are not given, or both and they
    differ; the third direction of a flat system is always asked for.
    """
    stated = header.pbc
    if chosen is None:
        if stated is None:
            raise InputError(
                f"{path}: the dump does not state its boundaries, as in ITEM: BOX BOUNDS pp pp ff; "
                "give the periodic directions with pbc= (--pbc), for example --pbc xyz"
            )
        if stated[2] and is_flat(xyz, header):
            raise InputError(
                f"{path}: all atoms lie in one plane, and a dump of a run with dimension 2 states "
                f"a periodic z all the same; give pbc= (--pbc {_axes((*stated[:2], False))}) for "
                f"such a run, or --pbc {_axes(stated)} if z is periodic indeed"
            )
        return stated
    if stated is not None:
        free = 2 if stated[2] and is_flat(xyz, header) else 3
        if list(stated[:free]) != list(chosen[:free]):
            raise InputError(
                f"{path}: the dump states that it is periodic along {_axes(stated)}, pbc= (--pbc) "
                f"gives {_axes(chosen)}; leave pbc out"
            )
    return np.array(chosen, bool)
