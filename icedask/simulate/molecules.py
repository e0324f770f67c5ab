"""Rigid molecules in periodic cells: reduced cells, wrapping, layers, shears.

Molecules are arrays (n_molecules, n_sites, 3), cells (3, 3) with vectors in rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.kernels.neighbors import Neighbors, neighbor_list

# Bounds of the thickness of a sheared layer: thinner ones are part of one molecular layer.
_THICKNESS = (0.2, 0.8)
# Closer oxygens cost some 100 kJ/mol, and may let a hydrogen fall onto another molecule's charge.
_CONTACT = 2.4
_TRIALS = 50
_MAX_SWEEPS = 1000


def reduced(cell: FloatArray) -> FloatArray:
    """Return the reduced cell of a lattice, from a lower triangular one.

    It is lower triangular, and no vector is tilted by more than half of another.
    """
    a, b, c = np.array(cell, float)
    c -= b * np.round(c[1] / b[1])
    c -= a * np.round(c[0] / a[0])
    b -= a * np.round(b[0] / a[0])
    # Rounding may leave a tilt of one half plus a bit, which OpenMM refuses.
    b[0] = np.clip(b[0], -a[0] / 2, a[0] / 2)
    c[0] = np.clip(c[0], -a[0] / 2, a[0] / 2)
    c[1] = np.clip(c[1], -b[1] / 2, b[1] / 2)
    return np.array([a, b, c])


def to_standard(positions: FloatArray, cell: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotate positions (n_atoms, 3) so that their cell is lower triangular, and reduce the cell.

    Raises InputError if the cell is left-handed or has no volume.
    """
    volume = float(np.linalg.det(cell))
    if not volume > 0:
        raise InputError(
            f"start structure: expected a right-handed cell, found one of volume {volume:g} cubic "
            "angstrom; give three cell vectors, or swap two"
        )
    # cell.T = Q R: the columns of Q are the axes along which the cell is triangular.
    axes, triangle = np.linalg.qr(np.asarray(cell, float).T)
    axes = axes * np.sign(np.diag(triangle))
    standard = np.tril(np.asarray(cell, float) @ axes)
    return np.asarray(positions, float) @ axes, reduced(standard)


def wrap(molecules: FloatArray, cell: FloatArray) -> FloatArray:
    """Wrap whole molecules so that the first site of each lies in the cell."""
    return molecules - (np.floor(molecules[:, 0] @ np.linalg.inv(cell)) @ cell)[:, None]


def whole(molecules: FloatArray, cell: FloatArray) -> FloatArray:
    """Move sites to the image nearest to the first site of their molecule.

    Right where a molecule is smaller than half of the cell's widths.
    """
    apart = (molecules - molecules[:, :1]) @ np.linalg.inv(cell)
    return molecules - np.round(apart) @ cell


def in_layer(
    molecules: FloatArray, cell: FloatArray, axis: int, low: float, high: float
) -> npt.NDArray[np.bool_]:
    """Return a mask of the molecules whose first site is in a layer.

    Bounds are fractions of a cell vector; a layer beyond 1 continues at the other face.
    """
    fraction = molecules[:, 0] @ np.linalg.inv(cell)[:, axis]
    inside: npt.NDArray[np.bool_] = (fraction - low) % 1.0 < high - low
    return inside


def shear(molecules: FloatArray, cell: FloatArray, random: np.random.Generator) -> FloatArray:
    """Shift a random layer of molecules rigidly, at random within its plane; angstrom.

    The layer is cut between two faces of the cell, anywhere along any of the cell vectors, and
    shifted by any fractions of the two others. The shift is that of some random ones which brings
    the fewest molecules into contact; these are then pushed apart, whole and in their orientation.
    Raises InputError if the molecules cannot be pushed apart.
    """
    best, fewest = molecules, np.inf
    for _ in range(_TRIALS):
        axis = int(random.integers(3))
        low, thickness = random.random(), random.uniform(*_THICKNESS)
        shift = random.random(3)
        shift[axis] = 0.0
        moves = in_layer(molecules, cell, axis, low, low + thickness)
        if not moves.any() or moves.all():
            continue
        sheared = molecules + np.where(moves, 1.0, 0.0)[:, None, None] * (shift @ cell)
        contacts = len(_contacts(sheared, cell).indices)
        if contacts < fewest:
            best, fewest = sheared, contacts
        if not contacts:
            break
    return _push_apart(best, cell)


def _contacts(molecules: FloatArray, cell: FloatArray) -> Neighbors:
    return neighbor_list(molecules[:, 0], cell, [True] * 3, _CONTACT)


def _push_apart(molecules: FloatArray, cell: FloatArray) -> FloatArray:
    """Move whole molecules until none are in contact."""
    for _ in range(_MAX_SWEEPS):
        pairs = _contacts(molecules, cell)
        if not len(pairs.indices):
            return molecules
        # A little more than half of what is missing, or the last contacts would never end.
        push = (0.55 * (_CONTACT - pairs.distances) + 0.005) / np.maximum(pairs.distances, 1e-3)
        moved = np.zeros_like(molecules[:, 0])
        np.subtract.at(moved, pairs.rows, pairs.vectors * push[:, None])
        molecules = molecules + moved[:, None]
    raise InputError(
        f"shear: expected a structure whose molecules can be {_CONTACT} angstrom apart, found one "
        "that is too dense; begin with a less dense one"
    )
