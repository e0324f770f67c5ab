"""Radial structure functions: Gaussian counts of neighbours about the mean nearest distance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, Option, Species
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.descriptors.radial import kernels
from icedask.kernels import cells
from icedask.kernels.neighbors import with_images, wrap

# Standard deviations from its centre at which a Gaussian is cut: it is 2e-8 there.
_TAIL = 6.0


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
    bins = cells.make_bins(points, kind, 1, places, 0.5 * float(np.median(reach[reach > 0])))
    window = (min(mu) / sigma - _TAIL, max(mu) / sigma + _TAIL)
    sums = kernels.gaussian_sums(
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
