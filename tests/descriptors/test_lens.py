"""LENS against brute force and on planted changes."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from ase.build import bulk
from helpers.systems import brute_bonds, system

import icedask as ice
from icedask.errors import InputError


def brute(before: ase.Atoms, after: ase.Atoms, r_cut: float) -> np.ndarray:
    result = np.zeros(len(before))
    sets = [
        [{j for _, j, _ in row} - {atom} for atom, row in enumerate(brute_bonds(atoms, r_cut))]
        for atoms in (before, after)
    ]
    for atom, (a, b) in enumerate(zip(*sets, strict=True)):
        result[atom] = len(a ^ b) / (len(a) + len(b)) if a or b else 0
    return result


@pytest.mark.parametrize(
    "name", ["orthogonal", "triclinic", "unwrapped", "small_box", "slab", "cluster", "lonely"]
)
def test_equals_brute_force(name: str) -> None:
    before = system(name)
    after = before.copy()
    after.positions += np.random.default_rng(1).normal(0, 0.5, after.positions.shape)
    trj = ice.from_ase([before, after])
    frames = [ice.to_ase(trj, 0), ice.to_ase(trj, 1)]
    lens = ice.lens(trj, r_cut=3.6)["lens"].values
    np.testing.assert_allclose(lens[0], brute(*frames, 3.6), rtol=1e-6)
    assert np.isnan(lens[1]).all()


def brute_nearest(atoms: ase.Atoms, k: int) -> list[set[int]]:
    """Return the distinct other atoms among the k nearest of each."""
    bonds = brute_bonds(atoms, 10.0)
    assert all(len(row) >= k for row in bonds)
    return [{j for _, j, _ in row[:k]} - {i} for i, row in enumerate(bonds)]


@pytest.mark.parametrize("name", ["orthogonal", "unwrapped", "small_box", "slab"])
def test_nearest_equal_brute_force(name: str) -> None:
    before = system(name)
    after = before.copy()
    after.positions += np.random.default_rng(1).normal(0, 0.5, after.positions.shape)
    trj = ice.from_ase([before, after])
    sets = [brute_nearest(ice.to_ase(trj, frame), 6) for frame in (0, 1)]
    expected = [len(a ^ b) / max(len(a) + len(b), 1) for a, b in zip(*sets, strict=True)]
    lens = ice.lens(trj, n_neighbors=6)["lens"].values[0]
    np.testing.assert_allclose(lens, expected, rtol=1e-6)


def test_nearest_in_a_small_cluster() -> None:
    cluster = ase.Atoms("O3", [[0, 0, 0], [2, 0, 0], [0, 3, 0]])
    lens = ice.lens(ice.from_ase([cluster, cluster]), n_neighbors=8)["lens"].values[0]
    assert lens.tolist() == [0, 0, 0]


@pytest.mark.parametrize("options", [{"r_cut": 3.0}, {"n_neighbors": 12}])
def test_crystal_with_permuted_atoms(options: dict) -> None:
    """Places stay, identities move: a measure of structure would not see it."""
    crystal = bulk("Cu", cubic=True) * (4, 4, 4)
    permuted = crystal[np.random.default_rng(0).permutation(len(crystal))]
    lens = ice.lens(ice.from_ase([crystal, crystal, permuted]), **options)["lens"].values
    assert not lens[0].any()
    assert lens[1].mean() > 0.8


@pytest.mark.parametrize("name", ["triclinic", "small_box", "slab", "cluster"])
def test_swapped_identities_equal_brute_force(name: str) -> None:
    before = system(name)
    order = np.arange(len(before))
    order[[0, 1]] = [1, 0]
    after = before.copy()
    after.positions = before.positions[order]
    trj = ice.from_ase([before, after])
    expected = brute(ice.to_ase(trj, 0), ice.to_ase(trj, 1), 3.4)
    lens = ice.lens(trj, r_cut=3.4)["lens"].values[0]
    np.testing.assert_allclose(lens, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "mistake"), [({}, "neither"), ({"r_cut": 3.0, "n_neighbors": 4}, "both")]
)
def test_one_rule_for_neighbors(options: dict, mistake: str) -> None:
    trj = ice.from_ase([system("orthogonal")] * 2)
    with pytest.raises(InputError, match=f"exactly one of r_cut and n_neighbors, found {mistake}"):
        ice.lens(trj, **options)


def test_species_are_the_environment() -> None:
    before = star(1, 2)
    before.symbols[2] = "H"
    after = star(1, 3)
    after.symbols[2] = "H"
    trj = ice.from_ase([before, after])
    assert float(ice.lens(trj, r_cut=1.5, species=["H"])["lens"][0, 0]) == 1.0
    assert float(ice.lens(trj, r_cut=1.5, species=["O"])["lens"][0, 0]) == np.float32(1 / 3)


def star(*neighbors: int) -> ase.Atoms:
    """Return atom 0 with the given others near it and the rest far away."""
    positions = np.zeros((9, 3))
    positions[1:, 0] = 100 * np.arange(1, 9)
    for place, atom in enumerate(neighbors):
        positions[atom] = [np.cos(place), np.sin(place), 0]
    return ase.Atoms("O9", positions)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), 0.0),
        ((1, 2, 3, 4), (5, 6, 7, 8), 1.0),
        ((1, 2, 3, 4), (1, 2, 3, 5), 0.25),
        ((), (), 0.0),
        ((1,), (), 1.0),
    ],
)
def test_planted_changes(before: tuple, after: tuple, expected: float) -> None:
    trj = ice.from_ase([star(*before), star(*after)])
    assert float(ice.lens(trj, r_cut=1.5)["lens"][0, 0]) == expected


def test_delay_and_tail() -> None:
    frames = [star(1, 2), star(1, 3), star(1, 2), star(1, 3), star(1, 2)]
    trj = ice.from_ase(frames)
    assert ice.lens(trj, r_cut=1.5)["lens"].values[:4, 0].tolist() == [0.5] * 4
    lens = ice.lens(trj, r_cut=1.5, delay=2)["lens"].values[:, 0]
    assert lens[:3].tolist() == [0, 0, 0]
    assert np.isnan(lens[3:]).all()


def test_too_short() -> None:
    with pytest.raises(InputError, match="delay 20 needs at least 21 frames, the trajectory has 8"):
        ice.lens(ice.from_ase([star(1)] * 8), r_cut=2.0, delay=20)
