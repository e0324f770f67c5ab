"""SOAP by DScribe, for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from icedask.core.types import IntArray
from icedask.descriptors.frame import Frame
from icedask.descriptors.soap.basis import Basis, components
from icedask.kernels.neighbors import with_images


@lru_cache(maxsize=8)
def _calculator(species: tuple[int, ...], basis: Basis) -> Any:
    from dscribe.descriptors import SOAP

    return SOAP(
        species=list(species),
        r_cut=basis.r_cut,
        n_max=basis.n_max,
        l_max=basis.l_max,
        sigma=basis.sigma,
        periodic=False,
    )


def power_spectrum(
    frame: Frame, centers: IntArray, species: Sequence[int], basis: Basis, layout: str, dtype: str
) -> npt.NDArray[Any]:
    """Return the SOAP vectors of some atoms, as `soap_cells.power_spectrum` does."""
    symbols = [chemical_symbols[number] for number in species]
    compact = components(symbols, basis.n_max, basis.l_max)
    # The periodic images are laid out here, once and only as far as they contribute: the library
    # would copy the whole cell 27 times, and does not wrap.
    points, source = with_images(frame.positions, frame.cell, frame.pbc, basis.reach)
    use = np.isin(frame.numbers[source], species)
    atoms = Atoms(numbers=frame.numbers[source][use], positions=points[use])
    rows = np.zeros((len(centers), len(compact["l"])))
    if len(atoms) and len(centers):
        # Centres as positions: as indices, the library copies all positions for each of them.
        vectors = _calculator(tuple(species), basis).create(atoms, centers=points[centers])
        rows = vectors.reshape(len(centers), -1)
    if layout == "full":
        rows = rows[:, _square(compact, components(symbols, basis.n_max, basis.l_max, layout))]
    return rows.astype(dtype)


def _square(compact: dict[str, npt.NDArray[Any]], full: dict[str, npt.NDArray[Any]]) -> IntArray:
    """Return the place of the compact component that equals each component of the full layout."""
    names = ("species_a", "species_b", "n_a", "n_b", "l")
    place = {
        key: number
        for number, key in enumerate(zip(*(compact[name].tolist() for name in names), strict=True))
    }
    return np.array(
        [
            place.get((a, b, n, m, degree), place.get((a, b, m, n, degree), -1))
            for a, b, n, m, degree in zip(*(full[name].tolist() for name in names), strict=True)
        ]
    )
