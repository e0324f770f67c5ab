"""CHILL and CHILL+: ices and hydrates from the correlation of bond orientations."""

from __future__ import annotations

from functools import partial
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.options import Option, Species
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import VARIABLES
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.errors import InputError
from icedask.kernels.jit import jit

CLASSES = (
    "liquid",
    "hexagonal_ice",
    "cubic_ice",
    "interfacial_ice",
    "hydrate",
    "interfacial_hydrate",
)
LIQUID, HEXAGONAL, CUBIC, INTERFACIAL_ICE, HYDRATE, INTERFACIAL_HYDRATE = range(6)
CHILL_CLASSES = CLASSES[:4]

_STAGGERED_BELOW = -0.8
_ECLIPSED_PLUS = (-0.35, 0.25)
_ECLIPSED = (-0.2, -0.05)


class Bonds(NamedTuple):
    """Neighbours of atom i: the entries starts[i] to stops[i] of the other arrays."""

    starts: IntArray
    stops: IntArray
    indices: IntArray
    vectors: FloatArray
    distances: FloatArray


# Factors of the harmonics.
_ROOT_5_8, _ROOT_15, _ROOT_3_8 = np.sqrt(5 / 8), np.sqrt(15), np.sqrt(3 / 8)


@jit
def add_harmonics_3(x: float, y: float, z: float, q3: FloatArray) -> None:
    """Add the seven real harmonics of degree 3 of a unit vector, up to a common factor, to q3.

    Real harmonics follow from the complex ones by a unitary transformation: products summed over
    the order are the same.
    """
    xx, yy, zz = x * x, y * y, z * z
    q3[0] += _ROOT_5_8 * y * (3 * xx - yy)
    q3[1] += _ROOT_15 * x * y * z
    q3[2] += _ROOT_3_8 * y * (5 * zz - 1)
    q3[3] += 0.5 * z * (5 * zz - 3)
    q3[4] += _ROOT_3_8 * x * (5 * zz - 1)
    q3[5] += 0.5 * _ROOT_15 * z * (xx - yy)
    q3[6] += _ROOT_5_8 * x * (xx - 3 * yy)


@jit
def bond_order(needed: npt.NDArray[np.bool_], bonds: Bonds) -> FloatArray:
    """Return the normalised q_3 of the atoms needed, (n_atoms, 7); zero without neighbours."""
    starts, stops, vectors, distances = bonds.starts, bonds.stops, bonds.vectors, bonds.distances
    all_q3 = np.zeros((len(starts), 7))
    for atom in range(len(starts)):
        if not needed[atom]:
            continue
        q3 = all_q3[atom]
        for pair in range(starts[atom], stops[atom]):
            if distances[pair] > 0:
                scale = 1 / distances[pair]
                x, y, z = vectors[pair, 0], vectors[pair, 1], vectors[pair, 2]
                add_harmonics_3(x * scale, y * scale, z * scale, q3)
        norm = 0.0
        for m in range(7):
            norm += q3[m] * q3[m]
        if norm > 0:
            for m in range(7):
                q3[m] /= np.sqrt(norm)
    return all_q3


