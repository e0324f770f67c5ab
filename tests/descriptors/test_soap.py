"""SOAP against DScribe used as it is meant to be, and against the formula."""

from __future__ import annotations

import time

import ase
import mpmath
import numpy as np
import pytest
from dscribe.descriptors import SOAP
from helpers.systems import system
from scipy.linalg import sqrtm
from scipy.special import gamma, sph_harm_y

import icedask as ice
from icedask.descriptors.frame import Frame
from icedask.descriptors.soap import cells as soap_cells
from icedask.descriptors.soap.basis import Basis, check_basis, radial_coefficients
from icedask.errors import InputError

# Kernels are compiled for each n_max in whole vectors, l_max and precision: as few as will do.
BASIS = {"r_cut": 4.0, "n_max": 4, "l_max": 2, "sigma": 0.5}


def dscribe(atoms: ase.Atoms, **options: float) -> np.ndarray:
    wrapped = atoms.copy()
    wrapped.wrap()
    if not wrapped.cell.array[2].any() and wrapped.pbc.any():
        wrapped.set_cell([*wrapped.cell.array[:2], [0, 0, 90]])
    species = sorted(set(atoms.symbols), key=ase.data.atomic_numbers.get)
    return SOAP(species=species, periodic=bool(atoms.pbc.any()), **options).create(wrapped)


SHAPES = ("orthogonal", "triclinic", "unwrapped", "boundary", "small_box", "slab", "cluster")
SMALL, DEFAULT = Basis(**BASIS), Basis(6.0, 8, 8, 1.0)
CASES = [
    *[(name, SMALL, dtype) for name in SHAPES for dtype in ("float64", "float32")],
    *[(name, DEFAULT, "float64") for name in ("triclinic", "small_box", "slab")],
    ("triclinic", DEFAULT, "float32"),
    ("cluster", Basis(5.0, 1, 0, 1.0), "float64"),
    ("unwrapped", Basis(5.0, 3, 12, 0.7), "float64"),
    ("slab", Basis(5.0, 3, 12, 0.7), "float32"),
    ("unwrapped", Basis(6.0, 12, 2, 1.0), "float64"),
    ("boundary", Basis(6.0, 12, 2, 1.0), "float32"),
]
TOLERANCE = {"float64": 1e-9, "float32": 3e-6}
# DScribe orthonormalises in double precision: of twelve functions it loses half the digits.
ROUNDING_OF_TWELVE = 5e-6


def row_error(rows: np.ndarray, expected: np.ndarray) -> float:
    size = np.linalg.norm(expected, axis=1)
    return float((np.linalg.norm(rows - expected, axis=1) / size).max())


def frame_of(atoms: ase.Atoms) -> Frame:
    return Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)


@pytest.mark.parametrize(("name", "basis", "dtype"), CASES)
def test_kernel_equals_dscribe(name: str, basis: Basis, dtype: str) -> None:
    atoms = system(name)
    frame, species = frame_of(atoms), sorted(set(atoms.numbers.tolist()))
    spectrum = soap_cells.power_spectrum(frame, frame.centers, species, basis, "compact", dtype)
    assert spectrum.dtype == dtype
    tolerance = TOLERANCE[dtype] if basis.n_max < 12 else ROUNDING_OF_TWELVE
    assert row_error(spectrum, dscribe(atoms, **basis._asdict())) < tolerance


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_three_species_equal_dscribe(dtype: str) -> None:
    atoms = system("unwrapped")
    atoms.symbols[::3] = "H"
    atoms.symbols[1::5] = "Cu"
    basis, frame = Basis(5.0, 6, 2, 1.0), frame_of(atoms)
    spectrum = soap_cells.power_spectrum(frame, frame.centers, [1, 8, 29], basis, "compact", dtype)
    assert row_error(spectrum, dscribe(atoms, **basis._asdict())) < TOLERANCE[dtype]


def test_engine_dscribe_is_the_same() -> None:
    atoms = system("triclinic")
    atoms.symbols[::3] = "H"
    trj = ice.from_ase(atoms)
    for layout in ("compact", "full"):
        ours = ice.soap(trj, **BASIS, dtype="float64", layout=layout)["soap"].values[0]
        theirs = ice.soap(trj, **BASIS, dtype="float64", layout=layout, engine="dscribe")
        assert row_error(ours, theirs["soap"].values[0]) < 1e-9


def test_dataset_equals_dscribe() -> None:
    atoms = system("slab")
    spectrum = ice.soap(ice.from_ase(atoms), **BASIS, dtype="float64")["soap"].values[0]
    # The Dataset holds float32 positions: the library is given the same.
    atoms.positions = atoms.positions.astype(np.float32)
    assert row_error(spectrum, dscribe(atoms, **BASIS)) < 1e-9


