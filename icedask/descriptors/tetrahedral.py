"""The shell of nearest neighbours: tetrahedrality, local structure index, distances."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, Option, OwnSpecies, Species
from icedask.core.trajectory import own_species
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.kernels.jit import jit


@jit
def angular_deviation(centers: IntArray, vectors: FloatArray, distances: FloatArray) -> FloatArray:
    """Return the sum of (cos theta + 1/3)^2 over the pairs of the four nearest, (n_centers,).

    NaN where there are fewer than four.
    """
    result = np.empty(len(centers))
    unit = np.empty((4, 3))
    for row, center in enumerate(centers):
        for k in range(4):
            for axis in range(3):
                unit[k, axis] = vectors[center, k, axis] / distances[center, k]
        total = 0.0
        for i in range(3):
            for j in range(i + 1, 4):
                cosine = 0.0
                for axis in range(3):
                    cosine += unit[i, axis] * unit[j, axis]
                total += (cosine + 1 / 3) ** 2
        result[row] = total
    return result


def tetrahedrality(frame: Frame, measure: str) -> npt.NDArray[np.float32]:
    """Return q or A of each centre, (n_centers,)."""
    nearest = frame.nearest(4)
    deviation = angular_deviation(frame.centers, nearest.vectors, nearest.distances)
    if measure == "q":
        deviation = 1 - 3 * deviation / 8
    return deviation.astype(np.float32)


@jit
def gap_variance(centers: IntArray, counts: IntArray, distances: FloatArray) -> FloatArray:
    """Return the variance of the first counts[i] gaps between sorted distances, (n_centers,).

    NaN where the first shell is empty, or no neighbour follows it.
    """
    result = np.empty(len(centers))
    for row, center in enumerate(centers):
        n_gaps = counts[center]
        mean = (distances[center, n_gaps] - distances[center, 0]) / n_gaps
        total = 0.0
        for k in range(n_gaps):
            total += (distances[center, k + 1] - distances[center, k] - mean) ** 2
        variance = total / n_gaps
        result[row] = variance if np.isfinite(variance) else np.nan
    return result


def structure_index(frame: Frame, r_cut: float) -> npt.NDArray[np.float32]:
    """Return the local structure index of each centre, (n_centers,)."""
    counts = frame.neighbors(r_cut).counts
    most = int(counts[frame.centers].max(initial=0))
    distances = frame.nearest(most + 1).distances
    return gap_variance(frame.centers, counts, distances).astype(np.float32)


def sorted_distances(frame: Frame, n_neighbors: int) -> npt.NDArray[np.float32]:
    """Return the distances to the nearest neighbours, (n_centers, n_neighbors)."""
    distances = frame.nearest(n_neighbors).distances[frame.centers]
    return np.where(np.isfinite(distances), distances, np.nan).astype(np.float32)


@descriptor(
    variable=Variable(
        "tetrahedral",
        (FRAME, ATOM),
        "float32",
        "1",
        "tetrahedral order of the four nearest neighbours",
        "doi:10.1038/35053024",
    ),
    version=1,
    example={},
)
def tetrahedral(
    trj: xr.Dataset,
    *,
    measure: Annotated[str, Option("Order parameter q or deviation A.", choices=("q", "A"))] = "q",
    centers: Centers = None,
    species: OwnSpecies = None,
) -> Kernel:
    """Tetrahedral order of the four nearest neighbours; lazy.

    A is the sum of (cos theta + 1/3)^2 over the six pairs of bonds to the four nearest neighbours
    with angle theta between them; q = 1 - 3 A / 8. In a perfect tetrahedron A = 0 and q = 1; for
    directions at random A is 8/3 and q is 0 on average. For water choose the oxygens:
    centers="element O".

    {parameters}

    {returns}. NaN where there are fewer than four neighbours, or one
        is at the place of the atom itself.

    {raises}, or the trajectory has none of the species.

    References
    ----------
    Errington and Debenedetti, Nature 409, 318 (2001), doi:10.1038/35053024

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("O", "diamond", a=6.37, cubic=True))
    >>> round(float(ice.tetrahedral(trj)["tetrahedral"][0, 0]), 4)
    1.0
    """
    chosen = own_species(trj, centers, species)
    return Kernel(
        partial(tetrahedrality, measure=measure),
        "float32",
        nearest=4,
        species=chosen,
        parameters={"species": chosen},
        attrs={"measure": measure},
    )


@descriptor(
    variable=Variable(
        "local_structure_index",
        (FRAME, ATOM),
        "float32",
        "angstrom^2",
        "variance of the gaps between the distances of successive neighbours",
        "doi:10.1063/1.471475",
    ),
    version=1,
    example={"r_cut": 3.7},
)
def local_structure_index(
    trj: xr.Dataset,
    *,
    r_cut: Annotated[
        float, Option("Cutoff radius: the gap across it is the last.", "angstrom", above=0)
    ] = 3.7,
    centers: Centers = None,
    species: OwnSpecies = None,
) -> Kernel:
    """Local structure index: how unevenly the neighbours are spaced; lazy.

    With the n neighbours closer than r_cut at r_1 <= ... <= r_n and the next at r_(n+1) >= r_cut,
    it is the variance of the n gaps r_(j+1) - r_j: their mean square deviation from their mean.
    It is large where a gap separates the first shell of neighbours from the second, and 0 where
    only one neighbour is closer than r_cut. For water choose the oxygens: centers="element O",
    species=["O"].

    {parameters}

    {returns}. NaN where no neighbour is closer
        than r_cut, or none follows beyond it.

    {raises}, the cutoff needs more memory than a task may use, or the
        trajectory has none of the species.

    References
    ----------
    Shiratani and Sasai, J. Chem. Phys. 104, 7671 (1996), doi:10.1063/1.471475

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("O", "diamond", a=6.37, cubic=True))
    >>> index = ice.local_structure_index(trj)["local_structure_index"]
    >>> round(float(index[0, 0]), 3)  # three gaps of 0 and one of 1.746 angstrom
    0.572
    """
    chosen = own_species(trj, centers, species)
    return Kernel(
        partial(structure_index, r_cut=r_cut),
        "float32",
        r_cut,
        species=chosen,
        parameters={"species": chosen},
    )


@descriptor(
    variable=Variable(
        "neighbor_distance",
        (FRAME, ATOM, "neighbor"),
        "float32",
        "angstrom",
        "distance to each of the nearest neighbours",
    ),
    coords=[Variable("neighbor", ("neighbor",), "int64", "1", "rank of the neighbour by distance")],
    version=1,
    example={"n_neighbors": 6},
)
def neighbor_distances(
    trj: xr.Dataset,
    *,
    n_neighbors: Annotated[
        int, Option("Number of nearest neighbours.", at_least=1, at_most=1000)
    ] = 5,
    centers: Centers = None,
    species: Species = None,
) -> Kernel:
    """Distances to the nearest neighbours, the nearest first; lazy.

    The fifth, d5, is short where an interstitial molecule of water is in the first shell. For
    water choose the oxygens: centers="element O", species=["O"].

    {parameters}

    {returns}; the coordinate neighbor
        counts from 1. NaN where there are fewer neighbours.

    {raises}, or the trajectory has none of the species.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", a=4.0, cubic=True))
    >>> distances = ice.neighbor_distances(trj, n_neighbors=13)["neighbor_distance"]
    >>> distances.sel(neighbor=[12, 13]).values[0, 0].round(3)
    array([2.828, 4.   ], dtype=float32)
    """
    return Kernel(
        partial(sorted_distances, n_neighbors=n_neighbors),
        "float32",
        nearest=n_neighbors,
        width=n_neighbors,
        coords={"neighbor": np.arange(1, n_neighbors + 1)},
        species=species,
    )
