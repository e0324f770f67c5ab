"""Bispectrum components (SNAP): the density of neighbours, in rotation invariants."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import xarray as xr
from ase.data import atomic_numbers

from icedask.core.options import Centers, Cutoff, Option, Precision, Species
from icedask.core.trajectory import check_elements
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.bispectrum import kernels
from icedask.descriptors.bispectrum.tables import Mapping, components, tables
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.errors import InputError


def describe_centers(
    frame: Frame, mapping: Mapping, twojmax: int, weights: Sequence[tuple[int, float]] = ()
) -> FloatArray:
    """Return the bispectrum components of the centres, (n_centers, n_components).

    `weights` are pairs of atomic number and weight; other elements have weight 1.
    """
    of_atoms = np.ones(len(frame.positions))
    for number, weight in weights:
        of_atoms[frame.numbers == number] = weight
    neighbors = frame.neighbors(mapping.r_cut)
    return kernels.bispectra(frame.centers, neighbors, of_atoms, mapping, tables(twojmax), twojmax)


def _element_weights(
    species: Sequence[str] | None, weights: Sequence[float] | None
) -> list[tuple[int, float]]:
    """Return pairs of atomic number and weight; InputError unless each species has one weight."""
    if weights is None:
        return []
    if species is None or len(species) != len(weights) or len(set(species)) != len(species):
        listed = "none" if species is None else ", ".join(species)
        raise InputError(
            f"bispectrum: weights: expected one for each of the species, found {len(weights)} for "
            f"the species {listed}; name each element once in species, in the order of the weights"
        )
    check_elements(np.array(species))
    return [
        (atomic_numbers[symbol], weight) for symbol, weight in zip(species, weights, strict=True)
    ]


@descriptor(
    variable=Variable(
        "bispectrum",
        (FRAME, ATOM, "bispectrum_component"),
        "number",
        "1",
        "bispectrum components of the density of neighbours (SNAP)",
        "doi:10.1016/j.jcp.2014.12.018",
    ),
    version=1,
    example={"r_cut": 4.0, "twojmax": 4, "dtype": "float64"},
)
def bispectrum(
    trj: xr.Dataset,
    *,
    r_cut: Cutoff,
    twojmax: Annotated[
        int, Option("Largest doubled angular momentum 2 J.", at_least=0, at_most=14)
    ] = 6,
    r_min: Annotated[
        float, Option("Distance that is mapped to theta0 = 0 (rmin0).", "angstrom", at_least=0)
    ] = 0.0,
    rfac0: Annotated[
        float, Option("Largest theta0, at the cutoff, in units of pi.", above=0, at_most=1)
    ] = 0.99363,
    switch: Annotated[bool, Option("Smooth fall of the weights to zero at the cutoff.")] = True,
    self_weight: Annotated[float, Option("Weight of the centre itself.", at_least=0)] = 1.0,
    species: Species = None,
    weights: Annotated[
        Sequence[float] | None,
        Option("Weights of the elements as neighbours, in the order of species; by default 1."),
    ] = None,
    centers: Centers = None,
    dtype: Precision = "float32",
) -> Kernel:
    """Bispectrum components of the density of neighbours (SNAP); lazy.

    A neighbour at distance r is mapped to a point on the 3-sphere, with the polar angle
    theta0 = rfac0 pi (r - r_min) / (r_cut - r_min). The density of these points is expanded in
    Wigner U matrices, U_j = self_weight 1 + sum_k f_c(r_k) w_k u_j(k), where
    f_c = (cos(pi (r - r_min) / (r_cut - r_min)) + 1) / 2, and 1 below r_min or without switch. The
    components B_{j1 j2 j} = sum_{m m'} conj(U_j(m, m')) Z_{j1 j2}^j(m, m'), where Z couples U_j1
    and U_j2 with Clebsch-Gordan coefficients, do not change when the system is rotated. There are
    30 for twojmax 6 and 55 for 8.

    Numbers and order are as in LAMMPS's compute sna/atom with bzeroflag 0. An atom
    without neighbours has B = self_weight^3 (j + 1). An atom at the very place of the centre does
    not count.

    {parameters}

    {returns}; coordinates j1, j2, j, all doubled, name
        the components: j2 <= j1 <= j <= twojmax.

    {raises}, or weights are not as many as the species.

    References
    ----------
    Bartok et al., Phys. Rev. Lett. 104, 136403 (2010), doi:10.1103/PhysRevLett.104.136403;
    Thompson et al., J. Comput. Phys. 285, 316 (2015), doi:10.1016/j.jcp.2014.12.018

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("O", "diamond", a=6.37, cubic=True))
    >>> ice.bispectrum(trj, r_cut=6.0, twojmax=6)["bispectrum"].shape
    (1, 8, 30)
    """
    if r_min >= r_cut:
        raise InputError(
            f"bispectrum: r_min: expected less than r_cut, {r_cut:g} angstrom, found {r_min:g}"
        )
    triples = components(twojmax)
    compute = partial(
        describe_centers,
        mapping=Mapping(r_cut, r_min, rfac0, switch, self_weight),
        twojmax=twojmax,
        weights=_element_weights(species, weights),
    )
    return Kernel(
        compute,
        dtype,
        r_cut,
        width=len(triples),
        coords=dict(zip(("j1", "j2", "j"), triples.T, strict=True)),
        species=species,
    )
