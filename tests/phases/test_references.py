"""Reference phases: the right crystals, shipped as the recipe makes them, and bad ones refused."""

from __future__ import annotations

import json
import pickle
from importlib.resources import files

import ase
import numpy as np
import pytest
from ase.build import bulk

import icedask as ice
from icedask.data import make_ice_phases
from icedask.errors import InputError
from icedask.kernels.neighbors import k_nearest, neighbor_list

# Molecules in the cell, and g/cm3.
SHIPPED = {
    "Ih": (16, 0.92),
    "Ic": (8, 0.92),
    "II": (12, 1.18),
    "III": (12, 1.16),
    "IV": (128, 1.272),
    "V": (28, 1.24),
    "VI": (10, 1.33),
    "VII": (16, 1.60),
    "XII": (24, 1.292),
    "XVII": (12, 0.88),
    "sI": (46, 0.795),
    "sII": (136, 0.81),
    "sH": (68, 0.756),
}


def shipped(name: str) -> ase.Atoms:
    return ice.Phases.named(name).structures[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_ices_have_their_molecules_and_density(name: str) -> None:
    atoms = shipped(name)
    molecules, density = SHIPPED[name]
    assert atoms.get_chemical_symbols() == ["O"] * molecules
    grams = molecules * 18.015 / 6.02214076e23
    assert grams / (atoms.get_volume() * 1e-24) == pytest.approx(density, rel=2e-3)
    assert np.linalg.det(atoms.cell.array) > 0
    assert atoms.pbc.all()
    assert atoms.info["origin"].startswith(f"ice {name}: GenIce2 2.")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_ices_have_their_network(name: str) -> None:
    atoms = shipped(name)
    near = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 3.1)
    # Ice VII is two networks within each other: as many neighbours again, not bonded.
    assert set(near.counts) == {8 if name == "VII" else 4}
    assert near.distances.min() > 2.7
    assert near.distances.max() < 2.93


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Ih", "hexagonal_ice"), ("Ic", "cubic_ice"), ("sI", "hydrate"), ("sII", "hydrate")],
)
def test_chill_plus_knows_the_shipped_ices(name: str, kind: str) -> None:
    label = ice.chill_plus(ice.from_ase(shipped(name)))["label"]
    names = label.attrs["flag_meanings"].split()
    assert {names[number] for number in np.unique(label.values)} == {kind}


def test_the_recipe_makes_the_shipped_ices_again() -> None:
    text = (files("icedask") / "data" / "ice_phases.json").read_text(encoding="utf-8")
    kept = json.loads(text)
    assert list(kept) == list(make_ice_phases.PHASES) == list(SHIPPED)
    for name, stored in kept.items():
        again = make_ice_phases.record(name)
        np.testing.assert_allclose(again["cell"], stored["cell"], rtol=0, atol=1e-6)
        apart = np.subtract(again["fractions"], stored["fractions"])
        np.testing.assert_allclose(apart - apart.round(), 0, atol=1e-6)
        assert stored["origin"].split("lattice")[1] == again["origin"].split("lattice")[1]


def test_the_seven_ices_differ_and_so_do_all() -> None:
    phases = ice.Phases.ices()
    assert phases.names == ("Ih", "Ic", "II", "III", "VI", "VII", "sI")
    assert phases.element == "O"
    assert len(phases) == 7
    assert "sI" in phases
    assert "V" not in phases
    assert repr(phases) == (
        "<Phases of O: Ih (16), Ic (8), II (12), III (12), VI (10), VII (16), sI (46)>"
    )
    assert len(ice.Phases.named(*SHIPPED)) == 13


def test_metals_are_close_packed_or_of_the_same_volume() -> None:
    phases = ice.Phases.metals(distance=2.884, element="Au")
    assert phases.names == ("fcc", "hcp", "bcc")
    assert phases.element == "Au"
    volume = 2.884**3 / np.sqrt(2)
    for name, first in (("fcc", 12), ("hcp", 12), ("bcc", 8)):
        atoms = phases.structures[name]
        assert atoms.get_volume() / len(atoms) == pytest.approx(volume)
        near = k_nearest(atoms.positions, atoms.cell.array, atoms.pbc, first + 1).distances
        shortest = 2.884 if first == 12 else np.cbrt(2 * volume) * np.sqrt(3) / 2
        np.testing.assert_allclose(near[:, :first], shortest)
        assert near[:, first].min() > 1.1 * shortest
    # Copper is 3.615 angstrom wide.
    again = ice.Phases.from_structures({"fcc": bulk("Cu", "fcc", a=2.556 * np.sqrt(2))})
    copper = ice.Phases.metals().structures["fcc"]
    assert again.digest == ice.Phases.from_structures({"fcc": copper}).digest
    assert copper.get_volume() == pytest.approx(bulk("Cu").get_volume(), rel=5e-3)


def test_structures_are_copies() -> None:
    phases, mine = ice.Phases.ices(), shipped("Ic")
    structures = {"Ic": mine}
    own = ice.Phases.from_structures(structures)
    before = phases.digest, own.digest
    phases.structures["Ih"].positions += 1.0
    mine.positions[0] += 1.0
    with pytest.raises(TypeError):
        phases.structures["Ih"] = mine  # type: ignore[index]
    assert phases.structures["Ih"].positions.tobytes() == shipped("Ih").positions.tobytes()
    assert own.structures["Ic"].positions.tobytes() == shipped("Ic").positions.tobytes()
    assert (phases.digest, own.digest) == before


