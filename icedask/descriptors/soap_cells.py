"""The arrays that the SOAP kernel works on: cell list, tables, scratch memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt

from icedask.descriptors.contract import Frame
from icedask.descriptors.soap_basis import Basis, radial_table
from icedask.descriptors.soap_kernel import (
    BLOCK,
    STRIDE,
    VECTOR_BYTES,
    harmonic_norms,
    power_spectra,
    sort_into_bins,
)
from icedask.neighbors import FloatArray, IntArray, with_images

# Bins of half the reach: few candidates for each centre, and some centres to share them.
_BINS_PER_REACH = 2
_CACHE_LINE = 64


def _aligned(size: int, dtype: str) -> npt.NDArray[Any]:
    """Return zeros that begin at a cache line, so that no vector straddles two."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size + _CACHE_LINE // itemsize, dtype)
    skip = -raw.ctypes.data % _CACHE_LINE // itemsize
    return raw[skip : skip + size]


def _bins(points: FloatArray, low: FloatArray, edge: float, shape: IntArray) -> IntArray:
    index = np.clip(((points - low) / edge).astype(np.int64), 0, shape - 1)
    return (index[:, 0] * shape[1] + index[:, 1]) * shape[2] + index[:, 2]


def _cells(
    points: FloatArray, species: IntArray, n_species: int, centers: FloatArray, reach: float
) -> tuple[Any, ...]:
    """Sort the points of each species, and the centres, into cubic bins."""
    everything = np.concatenate([points, centers])
    low, high = everything.min(axis=0), everything.max(axis=0)
    edge = reach / _BINS_PER_REACH
    # Few atoms in a large empty space: bins are no more than points.
    while np.prod(np.floor((high - low) / edge) + 1) > 8 * len(everything) + 64:
        edge *= 1.26
    shape = np.floor((high - low) / edge).astype(np.int64) + 1
    n_bins = int(np.prod(shape))
    bins = _bins(points, low, edge, shape)
    start, order = sort_into_bins(species * n_bins + bins, n_species * n_bins)
    starts = np.stack([start[s * n_bins : (s + 1) * n_bins + 1] for s in range(n_species)])
    center_start, center_order = sort_into_bins(_bins(centers, low, edge, shape), n_bins)
    stencil = int(np.ceil(reach / edge))
    sorted_points = np.ascontiguousarray(points[order].T)
    return sorted_points, starts, shape, edge, low, stencil, reach, center_start, center_order


@lru_cache(maxsize=8)
def _places(
    n_species: int, n_max: int, l_max: int, n_padded: int, layout: str
) -> tuple[IntArray, IntArray]:
    """Return the pairs of species, and where in their padded squares each component stands."""
    pairs = list(combinations_with_replacement(range(n_species), 2))
    places = [
        ((pair * (l_max + 1) + degree) * n_padded + n_a) * n_padded + n_b
        for pair, (a, b) in enumerate(pairs)
        for degree in range(l_max + 1)
        for n_a in range(n_max)
        for n_b in range(n_a if a == b and layout == "compact" else 0, n_max)
    ]
    return np.array(pairs), np.array(places)


def power_spectrum(
    frame: Frame,
    centers: IntArray,
    species: Sequence[int],
    basis: Basis,
    layout: str,
    dtype: str,
) -> npt.NDArray[Any]:
    """Return the SOAP vectors of some atoms, (n_centers, n_components).

    Parameters
    ----------
    frame
        All atoms.
    centers : (n_centers,) int
        Atoms to describe.
    species
        Atomic numbers of the environment, growing.
    basis
        Radial functions and degrees.
    layout
        "compact" or "full".
    dtype
        "float32" or "float64": the precision of the whole pass.
    """
    width = VECTOR_BYTES // np.dtype(dtype).itemsize
    n_padded = -(-basis.n_max // width) * width
    pairs, places = _places(len(species), basis.n_max, basis.l_max, n_padded, layout)
    out = np.zeros((len(centers), len(places)), dtype)
    points, source = with_images(frame.positions, frame.cell, frame.pbc, basis.reach)
    use = np.isin(frame.numbers[source], species)
    if not use.any() or not len(centers):
        return out
    kinds = np.searchsorted(species, frame.numbers[source[use]])
    places_of_centers = np.ascontiguousarray(points[centers])
    cells = _cells(points[use], kinds, len(species), places_of_centers, basis.reach)
    table, frequency = radial_table(basis, n_padded, dtype)
    n_points, n_degrees = int(use.sum()), basis.l_max + 1
    scratch = (
        # One place more than needed: what is not kept is overwritten by the next.
        np.empty((3, n_points + 1)),
        np.empty(n_points),
        np.empty(n_points + 1, np.int64),
        _aligned(4 * BLOCK, "float64"),
        _aligned(BLOCK, "int32"),
        _aligned(n_degrees**2 * STRIDE, dtype),
        _aligned(n_degrees * BLOCK * n_padded, dtype),
        _aligned(4 * BLOCK, dtype),
    )
    power_spectra(
        cells,
        places_of_centers,
        table,
        frequency,
        np.tile(np.repeat(harmonic_norms(basis.l_max), n_padded), len(species)).astype(dtype),
        scratch,
        _aligned(len(species) * n_degrees**2 * n_padded, dtype),
        _aligned(len(pairs) * n_degrees * n_padded**2, dtype),
        pairs,
        places,
        # The kernel is specialised by the lengths of these.
        (0,) * n_degrees,
        (0,) * (n_padded // width),
        width,
        out,
    )
    return out
