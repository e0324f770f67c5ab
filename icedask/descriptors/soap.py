"""SOAP: the power spectrum of the smoothed density of neighbours."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.sparse import csr_matrix

from icedask.descriptors.contract import Centers, Frame, Kernel, Option, Species, descriptor
from icedask.errors import InputError
from icedask.model import check_elements
from icedask.neighbors import neighbor_list, with_images
from icedask.variables import SOAP_COMPONENT

# Gaussians are followed to a thousandth of their height: atoms beyond the cutoff contribute.
_TAIL = np.sqrt(2 * np.log(1000))


def reach(r_cut: float, sigma: float) -> float:
    """Return the distance, angstrom, up to which atoms contribute."""
    return r_cut + sigma * _TAIL


def components(species: list[str], n_max: int, l_max: int) -> dict[str, npt.NDArray[Any]]:
    """Return the labels of the components: species_a, species_b, n_a, n_b, l.

    Species are ordered by atomic number. A pair of equal species has n_b >= n_a only.
    """
    rows = [
        (first, second, n_a, n_b, degree)
        for a, first in enumerate(species)
        for second in species[a:]
        for degree in range(l_max + 1)
        for n_a in range(n_max)
        for n_b in range(n_a if first == second else 0, n_max)
    ]
    names = ("species_a", "species_b", "n_a", "n_b", "l")
    return {
        name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


@lru_cache(maxsize=8)
def _calculator(
    species: tuple[str, ...], r_cut: float, n_max: int, l_max: int, sigma: float
) -> Any:
    from dscribe.descriptors import SOAP

    return SOAP(
        species=list(species), r_cut=r_cut, n_max=n_max, l_max=l_max, sigma=sigma, periodic=False
    )


def power_spectrum(
    frame: Frame,
    centers: npt.NDArray[np.int64],
    species: tuple[str, ...],
    r_cut: float,
    n_max: int,
    l_max: int,
    sigma: float,
) -> npt.NDArray[np.float64]:
    """Return the SOAP vectors of some atoms, (n_centers, n_components)."""
    from ase import Atoms
    from ase.data import atomic_numbers

    # The periodic images are laid out here, once and only as far as they contribute: the library
    # would copy the whole cell 27 times, and does not wrap.
    points, source = with_images(frame.positions, frame.cell, frame.pbc, reach(r_cut, sigma))
    numbers = [atomic_numbers[symbol] for symbol in species]
    use = np.isin(frame.numbers[source], numbers)
    atoms = Atoms(numbers=frame.numbers[source][use], positions=points[use])
    if len(atoms) == 0 or len(centers) == 0:
        return np.zeros((len(centers), len(components(list(species), n_max, l_max)["l"])))
    calculator = _calculator(species, r_cut, n_max, l_max, sigma)
    # Centres as positions: as indices, the library copies all positions for each of them.
    return calculator.create(atoms, centers=points[centers]).reshape(len(centers), -1)


def describe_centers(
    frame: Frame, average_within: float | None, **basis: Any
) -> npt.NDArray[np.float64]:
    """Return SOAP of the centres of a frame, averaged over their surroundings if asked for."""
    if average_within is None:
        return power_spectrum(frame, frame.centers, **basis)
    weights, members = same_element_means(frame, average_within)
    return weights @ power_spectrum(frame, members, **basis)


def same_element_means(frame: Frame, r_cut: float) -> tuple[csr_matrix, npt.NDArray[np.int64]]:
    """Return the matrix that averages over each centre and its neighbours of the same element.

    Returns
    -------
    weights : (n_centers, n_members) sparse matrix
    members : (n_members,) int64
        The atoms that any mean needs.
    """
    neighbors = neighbor_list(frame.positions, frame.cell, frame.pbc, r_cut)
    rows = np.concatenate([np.arange(len(frame.positions)), neighbors.rows])
    columns = np.concatenate([np.arange(len(frame.positions)), neighbors.indices])
    place = np.full(len(frame.positions), -1)
    place[frame.centers] = np.arange(len(frame.centers))
    keep = (place[rows] >= 0) & (frame.numbers[rows] == frame.numbers[columns])
    rows, columns = place[rows[keep]], columns[keep]
    members, inverse = np.unique(columns, return_inverse=True)
    counts = np.bincount(rows, minlength=len(frame.centers))
    shape = (len(frame.centers), len(members))
    return csr_matrix((1.0 / counts[rows], (rows, inverse)), shape=shape), members


@descriptor(variable="soap", version=1)
def soap(
    trj: xr.Dataset,
    *,
    r_cut: Annotated[
        float, Option("Cutoff radius of the basis, above 1.", "angstrom", above=0)
    ] = 6.0,
    n_max: Annotated[int, Option("Radial basis functions.", at_least=1, at_most=20)] = 8,
    l_max: Annotated[int, Option("Highest degree of the harmonics.", at_least=0, at_most=20)] = 8,
    sigma: Annotated[
        float, Option("Width of the Gaussian on each atom.", "angstrom", above=0)
    ] = 1.0,
    species: Species = None,
    centers: Centers = None,
    average_within: Annotated[
        float | None,
        Option(
            "Average over the centre and its neighbours of the same element up to this distance.",
            "angstrom",
            above=0,
        ),
    ] = None,
    dtype: Annotated[
        str, Option("Precision of the result.", choices=("float32", "float64"))
    ] = "float32",
) -> Kernel:
    """Smooth overlap of atomic positions (SOAP), the power spectrum; lazy.

    The density of Gaussians on the neighbours of an atom, itself included, is expanded in
    Gaussian-type radial functions and spherical harmonics with coefficients c_nlm;
    p_nn'l = pi sqrt(8 / (2 l + 1)) sum_m c_nlm c_n'lm. Components are ordered by pair of species,
    l, n, n'; of a pair of equal species only n' >= n is kept. Averaged over the neighbours, the
    thermal noise of single environments recedes (Lechner and Dellago's idea,
    doi:10.1063/1.2977970), and phases come apart.

    {parameters}

    Returns
    -------
    xarray.Dataset
        soap (frame, atom, soap_component); coordinates species_a, species_b, n_a, n_b, l name
        the components.

    Raises
    ------
    InputError
        If an option is out of bounds, or a species is not in the trajectory.

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
    from ase.data import atomic_numbers

    present = sorted(set(trj["element"].values.astype(str)) - {"X"}, key=atomic_numbers.__getitem__)
    chosen = present if species is None else sorted(set(species), key=_number)
    labels = components(chosen, n_max, l_max)
    if r_cut <= 1.0:
        raise InputError(
            f"soap: r_cut: expected more than 1 angstrom, where the radial basis begins, "
            f"found {r_cut}"
        )
    compute = partial(
        describe_centers,
        average_within=average_within,
        species=tuple(chosen),
        r_cut=r_cut,
        n_max=n_max,
        l_max=l_max,
        sigma=sigma,
    )
    return Kernel(
        compute,
        dtype,
        cutoff=average_within,
        reach=reach(r_cut, sigma),
        tail=(SOAP_COMPONENT, len(labels["l"])),
        coords=labels,
        species=chosen,
        parameters={"species": chosen},
    )


def _number(symbol: str) -> int:
    from ase.data import atomic_numbers

    check_elements(np.array([symbol]))
    return atomic_numbers[symbol]
