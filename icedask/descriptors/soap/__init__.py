"""SOAP: the power spectrum of the smoothed density of neighbours."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
import xarray as xr
from ase.data import atomic_numbers

from icedask.core.options import (
    Centers,
    GaussianWidth,
    LargestDegree,
    Option,
    RadialFunctions,
    Species,
)
from icedask.core.trajectory import ordered_species
from icedask.core.variables import ATOM, FRAME, Variable
from icedask.descriptors.descriptor import Kernel
from icedask.descriptors.frame import Frame
from icedask.descriptors.lazy import descriptor
from icedask.descriptors.soap import cells as soap_cells
from icedask.descriptors.soap import dscribe as soap_dscribe
from icedask.descriptors.soap.basis import Basis, check_basis, components
from icedask.errors import InputError
from icedask.kernels.neighbors import neighbor_list


def describe_centers(
    frame: Frame,
    *,
    average_within: float | None,
    engine: str,
    species: tuple[int, ...],
    basis: Basis,
    layout: str,
    dtype: str,
) -> npt.NDArray[Any]:
    """Return SOAP of the centres of a frame, averaged over their surroundings if asked for."""
    power_spectrum = {"icedask": soap_cells, "dscribe": soap_dscribe}[engine].power_spectrum
    if average_within is None:
        return power_spectrum(frame, frame.centers, species, basis, layout, dtype)
    weights, members = same_element_means(frame, average_within)
    return weights @ power_spectrum(frame, members, species, basis, layout, dtype)


def same_element_means(
    frame: Frame, r_cut: float
) -> tuple[sparse.csr_matrix, npt.NDArray[np.int64]]:
    """Return the sparse matrix that averages over each centre and its neighbours of its element.

    Its columns are the atoms that any mean needs, (n_members,), which come with it.
    """
    neighbors = neighbor_list(frame.positions, frame.cell, frame.pbc, r_cut, centers=frame.centers)
    rows = np.concatenate([np.arange(len(frame.positions)), neighbors.rows])
    columns = np.concatenate([np.arange(len(frame.positions)), neighbors.indices])
    place = np.full(len(frame.positions), -1)
    place[frame.centers] = np.arange(len(frame.centers))
    keep = (place[rows] >= 0) & (frame.numbers[rows] == frame.numbers[columns])
    rows, columns = place[rows[keep]], columns[keep]
    members, inverse = np.unique(columns, return_inverse=True)
    counts = np.bincount(rows, minlength=len(frame.centers))
    shape = (len(frame.centers), len(members))
    return sparse.csr_matrix((1.0 / counts[rows], (rows, inverse)), shape=shape), members


@descriptor(
    variable=Variable(
        "soap",
        (FRAME, ATOM, "soap_component"),
        "number",
        "1",
        "smooth overlap of atomic positions, power spectrum",
        "doi:10.1103/PhysRevB.87.184115",
    ),
    version=2,
    example={"r_cut": 4.0, "n_max": 3, "l_max": 2, "sigma": 0.5, "dtype": "float64"},
)
def soap(
    trj: xr.Dataset,
    *,
    r_cut: Annotated[
        float, Option("Cutoff radius of the basis, more than 1.", "angstrom", above=0)
    ] = 6.0,
    n_max: RadialFunctions = 8,
    l_max: LargestDegree = 8,
    sigma: GaussianWidth = 1.0,
    species: Species = None,
    centers: Centers = None,
    average_within: Annotated[
        float | None,
        Option(
            "Radius of the average over the centre and its neighbours of the same element.",
            "angstrom",
            above=0,
        ),
    ] = None,
    layout: Annotated[
        str,
        Option(
            "Pairs n, n' of equal species: n' >= n only, or the full square.",
            choices=("compact", "full"),
        ),
    ] = "compact",
    dtype: Annotated[
        str, Option("Precision of the computation.", choices=("float32", "float64"))
    ] = "float32",
    engine: Annotated[
        str, Option("Program of the computation.", choices=("icedask", "dscribe"))
    ] = "icedask",
) -> Kernel:
    """Smooth overlap of atomic positions (SOAP), the power spectrum; lazy.

    The density of Gaussians on the neighbours of an atom, itself included, is expanded in
    Gaussian-type radial functions and spherical harmonics with coefficients c_nlm;
    p_nn'l = pi sqrt(8 / (2 l + 1)) sum_m c_nlm c_n'lm. Components are ordered by pair of species,
    l, n, n'; of a pair of equal species only n' >= n is kept unless the layout is "full", whose
    norms and products are of the whole spectrum. Averaged over the neighbours, the
    thermal noise of single environments recedes (Lechner and Dellago's idea,
    doi:10.1063/1.2977970), and phases come apart.

    {parameters}

    {returns}; coordinates species_a, species_b, n_a, n_b, l name
        the components.

    {raises}, or a species is not in the trajectory.

    References
    ----------
    Bartok, Kondor and Csanyi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115;
    basis and normalisation as in DScribe, doi:10.1016/j.cpc.2019.106949

    Examples
    --------
    >>> import icedask as ice
    >>> from ase.build import bulk
    >>> trj = ice.from_ase(bulk("Cu", cubic=True))
    >>> ice.soap(trj, r_cut=4.0)["soap"].shape
    (1, 4, 324)
    """
    chosen = ordered_species(trj, species)
    if not chosen:
        raise InputError("soap: expected atoms to describe, found no element but X")
    labels = components(chosen, n_max, l_max, layout)
    if r_cut <= 1.0:
        raise InputError(
            f"soap: r_cut: expected more than 1 angstrom, where the radial basis begins, "
            f"found {r_cut}"
        )
    basis = Basis(r_cut, n_max, l_max, sigma)
    check_basis(basis)
    compute = partial(
        describe_centers,
        average_within=average_within,
        engine=engine,
        species=tuple(atomic_numbers[symbol] for symbol in chosen),
        basis=basis,
        layout=layout,
        dtype=dtype,
    )
    return Kernel(
        compute,
        dtype,
        cutoff=average_within,
        reach=basis.reach,
        width=len(labels["l"]),
        coords=labels,
        species=chosen,
        parameters={"species": chosen},
    )
