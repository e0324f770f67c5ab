"""Sites of simple lattices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from icedask.errors import InputError

Lattice = Literal["fcc", "hcp", "bcc"]


def lattice_sites(
    lattice: Lattice, volume: float, repeats: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the sites of a lattice (n, 3), and the cell (3, 3), angstrom.

    Cells are cubic with four ("fcc") or two sites ("bcc"), or orthorhombic with four and the ratio
    of close-packed spheres ("hcp"). The volume is that of a site, cubic angstrom; `repeats` are
    cells along each cell vector. Raises InputError if one of them is not valid.
    """
    from ase.build import bulk

    check_repeats(repeats)
    if not 0 < volume < np.inf:
        raise InputError(f"volume: expected more than 0 cubic angstrom, found {volume:g}")
    if lattice == "hcp":
        a = np.cbrt(volume * np.sqrt(2))
        unit = bulk("X", "hcp", a=a, c=a * np.sqrt(8 / 3), orthorhombic=True)
    elif lattice in ("fcc", "bcc"):
        a = np.cbrt(volume * (4 if lattice == "fcc" else 2))
        unit = bulk("X", lattice, a=a, cubic=True)
    else:
        raise InputError(f"lattice: expected fcc, hcp or bcc, found {lattice}")
    whole = unit.repeat([int(number) for number in repeats])
    return whole.positions, whole.cell.array


def check_repeats(repeats: Sequence[int]) -> None:
    """Raise InputError unless these are three positive integers."""
    if len(repeats) != 3 or any(number != int(number) or number < 1 for number in repeats):
        raise InputError(f"repeats: expected three positive integers, found {repeats}")


def times(repeats: Sequence[int]) -> str:
    """Return numbers of cells in the form 3x3x4."""
    return "x".join(str(number) for number in repeats)
