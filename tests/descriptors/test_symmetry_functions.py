"""Symmetry functions against DScribe's and against the formulas, summed one neighbour at a time."""

from __future__ import annotations

from itertools import product
from typing import Any

import ase
import numpy as np
import pytest
from dscribe.descriptors import ACSF
from systems import SYSTEMS, system

import icedask as ice
from icedask.descriptors.contract import Frame
from icedask.descriptors.symmetry_functions import ANGULAR, RADIAL, Sets, describe_centers, plan
from icedask.errors import InputError

R_CUT = 4.5
LOGISTIC = (5.0, 0.7)
SETS: Sets = {
    "G2": [(0.0, 0.0), (0.3, 0.0), (2.0, 2.75), (40.0, 3.1)],
    "G3": [(0.0,), (1.7,)],
    "G4": [(0.01, 1.0, -1.0), (0.01, 4.0, 1.0), (0.1, 4.0, 1.0), (0.2, 16.0, -1.0)],
    "G5": [(0.1, 2.0, 1.0), (0.02, 3.0, -1.0), (0.01, 3.0, -1.0)],
    "G8": [],
}
NOTHING: Sets = {kind: [] for kind in SETS}
# What DScribe does not have: exponents that are no integers, lambda between -1 and 1, G8.
ALL_SETS: Sets = {
    **SETS,
    "G4": [*SETS["G4"], (0.05, 2.5, 1.0), (0.05, 3.0, 0.5)],
    "G8": [(1.0, 0.0, 3.0, 1.0, 3.0), (3.0, 1.2, 2.0, 2.6, 2.9), (2.0, -0.4, 3.0, 1.0, 3.0)],
}


def with_species(atoms: ase.Atoms, n_species: int) -> ase.Atoms:
    for place, symbol in enumerate(("H", "Cu")[: n_species - 1]):
        atoms.symbols[place :: 3 + place] = symbol
    return atoms


def numbers_of(atoms: ase.Atoms) -> list[int]:
    return sorted(set(atoms.numbers.tolist()))


def kernel(
    atoms: ase.Atoms,
    sets: Sets,
    logistic: tuple[float, float] | None = None,
    prefactor: str = "behler",
    centers: np.ndarray | None = None,
) -> np.ndarray:
    frame = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, centers=centers)
    return describe_centers(frame, numbers_of(atoms), plan(sets, R_CUT, logistic, prefactor))


def dscribe(atoms: ase.Atoms, sets: Sets) -> np.ndarray:
    wrapped = atoms.copy()
    wrapped.wrap()
    if wrapped.pbc.any() and not wrapped.cell.array[2].any():
        wrapped.set_cell([*wrapped.cell.array[:2], [0, 0, 90]])
    acsf = ACSF(
        species=numbers_of(atoms),
        r_cut=R_CUT,
        periodic=bool(atoms.pbc.any()),
        g2_params=sets["G2"],
        g3_params=[kappa for (kappa,) in sets["G3"]],
        g4_params=sets["G4"],
        g5_params=sets["G5"],
    )
    features = acsf.create(wrapped)
    # Each species of neighbours begins with G1, the sum of the cutoff function.
    n_radial = 1 + len(sets["G2"]) + len(sets["G3"])
    return np.delete(features, np.arange(len(numbers_of(atoms))) * n_radial, axis=1)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("n_species", [1, 2, 3])
