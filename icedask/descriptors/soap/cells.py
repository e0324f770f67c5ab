"""The arrays that the SOAP kernel works on: cell list, tables, scratch memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.core.types import IntArray
from icedask.descriptors.frame import Frame
from icedask.descriptors.soap.basis import Basis, radial_table
from icedask.descriptors.soap.kernel import power_spectra
from icedask.descriptors.soap.steps import BLOCK, STRIDE, VECTOR_BYTES, harmonic_norms
from icedask.kernels.cells import make_bins
from icedask.kernels.neighbors import with_images
from icedask.kernels.simd import WIDTH

_CACHE_LINE = 64


def _aligned(size: int, dtype: str) -> npt.NDArray[Any]:
    """Return zeros that begin at a cache line, so that no vector straddles two."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size + _CACHE_LINE // itemsize, dtype)
    skip = -raw.ctypes.data % _CACHE_LINE // itemsize
    return raw[skip : skip + size]


@lru_cache(maxsize=8)
def _runs(
    n_species: int, n_max: int, l_max: int, n_padded: int, layout: str
) -> tuple[IntArray, IntArray]:
    """Return the pairs of species, and the place of each run of components before and after.

    A run is a row of a padded square: the components of a pair, degree and n, with n' that grows.
    """
    pairs = list(combinations_with_replacement(range(n_species), 2))
    runs, end = [], 0
    for pair, (a, b) in enumerate(pairs):
        for degree in range(l_max + 1):
            for n in range(n_max):
                first = n if a == b and layout == "compact" else 0
                row = ((pair * (l_max + 1) + degree) * n_padded + n) * n_padded
                runs.append((row + first, end))
                end += n_max - first
    return np.array(pairs), np.array(runs)


def power_spectrum(
    frame: Frame, centers: IntArray, species: Sequence[int], basis: Basis, layout: str, dtype: str
) -> npt.NDArray[Any]:
    """Return the SOAP vectors of some atoms, (n_centers, n_components).

    `species` are the atomic numbers of the environment, growing; `dtype` is the precision of the
    whole pass.
    """
    width = VECTOR_BYTES // np.dtype(dtype).itemsize
    n_padded = -(-basis.n_max // width) * width
    pairs, runs = _runs(len(species), basis.n_max, basis.l_max, n_padded, layout)
    n_components = int(runs[-1, 1]) + (1 if layout == "compact" else basis.n_max)
    out = np.zeros((len(centers), n_components), dtype)
    points, source = with_images(frame.positions, frame.cell, frame.pbc, basis.reach)
    places_of_centers = points[centers]
    kind_of_atom = np.full(len(frame.positions), -1)
    for kind, number in enumerate(species):
        kind_of_atom[frame.numbers == number] = kind
    kinds = kind_of_atom[source]
    if (kinds < 0).any():
        points, kinds = points[kinds >= 0], kinds[kinds >= 0]
    if not len(kinds) or not len(centers):
        return out
    bins = make_bins(points, kinds, len(species), places_of_centers, basis.reach)
    table, knots_at = radial_table(basis, n_padded, dtype)
    n_points, n_degrees = len(points), basis.l_max + 1
    scratch = (
        np.empty((3, n_points + 1)),
        np.empty(n_points + 1, np.int64),
        np.empty(n_points),
        np.empty(n_points + WIDTH, np.int32),
        _aligned(4 * BLOCK, "float64"),
        _aligned(BLOCK, "int32"),
        _aligned(n_degrees**2 * STRIDE, dtype),
        _aligned(n_degrees * BLOCK * n_padded, dtype),
        _aligned(4 * BLOCK, dtype),
        # Runs are copied in whole vectors, beyond their ends.
        _aligned(n_components + n_padded, dtype),
    )
    power_spectra(
        bins,
        places_of_centers,
        basis.reach,
        table,
        knots_at,
        np.tile(np.repeat(harmonic_norms(basis.l_max), n_padded), len(species)).astype(dtype),
        scratch,
        _aligned(len(species) * n_degrees**2 * n_padded, dtype),
        _aligned(len(pairs) * n_degrees * n_padded**2 + n_padded, dtype),
        pairs,
        runs,
        # The kernel is specialised by the lengths of these.
        (0,) * n_degrees,
        (0,) * (n_padded // width),
        width,
        out,
    )
    return out
