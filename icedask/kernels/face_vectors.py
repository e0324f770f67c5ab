"""From faces of Voronoi cells with rough vectors to exact ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray
from icedask.kernels.jit import jit


@jit
def face_vectors(
    first: npt.NDArray[np.uint32],
    second: npt.NDArray[np.uint32],
    rough: npt.NDArray[np.float32],
    inverse: FloatArray,
    fractional: FloatArray,
    cell: FloatArray,
    pbc: npt.NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return the vector from atom to neighbour of each face, its length, and the open atoms.

    The rough vectors tell which image of the neighbour is meant; `inverse` turns them, as rows, to
    units of the cell. An atom is open that has a face with an image along a direction that is not
    periodic.
    """
    vectors = np.empty((len(first), 3))
    distances = np.empty(len(first))
    is_open = np.zeros(len(fractional), np.bool_)
    apart = np.empty(3)
    for face in range(len(first)):
        i, j = first[face], second[face]
        for axis in range(3):
            direct = fractional[j, axis] - fractional[i, axis]
            shift = -direct
            for k in range(3):
                shift += rough[face, k] * inverse[k, axis]
            image = np.round(shift)
            apart[axis] = direct + image
            if image != 0 and not pbc[axis]:
                is_open[i] = True
        square = 0.0
        for axis in range(3):
            vectors[face, axis] = (
                apart[0] * cell[0, axis] + apart[1] * cell[1, axis] + apart[2] * cell[2, axis]
            )
            square += vectors[face, axis] ** 2
        distances[face] = np.sqrt(square)
    return vectors, distances, is_open
