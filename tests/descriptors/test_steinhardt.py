"""Steinhardt parameters against freud, exact lattices and harmonics summed by brute force."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import ase
import freud
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.systems import SYSTEMS, Bonds, brute_bonds, system, water_like
from scipy.special import sph_harm_y

import icedask as ice
from icedask.descriptors.frame import Frame
from icedask.descriptors.steinhardt import invariants, wigner_3j
from icedask.errors import InputError
from icedask.kernels.neighbors import Neighbors
from icedask.kernels.voronoi import Tessellation, tessellate

DEGREES = (0, 1, 2, 3, 4, 6, 9, 12, 20)


def kernel(atoms: ase.Atoms, degrees: tuple[int, ...] = (4, 6), **options: Any) -> np.ndarray:
    """Return the invariants of float64 positions."""
    chosen = {"r_cut": None, "n_neighbors": None, "averaged": False, "invariant": "q", **options}
    frame = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    return invariants(frame, degrees, **chosen)


def brute_q(bonds: Bonds, degree: int, averaged: bool) -> np.ndarray:
    m = np.arange(-degree, degree + 1)[:, None]
    q_lm = np.full((len(bonds), 2 * degree + 1), np.nan, complex)
    for i, neighbors in enumerate(bonds):
        if neighbors:
            x, y, z = np.array([vector / distance for distance, _, vector in neighbors]).T
            values = sph_harm_y(degree, m, np.arccos(np.clip(z, -1, 1)), np.arctan2(y, x))
            q_lm[i] = values.mean(axis=1)
    if averaged:
        q_lm = np.array(
            [
                np.mean([q_lm[i], *(q_lm[j] for _, j, _ in neighbors)], axis=0)
                for i, neighbors in enumerate(bonds)
            ]
        )
    return np.sqrt(4 * np.pi / (2 * degree + 1) * (abs(q_lm) ** 2).sum(axis=1))


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("kind", SYSTEMS)
def test_equals_brute_force(kind: str, averaged: bool) -> None:
    atoms = system(kind)
    bonds = brute_bonds(atoms, 3.4)
    orders = kernel(atoms, DEGREES, r_cut=3.4, averaged=averaged)
    expected = np.array([brute_q(bonds, degree, averaged) for degree in DEGREES]).T
    assert (np.isnan(expected).all()) == (kind == "lonely")
    np.testing.assert_allclose(orders, expected, atol=1e-6)


# Eighteen neighbours complete the shells in the small box, images of the atom itself among them.
@pytest.mark.parametrize(
    ("kind", "n"),
    [("triclinic", 6), ("unwrapped", 6), ("small_box", 18), ("wire", 6), ("cluster", 6)],
)
def test_nearest_equals_brute_force(kind: str, n: int) -> None:
    atoms = system(kind)
    bonds = [neighbors[:n] for neighbors in brute_bonds(atoms, 8.0)]
    assert all(len(neighbors) == n for neighbors in bonds)
    orders = kernel(atoms, DEGREES, n_neighbors=n, averaged=True)
    expected = np.array([brute_q(bonds, degree, True) for degree in DEGREES]).T
    np.testing.assert_allclose(orders, expected, atol=1e-6)


def test_images_of_the_atom_itself() -> None:
    # One atom in a skewed cell: all neighbours are its own images.
    atoms = ase.Atoms("O", cell=[[2, 0, 0], [0.4, 2.3, 0], [-0.7, 0.3, 2.5]], pbc=True)
    bonds = brute_bonds(atoms, 5.0)
    assert len(bonds[0]) > 30
    orders = kernel(atoms, (4, 6, 8), r_cut=5.0, averaged=True)[0]
    np.testing.assert_allclose(orders, [brute_q(bonds, d, True)[0] for d in (4, 6, 8)], atol=1e-6)


# freud is float32 inside: bonds near the axis of the harmonics lose digits, and w_hat divides them
# by a small number. test_equals_harmonics_in_float64 shows that the error is its own: of q on the
# same bonds, up to 6e-5. Here: the fraction of values within 1e-5, and the largest error.
FREUD = {"q": (0.99, 1e-4), "w": (1.0, 1e-5), "w_hat": (0.95, 5e-4)}


def assert_as_freud(values: np.ndarray, expected: np.ndarray, invariant: str) -> None:
    fraction, worst = FREUD[invariant]
    error = abs(values - expected)
    assert np.nanquantile(error, fraction) < 1e-5
    assert np.nanmax(error) < worst


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("invariant", ["q", "w", "w_hat"])
def test_equals_freud(mw: xr.Dataset, invariant: str, averaged: bool) -> None:
    atoms = ice.to_ase(mw, -1)
    orders = kernel(atoms, (2, 3, 4, 6, 8), r_cut=3.5, averaged=averaged, invariant=invariant)
    listed = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers).all_neighbors(3.5)
    n = len(atoms)
    pairs = freud.locality.NeighborList.from_arrays(
        n, n, listed.rows, listed.indices, listed.vectors.astype(np.float32)
    )
    peer = freud.order.Steinhardt(
        [2, 3, 4, 6, 8],
        average=averaged,
        wl=invariant != "q",
        wl_normalize=invariant == "w_hat",
    )
    peer.compute((freud.box.Box(*atoms.cell.lengths()), atoms.positions), neighbors=pairs)
    expected = peer.particle_order
    np.testing.assert_array_equal(np.isnan(orders), np.isnan(expected))
    assert np.nanstd(orders[:, 3]) > 1e-4
    assert_as_freud(orders, expected, invariant)


def listed_q(listed: Neighbors, degree: int, averaged: bool) -> np.ndarray:
    """Return q_l in float64 from harmonics of SciPy."""
    x, y, z = (listed.vectors / listed.distances[:, None]).T
    m = np.arange(-degree, degree + 1)
    values = sph_harm_y(
        degree, m, np.arctan2(np.hypot(x, y), z)[:, None], np.arctan2(y, x)[:, None]
    )
    q_lm = np.zeros((len(listed.counts), len(m)), complex)
    np.add.at(q_lm, listed.rows, values)
    q_lm /= listed.counts[:, None]
    if averaged:
        total = q_lm.copy()
        np.add.at(total, listed.rows, q_lm[listed.indices])
        q_lm = total / (1 + listed.counts[:, None])
    return np.sqrt(4 * np.pi / (2 * degree + 1) * (abs(q_lm) ** 2).sum(axis=1))


@pytest.mark.parametrize("averaged", [False, True])
def test_equals_harmonics_in_float64(mw: xr.Dataset, averaged: bool) -> None:
    atoms = ice.to_ase(mw, -1)
    listed = Frame(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers).all_neighbors(3.5)
    # The bonds that freud gets above, before they are rounded to float32.
    degrees = (2, 3, 4, 6, 8, 12)
    orders = kernel(atoms, degrees, r_cut=3.5, averaged=averaged)
    expected = np.transpose([listed_q(listed, degree, averaged) for degree in degrees])
    np.testing.assert_allclose(orders, expected, rtol=0, atol=1e-7)


def weighted_brute_q(cells: Tessellation, degree: int, averaged: bool) -> np.ndarray:
    m = np.arange(-degree, degree + 1)[:, None]
    faces = cells.faces
    neighbors = [
        faces.indices[a:b] for a, b in zip(faces.indptr[:-1], faces.indptr[1:], strict=True)
    ]
    q_lm = np.full((len(neighbors), 2 * degree + 1), np.nan, complex)
    for i in np.flatnonzero(faces.counts):
        own = slice(faces.indptr[i], faces.indptr[i + 1])
        x, y, z = (faces.vectors[own] / faces.distances[own, None]).T
        values = sph_harm_y(degree, m, np.arccos(np.clip(z, -1, 1)), np.arctan2(y, x))
        q_lm[i] = np.average(values, axis=1, weights=cells.areas[own])
    if averaged:
        q_lm = np.array([q_lm[[i, *n]].mean(axis=0) for i, n in enumerate(neighbors)])
    return np.sqrt(4 * np.pi / (2 * degree + 1) * (abs(q_lm) ** 2).sum(axis=1))


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("kind", SYSTEMS)
def test_weighted_equals_brute_force(kind: str, averaged: bool) -> None:
    atoms = system(kind)
    cells = tessellate(atoms.positions, atoms.cell.array, atoms.pbc)
    expected = np.array([weighted_brute_q(cells, degree, averaged) for degree in DEGREES]).T
    assert np.isnan(expected).any() == (not all(atoms.pbc))
    orders = kernel(atoms, DEGREES, averaged=averaged)
    np.testing.assert_allclose(orders, expected, atol=1e-6)


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("invariant", ["q", "w", "w_hat"])
def test_weighted_equals_freud(mw: xr.Dataset, invariant: str, averaged: bool) -> None:
    # In frame 0 freud's list lacks one of 73,488 faces, which SciPy's Voronoi cells have.
    atoms = ice.to_ase(mw, 1)
    options: dict[str, Any] = {"averaged": averaged, "invariant": invariant}
    orders = ice.steinhardt(mw.isel(frame=[1]), degrees=[2, 3, 4, 6, 8], weighted=True, **options)[
        "steinhardt"
    ].values[0]
    peer = freud.order.Steinhardt(
        [2, 3, 4, 6, 8],
        average=averaged,
        wl=invariant != "q",
        wl_normalize=invariant == "w_hat",
        weighted=True,
    )
    points = (freud.box.Box(*atoms.cell.lengths()), atoms.positions)
    peer.compute(points, neighbors=freud.locality.Voronoi().compute(points).nlist)
    assert orders[:, 3].std() > 1e-4
    assert_as_freud(orders, peer.particle_order, invariant)


def test_weighted_is_stable_where_faces_come_and_go() -> None:
    # In a simple cubic crystal four cells meet in an edge, in general position only three: the
    # smallest displacement adds faces.
    crystal = bulk("Po", "sc", a=3.0) * (4, 4, 4)
    rattled = crystal.copy()
    rattled.positions += np.random.default_rng(0).normal(0, 1e-3, crystal.positions.shape)
    exact = (0.763763, 0.353553)
    np.testing.assert_allclose(kernel(crystal), np.tile(exact, (64, 1)), atol=1e-5)
    np.testing.assert_allclose(kernel(rattled), np.tile(exact, (64, 1)), atol=5e-3)
    cells = tessellate(rattled.positions, rattled.cell.array, rattled.pbc)
    assert cells.faces.counts.mean() > 10


def hcp() -> ase.Atoms:
    return bulk("Mg", "hcp", a=3.2, c=3.2 * np.sqrt(8 / 3))


def icosahedron() -> ase.Atoms:
    golden = (1 + np.sqrt(5)) / 2
    corners = [(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)]
    around = [np.roll(corner, turn) for corner in corners for turn in range(3)]
    return ase.Atoms("Cu13", [(0, 0, 0), *around])


@pytest.mark.parametrize(
    ("atoms", "n_neighbors", "q", "w_hat"),
    [
        (bulk("Cu", "fcc", a=3.6), 12, (0.190941, 0.574524), (-0.159317, -0.013161)),
        (bulk("Fe", "bcc", a=2.9), 14, (0.036370, 0.510688), (0.159317, 0.013161)),
        (hcp(), 12, (0.097222, 0.484762), (0.134097, -0.012442)),
        (bulk("O", "diamond", a=6.37), 4, (0.509175, 0.628539), (-0.159317, 0.013161)),
        (icosahedron(), 12, (0, 0.663325), (np.nan, -0.169754)),
    ],
    ids=["fcc", "bcc", "hcp", "diamond", "icosahedron"],
)
def test_exact(atoms: ase.Atoms, n_neighbors: int, q: Any, w_hat: Any) -> None:
    np.testing.assert_allclose(kernel(atoms, n_neighbors=n_neighbors)[0], q, atol=2e-6)
    orders = kernel(atoms, n_neighbors=n_neighbors, invariant="w_hat")[0]
    np.testing.assert_allclose(orders, w_hat, atol=2e-6)
    if atoms.pbc.all():
        # The two sublattices of hcp and diamond are mirror images: even degrees are the same.
        averaged = kernel(atoms, n_neighbors=n_neighbors, averaged=True)[0]
        np.testing.assert_allclose(averaged, q, atol=2e-6)


# By the addition theorem q_l^2 is the mean of P_l(cos theta) over all pairs of bonds, which is
# rational in these crystals: the squares from l = 2 to 12.
SQUARES = {
    "fcc": "0 0 7/192 0 169/512 0 2673/16384 0 65/393216 0 2265551/6291456",
    "bcc8": "0 0 7/27 0 32/81 0 11/243 0 8320/19683 0 30559/177147",
    "bcc14": "0 0 1/756 0 169/648 0 140459/762048 0 4703465/123451776 0 728247671/4444263936",
    "hcp": "0 5/864 49/5184 875/13824 29237/124416 288463/2985984 4939/49152 49025735/2579890176 "
    "800345/7739670528 314141971/20639121408 355753910881/1114512556032",
    "diamond": "0 5/9 7/27 0 32/81 91/243 11/243 1760/6561 8320/19683 2431/19683 30559/177147",
}


@pytest.mark.parametrize(
    ("name", "atoms", "n_neighbors"),
    [
        ("fcc", bulk("Cu", "fcc", a=3.6), 12),
        ("bcc8", bulk("Fe", "bcc", a=2.9), 8),
        ("bcc14", bulk("Fe", "bcc", a=2.9), 14),
        ("hcp", hcp(), 12),
        ("diamond", bulk("O", "diamond", a=6.37), 4),
    ],
    ids=list(SQUARES),
)
def test_exact_up_to_degree_twelve(name: str, atoms: ase.Atoms, n_neighbors: int) -> None:
    expected = np.sqrt([float(Fraction(square)) for square in SQUARES[name].split()])
    orders = kernel(atoms, tuple(range(2, 13)), n_neighbors=n_neighbors)
    np.testing.assert_allclose(orders, np.tile(expected, (len(atoms), 1)), rtol=0, atol=1e-6)


def test_degrees_keep_their_order_and_name() -> None:
    trj = ice.from_ase(water_like())
    both = ice.steinhardt(trj, degrees=[6, 3], r_cut=3.5)["steinhardt"]
    assert both.dims == ("frame", "atom", "degree")
    assert both["degree"].values.tolist() == [6, 3]
    alone = ice.steinhardt(trj, degrees=[3], r_cut=3.5)["steinhardt"]
    assert alone.shape == (1, trj.sizes["atom"], 1)
    np.testing.assert_array_equal(both.sel(degree=3), alone.sel(degree=3))


def test_odd_degrees_have_no_third_order() -> None:
    orders = kernel(water_like(), (3, 5), r_cut=3.5, invariant="w")
    np.testing.assert_array_equal(orders, 0)


def test_too_few_neighbors() -> None:
    atoms = ase.Atoms("O4", [[0, 0, 0], [2, 0, 0], [0, 2.5, 0], [40, 0, 0]])
    within = kernel(atoms, r_cut=2.2)
    assert np.isnan(within).all(axis=1).tolist() == [False, False, True, True]
    assert np.isnan(kernel(atoms, r_cut=2.2, invariant="w", degrees=(3,))).sum() == 2
    assert np.isfinite(kernel(atoms, n_neighbors=3)).all()
    assert np.isnan(kernel(atoms, n_neighbors=4, averaged=True)).all()


def test_species_and_centers() -> None:
    atoms = water_like()
    water = atoms + ase.Atoms("H" * len(atoms), atoms.positions + np.array([0.4, 0.6, 0.5]))
    plain = ice.steinhardt(ice.from_ase(atoms), n_neighbors=4, averaged=True)["steinhardt"]
    trj = ice.from_ase(water)
    options: dict[str, Any] = {"n_neighbors": 4, "averaged": True, "species": ["O"]}
    orders = ice.steinhardt(trj, centers="element O", **options)["steinhardt"]
    np.testing.assert_allclose(orders, plain, atol=1e-6)
    # Around a hydrogen the oxygens alone count, that at 0.9 angstrom too.
    around = ice.steinhardt(trj, centers="element H", **options)["steinhardt"]
    assert np.isfinite(around).all()
    assert float(abs(around - plain.values).max()) > 0.01


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({}, "none"),
        ({"r_cut": 3.5, "n_neighbors": 4}, "r_cut and n_neighbors"),
        ({"n_neighbors": 4, "weighted": True}, "n_neighbors and weighted"),
    ],
)
def test_one_choice_of_neighbors(options: Any, mistake: str) -> None:
    with pytest.raises(InputError, match=f"exactly one of r_cut.*found {mistake}; give r_cut=3.5"):
        ice.steinhardt(ice.from_ase(water_like()), **options)


def test_repeated_degree() -> None:
    with pytest.raises(InputError, match=r"each degree once, found \[4, 4\]"):
        ice.steinhardt(ice.from_ase(water_like()), degrees=[4, 4], r_cut=3.5)


@pytest.mark.parametrize("degree", [2, 4, 6, 8])
def test_wigner_3j(degree: int) -> None:
    """The symbols are the one vector of unit length that no rotation changes."""
    orders = range(-degree, degree + 1)
    states = [m for m in product(orders, repeat=3) if sum(m) == 0]
    raised = {m: row for row, m in enumerate(m for m in product(orders, repeat=3) if sum(m) == 1)}
    ladder = np.zeros((len(raised), len(states)))
    for column, m in enumerate(states):
        for axis in range(3):
            if m[axis] < degree:
                up = tuple(m[i] + (i == axis) for i in range(3))
                ladder[raised[up], column] += np.sqrt(
                    degree * (degree + 1) - m[axis] * (m[axis] + 1)
                )
    expected = np.linalg.svd(ladder)[2][-1]
    # Racah's sign: that of (-1)^(3 l / 2) for the symbol with m = 0.
    expected *= np.sign(expected[states.index((0, 0, 0))]) * (-1) ** (degree // 2)
    symbols = [wigner_3j(degree, a, b) for a, b, _ in states]
    np.testing.assert_allclose(symbols, expected, atol=1e-12)


def test_wigner_3j_of_high_degree_is_normalised() -> None:
    squares = [
        wigner_3j(20, a, b) ** 2 for a, b in product(range(-20, 21), repeat=2) if abs(a + b) <= 20
    ]
    assert abs(sum(squares) - 1) < 1e-12
