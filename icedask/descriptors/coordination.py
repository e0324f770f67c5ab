"""Coordination numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Centers, Cutoff, Species
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor


def count_neighbors(frame: Frame, r_cut: float) -> npt.NDArray[np.int32]:
    """Return the number of neighbours of each centre, (n_centers,)."""
    return frame.neighbors(r_cut).counts[frame.centers].astype(np.int32)


@descriptor(
    variable=Variable(
        "coordination", (FRAME, ATOM), "int32", "1", "number of neighbours within the cutoff"
    ),
    version=1,
    example={"r_cut": 3.4},
)
def coordination(
    trj: xr.Dataset, *, r_cut: Cutoff, centers: Centers = None, species: Species = None
) -> Kernel:
    """Number of neighbours closer than a cutoff; lazy.

    Every periodic image of an atom counts, as do the images of the centre itself in a cell
    smaller than the cutoff.

    {parameters}

    {returns}.

    {raises}, or the cutoff needs more memory than a task may use.

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True) * (2, 2, 2))
    >>> int(ice.coordination(trj, r_cut=3.0)["coordination"][0, 0])
    12
    """
    return Kernel(partial(count_neighbors, r_cut=r_cut), "int32", r_cut, species=species)
