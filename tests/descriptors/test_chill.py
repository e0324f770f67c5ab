"""CHILL+ against OVITO's, both against brute force, on water, ice and exact lattices."""

from __future__ import annotations

from collections.abc import Callable

import ase
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.systems import system
from ovito.io.ase import ase_to_ovito
from ovito.modifiers import ChillPlusModifier
from ovito.pipeline import Pipeline, StaticSource
from scipy.special import sph_harm_y

import icedask as ice
from icedask.descriptors.chill import (
    CHILL_CLASSES,
    CLASSES,
    CUBIC,
    HEXAGONAL,
    HYDRATE,
    INTERFACIAL_HYDRATE,
    INTERFACIAL_ICE,
    LIQUID,
    classify,
)
from icedask.descriptors.frame import Frame
from icedask.errors import InputError
from icedask.kernels.neighbors import neighbor_list


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


def in_double(atoms: ase.Atoms, plus: bool, neighbors: str = "cutoff") -> np.ndarray:
    frame = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    return classify(frame, plus, 3.5, neighbors)


@pytest.mark.parametrize("frame", [0, -1])
@pytest.mark.parametrize("change", [lambda atoms: atoms, sheared], ids=["cubic", "triclinic"])
def test_equals_ovito(mw: xr.Dataset, frame: int, change: object) -> None:
    atoms = ice.to_ase(mw, frame)
    atoms.set_celldisp(np.zeros(3))
    atoms = change(atoms)  # type: ignore[operator]
    wrapped = atoms.copy()
    wrapped.wrap()
    expected = ovito(wrapped)
    assert len(np.unique(expected)) >= 5
    np.testing.assert_array_equal(in_double(atoms, plus=True), expected)
    labels = ice.chill_plus(ice.from_ase(atoms))["label"].values[0]
    # Positions went through float32: a bond at a threshold may change sides.
    assert np.mean(labels != expected) < 5e-4


@pytest.mark.parametrize("atoms_of", ["ice_1c", "ice_1h"])
def test_noisy_ice_equals_ovito(atoms_of: str) -> None:
    atoms = bulk("O", "diamond", a=6.37, cubic=True) * 5 if atoms_of == "ice_1c" else ice_1h() * 7
    atoms.positions += np.random.default_rng(1).normal(0, 0.2, atoms.positions.shape)
    atoms.wrap()
    expected = ovito(atoms)
    assert len(np.unique(expected)) >= 3
    np.testing.assert_array_equal(in_double(atoms, plus=True), expected)


def brute_classes(atoms: ase.Atoms, plus: bool, neighbors: str) -> list[int]:
    """Return the classes from complex harmonics and a list of their own, molecule by molecule."""
    r_cut = 3.5 if neighbors == "cutoff" else 14.0
    near: list[list[tuple[float, int, np.ndarray]]] = []
    pairs = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, r_cut)
    for atom in range(len(atoms)):
        row = slice(pairs.indptr[atom], pairs.indptr[atom + 1])
        entries = zip(pairs.distances[row], pairs.indices[row], pairs.vectors[row], strict=True)
        near.append(sorted(entries, key=lambda entry: entry[0]))
    if neighbors == "nearest":
        near = [row[:4] for row in near]
    q3, orders = np.zeros((len(atoms), 7), complex), np.arange(-3, 4)[:, None]
    for atom, row in enumerate(near):
        if row:
            r = np.array([distance for distance, _, _ in row])
            x, y, z = np.transpose([vector for _, _, vector in row])
            q3[atom] = sph_harm_y(3, orders, np.arccos(z / r), np.arctan2(y, x)).sum(axis=1)
        q3[atom] /= np.linalg.norm(q3[atom]) or 1
    low, high = (-0.35, 0.25) if plus else (-0.2, -0.05)
    bonds = [[np.vdot(q3[j], q3[atom]).real for _, j, _ in row] for atom, row in enumerate(near)]
    staggered = [sum(c < -0.8 for c in row) for row in bonds]
    eclipsed = [sum(low < c < high for c in row) for row in bonds]
    result = []
    for atom, row in enumerate(near):
        s, e = staggered[atom], eclipsed[atom]
        around = [staggered[j] for _, j, _ in row]
        if plus:
            rules = {
                HYDRATE: e == 4,
                INTERFACIAL_HYDRATE: e == 3,
                CUBIC: s == 4 and e == 0,
                HEXAGONAL: s == 3 and e == 1,
                INTERFACIAL_ICE: (s == 3 and e == 0) or s == 2,
            }
        else:
            outer = (s == 2 and max(around) > 2) or (s == 3 and e == 0 and 2 in around)
            rules = {CUBIC: s == 4, HEXAGONAL: s == 3 and e == 1, INTERFACIAL_ICE: outer}
        matching = [label for label, holds in rules.items() if holds and len(row) == 4]
        result.append(matching[0] if matching else LIQUID)
    return result


@pytest.mark.parametrize("neighbors", ["cutoff", "nearest"])
@pytest.mark.parametrize("plus", [True, False], ids=["chill_plus", "chill"])
@pytest.mark.parametrize(
    "name", ["orthogonal", "unwrapped", "boundary", "small_box", "slab", "cluster", "lonely"]
)
def test_equals_brute_force(name: str, plus: bool, neighbors: str) -> None:
    atoms = system(name)
    if name in ("orthogonal", "unwrapped"):
        atoms.positions += np.random.default_rng(2).normal(0, 0.3, atoms.positions.shape)
    elif name == "lonely":  # no neighbour within the oracle's reach
        atoms.pbc = False
        atoms = atoms[:1]
    labels = in_double(atoms, plus, neighbors)
    np.testing.assert_array_equal(labels, brute_classes(atoms, plus, neighbors))
    if name == "orthogonal":
        assert len(np.unique(labels)) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("plus", [True, False], ids=["chill_plus", "chill"])
