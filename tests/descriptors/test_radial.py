"""Radial structure functions against loops over every image, and perfect crystals by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import exp, sqrt
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk
from helpers.systems import SYSTEMS, brute_bonds, system, water_like

import icedask as ice
from icedask.descriptors.frame import Frame
from icedask.descriptors.radial import radial_structure
from icedask.descriptors.radial.kernels import gaussian_sum
from icedask.errors import InputError
from icedask.kernels.simd import WIDTH

N = tuple(range(2, 17))
MU = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15)
SIGMA = 0.05


def kernel(
    atoms: ase.Atoms,
    n_neighbors: Sequence[int] = N,
    mu: Sequence[float] = MU,
    sigma: float = SIGMA,
    **more: Any,
) -> np.ndarray:
    """Return the functions of float64 positions, (n_centers, n_N, n_mu)."""
    frame = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, **more)
    values = radial_structure(frame, n_neighbors, mu, sigma)
    return values.reshape(-1, len(n_neighbors), len(mu))


def brute(distances: Sequence[float], n_neighbors: Sequence[int] = N) -> np.ndarray:
    """Return the functions of one atom by their definition, no Gaussian cut."""
    nearest = sorted(distances)
    result = np.full((len(n_neighbors), len(MU)), np.nan)
    for row, n in enumerate(n_neighbors):
        if len(nearest) >= n:
            mean = sum(nearest[:n]) / n
            for column, mu in enumerate(MU):
                result[row, column] = sum(
                    exp(-((r / mean - mu) ** 2) / (2 * SIGMA**2)) for r in nearest
                )
    return result


def brute_distances(atoms: ase.Atoms, r_cut: float) -> list[list[float]]:
    return [[distance for distance, _, _ in row] for row in brute_bonds(atoms, r_cut)]


# The cutoffs of the loops hold all that the sixteenth mean sees, in the cluster everything.
@pytest.mark.parametrize("kind", SYSTEMS)
def test_equals_brute_force(kind: str) -> None:
    atoms = system(kind)
    r_cut = {"lonely": 260.0, "cluster": 40.0, "wire": 14.0}.get(kind, 10.0)
    listed = brute_distances(atoms, r_cut)
    assert max(np.mean(sorted(distances)[:16]) for distances in listed) * 1.45 < r_cut
    expected = np.array([brute(distances) for distances in listed])
    np.testing.assert_allclose(kernel(atoms), expected, rtol=2e-7, atol=1e-6)


def test_one_atom_sees_its_images() -> None:
    atoms = ase.Atoms("O", cell=[[2, 0, 0], [0.4, 2.3, 0], [-0.7, 0.3, 2.5]], pbc=True)
    expected = brute(brute_distances(atoms, 6.0)[0])
    np.testing.assert_allclose(kernel(atoms)[0], expected, rtol=2e-7, atol=1e-6)


def gaussian(distance: float, mu: float) -> float:
    return exp(-((distance - mu) ** 2) / (2 * SIGMA**2))


@pytest.mark.parametrize("mu", [0.85, 1.0, 1.15])
def test_perfect_fcc(mu: float) -> None:
    # 12 neighbours at r, 6 at sqrt(2) r, 24 at sqrt(3) r.
    functions = kernel(bulk("Cu", "fcc", a=3.6), [12, 16], [mu])[0, :, 0]
    mean = (12 + 4 * sqrt(2)) / 16
    twelve = 12 * gaussian(1, mu) + 6 * gaussian(sqrt(2), mu)
    sixteen = 12 * gaussian(1 / mean, mu) + 6 * gaussian(sqrt(2) / mean, mu)
    np.testing.assert_allclose(functions, [twelve, sixteen], rtol=2e-7, atol=1e-6)
    if mu == 1:
        assert functions[0] == 12  # the second shell is eight standard deviations away


def test_perfect_bcc() -> None:
    # 8 neighbours at r, 6 at 2 r / sqrt(3): within reach of each other.
    functions = kernel(bulk("Fe", "bcc", a=2.9), [8, 14], [1.0, 1.15])[0]
    far = 2 / sqrt(3)
    mean = (8 + 6 * far) / 14
    expected = [
        [8 * gaussian(1, mu) + 6 * gaussian(far, mu) for mu in (1.0, 1.15)],
        [8 * gaussian(1 / mean, mu) + 6 * gaussian(far / mean, mu) for mu in (1.0, 1.15)],
    ]
    assert expected[0][1] > 6
    np.testing.assert_allclose(functions, expected, rtol=2e-7)


def test_scale_changes_nothing() -> None:
    atoms = system("triclinic")
    small, large = atoms.copy(), atoms.copy()
    small.set_cell(atoms.cell * 0.3, scale_atoms=True)
    large.set_cell(atoms.cell * 37.0, scale_atoms=True)
    expected = kernel(atoms)
    for other in (small, large):
        np.testing.assert_allclose(kernel(other), expected, rtol=1e-6, atol=1e-7)


def test_atoms_depend_on_their_surroundings_alone() -> None:
    # A droplet, and the same with a dilute vapour around it, whose atoms see across the droplet.
    rng = np.random.default_rng(5)
    droplet = ase.Atoms("O200", rng.random((200, 3)) * 20)
    directions = rng.normal(size=(40, 3))
    far = 10 + 150 * directions / np.linalg.norm(directions, axis=1)[:, None]
    both = droplet + ase.Atoms("O40", far)
    functions = kernel(both)
    np.testing.assert_allclose(functions[:200], kernel(droplet), rtol=1e-6, atol=1e-7)
    distances = np.linalg.norm(both.positions - both.positions[:, None], axis=2)
    for atom in range(150, 240):
        expected = brute(np.delete(distances[atom], atom).tolist())
        np.testing.assert_allclose(functions[atom], expected, rtol=5e-7, atol=2e-6)


def test_exponential() -> None:
    offsets = np.full(2 * WIDTH, np.inf)
    for x in np.append(np.linspace(-30, 30, 601), 1e150):
        offsets[0] = x + 2.5
        assert abs(gaussian_sum(offsets, 2, 2.5) - exp(-x * x / 2)) < 1e-11
    assert gaussian_sum(offsets, 0, 2.5) == 0


@pytest.mark.parametrize("sigma", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("mu", [[0.3], [2.5, 0.7, 1.0, 1.4, 0.7, 0.1, 2.0, 1.1, 0.9]])
def test_other_gaussians(mu: list[float], sigma: float) -> None:
    # Centres in any order, far apart and close, more of them than fit into a vector.
    atoms = ase.Atoms("O60", np.random.default_rng(2).random((60, 3)) * 11)
    distances = np.linalg.norm(atoms.positions - atoms.positions[:, None], axis=2)
    np.fill_diagonal(distances, np.inf)
    mean = np.sort(distances, axis=1)[:, :4].mean(axis=1)
    scaled = distances / mean[:, None]
    expected = [np.exp(-((scaled - center) ** 2) / (2 * sigma**2)).sum(axis=1) for center in mu]
    functions = kernel(atoms, [4], mu, sigma)[:, 0]
    np.testing.assert_allclose(functions, np.transpose(expected), rtol=5e-7, atol=2e-6)


def test_too_few_neighbors() -> None:
    # On a line at 0, 1, 2.5 and 4.5.
    atoms = ase.Atoms("O4", [[0, 0, 0], [1, 0, 0], [2.5, 0, 0], [4.5, 0, 0]])
    functions = kernel(atoms, [1, 3, 4])
    np.testing.assert_allclose(functions[0, :2], brute([1, 2.5, 4.5], [1, 3]), rtol=2e-7, atol=1e-6)
    np.testing.assert_allclose(functions[3, :2], brute([2, 3.5, 4.5], [1, 3]), rtol=2e-7, atol=1e-6)
    assert np.isnan(functions[:, 2]).all()


def test_no_neighbors_at_all() -> None:
    assert np.isnan(kernel(ase.Atoms("O", [[0, 0, 0]]))).all()
    assert np.isnan(kernel(system("orthogonal"), environment=np.zeros(216, bool))).all()


def test_nothing_to_describe() -> None:
    assert kernel(ase.Atoms()).shape == (0, 15, 7)
    assert kernel(system("orthogonal"), centers=np.array([], int)).shape == (0, 15, 7)


def test_atoms_at_the_same_place() -> None:
    # Three at the origin: the mean of the two nearest is 0 there, that of three is 1.
    atoms = ase.Atoms("O5", [[0, 0, 0], [0, 0, 0], [0, 0, 0], [3, 0, 0], [0, 3, 0]])
    functions = kernel(atoms, [2, 3, 4])
    assert np.isnan(functions[:3, 0]).all()
    np.testing.assert_allclose(functions[:3, 1:], [brute([0, 0, 3, 3], [3, 4])] * 3, atol=1e-6)
    assert np.isfinite(functions[3:]).all()


def test_far_from_its_environment() -> None:
    # An ion that does not count, 60 angstrom above a slab whose atoms are its neighbours.
    atoms = system("slab")
    with_ion = atoms + ase.Atoms("Na", [[1.0, 2.0, 60.0]])
    environment = with_ion.symbols == "Cu"
    ion = len(atoms)
    # Far enough in the plane of the slab for what the sixteenth mean sees from above.
    grid = np.arange(-9, 10)
    cell = atoms.cell.array
    shifts = (grid[:, None, None] * cell[0] + grid[:, None] * cell[1]).reshape(-1, 1, 3)
    vectors = atoms.positions + shifts - with_ion.positions[ion]
    expected = brute(np.linalg.norm(vectors, axis=2).ravel().tolist())
    np.testing.assert_allclose(
        kernel(with_ion, environment=environment, centers=np.array([ion]))[0],
        expected,
        rtol=1e-6,
        atol=1e-5,
    )
    functions = kernel(with_ion, environment=environment)
    np.testing.assert_allclose(functions[:-1], kernel(atoms), rtol=1e-6, atol=1e-6)


def test_species() -> None:
    atoms = water_like()
    water = atoms + ase.Atoms("H" * len(atoms), atoms.positions + np.array([0.4, 0.6, 0.5]))
    variable = "radial_structure_function"
    plain = ice.radial_structure_functions(ice.from_ase(atoms))[variable].values
    trj = ice.from_ase(water)
    functions = ice.radial_structure_functions(trj, centers="element O", species=["O"])[variable]
    np.testing.assert_allclose(functions, plain, rtol=1e-6)
    mixed = ice.radial_structure_functions(trj, centers="element O")[variable]
    assert float(abs(mixed - plain).max()) > 1


def test_stored_with_its_coordinates(tmp_path: Path) -> None:
    trj = ice.from_ase(water_like())
    lazy = ice.radial_structure_functions(trj)
    ice.save(lazy, tmp_path / "run.zarr", label="radial")
    opened = ice.open_run(tmp_path / "run.zarr", "radial")
    array = opened["radial_structure_function"]
    assert array.dims == ("frame", "atom", "radial_function")
    assert array.dtype == np.float32
    labels = zip(opened["n_neighbors"].values, opened["mu"].values, strict=True)
    assert list(labels) == list(product(N, MU))
    np.testing.assert_array_equal(array, lazy["radial_structure_function"])
    alone = ice.radial_structure_functions(trj, n_neighbors=[7], mu=[1.1])
    chosen = array[..., (opened["n_neighbors"] == 7) & (opened["mu"] == 1.1)]
    np.testing.assert_allclose(chosen, alone["radial_structure_function"], rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_neighbors": [0]}, "n_neighbors: expected at least 1, found 0"),
        ({"n_neighbors": 12}, r"n_neighbors: expected a list such as \[4, 6\], found 12"),
        ({"n_neighbors": [2.5]}, "n_neighbors: expected a whole number, found 2.5"),
        ({"mu": []}, "mu: expected a list such as .* found an empty one"),
        ({"mu": [-1.0]}, "mu: expected a number above 0, found -1"),
        ({"mu": [11.0]}, "mu: expected at most 10, found 11"),
        ({"sigma": 0}, "sigma: expected a number above 0, found 0"),
        ({"sigma": 2.0}, "sigma: expected at most 1, found 2"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"radial_structure_functions: {message}"):
        ice.radial_structure_functions(ice.from_ase(water_like()), **options)
