"""Coordination numbers against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.systems import SYSTEMS, brute_pairs, system

import icedask as ice


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("r_cut", [3.3])
def test_equals_brute_force(name: str, r_cut: float) -> None:
    trj = ice.from_ase(system(name))
    pairs = brute_pairs(ice.to_ase(trj, 0), r_cut)
    expected = np.bincount([i for i, _, _ in pairs], minlength=trj.sizes["atom"])
    counts = ice.coordination(trj, r_cut=r_cut)["coordination"].values[0]
    assert counts.tolist() == expected.tolist()


def test_only_neighbors_of_the_species_count() -> None:
    atoms = system("triclinic")
    atoms.symbols[::3] = "H"
    trj = ice.from_ase(atoms)
    pairs = brute_pairs(ice.to_ase(trj, 0), 3.4)
    counts = ice.coordination(trj, r_cut=3.4, species=["H"], centers="element O")
    expected = [
        sum(i == atom and atoms.symbols[j] == "H" for i, j, _ in pairs)
        for atom in counts["atom"].values
    ]
    assert counts["coordination"].values[0].tolist() == expected
