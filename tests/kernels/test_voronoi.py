"""Voronoi cells against Qhull's of the same atoms among all their images, and exact lattices."""

from __future__ import annotations

from itertools import product

import ase
import numpy as np
import pytest
from ase.build import bulk
from helpers.systems import SYSTEMS, system, water_like
from scipy.spatial import ConvexHull, Voronoi

from icedask.kernels.voronoi import Tessellation, tessellate


def made(atoms: ase.Atoms) -> Tessellation:
    return tessellate(atoms.positions, atoms.cell.array, atoms.pbc)


def images(atoms: ase.Atoms, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the atoms, then all their images within some distance, and which atom each is."""
    wrapped = atoms.copy()
    wrapped.wrap(eps=0)
    cell = wrapped.cell.complete().array
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = [int(reach / h) + 1 if p else 0 for h, p in zip(heights, atoms.pbc, strict=True)]
    shifts = sorted(product(*[range(-n, n + 1) for n in counts]), key=lambda s: s != (0, 0, 0))
    points = np.concatenate([wrapped.positions + np.array(shift) @ cell for shift in shifts])
    middle = wrapped.positions.mean(axis=0)
    radius = np.linalg.norm(wrapped.positions - middle, axis=1).max() + reach
    near = np.linalg.norm(points - middle, axis=1) <= radius
    return points[near], np.tile(np.arange(len(atoms)), len(shifts))[near]


def area(corners: np.ndarray) -> float:
    """Return the area of a plane polygon with its corners in order."""
    spokes = corners - corners.mean(axis=0)
    crossed = np.cross(spokes, np.roll(spokes, -1, axis=0)).sum(axis=0)
    return float(np.linalg.norm(crossed) / 2)


def qhull(atoms: ase.Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return volumes (infinite where open), reach of the cells, and areas by pair of atoms."""
    # Twice as far as cells reach; the cells of a surface are closed up to 20 angstrom.
    points, source = images(atoms, 12.0 if atoms.pbc.all() else 40.0)
    diagram = Voronoi(points)
    n_atoms = len(atoms)
    volumes, reaches = np.full(n_atoms, np.inf), np.full(n_atoms, np.inf)
    for i in range(n_atoms):
        region = diagram.regions[diagram.point_region[i]]
        if -1 not in region:
            volumes[i] = ConvexHull(diagram.vertices[region]).volume
            reaches[i] = np.linalg.norm(diagram.vertices[region] - points[i], axis=1).max()
    areas = np.zeros((n_atoms, n_atoms))
    for (first, second), corners in diagram.ridge_dict.items():
        for here, there in ((first, second), (second, first)):
            if here < n_atoms and np.isfinite(volumes[here]):
                areas[here, source[there]] += area(diagram.vertices[corners])
    return volumes, reaches, areas


@pytest.mark.parametrize("kind", [kind for kind in SYSTEMS if kind != "lonely"])
def test_equals_qhull(kind: str) -> None:
    atoms = system(kind)
    if kind == "boundary":
        # Qhull needs points in general position.
        atoms.positions += np.random.default_rng(1).normal(0, 0.05, atoms.positions.shape)
    cells = made(atoms)
    volumes, reaches, areas = qhull(atoms)
    closed = np.isfinite(cells.volumes)
    assert not closed[np.isinf(volumes)].any()
    assert closed[reaches < 20].all()
    assert closed.any()
    np.testing.assert_allclose(cells.volumes[closed], volumes[closed], rtol=2e-5)
    summed = np.zeros_like(areas)
    np.add.at(summed, (cells.faces.rows, cells.faces.indices), cells.areas)
    np.testing.assert_allclose(summed[closed], areas[closed], atol=2e-3)
    assert not summed[~closed].any()


@pytest.mark.parametrize("kind", [kind for kind in SYSTEMS if all(system(kind).pbc)])
def test_periodic_cells_fill_space(kind: str) -> None:
    atoms = system(kind)
    assert made(atoms).volumes.sum() == pytest.approx(atoms.get_volume(), rel=1e-6)


@pytest.mark.parametrize("kind", SYSTEMS)
def test_cells_are_the_sum_of_pyramids(kind: str) -> None:
    cells = made(system(kind))
    faces = cells.faces
    pyramids = np.bincount(faces.rows, cells.areas * faces.distances / 6, len(cells.volumes))
    closed = np.isfinite(cells.volumes)
    np.testing.assert_allclose(pyramids[closed], cells.volumes[closed], rtol=1e-5)
    # A closed surface: the areas, as vectors, add up to nothing.
    normals = faces.vectors * (cells.areas / faces.distances)[:, None]
    for axis in range(3):
        assert abs(np.bincount(faces.rows, normals[:, axis], len(closed))).max() < 2e-2


@pytest.mark.parametrize("kind", SYSTEMS)
def test_vectors_lead_to_images_of_the_neighbor(kind: str) -> None:
    atoms = system(kind)
    faces = made(atoms).faces
    apart = atoms.positions[faces.indices] - atoms.positions[faces.rows] - faces.vectors
    cell = atoms.cell.complete().array
    shifts = apart @ np.linalg.inv(cell)
    assert not np.round(shifts[:, ~atoms.pbc]).any()
    np.testing.assert_allclose((shifts - np.round(shifts)) @ cell, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        # Number of faces and area of each, in units of the square of the cubic lattice constant.
        (bulk("Cu", "fcc", a=1.0), {12: np.sqrt(2) / 8}),
        (bulk("Fe", "bcc", a=1.0), {8: 3 * np.sqrt(3) / 16, 6: 1 / 8}),
        (bulk("Po", "sc", a=1.0), {6: 1.0}),
    ],
    ids=["fcc", "bcc", "sc"],
)
@pytest.mark.parametrize("repeat", [1, 3])
def test_exact_faces(atoms: ase.Atoms, expected: dict[int, float], repeat: int) -> None:
    atoms = atoms * repeat
    atoms.set_cell(4 * atoms.cell.array, scale_atoms=True)
    cells = made(atoms)
    np.testing.assert_allclose(cells.volumes, atoms.get_volume() / len(atoms), rtol=2e-6)
    wanted = sorted(16 * face for number, face in expected.items() for _ in range(number))
    for i in range(len(atoms)):
        around = cells.areas[cells.faces.indptr[i] : cells.faces.indptr[i + 1]]
        np.testing.assert_allclose(sorted(around), wanted, rtol=1e-5)