def test_equal_phases_have_one_digest() -> None:
    phases = ice.Phases.named("Ih", "II")
    assert phases == ice.Phases.named("Ih", "II")
    assert hash(phases) == hash(ice.Phases.named("Ih", "II"))
    assert phases != "Ih II"
    # Labels are numbers in the order of the names.
    assert phases != ice.Phases.named("II", "Ih")
    assert phases != ice.Phases.named("Ih", "III")
    structures = dict(phases.structures)
    renamed = ice.Phases.from_structures({"Ih": structures["Ih"], "two": structures["II"]})
    assert phases != renamed
    moved = {name: atoms.copy() for name, atoms in structures.items()}
    moved["II"].positions[3] += 1e-4
    assert phases != ice.Phases.from_structures(moved)


def test_the_digest_is_that_of_any_periodic_image() -> None:
    phases = ice.Phases.named(*SHIPPED)
    rng = np.random.default_rng(0)
    images = {name: atoms.copy() for name, atoms in phases.structures.items()}
    for atoms in images.values():
        atoms.positions += rng.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    again = ice.Phases.from_structures(images)
    assert again == phases
    for atoms in again.structures.values():
        fractions = atoms.get_scaled_positions(wrap=False)
        assert fractions.min() > -1e-9
        assert fractions.max() < 1 + 1e-9


def test_phases_travel_to_workers() -> None:
    phases = ice.Phases.ices()
    again = pickle.loads(pickle.dumps(phases))
    assert again == phases
    assert again.names == phases.names
    assert repr(again) == repr(phases)
    assert np.array_equal(
        again.structures["sI"].positions,
        phases.structures["sI"].positions,
    )


def changed(**arrays: object) -> ase.Atoms:
    """Return cubic ice with something else in it."""
    atoms = shipped("Ic")
    for name, value in arrays.items():
        setattr(atoms, name, value)
    return atoms


def left_handed() -> ase.Atoms:
    atoms = shipped("Ic")
    return ase.Atoms("O8", atoms.positions, cell=atoms.cell.array[[1, 0, 2]], pbc=True)


@pytest.mark.parametrize(
    ("structures", "message"),
    [
        ({}, "expected structures by name, .* found none"),
        (bulk("Cu"), "expected structures by name, .* found Atoms"),
        ({"": bulk("Cu")}, "names of one word, found ''"),
        ({" ": bulk("Cu")}, "names of one word, found ' '"),
        ({3: bulk("Cu")}, "names of one word, found 3"),
        ({"ice Ih": bulk("Cu")}, "names of one word, found 'ice Ih'"),
        ({"liquid": bulk("Cu")}, "the name 'liquid' is kept for .* choose another"),
        ({"unknown": bulk("Cu")}, "the name 'unknown' is kept"),
        ({"fcc": None}, "fcc: expected ase.Atoms, .* found NoneType"),
        ({"fcc": ase.Atoms(cell=[1, 1, 1], pbc=True)}, "fcc: .* at least one atom, found no atom"),
        ({"Ic": changed(pbc=(True, True, False))}, r"Ic: expected a crystal.* \[True, True, False"),
        ({"Ic": changed(cell=np.zeros((3, 3)))}, "Ic: expected a cell with a volume"),
        ({"Ic": changed(cell=np.full((3, 3), np.nan))}, "Ic: .* finite numbers"),
        ({"Ic": changed(positions=np.full((8, 3), np.inf))}, "Ic: .* finite numbers"),
        ({"Ic": left_handed()}, r"Ic: expected right-handed .* atoms.set_cell\(atoms.cell\[\[1, 0"),
        ({"Ic": changed(symbols="OHOHOHOH")}, r"found H, O; .* atoms\[atoms.symbols == 'O'\]"),
        ({"fcc": bulk("Cu"), "hcp": bulk("Mg")}, "atoms of one element, found Cu, Mg"),
        ({"a": bulk("Cu"), "b": bulk("Cu", cubic=True)}, "a and b are the same crystal"),
    ],
)
def test_bad_structures(structures: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.Phases.from_structures(structures)  # type: ignore[arg-type]


def test_atoms_on_top_of_each_other_are_named() -> None:
    atoms = shipped("Ic")
    # Across the face of the cell.
    atoms += ase.Atom("O", atoms.positions[5] - atoms.cell.array[0] + [0.0, 0.3, 0.0])
    with pytest.raises(InputError, match=r"Ic: .* 0.5 angstrom apart, found 0.3 between 5 and 8"):
        ice.Phases.from_structures({"Ic": atoms})


def test_supercells_and_the_advice_for_left_handed_cells_are_fine() -> None:
    structures = {"Ih": shipped("Ih") * (2, 1, 1), "Ic": left_handed()}
    structures["Ic"].set_cell(structures["Ic"].cell[[1, 0, 2]])
    phases = ice.Phases.from_structures(structures)
    assert repr(phases) == "<Phases of O: Ih (32), Ic (8)>"
    with pytest.raises(InputError, match="one and two are the same crystal"):
        ice.Phases.from_structures({"one": shipped("Ih"), "two": structures["Ih"]})


def test_unknown_names_distances_and_elements_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected names among Ih, Ic, .*sH, found 'IX'; make"):
        ice.Phases.named("Ih", "IX")
    with pytest.raises(InputError, match="each name once, found Ih, Ih"):
        ice.Phases.named("Ih", "Ih")
    with pytest.raises(InputError, match="expected structures by name"):
        ice.Phases.named()
    for distance in (0.4, -2.5, np.nan):
        with pytest.raises(InputError, match=r"distance: expected at least 0.5 angstrom"):
            ice.Phases.metals(distance)
    with pytest.raises(InputError, match="expected a chemical symbol, found 'copper'"):
        ice.Phases.metals(element="copper")
