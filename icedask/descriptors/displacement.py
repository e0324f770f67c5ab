"""Displacements of atoms from a frame to a later one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, Delay
from icedask.core.trajectory import check_atom_order, check_delay
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.kernels.jit import jit
from icedask.kernels.lattice import inverse, reduced, transformed
from icedask.kernels.neighbors import complete_cell

# What the window keeps of a frame: positions of the centres, the cell, periodicity.
Kept = tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]


def keep_positions(frame: Frame) -> Kept:
    """Return positions of the centres, the cell without open directions, and periodicity."""
    return frame.positions[frame.centers], frame.cell * frame.pbc[:, None], frame.pbc


def reduced_cell(cell: FloatArray, pbc: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the shortest vectors of the lattice of the periodic directions, others normal to them.

    With them the closest lattice point is reached by steps of -1, 0, 1 along each.
    """
    return reduced(complete_cell(cell), pbc)


@jit
def shortest_lengths(
    steps: FloatArray, cell: FloatArray, inverse: FloatArray, pbc: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Return the lengths of the shortest images of vectors, in a reduced cell."""
    result = np.empty(len(steps), np.float32)
    shifts = np.zeros((27, 3))
    n_shifts = 0
    shortest = np.inf
    for code in range(27):
        numbers = (code // 9 - 1, code // 3 % 3 - 1, code % 3 - 1)
        inside = code != 13  # of all zeros
        for axis in range(3):
            inside = inside and (pbc[axis] or numbers[axis] == 0)
        if inside:
            for axis in range(3):
                for k in range(3):
                    shifts[n_shifts, k] += numbers[axis] * cell[axis, k]
            shortest = min(shortest, np.sum(shifts[n_shifts] ** 2))
            n_shifts += 1
    step = np.empty(3)
    for row in range(len(steps)):
        step[:] = steps[row]
        for axis in range(3):
            if pbc[axis]:
                fraction = 0.0
                for k in range(3):
                    fraction += steps[row, k] * inverse[k, axis]
                for k in range(3):
                    step[k] -= np.round(fraction) * cell[axis, k]
        length = step[0] ** 2 + step[1] ** 2 + step[2] ** 2
        # Below half the shortest lattice vector nothing is shorter. Else descend: a vector that no
        # neighbouring lattice point shortens is the shortest of all.
        best = 0
        while best >= 0 and 4 * length > shortest:
            best = -1
            for shift in range(n_shifts):
                x, y, z = step + shifts[shift]
                moved = x * x + y * y + z * z
                if moved < length:
                    length, best = moved, shift
            if best >= 0:
                step += shifts[best]
        result[row] = np.sqrt(length)
    return result


def displacements(window: Sequence[Kept]) -> npt.NDArray[np.float32]:
    """Return the distance from the first to the last frame of a window, (n_centers,)."""
    before, before_cell, pbc = window[0]
    after, after_cell, _ = window[-1]
    steps = after - before
    if not np.array_equal(before_cell, after_cell):
        fractions = transformed(before, inverse(complete_cell(before_cell)))
        fractions += transformed(after, inverse(complete_cell(after_cell)))
        # What the cell carried along: the rest is the fractional step in the mean cell.
        steps -= transformed(fractions / 2, after_cell - before_cell)
    cell = reduced_cell((before_cell + after_cell) / 2, pbc)
    return shortest_lengths(steps, cell, inverse(cell), pbc)


@descriptor(
    variable=Variable(
        "displacement", (FRAME, ATOM), "float32", "angstrom", "distance moved in the delay"
    ),
    version=1,
    example={"delay": 2},
)
def displacement(trj: xr.Dataset, *, delay: Delay = 1, centers: Centers = None) -> Kernel:
    """Distance that each atom moves from a frame to a later one; lazy.

    The length of the shortest periodic image of r_i(t + delay) - r_i(t), in any cell, whether
    coordinates are wrapped or not. It is never longer than half the diagonal of the cell: choose a
    delay in which no atom moves half as far as the shortest period. Where the cell changes, its
    deformation is no motion: the step is the difference of the fractional coordinates, from the
    origin of coordinates, times the mean of the two cells.

    {parameters}

    {returns}. Its value at frame t is the distance to
        frame t + delay; the last `delay` frames are NaN.

    {raises}, the trajectory is not longer than the delay or its frames
        are not evenly spaced in time.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase import Atoms
    >>> frames = [Atoms("O", [[x, 1, 1]], cell=[4, 4, 4], pbc=True) for x in (0.5, 3.5)]
    >>> float(ice.displacement(ice.from_ase(frames))["displacement"][0, 0])
    1.0
    """
    check_delay(trj, delay, "displacement")
    check_atom_order(trj, "displacement")
    return Kernel(displacements, "float32", halo=delay, keep=keep_positions, attrs={"delay": delay})
