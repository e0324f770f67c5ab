"""From pairs in any order, each listed once, to rows of neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icedask.jit import jit
from icedask.neighbors import FloatArray, IntArray


@jit
def pair_rows(
    n_atoms: int,
    first: npt.NDArray[np.uint64],
    second: npt.NDArray[np.uint64],
    distances: FloatArray,
    vectors: FloatArray,
    r_cut: float,
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Return row starts, neighbours, vectors and distances; pairs closer than r_cut, both ways."""
    starts = np.zeros(n_atoms + 1, np.int64)
    for pair in range(len(first)):
        if distances[pair] < r_cut:
            starts[np.int64(first[pair]) + 1] += 1
            starts[np.int64(second[pair]) + 1] += 1
    for atom in range(n_atoms):
        starts[atom + 1] += starts[atom]
    n_pairs = starts[n_atoms]
    indices = np.empty(n_pairs, np.int64)
    row_vectors = np.empty((n_pairs, 3))
    row_distances = np.empty(n_pairs)
    place = starts[:-1].copy()
    for pair in range(len(first)):
        if distances[pair] < r_cut:
            i, j = np.int64(first[pair]), np.int64(second[pair])
            there, back = place[i], place[j]
            if i == j:  # an atom and its image: both entries go into one row
                back += 1
            place[i] += 1
            place[j] += 1
            indices[there], indices[back] = j, i
            row_distances[there] = row_distances[back] = distances[pair]
            for axis in range(3):
                row_vectors[there, axis] = vectors[pair, axis]
                row_vectors[back, axis] = -vectors[pair, axis]
    return starts, indices, row_vectors, row_distances
