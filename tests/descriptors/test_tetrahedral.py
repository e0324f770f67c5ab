"""Tetrahedrality, local structure index and distances against loops over every image."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import ase
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.systems import SYSTEMS, brute_bonds, system, water_like

import icedask as ice
from icedask.descriptors.frame import Frame
from icedask.descriptors.tetrahedral import (
    angular_deviation,
    sorted_distances,
    structure_index,
    tetrahedrality,
)


def frame_of(atoms: ase.Atoms, **more: Any) -> Frame:
    return Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, **more)


def brute_vectors(atoms: ase.Atoms, atom: int) -> np.ndarray:
    """Return the vectors to the neighbours of an atom, nearest first."""
    return np.array([vector for _, _, vector in brute_bonds(atoms, 8.5)[atom]])


@pytest.mark.parametrize("kind", [kind for kind in SYSTEMS if kind != "lonely"])
def test_equal_brute_force(kind: str) -> None:
    atoms = system(kind)
    frame = frame_of(atoms)
    q, a = tetrahedrality(frame, "q"), tetrahedrality(frame, "A")
    index, distances = structure_index(frame, 3.7), sorted_distances(frame, 9)
    for atom in range(0, len(atoms), 5):
        vectors = brute_vectors(atoms, atom)
        length = np.linalg.norm(vectors, axis=1)
        np.testing.assert_allclose(distances[atom], length[:9], rtol=1e-6)
        gaps = np.diff(length[: np.sum(length < 3.7) + 1])
        if len(gaps):
            np.testing.assert_allclose(index[atom], np.var(gaps), atol=1e-6)
        else:
            assert np.isnan(index[atom])
        if length[4] - length[3] > 1e-6:
            pairs = combinations(vectors[:4] / length[:4, None], 2)
            expected = sum((first @ second + 1 / 3) ** 2 for first, second in pairs)
            np.testing.assert_allclose(a[atom], expected, atol=1e-6)
            np.testing.assert_allclose(q[atom], 1 - 3 * expected / 8, atol=1e-6)


def test_perfect_tetrahedron() -> None:
    frame = frame_of(bulk("O", "diamond", a=6.37))
    np.testing.assert_allclose(tetrahedrality(frame, "q"), 1, atol=1e-6)
    np.testing.assert_allclose(tetrahedrality(frame, "A"), 0, atol=1e-6)


def test_square() -> None:
    # Two angles of 180 degrees and four of 90: A = 2 (2/3)^2 + 4 (1/3)^2 = 4/3.
    atoms = ase.Atoms("O5", [[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    np.testing.assert_allclose(tetrahedrality(frame_of(atoms), "A")[0], 4 / 3, rtol=1e-6)
    np.testing.assert_allclose(tetrahedrality(frame_of(atoms), "q")[0], 1 / 2, rtol=1e-6)


def test_random_directions_have_no_order() -> None:
    vectors = np.random.default_rng(0).normal(size=(20_000, 4, 3))
    lengths = np.linalg.norm(vectors, axis=2)
    mean = angular_deviation(np.arange(20_000), vectors, lengths).mean()
    assert abs(1 - 3 * mean / 8) < 0.02


def test_ice_and_liquid_come_apart(mw: xr.Dataset) -> None:
    frames = mw.isel(frame=[0, -1])
    q = ice.tetrahedral(frames)["tetrahedral"].values
    index = ice.local_structure_index(frames)["local_structure_index"].values
    labels = ice.chill_plus(frames)["label"].values
    for values in (q, index):
        assert np.median(values[labels == 2]) > np.median(values[labels == 0])


def test_too_few_neighbors() -> None:
    # A line with its atoms at 0, 1, 2.5 and 4.5.
    atoms = ase.Atoms("O4", [[0, 0, 0], [1, 0, 0], [2.5, 0, 0], [4.5, 0, 0]])
    frame = frame_of(atoms)
    assert np.isnan(tetrahedrality(frame, "q")).all()
    np.testing.assert_allclose(sorted_distances(frame, 4)[0], [1, 2.5, 4.5, np.nan])
    # From 0: the gaps 1.5 and 2. From 1: 1, 1.5, 3.5 are all closer. From 4.5: gaps 1.5 and 1.
    indices = structure_index(frame, 3.7)
    np.testing.assert_allclose(indices, [0.0625, np.nan, np.nan, 0.0625], rtol=1e-6)
    # From 0 one neighbour is closer than 1.2, from 2.5 none is.
    np.testing.assert_allclose(structure_index(frame, 1.2), [0, 0, np.nan, np.nan])


def test_no_neighbors_at_all() -> None:
    frame = frame_of(ase.Atoms("O", [[0, 0, 0]]))
    for values in (tetrahedrality(frame, "A"), structure_index(frame, 3.7)):
        assert np.isnan(values).tolist() == [True]
    assert np.isnan(sorted_distances(frame, 2)).all()


def test_neighbors_are_counted_from_one() -> None:
    distances = ice.neighbor_distances(ice.from_ase(water_like()))["neighbor_distance"]
    assert distances.dims == ("frame", "atom", "neighbor")
    assert distances["neighbor"].values.tolist() == [1, 2, 3, 4, 5]
    assert (np.diff(distances.values) >= 0).all()


@pytest.mark.parametrize("name", ["local_structure_index", "neighbor_distances"])
def test_hydrogens_are_left_out(name: str) -> None:
    atoms = water_like()
    water = atoms + ase.Atoms("H" * len(atoms), atoms.positions + 0.5)
    function = getattr(ice, name)
    plain = function(ice.from_ase(atoms))
    limited = function(ice.from_ase(water), centers="element O", species=["O"])
    variable = next(iter(plain.data_vars))
    np.testing.assert_allclose(limited[variable], plain[variable], atol=1e-6)


def test_centers() -> None:
    atoms = water_like()
    centers = np.array([3, 100, 7])
    whole, part = frame_of(atoms), frame_of(atoms, centers=centers)
    np.testing.assert_array_equal(tetrahedrality(part, "q"), tetrahedrality(whole, "q")[centers])
    np.testing.assert_array_equal(structure_index(part, 3.7), structure_index(whole, 3.7)[centers])
