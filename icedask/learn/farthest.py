"""Farthest-point sampling: rows that are far from all rows chosen before."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from icedask.core.types import FloatArray
from icedask.kernels.jit import jit


def farthest_rows(candidates: FloatArray, chosen: FloatArray, n: int) -> npt.NDArray[np.int64]:
    """Choose candidates one by one, each the farthest from all chosen so far.

    Parameters
    ----------
    candidates
        (n_candidates, n_features).
    chosen
        (n_chosen, n_features) rows that are there already.
    n
        How many to add; fewer if no others are left that differ.

    Returns
    -------
    (n,) array
        Places among the candidates, in the order of the choice.

    References
    ----------
    Gonzalez, doi:10.1016/0304-3975(85)90224-5
    """
    distance = cKDTree(chosen).query(candidates)[0] ** 2
    return _farthest(np.ascontiguousarray(candidates), distance, n)


@jit
def _farthest(rows: FloatArray, squared: FloatArray, n: int) -> npt.NDArray[np.int64]:
    found = np.empty(n, np.int64)
    for number in range(n):
        best = 0
        for row in range(len(rows)):
            if squared[row] > squared[best]:
                best = row
        if not squared[best] > 0:
            return found[:number]
        found[number] = best
        for row in range(len(rows)):
            total = 0.0
            for k in range(rows.shape[1]):
                total += (rows[row, k] - rows[best, k]) ** 2
            if total < squared[row]:
                squared[row] = total
    return found