def test_full_layout_is_the_square() -> None:
    atoms = system("triclinic")
    atoms.symbols[::3] = "H"
    trj = ice.from_ase(atoms)
    compact = ice.soap(trj, **BASIS, dtype="float64")
    full = ice.soap(trj, **BASIS, dtype="float64", layout="full")
    names = ("species_a", "species_b", "n_a", "n_b", "l")
    labels = list(zip(*(full[name].values.tolist() for name in names), strict=True))
    assert len(set(labels)) == len(labels) == 3 * 16 * 3
    column = {label: full["soap"].values[0, :, k] for k, label in enumerate(labels)}
    for k, (a, b, n, m, degree) in enumerate(
        zip(*(compact[name].values.tolist() for name in names), strict=True)
    ):
        np.testing.assert_array_equal(compact["soap"].values[0, :, k], column[a, b, n, m, degree])
        if a == b:
            np.testing.assert_allclose(column[a, b, m, n, degree], column[a, b, n, m, degree])


def test_centers_outside_the_environment_have_no_self_term() -> None:
    atoms = ase.Atoms("OHH", [[0, 0, 0], [0.9, 0, 0], [0, 1.0, 0]])
    frame, basis = frame_of(atoms), SMALL
    spectrum = soap_cells.power_spectrum(frame, np.array([0]), [1], basis, "compact", "float64")
    lone = ase.Atoms("HH", atoms.positions[1:])
    calculator = SOAP(species=["H"], periodic=False, **basis._asdict())
    assert row_error(spectrum, calculator.create(lone, centers=[[0.0, 0, 0]])) < 1e-9


def test_nothing_in_reach_is_zero() -> None:
    atoms = ase.Atoms("OH", [[0, 0, 0], [90, 0, 0]])
    frame, basis = frame_of(atoms), SMALL
    spectrum = soap_cells.power_spectrum(frame, np.array([0]), [1], basis, "compact", "float64")
    assert not spectrum.any()


def test_sparse_points_in_a_huge_space() -> None:
    rng = np.random.default_rng(0)
    positions = np.concatenate([rng.random((30, 3)) * 6, [[1e5, 0, 0], [0, -3e4, 7e4]]])
    atoms = ase.Atoms("O32", positions)
    frame, basis = frame_of(atoms), SMALL
    spectrum = soap_cells.power_spectrum(frame, frame.centers, [8], basis, "compact", "float64")
    near = SOAP(species=["O"], periodic=False, **basis._asdict()).create(atoms[:30])
    assert row_error(spectrum[:30], near) < 1e-9
    np.testing.assert_allclose(spectrum[30], spectrum[31])


def test_radial_functions_too_alike() -> None:
    with pytest.raises(InputError, match="soap: n_max: the radial functions up to 12"):
        ice.soap(ice.from_ase(system("orthogonal")), r_cut=1.01, n_max=12)


@pytest.mark.parametrize("basis", [Basis(6.0, 8, 8, 1.0), Basis(4.0, 12, 2, 0.5)])
def test_basis_is_the_exact_one(basis: Basis) -> None:
    """The oracle has other digits, another eigensolver and the integral's gamma function."""
    exponents, coefficients = radial_coefficients(basis)
    with mpmath.workdps(90):
        ends = [mpmath.mpf(end) for end in np.linspace(1, basis.r_cut, basis.n_max).tolist()]
        for degree in (0, 1, basis.l_max):
            power = degree + mpmath.mpf(3) / 2
            alpha = [-mpmath.log(mpmath.mpf("0.001") / end**degree) / end**2 for end in ends]
            overlap = mpmath.matrix(
                [[mpmath.gamma(power) / 2 * (a + b) ** -power for b in alpha] for a in alpha]
            )
            values, vectors = mpmath.eigsy(overlap)
            root = vectors * mpmath.diag([value**-0.5 for value in values]) * vectors.T
            eta = 1 / (2 * mpmath.mpf(basis.sigma) ** 2)
            norm = mpmath.sqrt(mpmath.mpf(8) / (2 * degree + 1))
            scale = mpmath.pi**1.5 * mpmath.sqrt(mpmath.pi * norm)
            for j, a in enumerate(alpha):
                f = 1 / (1 + a / eta)
                assert exponents[degree, j] == float(a * f)
                height = scale * f**power / eta**1.5
                column = [float(root[n, j] * height) for n in range(basis.n_max)]
                assert coefficients[degree, :, j].tolist() == column


def test_a_basis_takes_some_milliseconds() -> None:
    start = time.process_time()
    check_basis(Basis(5.9, 8, 8, 1.0))
    assert time.process_time() - start < 1.0


