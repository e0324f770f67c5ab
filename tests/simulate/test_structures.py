"""Start structures: crystals, water molecules, cells for both engines."""

from __future__ import annotations

import logging
import sys
from functools import cache

import ase
import numpy as np
import pytest

import icedask as ice
from icedask.errors import InputError
from icedask.kernels.neighbors import neighbor_list
from icedask.simulate.job import Start
from icedask.simulate.structures import fcc211, icosahedron, liquid, metal, plastic
from icedask.simulate.structures import ice as make_ice

REPEATS = {
    "Ih": (2, 2, 2),
    "Ic": (3, 3, 3),
    "II": (3, 3, 4),
    "III": (3, 3, 2),
    "IV": (1, 1, 1),
    "V": (2, 3, 3),
    "VI": (3, 3, 3),
    "VII": (2, 2, 2),
    "XII": (2, 2, 2),
    "XVII": (3, 2, 3),
    "sI": (1, 1, 2),
    "sII": (1, 1, 1),
    "sH": (1, 1, 1),
}
# g/cm3, as published for each phase near where it is stable; XII as that of D2O, and the empty
# clathrates and XVII as GenIce2 has them.
DENSITY = {
    "Ih": 0.92,
    "Ic": 0.92,
    "II": 1.18,
    "III": 1.165,
    "IV": 1.307,
    "V": 1.24,
    "VI": 1.373,
    "VII": 1.60,
    "XII": 1.440,
    "XVII": 0.880,
    "sI": 0.795,
    "sII": 0.810,
    "sH": 0.756,
}
PHASES = list(REPEATS)


@cache
def crystal(phase: str, seed: int = 1, sites: str = "OHH") -> ase.Atoms:
    """Return a crystal, made once; not to be changed."""
    return make_ice(phase, REPEATS[phase], seed, sites)


uncached = crystal.__wrapped__


def density(atoms: ase.Atoms) -> float:
    grams = 18.015 / 6.02214076e23 * np.count_nonzero(atoms.numbers == 8)
    return grams / (atoms.get_volume() * 1e-24)


def oxygens(atoms: ase.Atoms) -> ase.Atoms:
    chosen = atoms[atoms.numbers == 8]
    return ase.Atoms(chosen.symbols, chosen.positions, cell=chosen.cell, pbc=True)


def dipoles(atoms: ase.Atoms) -> np.ndarray:
    """Return the direction of the dipole of each molecule, not normalised."""
    oxygen, first, second = atoms.positions.reshape(-1, 3, 3).transpose(1, 0, 2)
    return first + second - 2 * oxygen


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("sites", ["O", "OHH"])
def test_ice_has_its_density_and_network(phase: str, sites: str) -> None:
    atoms = crystal(phase, sites=sites)
    assert density(atoms) == pytest.approx(DENSITY[phase], rel=2e-3)
    near = neighbor_list(oxygens(atoms).positions, atoms.cell.array, atoms.pbc, 3.1)
    # Ice VII is two networks within each other: as many neighbours again, not bonded.
    assert set(near.counts) == {8 if phase == "VII" else 4}
    assert near.distances.min() > 2.65
    assert near.distances.max() < 2.9


