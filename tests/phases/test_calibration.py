"""Crystals and melts of the calibration."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from ase.build import bulk

import icedask as ice
from icedask.kernels.neighbors import neighbor_list
from icedask.phases.calibration import (
    denoised_sample,
    hot_crystal,
    large_cell,
    melt,
)

PBC = np.ones(3, bool)


def heights(atoms: ase.Atoms) -> np.ndarray:
    return 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)


def tilted() -> ase.Atoms:
    cell = [[4.0, 0.0, 0.0], [3.5, 3.0, 0.0], [-3.0, 2.0, 3.5]]
    return ase.Atoms("O", [[0.1, 0.2, 0.3]], cell=cell, pbc=True)


@pytest.mark.parametrize("atoms", [tilted(), bulk("Cu"), bulk("Cu", cubic=True)])
@pytest.mark.parametrize("height", [1.0, 10.0])
def test_heights_of_large_cells(atoms: ase.Atoms, height: float) -> None:
    large = large_cell(atoms, height)
    assert (heights(large) > height - 1e-5).all()
    assert (heights(large) < np.maximum(heights(atoms), height + heights(atoms))).all()
    volume = atoms.get_volume() / len(atoms)
    assert large.get_volume() / len(large) == pytest.approx(volume)


def test_height_that_is_a_multiple_of_the_cell() -> None:
    assert len(large_cell(bulk("O", "sc", a=3.0), 9.0)) == 27


def test_hot_crystals() -> None:
    crystal = large_cell(ice.Phases.named("Ic").structures["Ic"], 25.0)
    before = crystal.positions.copy()
    rng = np.random.default_rng(0)
    strains = []
    for _ in range(30):
        hot = hot_crystal(crystal, 0.1, 0.02, rng)
        apart = hot.get_scaled_positions(wrap=False) - crystal.get_scaled_positions(wrap=False)
        noise = apart @ hot.cell.array
        assert noise.std() == pytest.approx(0.1, rel=0.1)
        strains.append(np.linalg.solve(crystal.cell.array, hot.cell.array) - np.eye(3))
        assert np.linalg.det(hot.cell.array) > 0
        np.testing.assert_allclose(strains[-1], strains[-1].T, atol=1e-12)
    trace = np.trace(strains, axis1=1, axis2=2) / 3
    assert trace.mean() == pytest.approx(0.02, abs=0.004)
    assert 0.002 < trace.std() < 0.01
    np.testing.assert_array_equal(crystal.positions, before)


@pytest.mark.parametrize("name", ["Ih", "VII", "sI"])
def test_melts_are_disordered(name: str) -> None:
    crystal = large_cell(ice.Phases.named(name).structures[name], 12.0)
    liquid = melt(crystal, np.random.default_rng(0))
    assert len(liquid) == len(crystal)
    np.testing.assert_array_equal(liquid.cell.array, crystal.cell.array)
    nearest = neighbor_list(crystal.positions, crystal.cell.array, PBC, 4.0).distances.min()
    apart = neighbor_list(liquid.positions, liquid.cell.array, PBC, 4.0).distances.min()
    assert 0.85 * nearest < apart < nearest
    around = neighbor_list(liquid.positions, liquid.cell.array, PBC, 3.4).counts
    assert around.std() > 0.8
    again = melt(crystal, np.random.default_rng(0))
    np.testing.assert_array_equal(again.positions, liquid.positions)


def test_melts_without_room_end() -> None:
    # No pair within reach, one atom alone, and no room for all: it ends all the same.
    for atoms in (
        ase.Atoms("O2", [[0, 0, 0], [10, 10, 10]], cell=[20] * 3, pbc=True),
        ase.Atoms("O", cell=[30] * 3, pbc=True),
        bulk("Cu", "fcc", a=2.0, cubic=True),
    ):
        liquid = melt(atoms, np.random.default_rng(0))
        assert np.isfinite(liquid.positions).all()


def test_samples_are_denoised(shipped: ice.Denoiser) -> None:
    crystal = large_cell(ice.Phases.named("Ic").structures["Ic"], 10.0)
    hot = hot_crystal(crystal, 0.15, 0.0, np.random.default_rng(0))
    plain = denoised_sample(hot, None, 8, 0.4)
    assert plain.atoms is hot
    assert not plain.residual.any()
    cold = denoised_sample(hot, shipped.score(), 8, 0.4)
    assert cold.residual.max() < 0.02
    assert np.abs(cold.atoms.positions - hot.positions).max() > 0.1
