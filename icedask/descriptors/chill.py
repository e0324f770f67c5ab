"""CHILL+: hydrates and ices from the correlation of bond orientations."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.descriptors.contract import Cutoff, Frame, Kernel, Option, Species, descriptor
from icedask.errors import InputError
from icedask.neighbors import FloatArray, Neighbors

CLASSES = (
    "liquid",
    "hexagonal_ice",
    "cubic_ice",
    "interfacial_ice",
    "hydrate",
    "interfacial_hydrate",
)
LIQUID, HEXAGONAL, CUBIC, INTERFACIAL_ICE, HYDRATE, INTERFACIAL_HYDRATE = range(6)

_STAGGERED_BELOW = -0.8
_ECLIPSED = (-0.35, 0.25)


def harmonics_3(unit: FloatArray) -> FloatArray:
    """Return the seven real harmonics of degree 3 up to a common factor, (n, 7).

    Real harmonics follow from the complex ones by a unitary transformation: products summed over
    the order are the same.
    """
    x, y, z = unit.T
    z2 = 5 * z * z
    return np.stack(
        [
            np.sqrt(5 / 8) * y * (3 * x * x - y * y),
            np.sqrt(15) * x * y * z,
            np.sqrt(3 / 8) * y * (z2 - 1),
            0.5 * z * (z2 - 3),
            np.sqrt(3 / 8) * x * (z2 - 1),
            np.sqrt(15) / 2 * z * (x * x - y * y),
            np.sqrt(5 / 8) * x * (x * x - 3 * y * y),
        ],
        axis=1,
    )


def bond_correlations(neighbors: Neighbors) -> FloatArray:
    """Return c_ij of every pair: the normalised product of the q_3 of its two atoms.

    Zero where an atom has no neighbours.
    """
    n_atoms = len(neighbors.indptr) - 1
    distances = np.where(neighbors.distances > 0, neighbors.distances, 1.0)
    harmonics = harmonics_3(neighbors.vectors / distances[:, None])
    rows = neighbors.rows
    sums = [np.bincount(rows, harmonics[:, m], minlength=n_atoms) for m in range(7)]
    q3: FloatArray = np.array(sums, np.float64).T
    norm = np.linalg.norm(q3, axis=1)
    q3 = q3 / np.where(norm > 0, norm, 1.0)[:, None]
    return np.einsum("ij,ij->i", q3[rows], q3[neighbors.indices])


def classify(frame: Frame, r_cut: float) -> npt.NDArray[np.int32]:
    """Return the CHILL+ class of each centre, (n_centers,)."""
    neighbors = frame.all_neighbors(r_cut)
    n_atoms = len(frame.positions)
    correlation = bond_correlations(neighbors)
    rows = neighbors.rows
    staggered = np.bincount(rows[correlation < _STAGGERED_BELOW], minlength=n_atoms)
    between = (correlation > _ECLIPSED[0]) & (correlation < _ECLIPSED[1])
    eclipsed = np.bincount(rows[between], minlength=n_atoms)
    label = np.select(
        [
            neighbors.counts != 4,
            eclipsed == 4,
            eclipsed == 3,
            (staggered == 4) & (eclipsed == 0),
            (staggered == 3) & (eclipsed == 1),
            (staggered == 3) & (eclipsed == 0),
            staggered == 2,
        ],
        [
            LIQUID,
            HYDRATE,
            INTERFACIAL_HYDRATE,
            CUBIC,
            HEXAGONAL,
            INTERFACIAL_ICE,
            INTERFACIAL_ICE,
        ],
        LIQUID,
    )
    return label[frame.centers].astype(np.int32)


@descriptor(variable="label", version=1)
def chill_plus(
    trj: xr.Dataset,
    *,
    r_cut: Cutoff = 3.5,
    centers: Annotated[
        str | None, Option('The water sites; by default "element O".')
    ] = "element O",
    species: Species = ("O",),
) -> Kernel:
    """Class of each water molecule by CHILL+; lazy.

    For each of the exactly four neighbours of a molecule, c_ij is the normalised product of the
    bond-order vectors q_3 of the two; a bond is staggered for c < -0.8 and eclipsed for
    -0.35 < c < 0.25. In this order: 4 eclipsed bonds are hydrate, 3 interfacial hydrate; 4
    staggered and no eclipsed cubic ice; 3 and 1 hexagonal ice; 3 and 0, or 2 staggered,
    interfacial ice; all else, and any other number of neighbours, liquid.

    {parameters}

    Returns
    -------
    xarray.Dataset
        label (frame, atom), int32, with flag_values and flag_meanings.

    Raises
    ------
    InputError
        If an option is out of bounds, or the trajectory has no oxygen.

    References
    ----------
    Nguyen and Molinero, J. Phys. Chem. B 119, 9369 (2015), doi:10.1021/jp510289t

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> ice_1c = bulk("O", "diamond", a=6.37, cubic=True) * (2, 2, 2)
    >>> classes = ice.chill_plus(ice.from_ase(ice_1c))["label"]
    >>> classes.attrs["flag_meanings"].split()[int(classes[0, 0])]
    'cubic_ice'
    """
    if not np.isin(trj["element"].values.astype(str), list(species or [])).any():
        raise InputError(
            f"chill_plus: expected water sites of element {', '.join(species or ['O'])}, found "
            f"only {', '.join(sorted(set(trj['element'].values.astype(str))))}; CHILL+ is defined "
            "for water"
        )
    return Kernel(
        partial(classify, r_cut=r_cut),
        "int32",
        r_cut,
        species=species,
        attrs={
            "flag_values": list(range(len(CLASSES))),
            "flag_meanings": " ".join(CLASSES),
            "reference": "doi:10.1021/jp510289t",
        },
    )