def formula(vectors: np.ndarray, r_cut: float, n_max: int, l_max: int, sigma: float) -> np.ndarray:
    """Return c_nlm of Gaussian-type radial functions, (n, l, m), as the reference states it."""
    eta = 1 / (2 * sigma**2)
    r = np.linalg.norm(vectors, axis=1)
    theta = np.arccos(np.clip(np.divide(vectors[:, 2], r, where=r > 0, out=np.ones_like(r)), -1, 1))
    phi = np.arctan2(vectors[:, 1], vectors[:, 0])
    ends = np.linspace(1, r_cut, n_max)
    result = np.zeros((n_max, l_max + 1, 2 * l_max + 1), complex)
    for degree in range(l_max + 1):
        alpha = -np.log(1e-3 / ends**degree) / ends**2
        overlap = 0.5 * gamma(degree + 1.5) * (alpha[:, None] + alpha) ** (-degree - 1.5)
        beta = sqrtm(np.linalg.inv(overlap))
        f = 1 / (1 + alpha / eta)
        radial = (
            f[:, None] ** (degree + 1.5)
            * np.exp(-alpha[:, None] * f[:, None] * r**2)
            * r**degree
            * eta**-1.5
        )
        for m in range(-degree, degree + 1):
            y = sph_harm_y(degree, m, theta, phi)
            result[:, degree, m] = np.pi**1.5 * (beta @ radial) @ y.conj()
    return result


def test_components_follow_their_labels() -> None:
    rng = np.random.default_rng(1)
    positions = rng.normal(0, 2.0, (14, 3))
    atoms = ase.Atoms("O8H6", positions)
    ds = ice.soap(ice.from_ase(atoms), **BASIS, dtype="float64", centers="index 0")
    center = atoms.positions.astype(np.float32)[0]
    vectors = atoms.positions.astype(np.float32) - center
    inside = np.linalg.norm(vectors, axis=1) < BASIS["r_cut"] + BASIS["sigma"] * 3.717
    c = {
        symbol: formula(vectors[inside & (atoms.symbols == symbol)].astype(float), **BASIS)
        for symbol in "OH"
    }
    labels = [ds[name].values for name in ("species_a", "species_b", "n_a", "n_b", "l")]
    expected = [
        np.pi * np.sqrt(8 / (2 * degree + 1)) * np.vdot(c[b][m, degree], c[a][n, degree]).real
        for a, b, n, m, degree in zip(*labels, strict=True)
    ]
    np.testing.assert_allclose(ds["soap"].values[0, 0], expected, rtol=1e-5, atol=1e-6)


def test_sizes_of_the_literature() -> None:
    water = ase.Atoms("OH2", [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert ice.soap(ice.from_ase(water), r_cut=6.0).sizes["soap_component"] == 1224
    assert ice.soap(ice.from_ase(water), species=["O"]).sizes["soap_component"] == 324
    assert ice.soap(ice.from_ase(water), species=["O"], l_max=6).sizes["soap_component"] == 252
    assert ice.soap(ice.from_ase(water), layout="full").sizes["soap_component"] == 1728
    oxygen = ice.soap(ice.from_ase(water), species=["O"], layout="full")
    assert oxygen.sizes["soap_component"] == 576


def test_species_limit_the_environment() -> None:
    atoms = system("orthogonal")
    atoms.symbols[1::2] = "H"
    alone = atoms[atoms.symbols == "O"]
    limited = ice.soap(ice.from_ase(atoms), **BASIS, species=["O"], centers="element O")
    expected = ice.soap(ice.from_ase(alone), **BASIS)
    np.testing.assert_allclose(limited["soap"], expected["soap"], rtol=1e-6)
    assert limited["element"].values.tolist() == ["O"] * len(alone)


def test_massless_sites_are_no_species() -> None:
    atoms = ase.Atoms("OHHX", np.random.default_rng(0).normal(0, 1, (4, 3)))
    ds = ice.soap(ice.from_ase(atoms), **BASIS)
    assert set(ds["species_a"].values) == {"O", "H"}


def test_average_is_over_self_and_neighbors() -> None:
    atoms = system("triclinic")
    atoms.symbols[::4] = "Cu"
    trj = ice.from_ase(atoms)
    plain = ice.soap(trj, **BASIS, dtype="float64")["soap"].values[0]
    averaged = ice.soap(trj, **BASIS, dtype="float64", average_within=3.4)["soap"].values[0]
    pairs = ase.neighborlist.neighbor_list("ij", ase.Atoms(ice.to_ase(trj, 0)), 3.4)
    for center in range(0, len(atoms), 17):
        near = [j for i, j in zip(*pairs, strict=True) if i == center]
        members = [center, *(j for j in near if atoms.numbers[j] == atoms.numbers[center])]
        np.testing.assert_allclose(averaged[center], plain[members].mean(axis=0), rtol=1e-8)


def test_absent_species() -> None:
    with pytest.raises(InputError, match=r"soap: species: expected elements .*Au"):
        ice.soap(ice.from_ase(system("orthogonal")), species=["Au"])
    with pytest.raises(InputError, match="Qq"):
        ice.soap(ice.from_ase(system("orthogonal")), species=["Qq"])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_max", 0),
        ("n_max", 13),
        ("l_max", -1),
        ("l_max", 13),
        ("layout", "half"),
        ("l_max", 2.5),
        ("sigma", 0),
        ("dtype", "float16"),
    ],
)
def test_option_out_of_bounds(option: str, value: object) -> None:
    with pytest.raises(InputError, match=f"soap: {option}"):
        ice.soap(ice.from_ase(system("orthogonal")), **{option: value})