@pytest.mark.parametrize("phase", PHASES)
def test_ice_obeys_the_ice_rules(phase: str) -> None:
    atoms = crystal(phase)
    n = len(atoms) // 3
    pairs = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 2.25)
    donor, acceptor = pairs.rows, pairs.indices
    bonds = (donor % 3 > 0) & (acceptor % 3 == 0) & (donor // 3 != acceptor // 3)
    donor, acceptor = donor[bonds], acceptor[bonds] // 3
    assert np.array_equal(np.bincount(donor, minlength=3 * n), np.tile([0, 1, 1], n))
    assert set(np.bincount(acceptor, minlength=n)) == {2}
    bonded = {frozenset(pair) for pair in zip(donor // 3, acceptor, strict=True)}
    assert len(bonded) == 2 * n, "two protons on one hydrogen bond"


@pytest.mark.parametrize("phase", PHASES)
def test_molecules_are_whole_with_the_geometry_of_tip4p(phase: str) -> None:
    atoms = crystal(phase)
    assert atoms.get_chemical_symbols() == ["O", "H", "H"] * (len(atoms) // 3)
    assert np.array_equal(atoms.arrays["molecule"], np.arange(len(atoms)) // 3 + 1)
    oxygen, first, second = atoms.positions.reshape(-1, 3, 3).transpose(1, 0, 2)
    arms = np.stack([first - oxygen, second - oxygen])
    np.testing.assert_allclose(np.linalg.norm(arms, axis=2), 0.9572, atol=1e-9)
    cosine = (arms[0] * arms[1]).sum(axis=1) / 0.9572**2
    np.testing.assert_allclose(np.degrees(np.arccos(cosine)), 104.52, atol=1e-6)


@pytest.mark.parametrize("phase", PHASES)
def test_ice_has_next_to_no_dipole(phase: str) -> None:
    for seed in range(1, 4):
        moments = dipoles(crystal(phase, seed))
        all_aligned = np.linalg.norm(moments, axis=1).sum()
        # Disorder alone would give 4 to 10 %; bent bonds leave a little where angles are not
        # tetrahedral.
        assert np.linalg.norm(moments.sum(axis=0)) < 0.025 * all_aligned


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 3, 3), (1, 3, 4)])
def test_cells_are_triangular_and_reduced(phase: str, repeats: tuple) -> None:
    atoms = make_ice(phase, repeats, 0, "O")
    a, b, c = atoms.cell.array
    assert a[1] == a[2] == b[2] == 0
    assert min(a[0], b[1], c[2]) > 0
    rounding = 1e-9
    assert abs(b[0]) <= a[0] / 2 + rounding
    assert abs(c[0]) <= a[0] / 2 + rounding
    assert abs(c[1]) <= b[1] / 2 + rounding
    fractions = atoms.get_scaled_positions(wrap=False)
    # On a face, rounding may leave a fraction just outside.
    assert fractions.min() >= -rounding
    assert fractions.max() < 1 + rounding
    assert atoms.pbc.all()


@pytest.mark.parametrize(
    ("phase", "kind"),
    [("Ih", "hexagonal_ice"), ("Ic", "cubic_ice"), ("sI", "hydrate"), ("sII", "hydrate")],
)
@pytest.mark.parametrize("sites", ["O", "OHH"])
def test_chill_plus_knows_the_ice(phase: str, kind: str, sites: str) -> None:
    label = ice.chill_plus(ice.from_ase(oxygens(crystal(phase, sites=sites))))["label"]
    names = label.attrs["flag_meanings"].split()
    assert {names[number] for number in np.unique(label.values)} == {kind}


def test_seeds_repeat_and_differ() -> None:
    first, again, other = crystal("Ih", 1), uncached("Ih", 1), crystal("Ih", 2)
    assert np.array_equal(first.positions, again.positions)
    moved = np.linalg.norm(dipoles(first) - dipoles(other), axis=1) > 0.5
    assert moved.mean() > 0.5
    assert np.array_equal(oxygens(first).positions, oxygens(other).positions)
    assert np.array_equal(crystal("Ih", 5, "O").positions, oxygens(first).positions)
    # Ice II is ordered: there is nothing to draw.
    assert np.array_equal(crystal("II", 1).positions, crystal("II", 2).positions)


def test_ice_leaves_random_numbers_and_logging_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = crystal("III")
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    with caplog.at_level(logging.DEBUG):
        again = uncached("III")
    assert np.random.random() == expected  # noqa: NPY002
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert logging.root.manager.disable == 0
    assert np.array_equal(first.positions, again.positions)


def test_origin_of_a_structure() -> None:
    origin = Start("ice", {"phase": "V", "repeats": (1, 1, 1), "seed": 7}).build().info["origin"]
    assert origin.startswith("ice V: GenIce2 2.")
    assert origin.endswith("lattice 5, 1x1x1 cells, proton seed 7")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("IX", (1, 1, 1), 0, "O"), r"phase: expected one of Ih, .*sH, found IX"),
        (("Ih", (1, 1), 0, "O"), r"repeats: expected three positive integers"),
        (("Ih", (1, 0, 1), 0, "O"), r"repeats: expected three positive integers"),
        (("Ih", (1, 1, 1), 0, "OH"), r"sites: expected O or OHH, found OH"),
    ],
)
def test_bad_arguments_of_ice(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_ice(*arguments)


def test_without_genice_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genice2.genice", None)
    with pytest.raises(InputError, match=r"pip install icedask\[simulate\]"):
        uncached("Ih")


@pytest.mark.parametrize(("n", "wanted"), [(1, 1.0), (64, 0.5), (20_000, 0.997), (500, 1.35)])
def test_liquid_has_its_density_and_no_overlaps(n: int, wanted: float) -> None:
    atoms = liquid(n, wanted, 3, "O")
    assert len(atoms) == n
    assert density(atoms) == pytest.approx(wanted, rel=1e-9)
    near = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 2.5)
    assert not len(near.distances)


