"""Radial structure functions: Gaussian counts of neighbours about the mean nearest distance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, Option, Species
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.kernels.cells import Bins, make_bins
from icedask.kernels.jit import jit
from icedask.kernels.neighbors import with_images, wrap
from icedask.kernels.simd import WIDTH, fma, load, splat, total

# Standard deviations from its centre at which a Gaussian is cut: it is 2e-8 there.
_TAIL = 6.0


@jit
def distances_within(
    bins: Bins, own: IntArray, center: int, place: FloatArray, reach: float, near: FloatArray
) -> int:
    """List the distances from a centre to the other points within reach; return how many."""
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for axis in range(3):
        low, end = bins.low[axis], bins.shape[axis] - 1
        first[axis] = min(max(int((place[axis] - reach - low) / bins.edge), 0), end)
        last[axis] = min(max(int((place[axis] + reach - low) / bins.edge), 0), end)
    n = 0
    for x in range(first[0], last[0] + 1):
        for y in range(first[1], last[1] + 1):
            row = (x * bins.shape[1] + y) * bins.shape[2]
            for point in range(bins.starts[0, row + first[2]], bins.starts[0, row + last[2] + 1]):
                square = 0.0
                for axis in range(3):
                    square += (bins.points[axis, point] - place[axis]) ** 2
                # What is not counted is overwritten by the next.
                near[n] = np.sqrt(square)
                n += (square <= reach * reach) & (own[bins.order[point]] != center)
    return n


@jit
def gaussian_sum(offsets: FloatArray, n_vectors: int, center: float) -> float:
    """Return the sum of exp(-x^2 / 2) over x = offset - center.

    The exponential is 1 / p^32 with p = exp(x^2 / 64) by its series, exact to 1e-11. All terms of
    the series are positive: no x needs a branch, not even infinity.
    """
    unit, sums = splat(1.0), splat(0.0)
    for vector in range(n_vectors):
        x = load(offsets, vector) - splat(center)
        y = x * x * splat(1 / 64)
        p = fma(y, splat(1 / 5040), splat(1 / 720))
        p = fma(p, y, splat(1 / 120))
        p = fma(p, y, splat(1 / 24))
        p = fma(p, y, splat(1 / 6))
        p = fma(p, y, splat(1 / 2))
        p = fma(fma(p, y, unit), y, unit)
        p2 = p * p
        p4 = p2 * p2
        p8 = p4 * p4
        p16 = p8 * p8
        sums = sums + unit / (p16 * p16)
    return total(sums)


@jit
def gaussian_sums(
    bins: Bins,
    own: IntArray,
    centers: IntArray,
    places: FloatArray,
    reach: FloatArray,
    means: FloatArray,
    mu: FloatArray,
    sigma: float,
    window: tuple[float, float],
) -> FloatArray:
    """Return the sum of Gaussians over the neighbours, (n_centers, n_means, n_mu).

    No distance is longer than `reach` of the centre; 0 where a mean is NaN. Distances over sigma
    times the mean that are outside the window add nothing.
    """
    result = np.empty((len(means), means.shape[1], len(mu)))
    size = len(bins.order) + WIDTH
    near, scaled = np.empty(size), np.empty(size)
    for row in range(len(means)):
        n_near = distances_within(bins, own, centers[row], places[row], reach[row], near)
        for number in range(means.shape[1]):
            unit = means[row, number] * sigma
            n = 0
            for neighbor in range(n_near):
                scaled[n] = near[neighbor] / unit
                n += (scaled[n] > window[0]) & (scaled[n] < window[1])
            n_vectors = -(-n // WIDTH)
            scaled[n : n_vectors * WIDTH] = np.inf
            for column in range(len(mu)):
                center = mu[column] / sigma
                result[row, number, column] = gaussian_sum(scaled, n_vectors, center)
    return result


def mean_distances(frame: Frame, n_neighbors: Sequence[int]) -> FloatArray:
    """Return the mean distance of the N nearest of each centre, (n_centers, n_N).

    NaN where there are fewer, or all are at the place of the centre.
    """
    distances = frame.nearest(max(n_neighbors)).distances[frame.centers]
    counts = np.array(n_neighbors)
    means: FloatArray = distances.cumsum(axis=1)[:, counts - 1] / counts
    return np.where(np.isfinite(means) & (means > 0), means, np.nan)


def radial_structure(
    frame: Frame, n_neighbors: Sequence[int], mu: Sequence[float], sigma: float
) -> npt.NDArray[np.float32]:
    """Return the functions of each centre, (n_centers, n_N * n_mu).

    Each centre has its own reach: one list for the longest would be far too long where a few atoms
    of a vapour see further than the liquid does.
    """
    means = mean_distances(frame, n_neighbors)
    reach = np.fmax.reduce(means, axis=1, initial=0) * (max(mu) + _TAIL * sigma)
    if not reach.any():
        return np.full((len(means), means.shape[1] * len(mu)), np.nan, np.float32)
    used = np.flatnonzero(frame.environment)
    points, _ = with_images(frame.positions[used], frame.cell, frame.pbc, float(reach.max()))
    own = np.full(len(points), -1)
    own[: len(used)] = used
    places, _ = wrap(frame.positions[frame.centers], frame.cell, frame.pbc)
    kind = np.zeros(len(points), np.int64)
    bins = make_bins(points, kind, 1, places, 0.5 * float(np.median(reach[reach > 0])))
    window = (min(mu) / sigma - _TAIL, max(mu) / sigma + _TAIL)
    sums = gaussian_sums(
        bins, own, frame.centers, places, reach, means, np.array(mu), sigma, window
    )
    sums[np.isnan(means)] = np.nan
    return sums.reshape(len(means), -1).astype(np.float32)


@descriptor(
    variable=Variable(
        "radial_structure_function",
        (FRAME, ATOM, "radial_function"),
        "float32",
        "1",
        "neighbours about a multiple of the mean distance of the nearest, counted by a Gaussian",
        "doi:10.1103/PhysRevMaterials.6.043801",
    ),
    version=1,
    example={"n_neighbors": [2, 4, 7], "mu": [0.9, 1.0, 1.1]},
)
def radial_structure_functions(
    trj: xr.Dataset,
    *,
    n_neighbors: Annotated[
        Sequence[int],
        Option("Numbers of nearest neighbours in the mean distance.", at_least=1, at_most=1000),
    ] = tuple(range(2, 17)),
    mu: Annotated[
        Sequence[float], Option("Centres of the Gaussians in mean distances.", above=0, at_most=10)
    ] = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15),
    sigma: Annotated[
        float, Option("Standard deviation of the Gaussians in mean distances.", above=0, at_most=1)
    ] = 0.05,
    centers: Centers = None,
    species: Species = None,
) -> Kernel:
    """Radial structure functions of the data-centric crystal classifier DC3; lazy.

    For each N of n_neighbors, with r_N the mean distance of the N nearest neighbours of the atom,
    and for each mu,

    G = sum over all neighbours j of exp(-(r_j / r_N - mu)^2 / (2 sigma^2)):

    a smooth count of the neighbours at mu times r_N, the same for a crystal and its dilated copy.
    The sum is over every neighbour, periodic images too, not over the N nearest only, as in the
    programs that the authors published. They cut it at 1 + 4 sigma times the largest r_N of the
    frame, within the Gaussians of the largest mu; here it goes on until the Gaussians are below
    2e-8, so that an atom's values depend on its surroundings alone.

    {parameters}

    {returns}, by N and then by mu; the
        coordinates n_neighbors and mu name them. NaN where there are fewer than N
        neighbours, or the N nearest are all at the place of the atom itself.

    {raises}, or the trajectory has none of the species.

    References
    ----------
    Chung, Freitas, Cheon and Reed, Phys. Rev. Mater. 6, 043801 (2022),
    doi:10.1103/PhysRevMaterials.6.043801

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2))
    >>> found = ice.radial_structure_functions(trj, n_neighbors=[12], mu=[0.95, 1.0])
    >>> found["radial_structure_function"].values[0, 0].round(3)
    array([ 7.278, 12.   ], dtype=float32)
    """
    return Kernel(
        partial(radial_structure, n_neighbors=n_neighbors, mu=mu, sigma=sigma),
        "float32",
        nearest=max(n_neighbors),
        width=len(n_neighbors) * len(mu),
        coords={
            "n_neighbors": np.repeat(n_neighbors, len(mu)),
            "mu": np.tile(mu, len(n_neighbors)),
        },
        species=species,
    )
