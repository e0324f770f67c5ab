"""Voronoi cells: the volume of an atom and the local mass density."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, Option, OwnSpecies, Species
from icedask.core.trajectory import own_species
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor

# From dalton/angstrom^3 to g/cm^3.
_GRAMS_PER_CM3 = 1.66053906892


def volumes(frame: Frame) -> npt.NDArray[np.float32]:
    """Return the volume of the cell of each centre, (n_centers,)."""
    return frame.voronoi().volumes[frame.centers].astype(np.float32)


def densities(frame: Frame, mass: float) -> npt.NDArray[np.float32]:
    """Return mass over volume of each centre, (n_centers,)."""
    per_volume = mass * _GRAMS_PER_CM3 / frame.voronoi().volumes[frame.centers]
    return per_volume.astype(np.float32)


@descriptor(
    variable=Variable(
        "voronoi_volume", (FRAME, ATOM), "float32", "angstrom^3", "volume of the Voronoi cell"
    ),
    version=1,
    example={},
)
def voronoi(trj: xr.Dataset, *, centers: Centers = None, species: Species = None) -> Kernel:
    """Volume of the Voronoi cell of each atom; lazy.

    The cell of an atom is the space that is nearer to it than to any other atom of the
    environment. In a cell that is periodic in all directions the volumes add up to its volume.

    {parameters}

    {returns}. NaN for an atom that is not part of
        the environment, for atoms at the same place, and for a cell that is open towards a
        direction that is not periodic; there, a cell that reaches further than 20 angstrom from
        its atom may count as open.

    Raises
    ------
    InputError
        If the trajectory has none of the species.

    References
    ----------
    Rycroft, Chaos 19, 041111 (2009), doi:10.1063/1.3215722

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", a=4.0, cubic=True))
    >>> round(float(ice.voronoi(trj)["voronoi_volume"][0, 0]), 3)
    16.0
    """
    return Kernel(volumes, "float32", species=species)


@descriptor(
    variable=Variable(
        "mass_density",
        (FRAME, ATOM),
        "float32",
        "g/cm^3",
        "mass of the site over the volume of its Voronoi cell",
    ),
    version=1,
    example={"mass": 18.015},
)
def mass_density(
    trj: xr.Dataset,
    *,
    mass: Annotated[
        float,
        Option(
            "Mass of one site with all that belongs to it; 18.015 for water.", "dalton", above=0
        ),
    ],
    centers: Centers = None,
    species: OwnSpecies = None,
) -> Kernel:
    """Local mass density: the mass of a site over the volume of its Voronoi cell; lazy.

    For water, tessellate the oxygens and give them the mass of the molecule: centers="element O",
    mass=18.015. The density is then 29.915 g/cm^3 over the volume in angstrom^3. Its mean over the
    atoms is a little above the density of the whole: the mean of 1/V is not 1 over the mean of V.

    {parameters}

    {returns}. NaN where `voronoi` is NaN.

    {raises}, or the trajectory has none of the species.

    References
    ----------
    Rycroft, Chaos 19, 041111 (2009), doi:10.1063/1.3215722

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> ice_1c = ice.from_ase(bulk("O", "diamond", a=6.358))
    >>> density = ice.mass_density(ice_1c, mass=18.015)["mass_density"]
    >>> round(float(density[0, 0]), 3)
    0.931
    """
    chosen = own_species(trj, centers, species)
    return Kernel(
        partial(densities, mass=mass), "float32", species=chosen, parameters={"species": chosen}
    )
