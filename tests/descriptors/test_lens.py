"""LENS against brute force and on planted changes."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from systems import brute_pairs, system

import icedask as ice
from icedask.errors import InputError


def brute(before: ase.Atoms, after: ase.Atoms, r_cut: float) -> np.ndarray:
    result = np.zeros(len(before))
    sets = [
        [{j for i, j, _ in pairs if i == atom and j != atom} for atom in range(len(before))]
        for pairs in (brute_pairs(before, r_cut), brute_pairs(after, r_cut))
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
    found = ice.lens(trj, r_cut=3.6)["lens"].values
    np.testing.assert_allclose(found[0], brute(*frames, 3.6), rtol=1e-6)
    assert np.isnan(found[1]).all()


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
    found = ice.lens(trj, r_cut=1.5, delay=2)["lens"].values[:, 0]
    assert found[:3].tolist() == [0, 0, 0]
    assert np.isnan(found[3:]).all()


def test_too_short() -> None:
    with pytest.raises(InputError, match="delay 20 needs at least 21 frames, the trajectory has 8"):
        ice.lens(ice.from_ase([star(1)] * 8), r_cut=2.0, delay=20)
