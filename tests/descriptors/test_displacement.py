"""Displacements against brute force over images and ASE, and where the cell changes."""

from __future__ import annotations

from itertools import product

import ase
import numpy as np
import pytest
from ase.geometry import find_mic
from helpers.systems import SYSTEMS, system

import icedask as ice
from icedask.descriptors.displacement import displacements, keep_positions
from icedask.descriptors.frame import Frame
from icedask.errors import InputError

SKEWED = [[5.0, 0, 0], [12.3, 4.0, 0], [-9.7, 14.1, 3.5]]


def in_double(before: ase.Atoms, after: ase.Atoms) -> np.ndarray:
    return displacements(
        [
            keep_positions(Frame(a.positions, a.cell.array, a.pbc, a.numbers))
            for a in (before, after)
        ]
    )


def brute(steps: np.ndarray, cell: np.ndarray, pbc: tuple, reach: tuple) -> np.ndarray:
    ranges = zip(reach, pbc, strict=True)
    shifts = product(*[range(-n, n + 1) if periodic else (0,) for n, periodic in ranges])
    return np.min([np.linalg.norm(steps + np.array(n) @ cell, axis=1) for n in shifts], axis=0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_equals_ase(name: str) -> None:
    before = system(name)
    after = before.copy()
    rng = np.random.default_rng(0)
    after.positions += rng.normal(0, 3, after.positions.shape)
    after.positions += (rng.integers(-3, 4, (len(after), 3)) * after.pbc) @ after.cell.array
    steps = after.positions - before.positions
    expected = find_mic(steps, before.cell, before.pbc)[1]
    np.testing.assert_allclose(in_double(before, after), expected, rtol=1e-5)


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1), (0, 0, 0)])
def test_skewed_cell_equals_brute_force(pbc: tuple) -> None:
    cell, rng = np.array(SKEWED), np.random.default_rng(1)
    before = ase.Atoms("O60", np.zeros((60, 3)), cell=cell, pbc=pbc)
    after = before.copy()
    after.positions += rng.normal(0, 3, (60, 3))
    expected = brute(after.positions, cell, pbc, (60, 20, 6))
    np.testing.assert_allclose(in_double(before, after), expected, rtol=1e-5)


def test_deformation_is_no_motion() -> None:
    before = system("unwrapped")
    after = before.copy()
    after.set_cell(before.cell.array * [1.02, 0.99, 1.01], scale_atoms=True)
    assert in_double(before, after).max() < 1e-5
    move = np.array([0.01, -0.02, 0.03])
    after.positions += (move + np.array([1, -2, 0])) @ after.cell.array
    mean = move @ (before.cell.array + after.cell.array) / 2
    # The fraction moves in the mean cell.
    np.testing.assert_allclose(in_double(before, after), np.linalg.norm(mean), rtol=1e-5)


def test_delay_and_tail() -> None:
    frames = [ase.Atoms("O", [[x, 0, 0]], cell=[10] * 3, pbc=True) for x in (0, 1, 3, 9.5)]
    trj = ice.from_ase(frames)
    distance = ice.displacement(trj)["displacement"]
    assert distance.attrs["units"] == "angstrom"
    np.testing.assert_allclose(distance.values[:, 0], [1, 2, 3.5, np.nan])
    distance = ice.displacement(trj, delay=2)["displacement"]
    np.testing.assert_allclose(distance.values[:, 0], [3, 1.5, np.nan, np.nan])


@pytest.mark.parametrize("name", ["lens", "displacement"])
def test_uneven_steps_are_refused(name: str) -> None:
    options = {"r_cut": 3.0} if name == "lens" else {}
    trj = ice.from_ase([system("orthogonal")] * 6, frame_interval=0.1)
    function = getattr(ice, name)
    function(trj.isel(frame=slice(None, None, 2)), **options)
    with pytest.raises(InputError, match=f"{name}: expected frames at even time steps"):
        function(trj.isel(frame=[0, 1, 3]), **options)
    function(ice.from_ase([system("orthogonal")] * 6).isel(frame=[0, 1, 3]), **options)


def test_too_short() -> None:
    with pytest.raises(InputError, match="delay 2 needs at least 3 frames, the trajectory has 2"):
        ice.displacement(ice.from_ase([system("cluster")] * 2), delay=2)
