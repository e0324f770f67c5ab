"""Symmetry functions against DScribe's, plain Python sums and values known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from ase.data import chemical_symbols
from helpers.symmetry_oracles import brute, dscribe
from helpers.systems import SYSTEMS, system

import icedask as ice
from icedask.descriptors import registry
from icedask.descriptors.frame import Frame
from icedask.errors import InputError

RADIAL: dict[str, Any] = {"g2": [(0.0, 0.0), (0.5, 2.8), (30.0, 2.7)], "g3": [1.3, 0.4]}
# Functions that share eta, or lambda and zeta, in no order; a zeta of every way to a power.
ANGULAR: dict[str, Any] = {
    "g4": [(0.1, 1, -1), (0.02, 2.5, 1), (0.1, 4, 0.5), (0.02, 1, -1), (0.3, 2000, 1)],
    "g5": [(0.05, 16, 1), (0.1, 1, -1), (0.05, 0.5, -1)],
}
G8 = [(2.0, 1.9, 5.0, 2.5, 3.2), (1.0, 0.3, 3.0, 3.0, 3.5), (-1.5, 0.0, 5.0, 2.5, 3.2)]
CUTOFFS: list[dict[str, Any]] = [
    {"cutoff": "cosine"},
    {"cutoff": "fermi", "fermi_alpha": 5.0, "fermi_epsilon": 0.7},
]


def mixed(name: str, n_species: int = 2) -> ase.Atoms:
    """Return a system in which every third atom is a hydrogen, then every fourth one copper."""
    atoms = system(name)
    atoms.symbols[:] = "O"
    for place, symbol in enumerate(("H", "Cu")[: n_species - 1]):
        atoms.symbols[place :: 3 + place] = symbol
    return atoms


def kernel(atoms: ase.Atoms, centers: list[int] | None = None, **options: Any) -> np.ndarray:
    """Return the functions of positions in double precision."""
    descriptor = registry()["symmetry_functions"]
    built = descriptor.build(ice.from_ase(atoms), **descriptor.options(options))
    chosen = np.arange(len(atoms)) if centers is None else np.array(centers, int)
    frame = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, centers=chosen)
    return built.compute(frame)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize(("n_species", "r_cut"), [(1, 8.0), (2, 4.0), (3, 4.0)])
def test_equals_dscribe(name: str, n_species: int, r_cut: float) -> None:
    atoms = mixed(name, n_species)
    options = {"r_cut": r_cut, **RADIAL, **ANGULAR}
    centers = list(range(0, len(atoms), 5))
    functions = kernel(atoms, centers, **options)
    expected = dscribe(atoms, centers, **options)
    assert name == "lonely" or np.abs(expected).max() > 0.1
    np.testing.assert_allclose(functions, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["unwrapped", "small_box", "slab", "wire", "cluster"])
@pytest.mark.parametrize(
    ("prefactor", "cutoff"),
    [("2^(1-zeta)", CUTOFFS[1]), ("2^-zeta", CUTOFFS[0])],
    ids=["fermi", "cosine"],
)
def test_equals_plain_sums(name: str, prefactor: str, cutoff: dict[str, Any]) -> None:
    options = {"r_cut": 3.8, **RADIAL, **ANGULAR, "g8": G8, **cutoff, "prefactor": prefactor}
    atoms = mixed(name)
    expected = [brute(atoms, center, **options) for center in (0, 1)]
    np.testing.assert_allclose(kernel(atoms, [0, 1], **options), expected, rtol=1e-10, atol=1e-12)


def test_more_pairs_than_a_block_holds() -> None:
    # Rows of more than 512 neighbours, and rows that end in the middle of a block.
    atoms = ase.Atoms("O700", np.random.default_rng(0).random((700, 3)) * 6)
    atoms.symbols[:40] = "H"
    options = {"r_cut": 9.0, **RADIAL, **ANGULAR}
    functions, expected = kernel(atoms, [0, 350], **options), dscribe(atoms, [0, 350], **options)
    np.testing.assert_allclose(functions, expected, rtol=1e-10, atol=1e-12)


def test_own_images_are_neighbors() -> None:
    # Simple cubic, one atom: six neighbours at a, twelve right angles and three lines between
    # them, whose third sides are beyond 1.4 a.
    crystal = bulk("Cu", "sc", a=3.0)
    options = {"g2": [(0, 0)], "g4": [(0.0, 1, 1)], "g5": [(0.0, 1, 1), (0.0, 1, -1)]}

    def f(r: float, r_cut: float) -> float:
        return 0.5 * (1 + np.cos(np.pi * r / r_cut))

    near = f(3.0, 4.2)
    expected = [[6 * near, 0, 12 * near**2, 18 * near**2]]
    np.testing.assert_allclose(kernel(crystal, r_cut=4.2, **options), expected, rtol=1e-13)
    # Within 1.5 a there are twelve more at sqrt(2) a: of each kind of triangle so many.
    near, far = f(3.0, 4.5), f(18**0.5, 4.5)
    right, half_right, equal = 12 * near**2 * far, 24 * near**2 * far, 24 * far**3
    functions = kernel(crystal, r_cut=4.5, g4=[(0.0, 1, 1)])
    np.testing.assert_allclose(
        functions, [[right + half_right * (1 + 0.5**0.5) + equal * 1.5]], rtol=1e-12
    )


def test_band_and_its_edges() -> None:
    # A right angle at the origin, one arm of length 3; f_b of the other is the result.
    nu, a1, ar = 2.0, 2.5, 3.5
    margin = np.pi / (2 * nu)
    waves = {"r_cut": 1.0, "g8": [(1.0, 0.0, nu, a1, ar)], "species": ["O"]}

    def f_b(r: float) -> float:
        atoms = ase.Atoms("O3", [[0, 0, 0], [3, 0, 0], [0, r, 0]])
        return float(kernel(atoms, [0], **waves)[0, 0])

    assert f_b(a1 - margin - 1e-6) == 0
    assert f_b(ar + margin + 1e-6) == 0
    assert f_b(0.2) == 0
    assert f_b(40.0) == 0
    for r in (a1, 3.2, ar):
        assert f_b(r) == pytest.approx(1, abs=1e-14)
    for r in (a1 - margin / 2, ar + margin / 2):
        assert f_b(r) == pytest.approx(0.5, abs=1e-14)
    assert f_b(a1 - margin / 3) == pytest.approx(0.75, abs=1e-14)
    assert 0 < f_b(ar + margin - 1e-3) < 1e-5


def test_band_ignores_r_cut() -> None:
    functions = [kernel(system("orthogonal"), [0], r_cut=r_cut, g8=G8) for r_cut in (2.0, 9.0)]
    assert np.abs(functions[0]).min() > 1e-3
    np.testing.assert_allclose(functions[0], functions[1], rtol=1e-12)


def test_atoms_in_a_line_stay_finite() -> None:
    directions = np.random.default_rng(1).normal(size=(300, 3))
    directions *= 1.7 / np.linalg.norm(directions, axis=1)[:, None]
    open_, far = {"r_cut": 4.0, "g5": [(0, 0.5, 1)]}, {"r_cut": 4.0, "g5": [(0, 1.5, -1)]}
    lines = [ase.Atoms("O3", [[0, 0, 0], u, -u]) for u in directions]
    # A base of some 1e-16, to the power of 1/2.
    bent = np.array([kernel(line, [0], **open_)[0, 0] for line in lines])
    assert (bent < 1e-7).all()
    f_c = 0.5 * (1 + np.cos(np.pi * 1.7 / 4))
    for line in lines[:10]:
        assert kernel(line, [0], **far)[0, 0] == pytest.approx(2 * f_c**2, rel=1e-12)
    wave = [(0.5, 0.0, 5.0, 1.5, 2.0)]
    for line in lines[:10]:
        assert kernel(line, [0], r_cut=4.0, g8=wave)[0, 0] == pytest.approx(1, abs=1e-12)


def test_atoms_in_a_line() -> None:
    for seed in range(5):
        direction = np.random.default_rng(seed).normal(size=3)
        direction /= np.linalg.norm(direction)
        line = ase.Atoms("O5", np.outer([-3.0, -1.1, 0.0, 1.3, 2.9], direction))
        options = {"r_cut": 4.5, **RADIAL, **ANGULAR, "g8": G8}
        expected = brute(line, 2, **options)
        np.testing.assert_allclose(kernel(line, [2], **options)[0], expected, rtol=1e-9, atol=1e-7)


def test_no_neighbors_is_zero() -> None:
    functions = kernel(system("lonely"), r_cut=5.0, **RADIAL, **ANGULAR, g8=G8)
    np.testing.assert_array_equal(functions, np.zeros((3, 5 + 8 + 3)))
    pair = ase.Atoms("O2", [[0, 0, 0], [2, 0, 0]])
    functions = kernel(pair, r_cut=5.0, **RADIAL, **ANGULAR, g8=G8)
    assert (functions[:, :2] > 0).all()
    np.testing.assert_array_equal(functions[:, 5:], np.zeros((2, 8 + 3)))


def test_atom_on_another_has_no_angle() -> None:
    atoms = ase.Atoms("O3", [[0, 0, 0], [0, 0, 0], [2, 0, 0]])
    angular = {"g4": [(0.1, 4, -1)], "g5": [(0.1, 1, 1)], "g8": [(1.0, 0.0, 1.0, 0.0, 2.0)]}
    for cutoff in CUTOFFS:
        functions = kernel(atoms, r_cut=5.0, g2=[(1, 0)], g3=[1.0], **angular, **cutoff)
        assert np.isfinite(functions[:, :2]).all()
        assert np.isnan(functions[:2, 2:]).all()
        assert np.isfinite(functions[2]).all()


@pytest.mark.parametrize("cutoff", CUTOFFS, ids=["cosine", "fermi"])
def test_cutoffs_end_at_the_radius(cutoff: dict[str, Any]) -> None:
    r_cut = 4.5
    # The list of neighbours is as long as f_b is wide.
    options = {"r_cut": r_cut, "g2": [(0, 0)], "g8": [(1.0, 0.0, 1.0, 5.0, 6.0)], **cutoff}
    alpha, epsilon = 5.0, 0.7
    for r in (0.1, 1.0, 3.0, r_cut - 1e-3):
        expected = {
            "cosine": np.cos(np.pi * r / r_cut / 2) ** 2,
            "fermi": 1 / (1 + np.exp(alpha * (r - r_cut + epsilon))),
        }[cutoff["cutoff"]]
        functions = kernel(ase.Atoms("O2", [[0, 0, 0], [0, 0, r]]), **options)
        np.testing.assert_allclose(functions[:, 0], expected, rtol=1e-9)
    for r in (r_cut, r_cut + 1e-9):
        assert not kernel(ase.Atoms("O2", [[0, 0, 0], [0, 0, r]]), **options).any()


def test_steep_fermi() -> None:
    cutoff = {"cutoff": "fermi", "fermi_alpha": 1e4, "fermi_epsilon": 1.0}
    for r, expected in ((3.4, 1.0), (4.4, 0.0)):
        pair = ase.Atoms("O2", [[0, 0, 0], [0, 0, r]])
        functions = kernel(pair, r_cut=4.5, g2=[(0, 0)], **cutoff)
        np.testing.assert_allclose(functions, expected, rtol=1e-15, atol=1e-300)


def test_high_exponents() -> None:
    angle = 0.1
    atoms = ase.Atoms("O3", [[0, 0, 0], [1, 0, 0], [np.cos(angle), np.sin(angle), 0]])
    functions = kernel(
        atoms, [0], r_cut=4.5, g5=[(0, 2000, 1), (0, 512, 1), (0, 31, 1), (1e4, 1, 1)]
    )
    weight, base = np.cos(np.pi / 9) ** 4, (1 + np.cos(angle)) / 2
    expected = [[*(2 * base**zeta * weight for zeta in (2000, 512, 31)), 0.0]]
    np.testing.assert_allclose(functions, expected, rtol=1e-12, atol=1e-290)


def test_centers_are_a_subset() -> None:
    atoms = mixed("triclinic", 3)
    options = {"r_cut": 4.5, **RADIAL, **ANGULAR, "g8": G8}
    whole = kernel(atoms, **options)
    # Nothing of the centre before is left in the buffers.
    np.testing.assert_array_equal(kernel(atoms, [100, 3, 57], **options), whole[[100, 3, 57]])
    assert kernel(atoms, [], **options).shape == (0, whole.shape[1])


def test_single_precision_is_the_rounded_result() -> None:
    trj = ice.from_ase(mixed("triclinic"))
    options = {"r_cut": 4.5, **RADIAL, **ANGULAR, "g8": G8}
    double = ice.symmetry_functions(trj, **options, dtype="float64")["symmetry_function"].values
    single = ice.symmetry_functions(trj, **options)["symmetry_function"].values
    assert double.dtype == np.float64
    np.testing.assert_array_equal(single, double.astype(np.float32))


def test_species_limit_the_neighbors() -> None:
    atoms = mixed("triclinic")
    centers = [1, 2, 4]
    options = {"r_cut": 4.5, **RADIAL, **ANGULAR}
    oxygens = atoms.symbols == "O"
    places = [int(np.count_nonzero(oxygens[:center])) for center in centers]
    expected = dscribe(atoms[oxygens], places, **options)
    functions = kernel(atoms, centers, species=["O"], **options)
    np.testing.assert_allclose(functions, expected, rtol=1e-10, atol=1e-12)


def test_components_are_named_in_the_order_of_dscribe() -> None:
    atoms = system("cluster")
    atoms.symbols[:20], atoms.symbols[20:40] = "H", "C"
    options = {"r_cut": 5.0, **RADIAL, "g4": ANGULAR["g4"][:2], "g5": ANGULAR["g5"][:1]}
    ds = ice.symmetry_functions(ice.from_ase(atoms), **options, g8=G8, dtype="float64")
    atoms.positions = atoms.positions.astype(np.float32)
    labels = {name: ds[name].values for name in ds.coords if ds[name].dims == ("function",)}
    values = ds["symmetry_function"].values[0]
    expected = dscribe(atoms, **options)
    np.testing.assert_allclose(values[:, labels["kind"] != "G8"], expected, rtol=1e-10, atol=1e-12)
    groups = np.char.add(labels["species_a"], labels["species_b"])
    order = ["H", "C", "O", "HH", "HC", "CC", "HO", "CO", "OO"]
    assert list(dict.fromkeys(groups.tolist())) == order
    # The labels of a component are all it takes to compute it.
    three = ("eta", "zeta", "lambda")
    fields = {"G2": ("eta", "shift"), "G3": ("kappa",), "G4": three, "G5": three}
    fields["G8"] = ("eta", "alpha", "nu", "a1", "ar")
    parameters = labels.keys() - {"kind", "species_a", "species_b"}
    recomputed = []
    for place, kind in enumerate(labels["kind"].tolist()):
        numbers = [labels[name][place] for name in fields[kind]]
        assert all(np.isnan(labels[name][place]) for name in parameters - {*fields[kind]})
        option = {kind.lower(): numbers if kind == "G3" else [numbers]}
        slot = order.index(groups[place]) - (0 if kind in ("G2", "G3") else 3)
        recomputed.append(brute(atoms, 3, r_cut=5.0, **option)[slot])
    assert np.count_nonzero(recomputed) > 40
    np.testing.assert_allclose(values[3], recomputed, rtol=1e-9, atol=1e-12)


def test_saved_and_opened(tmp_path: Path) -> None:
    trj = ice.from_ase([mixed("cluster")] * 2)
    ds = ice.symmetry_functions(trj, r_cut=4.0, **RADIAL, **ANGULAR, g8=G8)
    assert ds["symmetry_function"].dtype == np.float32
    ice.save(trj, tmp_path / "s.zarr")
    saved = ice.save(ds, tmp_path / "s.zarr")
    xr.testing.assert_equal(saved.compute(), ds.compute())
    assert saved["species_b"].values[0] == ""
    assert saved.attrs["parameters"]["g2"] == [[0.0, 0.0], [0.5, 2.8], [30.0, 2.7]]
    single = kernel(mixed("cluster"), r_cut=4.0, **RADIAL, **ANGULAR, g8=G8)
    np.testing.assert_allclose(saved["symmetry_function"][1], single, rtol=1e-4, atol=1e-5)


def test_parameters_decide_the_run() -> None:
    trj = ice.from_ase(system("cluster"))
    ids = [
        ice.symmetry_functions(trj, r_cut=4.0, g4=g4).attrs["run_id"]
        for g4 in ([(0.1, 1, 1)], [(0.1, 1, -1)], [[0.1, 1.0, 1]])
    ]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"at least one function, found none; ask for some, such as g2=\[\(0.5, 2.8\)\]"),
        ({"g2": [(-1, 2)]}, "g2: eta: expected at least 0"),
        ({"g2": [(1,)]}, r"g2: expected a list of \(eta, shift\), found \(1,\)"),
        ({"g2": (1, 2)}, r"g2: expected a list of \(eta, shift\), found 1"),
        ({"g4": [(1, 1, 2)]}, "g4: lambda: expected at most 1"),
        ({"g5": [(1, 0, 1)]}, "g5: zeta: expected a number above 0"),
        ({"g8": [(1, 0, 0, 2, 3)]}, "g8: nu: expected a number radian/angstrom above 0"),
        ({"g8": [(1, 0, 1, 3, 2)]}, "g8: expected a1 up to ar, found a1 3 and ar 2"),
        ({"g3": [1], "cutoff": "fermi"}, "expected fermi_alpha and fermi_epsilon with"),
        ({"g3": [1], "fermi_alpha": 2.0}, "neither without, found fermi_alpha=2.0"),
        ({"g3": [1], "cutoff": "sharp"}, "expected one of cosine, fermi"),
        ({"g3": [1], "species": ["Zz"]}, "Zz"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.symmetry_functions(ice.from_ase(system("cluster")), r_cut=4.0, **options)


def test_sites_without_an_element() -> None:
    atoms = system("cluster")
    atoms.numbers[:] = chemical_symbols.index("X")
    with pytest.raises(InputError, match="found no element but X"):
        ice.symmetry_functions(ice.from_ase(atoms), r_cut=4.0, g3=[1.0])
