"""CHILL+ against OVITO's, on real water and ice and on exact lattices."""

from __future__ import annotations

import ase
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from ovito.io.ase import ase_to_ovito
from ovito.modifiers import ChillPlusModifier
from ovito.pipeline import Pipeline, StaticSource
from systems import system

import icedask as ice
from icedask.descriptors.chill import CLASSES, CUBIC, HEXAGONAL, LIQUID
from icedask.errors import InputError


def ovito(atoms: ase.Atoms) -> np.ndarray:
    pipeline = Pipeline(source=StaticSource(data=ase_to_ovito(atoms)))
    pipeline.modifiers.append(ChillPlusModifier(cutoff=3.5))
    return np.asarray(pipeline.compute().particles["Structure Type"])


def sheared(atoms: ase.Atoms) -> ase.Atoms:
    """Return the same crystal in another, skewed cell."""
    cell = atoms.cell.array.copy()
    cell[1] += cell[0]
    cell[2] -= cell[1]
    atoms.set_cell(cell)
    atoms.positions += np.random.default_rng(0).integers(-2, 3, (len(atoms), 3)) @ cell
    return atoms


@pytest.mark.parametrize("frame", [0, -1])
@pytest.mark.parametrize("change", [lambda atoms: atoms, sheared], ids=["cubic", "triclinic"])
def test_equals_ovito(mw: xr.Dataset, frame: int, change: object) -> None:
    atoms = ice.to_ase(mw, frame)
    atoms.set_celldisp(np.zeros(3))
    atoms = change(atoms)  # type: ignore[operator]
    found = ice.chill_plus(ice.from_ase(atoms))["label"].values[0]
    wrapped = atoms.copy()
    wrapped.wrap()
    expected = ovito(wrapped)
    assert len(np.unique(expected)) >= 5
    # Positions went through float32: a bond at a threshold may change sides.
    assert np.mean(found != expected) < 5e-4


def test_small_box_equals_its_supercell() -> None:
    cell = bulk("O", "diamond", a=6.37, cubic=True)
    assert set(ice.chill_plus(ice.from_ase(cell))["label"].values.ravel()) == {CUBIC}
    primitive = bulk("O", "diamond", a=6.37)
    assert set(ice.chill_plus(ice.from_ase(primitive))["label"].values.ravel()) == {CUBIC}


def test_hexagonal_ice() -> None:
    a, c = 4.50, 7.35
    positions = [[1 / 3, 2 / 3, 1 / 16], [2 / 3, 1 / 3, 9 / 16], [1 / 3, 2 / 3, 7 / 16]]
    positions += [[2 / 3, 1 / 3, 15 / 16]]
    atoms = ase.Atoms("O4", cell=ase.cell.Cell.fromcellpar([a, a, c, 90, 90, 120]), pbc=True)
    atoms.set_scaled_positions(positions)
    assert set(ice.chill_plus(ice.from_ase(atoms))["label"].values.ravel()) == {HEXAGONAL}


def test_hydrogens_are_left_out() -> None:
    atoms = system("orthogonal")
    water = atoms + ase.Atoms("H" * len(atoms), atoms.positions + 0.7)
    plain = ice.chill_plus(ice.from_ase(atoms))["label"]
    found = ice.chill_plus(ice.from_ase(water))["label"]
    assert found.sizes["atom"] == len(atoms)
    np.testing.assert_array_equal(found, plain)


def test_classes_are_named() -> None:
    attrs = ice.chill_plus(ice.from_ase(system("orthogonal")))["label"].attrs
    assert attrs["flag_values"] == list(range(6))
    assert attrs["flag_meanings"].split() == list(CLASSES)


def test_other_coordination_is_liquid() -> None:
    found = ice.chill_plus(ice.from_ase(system("lonely")))["label"].values
    assert set(found.ravel()) == {LIQUID}


def test_metal_is_refused() -> None:
    with pytest.raises(InputError, match="defined for water"):
        ice.chill_plus(ice.from_ase(bulk("Cu", cubic=True)))