@jit
def count_bonds(
    needed: npt.NDArray[np.bool_], bonds: Bonds, q3: FloatArray, eclipsed_range: tuple[float, float]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the numbers of staggered and of eclipsed bonds of the atoms needed."""
    starts, stops, indices = bonds.starts, bonds.stops, bonds.indices
    staggered = np.zeros(len(starts), np.int32)
    eclipsed = np.zeros(len(starts), np.int32)
    low, high = eclipsed_range
    for atom in range(len(starts)):
        if not needed[atom]:
            continue
        for pair in range(starts[atom], stops[atom]):
            correlation = 0.0
            for m in range(7):
                correlation += q3[atom, m] * q3[indices[pair], m]
            if correlation < _STAGGERED_BELOW:
                staggered[atom] += 1
            elif low < correlation < high:
                eclipsed[atom] += 1
    return staggered, eclipsed


@jit
def chill_plus_class(staggered: int, eclipsed: int) -> int:
    """Return the CHILL+ class of a molecule with four neighbours."""
    if eclipsed == 4:
        return HYDRATE
    if eclipsed == 3:
        return INTERFACIAL_HYDRATE
    if staggered == 4:
        return CUBIC
    if staggered == 3 and eclipsed == 1:
        return HEXAGONAL
    if staggered in (2, 3):
        return INTERFACIAL_ICE
    return LIQUID


@jit
def chill_class(staggered: int, eclipsed: int, near_staggered: npt.NDArray[np.int32]) -> int:
    """Return the CHILL class of a molecule with four neighbours, given their staggered bonds."""
    if staggered == 4:
        return CUBIC
    if staggered == 3 and eclipsed == 1:
        return HEXAGONAL
    for number in near_staggered:
        if (staggered == 2 and number > 2) or (staggered == 3 and number == 2):
            return INTERFACIAL_ICE
    return LIQUID


@jit
def classes(
    plus: bool,
    centers: IntArray,
    bonds: Bonds,
    staggered: npt.NDArray[np.int32],
    eclipsed: npt.NDArray[np.int32],
) -> npt.NDArray[np.int32]:
    """Return the class of each centre, (n_centers,)."""
    starts, stops, indices = bonds.starts, bonds.stops, bonds.indices
    labels = np.full(len(centers), LIQUID, np.int32)
    for row, atom in enumerate(centers):
        if stops[atom] - starts[atom] != 4:
            continue
        if plus:
            labels[row] = chill_plus_class(staggered[atom], eclipsed[atom])
        else:
            near = staggered[indices[starts[atom] : stops[atom]]]
            labels[row] = chill_class(staggered[atom], eclipsed[atom], near)
    return labels


def classify(frame: Frame, plus: bool, r_cut: float, neighbors: str) -> npt.NDArray[np.int32]:
    """Return the CHILL or CHILL+ class of each centre, (n_centers,)."""
    if neighbors == "cutoff":
        pairs = frame.all_neighbors(r_cut)
        bonds = Bonds(pairs.indptr[:-1], pairs.indptr[1:], *pairs[1:])
    else:
        nearest = frame.all_nearest(4)
        starts = 4 * np.arange(len(frame.positions))
        stops = starts + (nearest.indices >= 0).sum(axis=1)
        vectors, distances = nearest.vectors.reshape(-1, 3), nearest.distances.ravel()
        bonds = Bonds(starts, stops, nearest.indices.ravel(), vectors, distances)
    # Centres and all that can be a neighbour: not the hydrogens of water.
    needed = frame.environment.copy()
    needed[frame.centers] = True
    q3 = bond_order(needed, bonds)
    staggered, eclipsed = count_bonds(needed, bonds, q3, _ECLIPSED_PLUS if plus else _ECLIPSED)
    return classes(plus, frame.centers, bonds, staggered, eclipsed)


_Radius = Annotated[
    float,
    Option('Cutoff radius; without effect where neighbors is "nearest".', "angstrom", above=0),
]
_Sites = Annotated[str | None, Option('Water sites, a selection; by default "element O".')]
_Rule = Annotated[
    str,
    Option(
        'Neighbours of a molecule: all closer than the cutoff ("cutoff"), or its four nearest, '
        'however far ("nearest").',
        choices=("cutoff", "nearest"),
    ),
]


def _kernel(
    trj: xr.Dataset,
    name: str,
    names: tuple[str, ...],
    reference: str,
    r_cut: float,
    neighbors: str,
    species: Species,
) -> Kernel:
    present = trj["element"].values.astype(str)
    if not np.isin(present, list(species or [])).any():
        raise InputError(
            f"{name}: expected water sites of element {', '.join(species or ['O'])}, found only "
            f"{', '.join(sorted(set(present)))}; {name} is defined for water"
        )
    nearest = neighbors == "nearest"
    return Kernel(
        partial(classify, plus=name == "chill_plus", r_cut=r_cut, neighbors=neighbors),
        "int32",
        None if nearest else r_cut,
        4 if nearest else None,
        beyond=True,
        species=species,
        attrs={
            "flag_values": list(range(len(names))),
            "flag_meanings": " ".join(names),
            "reference": reference,
        },
        parameters={"r_cut": None} if nearest else {},
    )


@descriptor(variable=VARIABLES["label"], version=1, example={})
def chill(
    trj: xr.Dataset,
    *,
    r_cut: _Radius = 3.5,
    neighbors: _Rule = "cutoff",
    centers: _Sites = "element O",
    species: Species = ("O",),
) -> Kernel:
    """Class of each water molecule by CHILL; lazy.

    For each of the exactly four neighbours of a molecule, c_ij is the normalised product of the
    bond-order vectors q_3 of the two, each over its own neighbours; a bond is staggered for
    c < -0.8 and eclipsed for -0.2 < c < -0.05 (-1/9 in perfect hexagonal ice). In this order: 4
    staggered bonds are cubic ice; 3 staggered and 1 eclipsed hexagonal ice; 2 staggered with a
    neighbour that has more than 2, or 3 staggered and no eclipsed with a neighbour that has
    exactly 2, interfacial ice; all else, and any other number of neighbours, liquid. With the
    four nearest in place of a cutoff, a molecule that has no four others is liquid.
    `chill_plus` has wider bounds for eclipsed bonds, and hydrates.

    {parameters}

    {returns}, with flag_values and flag_meanings.

    {raises}, or the trajectory has no oxygen.

    References
    ----------
    Moore, de la Llave, Welke, Scherlis and Molinero, Phys. Chem. Chem. Phys. 12, 4124 (2010),
    doi:10.1039/B919724A

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> ice_1c = bulk("O", "diamond", a=6.37, cubic=True) * (2, 2, 2)
    >>> classes = ice.chill(ice.from_ase(ice_1c))["label"]
    >>> classes.attrs["flag_meanings"].split()[int(classes[0, 0])]
    'cubic_ice'
    """
    return _kernel(trj, "chill", CHILL_CLASSES, "doi:10.1039/B919724A", r_cut, neighbors, species)


@descriptor(variable=VARIABLES["label"], version=1, example={})
def chill_plus(
    trj: xr.Dataset,
    *,
    r_cut: _Radius = 3.5,
    neighbors: _Rule = "cutoff",
    centers: _Sites = "element O",
    species: Species = ("O",),
) -> Kernel:
    """Class of each water molecule by CHILL+; lazy.

    For each of the exactly four neighbours of a molecule, c_ij is the normalised product of the
    bond-order vectors q_3 of the two, each over its own neighbours; a bond is staggered for
    c < -0.8 and eclipsed for -0.35 < c < 0.25. In this order: 4 eclipsed bonds are hydrate, 3
    interfacial hydrate; 4 staggered and no eclipsed cubic ice; 3 and 1 hexagonal ice; 3 and 0, or
    2 staggered, interfacial ice; all else, and any other number of neighbours, liquid. With the
    four nearest in place of a cutoff, a molecule that has no four others is liquid.

    {parameters}

    {returns}, with flag_values and flag_meanings.

    {raises}, or the trajectory has no oxygen.

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
    return _kernel(trj, "chill_plus", CLASSES, "doi:10.1021/jp510289t", r_cut, neighbors, species)