def test_liquid_is_disordered_and_isotropic() -> None:
    atoms = liquid(3000, 0.997, 0, "OHH")
    moments = dipoles(atoms)
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    # Means and mean squares of a uniform direction, within five standard errors.
    np.testing.assert_allclose(moments.mean(axis=0), 0, atol=5 * np.sqrt(1 / 3 / 3000))
    np.testing.assert_allclose((moments**2).mean(axis=0), 1 / 3, atol=5 * np.sqrt(4 / 45 / 3000))
    normals = np.cross(
        *(atoms.positions.reshape(-1, 3, 3)[:, 1:] - atoms.positions[::3, None]).transpose(1, 0, 2)
    )
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_allclose((normals**2).mean(axis=0), 1 / 3, atol=5 * np.sqrt(4 / 45 / 3000))
    label = ice.chill_plus(ice.from_ase(oxygens(atoms)))["label"].values
    assert (label == 0).mean() > 0.95
    assert np.array_equal(liquid(3000, 0.997, 0, "OHH").positions, atoms.positions)
    assert not np.allclose(liquid(3000, 0.997, 1, "OHH").positions, atoms.positions)


def test_a_liquid_too_dense_is_refused() -> None:
    with pytest.raises(InputError, match="choose a lower density"):
        liquid(200, 3.0, 0, "O")
    with pytest.raises(InputError, match="expected molecules and a density"):
        liquid(0, 1.0, 0, "O")


@pytest.mark.parametrize(
    ("lattice", "neighbors", "nearest"),
    [("fcc", 12, 1.1225), ("hcp", 12, 1.1225), ("bcc", 8, 1.0911)],
)
def test_lattices_have_their_neighbors_and_volume(
    lattice: str, neighbors: int, nearest: float
) -> None:
    atoms = metal("Fe", lattice, 8.0, (4, 3, 3))
    assert set(atoms.symbols) == {"Fe"} and atoms.pbc.all()
    assert atoms.get_volume() / len(atoms) == pytest.approx(8.0)
    near = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 2 * nearest + 0.1)
    assert set(near.counts) == {neighbors}
    np.testing.assert_allclose(near.distances, 2 * nearest, atol=1e-3)
    assert atoms.info["origin"] == f"Fe {lattice}: 4x3x3 cells, 8 cubic angstrom an atom"


def test_a_plastic_crystal_starts_at_random_orientations() -> None:
    atoms = plastic("fcc", 1.6, (4, 4, 4), 5)
    assert density(atoms) == pytest.approx(1.6, rel=1e-9)
    near = neighbor_list(oxygens(atoms).positions, atoms.cell.array, atoms.pbc, 3.2)
    assert set(near.counts) == {12}
    moments = dipoles(atoms)
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    assert np.linalg.norm(moments.mean(axis=0)) < 5 / np.sqrt(len(moments))
    assert np.array_equal(plastic("fcc", 1.6, (4, 4, 4), 5).positions, atoms.positions)
    assert not np.allclose(plastic("fcc", 1.6, (4, 4, 4), 6).positions, atoms.positions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sc", 8.0, (1, 1, 1)), "lattice: expected fcc, hcp or bcc, found sc"),
        (("fcc", 0.0, (1, 1, 1)), "volume: expected more than 0 cubic angstrom, found 0"),
        (("bcc", 8.0, (1, 1, 0)), "repeats: expected three positive integers"),
    ],
)
def test_bad_arguments_of_lattices(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        metal("Cu", *arguments)


def test_the_icosahedron_is_a_cluster_of_gold() -> None:
    atoms = icosahedron("Au", 4, 4.079)
    assert atoms.get_chemical_symbols() == ["Au"] * 309
    assert not atoms.pbc.any()
    assert not atoms.cell.array.any()
    near = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 3.4)
    # Twelve vertices, thirty edges and twenty faces around a core of 147.
    assert dict(zip(*np.unique(near.counts, return_counts=True), strict=True)) == {
        6: 12,
        8: 30 * 3,
        9: 20 * 3,
        12: 147,
    }


def test_the_slab_has_two_stepped_surfaces() -> None:
    atoms = fcc211("Cu", 3.615, (15, 10, 16), 15.0)
    assert len(atoms) == 2400
    assert atoms.pbc.tolist() == [True, True, False]
    np.testing.assert_allclose(
        np.diag(atoms.cell.array)[:2], [5 * 3.615 * np.sqrt(3), 10 * 3.615 / np.sqrt(2)]
    )
    heights = atoms.positions[:, 2]
    assert heights.min() == pytest.approx(15)
    assert atoms.cell.array[2, 2] - heights.max() == pytest.approx(15)
    near = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 3.0)
    # On either side, of 50 steps of one atom each: step edge, terrace, step corner.
    assert dict(zip(*np.unique(near.counts, return_counts=True), strict=True)) == {
        7: 100,
        9: 100,
        10: 100,
        12: 2100,
    }
    with pytest.raises(InputError, match="multiple of 3"):
        fcc211("Cu", 3.615, (10, 15, 16), 15.0)
