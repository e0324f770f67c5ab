"""Bispectrum components against LAMMPS's, and their symmetries."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk
from helpers.lammps_oracle import atom_compute
from helpers.systems import system
from scipy.spatial.transform import Rotation

import icedask as ice
from icedask.descriptors.bispectrum import describe_centers
from icedask.descriptors.bispectrum.tables import Mapping, clebsch_gordan, components
from icedask.descriptors.frame import Frame
from icedask.errors import InputError

ICE = {"r_cut": 4.5, "twojmax": 6}


def computed(
    atoms: ase.Atoms, weights: dict[str, float] | None = None, **changes: Any
) -> np.ndarray:
    options = {"r_min": 0.0, "rfac0": 0.99363, "switch": True, "self_weight": 1.0, **changes}
    twojmax = options.pop("twojmax")
    frame = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    numbers = [
        (ase.data.atomic_numbers[symbol], weight) for symbol, weight in (weights or {}).items()
    ]
    return describe_centers(frame, Mapping(**options), twojmax, numbers)


def lammps(
    atoms: ase.Atoms,
    weights: dict[str, float] | None = None,
    *,
    r_cut: float,
    twojmax: int,
    r_min: float = 0.0,
    rfac0: float = 0.99363,
    switch: bool = True,
) -> np.ndarray:
    species = sorted(set(atoms.symbols))
    elements = [str((weights or {}).get(symbol, 1.0)) for symbol in species]
    command = [f"sna/atom {r_cut!r} {rfac0!r} {twojmax}", *["0.5"] * len(species), *elements]
    command += [f"rmin0 {r_min!r} switchflag {int(switch)} bzeroflag 0"]
    return atom_compute(atoms, " ".join(command), r_cut, species)


def assert_rows_equal(rows: np.ndarray, expected: np.ndarray, tolerance: float = 1e-8) -> None:
    assert rows.shape == expected.shape
    error = np.linalg.norm(rows - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < tolerance


def mixed() -> ase.Atoms:
    atoms = system("triclinic")
    atoms.symbols[np.random.default_rng(5).random(len(atoms)) < 0.4] = "H"
    return atoms


@pytest.mark.parametrize("twojmax", [1, 5, 8])
def test_equals_lammps(twojmax: int) -> None:
    atoms = system("orthogonal")
    options = {**ICE, "twojmax": twojmax}
    bispectrum = computed(atoms, **options)
    assert np.ptp(bispectrum, axis=0).min() > 1e-3
    assert_rows_equal(bispectrum, lammps(atoms, **options))


@pytest.mark.parametrize("kind", ["unwrapped", "boundary", "slab", "wire", "cluster"])
def test_equals_lammps_in_any_cell(kind: str) -> None:
    atoms = system(kind)
    assert_rows_equal(computed(atoms, **ICE), lammps(atoms, **ICE))


def test_crystal_equals_lammps() -> None:
    atoms = bulk("Cu", cubic=True) * (4, 4, 4)
    bispectrum = computed(atoms, r_cut=5.0, twojmax=8)
    assert_rows_equal(bispectrum, lammps(atoms, r_cut=5.0, twojmax=8))
    assert_rows_equal(bispectrum, np.broadcast_to(bispectrum[:1], bispectrum.shape), 1e-12)


@pytest.mark.parametrize("kind", ["small_box", "lattice"])
def test_cell_smaller_than_the_cutoff(kind: str) -> None:
    atoms = system("small_box") if kind == "small_box" else bulk("Cu")
    expected = lammps(atoms * (5, 5, 5), **ICE)[: len(atoms)]
    assert_rows_equal(computed(atoms, **ICE), expected)


@pytest.mark.parametrize(
    "changes",
    [
        # Some pairs are closer than this.
        {"r_min": 2.7},
        {"r_min": 2.7, "switch": False},
        {"r_min": 1.2, "rfac0": 0.7},
    ],
    ids=str,
)
def test_options_equal_lammps(changes: dict[str, Any]) -> None:
    atoms = system("triclinic")
    bispectrum = computed(atoms, **ICE, **changes)
    assert_rows_equal(bispectrum, lammps(atoms, **ICE, **changes))
    assert np.abs(bispectrum - computed(atoms, **ICE)).max() > 1e-2


def test_element_weights_equal_lammps() -> None:
    atoms, weights = mixed(), {"H": 0.35, "O": -1.2}
    assert_rows_equal(computed(atoms, weights, **ICE), lammps(atoms, weights, **ICE))


def test_self_weight() -> None:
    # LAMMPS has none, but the components are of third degree in all weights.
    atoms = system("triclinic")
    bispectrum = computed(atoms, {"O": 1.0}, self_weight=2.5, **ICE)
    assert_rows_equal(bispectrum, 2.5**3 * lammps(atoms, {"O": 0.4}, **ICE))


def test_self_weight_zero_leaves_the_neighbors() -> None:
    pair = ase.Atoms("O2", [[0, 0, 0], [1.0, 2.0, 0.5]])
    # One unitary matrix: |u_j|^2 = j + 1 for B_{j 0 j}, and every length is that of the identity.
    bispectrum = computed(pair, self_weight=0.0, switch=False, **ICE)
    np.testing.assert_allclose(
        bispectrum, np.broadcast_to(components(6)[:, 2] + 1.0, bispectrum.shape)
    )


@pytest.mark.parametrize("self_weight", [1.0, 0.5])
def test_no_neighbors_is_the_centre_alone(self_weight: float) -> None:
    atoms = system("lonely")
    bispectrum = computed(atoms, self_weight=self_weight, **ICE)
    expected = self_weight**3 * (components(6)[:, 2] + 1.0)
    np.testing.assert_allclose(bispectrum, np.broadcast_to(expected, bispectrum.shape), rtol=1e-13)
    if self_weight == 1.0:
        assert_rows_equal(bispectrum, lammps(atoms, **ICE))


def test_an_atom_at_the_place_of_the_centre_does_not_count() -> None:
    atoms = system("triclinic")
    atoms += atoms[:3]
    assert_rows_equal(computed(atoms, **ICE), lammps(atoms, **ICE))


@pytest.mark.parametrize("twojmax", [3, 14])
def test_rotation(twojmax: int) -> None:
    atoms = system("cluster")
    turned = atoms.copy()
    turned.positions = Rotation.from_rotvec([0.4, -1.1, 0.7]).apply(atoms.positions)
    options = {"r_cut": 5.0, "twojmax": twojmax}
    assert_rows_equal(computed(turned, **options), computed(atoms, **options), 1e-10)


def test_the_coupling_is_orthonormal() -> None:
    for j1, j2 in [(1, 1), (4, 3), (6, 6), (14, 13)]:
        rows = []
        for j in range(j1 - j2, j1 + j2 + 1, 2):
            matrix = clebsch_gordan(j1, j2, j)
            a, b = np.indices(matrix.shape)
            rows += [np.where(a + b == m + (j1 + j2 - j) // 2, matrix, 0) for m in range(j + 1)]
        basis = np.array(rows).reshape(len(rows), -1)
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(rows)), atol=1e-13)


def test_a_known_coefficient() -> None:
    # Two spins one half, m1 = 1/2 and m2 = -1/2, in the singlet; and 1, 1 in 2.
    assert clebsch_gordan(1, 1, 0)[1, 0] == pytest.approx(np.sqrt(0.5), rel=1e-15)
    assert clebsch_gordan(1, 1, 0)[0, 1] == pytest.approx(-np.sqrt(0.5), rel=1e-15)
    assert clebsch_gordan(2, 2, 4)[1, 1] == pytest.approx(np.sqrt(2 / 3), rel=1e-15)


@pytest.mark.parametrize(("twojmax", "number"), [(0, 1), (2, 5), (5, 20), (6, 30), (8, 55)])
def test_components_are_named(twojmax: int, number: int) -> None:
    ds = ice.bispectrum(ice.from_ase(system("small_box")), r_cut=3.0, twojmax=twojmax)
    assert ds["bispectrum"].sizes["bispectrum_component"] == number
    for name, column in zip(("j1", "j2", "j"), components(twojmax).T, strict=True):
        np.testing.assert_array_equal(ds[name], column)


def test_dataset_equals_the_kernel() -> None:
    atoms = mixed()
    trj = ice.from_ase(atoms)
    atoms.positions = trj["positions"].values[0]
    options = {**ICE, "r_min": 0.5, "self_weight": 0.7, "switch": False, "rfac0": 0.9}
    bispectrum = ice.bispectrum(
        trj, **options, species=["O", "H"], weights=[2.0, 0.5], centers="element H", dtype="float64"
    )["bispectrum"]
    expected = computed(atoms, {"O": 2.0, "H": 0.5}, **options)[atoms.symbols == "H"]
    assert_rows_equal(bispectrum.values[0], expected, 1e-12)


def test_species_limits_the_environment() -> None:
    atoms = mixed()
    bispectrum = ice.bispectrum(
        ice.from_ase(atoms), **ICE, species=["O"], centers="element O", dtype="float64"
    )["bispectrum"].values[0]
    oxygens = ice.from_ase(atoms[atoms.symbols == "O"])
    expected = ice.bispectrum(oxygens, **ICE, dtype="float64")["bispectrum"].values[0]
    assert_rows_equal(bispectrum, expected, 1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_min": 3.5}, "r_min: expected less than r_cut"),
        ({"r_min": -1.0}, "r_min"),
        ({"twojmax": -1}, "twojmax"),
        ({"twojmax": 15}, "twojmax"),
        ({"rfac0": 0.0}, "rfac0"),
        ({"rfac0": 1.1}, "rfac0"),
        ({"self_weight": -1.0}, "self_weight"),
        ({"switch": 1}, "switch"),
        ({"dtype": "int32"}, "dtype"),
        ({"weights": [1.0]}, "name each element once in species"),
        ({"species": ["O"], "weights": [1.0, 2.0]}, "found 2 for the species O"),
        ({"species": ["O", "O"], "weights": [1.0, 2.0]}, "name each element once in species"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.bispectrum(ice.from_ase(system("small_box")), **{"r_cut": 3.5, **options})