def test_coexistence_equals_brute_force(mw: xr.Dataset, plus: bool) -> None:
    atoms = ice.to_ase(mw, -1)
    # A corner of the box, with crystal, liquid and a surface.
    atoms = atoms[(atoms.get_scaled_positions() < [1, 0.5, 0.5]).all(axis=1)]
    atoms.pbc = (True, False, False)
    for neighbors in ("cutoff", "nearest"):
        labels = in_double(atoms, plus, neighbors)
        np.testing.assert_array_equal(labels, brute_classes(atoms, plus, neighbors))
        assert len(np.unique(labels)) >= 4


def test_options_reach_the_kernel(mw: xr.Dataset) -> None:
    last = mw.isel(frame=[-1])
    atoms = ice.to_ase(last, 0)
    for function, plus in ((ice.chill, False), (ice.chill_plus, True)):
        for neighbors in ("cutoff", "nearest"):
            labels = function(last, neighbors=neighbors)["label"].values[0]
            assert np.mean(labels != in_double(atoms, plus, neighbors)) < 5e-4
        assert np.mean(labels != function(last)["label"].values[0]) > 0.01


def test_the_cutoff_is_no_part_of_the_nearest() -> None:
    trj = ice.from_ase(system("orthogonal"))
    first = ice.chill(trj, neighbors="nearest", r_cut=3.0).attrs["run_id"]
    assert ice.chill(trj, neighbors="nearest").attrs["run_id"] == first
    assert ice.chill(trj).attrs["run_id"] != first


@pytest.mark.parametrize("neighbors", ["cutoff", "nearest"])
@pytest.mark.parametrize("n_others", [2, 3])
def test_fewer_than_four_are_liquid(n_others: int, neighbors: str) -> None:
    cluster = bulk("O", "diamond", a=6.37, cubic=True)[: n_others + 1]
    cluster.pbc = False
    for function in (ice.chill, ice.chill_plus):
        assert not function(ice.from_ase(cluster), neighbors=neighbors)["label"].values.any()


@pytest.mark.parametrize("function", [ice.chill, ice.chill_plus])
@pytest.mark.parametrize("neighbors", ["cutoff", "nearest"])
def test_small_box_equals_its_supercell(function: Callable, neighbors: str) -> None:
    for cell in (bulk("O", "diamond", a=6.37, cubic=True), bulk("O", "diamond", a=6.37)):
        labels = function(ice.from_ase(cell), neighbors=neighbors)["label"].values
        assert set(labels.ravel()) == {CUBIC}


def ice_1h() -> ase.Atoms:
    """Return perfect hexagonal ice, four molecules."""
    a = 4.50
    c = a * np.sqrt(8 / 3)
    positions = [[1 / 3, 2 / 3, 1 / 16], [2 / 3, 1 / 3, 9 / 16], [1 / 3, 2 / 3, 7 / 16]]
    positions += [[2 / 3, 1 / 3, 15 / 16]]
    atoms = ase.Atoms("O4", cell=ase.cell.Cell.fromcellpar([a, a, c, 90, 90, 120]), pbc=True)
    atoms.set_scaled_positions(positions)
    return atoms


@pytest.mark.parametrize("function", [ice.chill, ice.chill_plus])
@pytest.mark.parametrize("neighbors", ["cutoff", "nearest"])
def test_hexagonal_ice(function: Callable, neighbors: str) -> None:
    labels = function(ice.from_ase(ice_1h()), neighbors=neighbors)["label"].values
    assert set(labels.ravel()) == {HEXAGONAL}


def test_hydrogens_are_left_out() -> None:
    atoms = system("orthogonal")
    water = atoms + ase.Atoms("H" * len(atoms), atoms.positions + 0.7)
    plain = ice.chill_plus(ice.from_ase(atoms))["label"]
    labels = ice.chill_plus(ice.from_ase(water))["label"]
    assert labels.sizes["atom"] == len(atoms)
    np.testing.assert_array_equal(labels, plain)


def test_classes_are_named() -> None:
    attrs = ice.chill_plus(ice.from_ase(system("orthogonal")))["label"].attrs
    assert attrs["flag_values"] == list(range(6))
    assert attrs["flag_meanings"].split() == list(CLASSES)
    attrs = ice.chill(ice.from_ase(system("orthogonal")))["label"].attrs
    assert attrs["flag_values"] == list(range(4))
    assert attrs["flag_meanings"].split() == list(CHILL_CLASSES)


def test_other_coordination_is_liquid() -> None:
    labels = ice.chill_plus(ice.from_ase(system("lonely")))["label"].values
    assert set(labels.ravel()) == {LIQUID}


@pytest.mark.parametrize("function", [ice.chill, ice.chill_plus])
def test_metal_is_refused(function: Callable) -> None:
    with pytest.raises(InputError, match=f"{function.__name__} is defined for water"):
        function(ice.from_ase(bulk("Cu", cubic=True)))