def test_equals_dscribe(name: str, n_species: int) -> None:
    atoms = with_species(system(name), n_species)
    found, expected = kernel(atoms, SETS), dscribe(atoms, SETS)
    assert found.shape == expected.shape
    assert name == "lonely" or np.count_nonzero(expected) > 0.2 * expected.size
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def environment(atoms: ase.Atoms, center: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors to everything within the cutoff, images of the centre too, and species."""
    cell = atoms.cell.complete().array
    vectors, numbers = [], []
    for shift in product(*[range(-6, 7) if periodic else [0] for periodic in atoms.pbc]):
        moved = atoms.positions + np.array(shift) @ cell - atoms.positions[center]
        r = np.linalg.norm(moved, axis=1)
        near = (r > 0) & (r < R_CUT)
        vectors += moved[near].tolist()
        numbers += atoms.numbers[near].tolist()
    return np.array(vectors).reshape(-1, 3), np.array(numbers)


def f_c(r: float, logistic: tuple[float, float] | None) -> float:
    if r >= R_CUT:
        return 0.0
    if logistic is None:
        return 0.5 * (1 + np.cos(np.pi * r / R_CUT))
    return 1 / (1 + np.exp(logistic[0] * (r - R_CUT + logistic[1])))


def f_b(r: float, nu: float, a1: float, ar: float) -> float:
    width = np.pi / (2 * nu)
    if a1 - width < r < a1:
        return np.cos(nu * (r - a1)) ** 2
    if a1 <= r <= ar:
        return 1.0
    return np.cos(nu * (r - ar)) ** 2 if ar < r < ar + width else 0.0


def formulas(
    atoms: ase.Atoms,
    center: int,
    sets: Sets,
    logistic: tuple[float, float] | None,
    factor: float,
) -> list[float]:
    """Return every function of one atom by its formula; sums over j != k halved, not j < k."""
    vectors, of = environment(atoms, center)
    r = np.linalg.norm(vectors, axis=1)
    n = range(len(r))
    fc = [f_c(one, logistic) for one in r]
    values = []
    for a in numbers_of(atoms):
        mine = [j for j in n if of[j] == a]
        values += [sum(np.exp(-e * (r[j] - s) ** 2) * fc[j] for j in mine) for e, s in sets["G2"]]
        values += [sum(np.cos(kappa * r[j]) * fc[j] for j in mine) for (kappa,) in sets["G3"]]
    numbers = numbers_of(atoms)
    for b in numbers:
        for a in numbers[: numbers.index(b) + 1]:
            pairs = [(j, k) for j in n for k in n if j != k and {of[j], of[k]} == {a, b}]
            g4, g5, g8 = (np.zeros(len(sets[kind])) for kind in ("G4", "G5", "G8"))
            for j, k in pairs:
                cosine = np.clip(vectors[j] @ vectors[k] / (r[j] * r[k]), -1, 1)
                rjk = np.linalg.norm(vectors[j] - vectors[k])
                for f, (eta, xi, sign) in enumerate(sets["G4"]):
                    radial = np.exp(-eta * (r[j] ** 2 + r[k] ** 2 + rjk**2))
                    radial *= fc[j] * fc[k] * f_c(rjk, logistic)
                    g4[f] += factor * 2.0**-xi * (1 + sign * cosine) ** xi * radial / 2
                for f, (eta, xi, sign) in enumerate(sets["G5"]):
                    radial = np.exp(-eta * (r[j] ** 2 + r[k] ** 2)) * fc[j] * fc[k]
                    g5[f] += factor * 2.0**-xi * (1 + sign * cosine) ** xi * radial / 2
                for f, (eta, alpha, *limits) in enumerate(sets["G8"]):
                    bands = f_b(r[j], *limits) * f_b(r[k], *limits)
                    g8[f] += np.sin(eta * (np.arccos(cosine) - alpha)) * bands / 2
            values += [*g4, *g5, *g8]
    return values


@pytest.mark.parametrize("name", ["triclinic", "small_box", "slab", "wire", "cluster"])
@pytest.mark.parametrize("logistic", [None, LOGISTIC], ids=["behler", "logistic"])
@pytest.mark.parametrize(("prefactor", "factor"), [("behler", 2.0), ("half", 1.0)])
def test_equals_the_formulas(
    name: str, logistic: tuple[float, float] | None, prefactor: str, factor: float
) -> None:
    atoms = with_species(system(name), 2)
    found = kernel(atoms, ALL_SETS, logistic, prefactor)
    for center in (0, len(atoms) - 1):
        expected = formulas(atoms, center, ALL_SETS, logistic, factor)
        np.testing.assert_allclose(found[center], expected, rtol=1e-10, atol=1e-11)


def test_images_of_the_centre_are_neighbors() -> None:
    cube = ase.Atoms("O", cell=[2.2] * 3, pbc=True)
    found = kernel(cube, ALL_SETS)
    np.testing.assert_allclose(found[0], formulas(cube, 0, ALL_SETS, None, 2.0), rtol=1e-10)
    np.testing.assert_allclose(kernel(cube * (4, 4, 4), ALL_SETS)[5], found[0], rtol=1e-10)


def trimer(r: float, angle: float) -> ase.Atoms:
    ends = [[r, 0, 0], [r * np.cos(angle), r * np.sin(angle), 0]]
    return ase.Atoms("O3", [[0, 0, 0], *ends])


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        (1.2, 0.0),
        (1.499, 0.0),
        (1.75, 0.5),
        (1.999, 1.0),
        (2.0, 1.0),
        (2.5, 1.0),
        (3.0, 1.0),
        (3.25, 0.5),
        (3.501, 0.0),
        (4.4, 0.0),
    ],
)
def test_band(r: float, expected: float) -> None:
    sets: Sets = {**NOTHING, "G8": [(2.0, 0.3, np.pi, 2.0, 3.0)]}
    found = kernel(trimer(r, 2.0), sets)[0, 0]
    assert found == pytest.approx(np.sin(2 * (2.0 - 0.3)) * expected**2, abs=1e-4)
    if expected == 0.0:
        assert found == 0.0


def test_cutoffs_end_at_the_radius() -> None:
    sets: Sets = {**NOTHING, "G2": [(0.0, 0.0)]}
    for logistic in (None, LOGISTIC):
        for r in (0.1, 1.0, 3.0, R_CUT - 1e-3):
            found = kernel(ase.Atoms("O2", [[0, 0, 0], [0, 0, r]]), sets, logistic)
            np.testing.assert_allclose(found, f_c(r, logistic), rtol=1e-9)
        beyond = ase.Atoms("O2", [[0, 0, 0], [0, 0, R_CUT + 1e-9]])
        assert not kernel(beyond, sets, logistic).any()


def test_steep_logistic_cutoff() -> None:
    found = kernel(ase.Atoms("O2", [[0, 0, 0], [0, 0, 4.4]]), SETS, (1e4, 1.0))
    assert np.isfinite(found).all()
    assert not found.any()


def test_atoms_in_a_line() -> None:
    # The directions of some of these have a scalar product beyond -1 by rounding.
    for seed in range(50):
        direction = np.random.default_rng(seed).normal(size=3)
        direction /= np.linalg.norm(direction)
        line = ase.Atoms("O5", np.outer([-3.0, -1.1, 0.0, 1.3, 2.9], direction))
        found = kernel(line, ALL_SETS)
        assert np.isfinite(found).all()
        expected = formulas(line, 2, ALL_SETS, None, 2.0)
        np.testing.assert_allclose(found[2], expected, rtol=1e-7, atol=1e-7)


def test_high_exponents() -> None:
    sets: Sets = {
        **NOTHING,
        "G5": [(0.0, 2000.0, 1.0), (0.0, 512.0, 1.0), (1e4, 1.0, 1.0)],
    }
    atoms = trimer(1.0, 0.1)
    fc, base = f_c(1.0, None) ** 2, (1 + np.cos(0.1)) / 2
    expected = [2 * base**2000 * fc, 2 * base**512 * fc, 0.0]
    np.testing.assert_allclose(kernel(atoms, sets)[0], expected, rtol=1e-10, atol=1e-290)


def test_no_neighbors_are_empty_sums() -> None:
    assert not kernel(system("lonely"), ALL_SETS).any()


def test_centers_are_a_subset() -> None:
    atoms = with_species(system("triclinic"), 3)
    chosen = np.array([100, 3, 57])
    np.testing.assert_array_equal(
        kernel(atoms, ALL_SETS, centers=chosen), kernel(atoms, ALL_SETS)[chosen]
    )
    assert kernel(atoms, ALL_SETS, centers=chosen[:0]).shape == (
        0,
        kernel(atoms, ALL_SETS).shape[1],
    )


def test_atom_on_the_centre() -> None:
    atoms = ase.Atoms("O3", [[0, 0, 0], [0, 0, 0], [1, 0, 0]])
    found = kernel(atoms, SETS)[0]
    assert np.isfinite(found[:6]).all()
    assert np.isnan(found[6:]).all()


OPTIONS: dict[str, Any] = {
    "r_cut": R_CUT,
    "g2_eta": [0.3, 2.0],
    "g2_shift": [0.0, 2.75],
    "g3_kappa": [1.7],
    "g4_eta": [0.01],
    "g4_xi": [4],
    "g4_lambda": [1],
    "g5_eta": [0.1, 0.02],
    "g5_xi": [2, 2.5],
    "g5_lambda": [1, -1],
    "g8_eta": [3.0],
    "g8_alpha": [1.2],
    "g8_nu": [2.0],
    "g8_inner": [2.6],
    "g8_outer": [2.9],
    "dtype": "float64",
}


def test_labels_name_the_components() -> None:
    atoms = with_species(system("triclinic"), 3)
    ds = ice.symmetry_functions(ice.from_ase(atoms), **OPTIONS, centers="index 7")
    # The Dataset holds float32 positions: the formulas are given the same.
    atoms.positions = atoms.positions.astype(np.float32)
    symbols = ["H", "O", "Cu"]
    assert list(dict.fromkeys(ds["species_a"].values[:9])) == symbols
    pairs = dict.fromkeys(zip(ds["species_a"].values, ds["species_b"].values, strict=True))
    angular = [pair for pair in pairs if pair[1]]
    assert angular == [(a, b) for n, b in enumerate(symbols) for a in symbols[: n + 1]]
    for place in range(ds.sizes["function"]):
        one = ds.isel(function=place)
        label = {name: one[name].item() for name in ds.coords if ds[name].dims == ("function",)}
        names = {**RADIAL, **ANGULAR}[label["kind"]]
        numeric = {name for name, value in label.items() if isinstance(value, float)}
        assert {name for name in numeric if np.isfinite(label[name])} == set(names)
        assert bool(label["species_b"]) == (label["kind"] in ANGULAR)
        # The formula of this one function alone, for all species or pairs of species.
        sets: Sets = {**NOTHING, label["kind"]: [tuple(label[name] for name in names)]}
        columns = formulas(atoms, 7, sets, None, 2.0)
        if label["kind"] in RADIAL:
            expected = columns[symbols.index(label["species_a"])]
        else:
            expected = columns[angular.index((label["species_a"], label["species_b"]))]
        found = one["symmetry_function"].values[0, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_single_precision_is_the_rounded_result() -> None:
    trj = ice.from_ase(system("triclinic"))
    double = ice.symmetry_functions(trj, **OPTIONS)["symmetry_function"].values
    options = {**OPTIONS, "dtype": "float32"}
    found = ice.symmetry_functions(trj, **options)["symmetry_function"].values
    np.testing.assert_array_equal(found, double.astype(np.float32))


def test_options_reach_the_kernel() -> None:
    atoms = system("triclinic")
    trj = ice.from_ase(atoms)
    atoms.positions = atoms.positions.astype(np.float32)
    ds = ice.symmetry_functions(
        trj,
        **OPTIONS,
        cutoff="logistic",
        logistic_alpha=LOGISTIC[0],
        logistic_offset=LOGISTIC[1],
        prefactor="half",
    )
    sets: Sets = {
        "G2": [(0.3, 0.0), (2.0, 2.75)],
        "G3": [(1.7,)],
        "G4": [(0.01, 4.0, 1.0)],
        "G5": [(0.1, 2.0, 1.0), (0.02, 2.5, -1.0)],
        "G8": [(3.0, 1.2, 2.0, 2.6, 2.9)],
    }
    expected = kernel(atoms, sets, LOGISTIC, "half")
    np.testing.assert_allclose(ds["symmetry_function"].values[0], expected, rtol=1e-9, atol=1e-12)


def test_shift_is_zero_by_default() -> None:
    trj = ice.from_ase(system("orthogonal"))
    ds = ice.symmetry_functions(trj, g2_eta=[0.1, 1.0])
    same = ice.symmetry_functions(trj, g2_eta=[0.1, 1.0], g2_shift=[0.0, 0.0])
    np.testing.assert_array_equal(ds["symmetry_function"], same["symmetry_function"])
    assert ds["shift"].values.tolist() == [0.0, 0.0]


def test_species_limit_the_environment() -> None:
    atoms = system("orthogonal")
    atoms.symbols[1::2] = "H"
    alone = ice.from_ase(atoms[atoms.symbols == "O"])
    found = ice.symmetry_functions(
        ice.from_ase(atoms), **OPTIONS, species=["O"], centers="element O"
    )
    expected = ice.symmetry_functions(alone, **OPTIONS)
    np.testing.assert_allclose(found["symmetry_function"], expected["symmetry_function"], rtol=1e-9)
    assert set(found["species_a"].values) == {"O"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"at least one function, such as g2_eta=\[0.05, 0.5\]"),
        ({"g2_shift": [1.0]}, "1 of g2_shift"),
        ({"g2_eta": [1.0, 2.0], "g2_shift": [1.0]}, "2 of g2_eta, 1 of g2_shift"),
        ({"g4_eta": [1.0], "g4_xi": [1.0]}, "equal length, .* 0 of g4_lambda"),
        ({"g2_eta": [-1.0]}, "g2_eta: expected at least 0"),
        ({"g5_eta": [1.0], "g5_xi": [0.0], "g5_lambda": [1]}, "g5_xi: expected a number above 0"),
        ({"g5_eta": [1.0], "g5_xi": [1.0], "g5_lambda": [2]}, "g5_lambda: expected at most 1"),
        ({"g2_eta": [1.0], "cutoff": "tanh"}, "cutoff: expected one of behler, logistic"),
        ({"g2_eta": [1.0], "cutoff": "logistic"}, "expected logistic_alpha"),
        ({"g2_eta": [1.0], "logistic_offset": 1.0}, 'belong to cutoff="logistic"'),
        ({**OPTIONS, "g8_inner": [3.0]}, "g8_inner: expected at most g8_outer"),
        ({**OPTIONS, "r_cut": 3.6}, "r_cut: expected at least 3.6854 angstrom"),
        ({"g2_eta": [1.0], "prefactor": "2"}, "prefactor: expected one of behler, half"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.symmetry_functions(ice.from_ase(system("orthogonal")), **options)