@pytest.mark.parametrize("shear", [1, 7, 30])
def test_skewed_cell_is_no_less_accurate(shear: int) -> None:
    atoms = water_like()
    expected = made(atoms).volumes
    cell = atoms.cell.array.copy()
    cell[1] += shear * cell[0]
    cell[2] += (shear - 1) * cell[1]
    # Left-handed too.
    atoms.set_cell(cell[[1, 0, 2]])
    np.testing.assert_allclose(made(atoms).volumes, expected, rtol=1e-5)


def test_only_the_environment_is_tessellated() -> None:
    atoms = water_like()
    chosen = np.random.default_rng(0).random(len(atoms)) < 0.5
    cells = tessellate(atoms.positions, atoms.cell.array, atoms.pbc, chosen)
    alone = made(atoms[chosen])
    np.testing.assert_array_equal(cells.volumes[chosen], alone.volumes)
    assert np.isnan(cells.volumes[~chosen]).all()
    np.testing.assert_array_equal(cells.faces.counts[chosen], alone.faces.counts)
    assert not cells.faces.counts[~chosen].any()
    np.testing.assert_array_equal(cells.faces.indices, np.flatnonzero(chosen)[alone.faces.indices])
    nothing = tessellate(atoms.positions, atoms.cell.array, atoms.pbc, np.zeros(len(atoms), bool))
    assert np.isnan(nothing.volumes).all()
    assert len(nothing.areas) == 0


@pytest.mark.parametrize("apart", [0.0, 1e-7, 5e-4])
def test_coincident_atoms_have_no_cell(apart: float) -> None:
    atoms = water_like()
    expected = made(atoms)
    double = atoms + atoms[[7, 7, 50]]
    # The other copies lie in other images of the cell.
    double.positions[-3:] += np.array([[2, -1, 0], [0, 0, 0], [0, 3, 1]]) @ atoms.cell.array
    double.positions[-1, 0] += apart
    cells = made(double)
    lost = np.isin(np.arange(len(double)), [7, 50, *range(len(atoms), len(double))])
    np.testing.assert_array_equal(np.isnan(cells.volumes), lost)
    assert not cells.faces.counts[lost].any()
    kept = ~lost[: len(atoms)]
    np.testing.assert_allclose(cells.volumes[: len(atoms)][kept], expected.volumes[kept], rtol=1e-3)


def test_flat_and_lonely_atoms_are_open() -> None:
    grid = [[x, y, 0] for x in range(4) for y in range(4)]
    assert np.isnan(made(ase.Atoms("O16", grid)).volumes).all()
    assert np.isnan(made(ase.Atoms("O16", grid, cell=[4, 4, 0], pbc=[1, 1, 0])).volumes).all()
    assert np.isnan(made(ase.Atoms("O")).volumes).all()
