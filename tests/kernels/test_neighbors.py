"""The neighbour list against brute force, and its images and cells."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.systems import SYSTEMS, brute_pairs, system
from vesin import NeighborList

from icedask.errors import InputError
from icedask.kernels.neighbors import (
    check_cutoff,
    complete_cell,
    k_nearest,
    neighbor_list,
    with_images,
    wrap,
)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("r_cut", [3.5, 6.0])
def test_pairs_equal_brute_force(name: str, r_cut: float) -> None:
    atoms = system(name)
    neighbors = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, r_cut)
    expected = brute_pairs(atoms, r_cut)
    pairs = sorted(
        zip(neighbors.rows.tolist(), neighbors.indices.tolist(), neighbors.distances, strict=True)
    )
    assert [pair[:2] for pair in pairs] == [pair[:2] for pair in expected]
    np.testing.assert_allclose([p[2] for p in pairs], [p[2] for p in expected], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(neighbors.vectors, axis=1), neighbors.distances)


@pytest.mark.parametrize("r_cut", [2.5, 7.0])
def test_pairs_equal_another_library(r_cut: float) -> None:
    rng = np.random.default_rng(0)
    cell = np.array([[30.0, 0, 0], [11, 26, 0], [-9, 8, 21]])
    positions = rng.random((900, 3)) @ cell + rng.integers(-2, 3, (900, 3)) * [1, 1, 0] @ cell
    neighbors = neighbor_list(positions, cell, [True, True, False], r_cut)
    wrapped, _ = wrap(positions, cell, np.array([True, True, False]))
    peer = NeighborList(cutoff=r_cut, full_list=True, sorted=True)
    i, j, vectors = peer.compute(wrapped, cell, [True, True, False], "ijD")
    assert len(i) > 900
    ours = np.lexsort((neighbors.distances, neighbors.indices, neighbors.rows))
    theirs = np.lexsort((np.linalg.norm(vectors, axis=1), j, i))
    np.testing.assert_array_equal(neighbors.rows[ours], i[theirs])
    np.testing.assert_array_equal(neighbors.indices[ours], j[theirs])
    np.testing.assert_allclose(neighbors.vectors[ours], vectors[theirs], atol=1e-12)


@pytest.mark.parametrize("name", ["orthogonal", "small_box", "lonely"])
def test_environment_is_a_filter(name: str) -> None:
    atoms = system(name)
    mask = np.arange(len(atoms)) % 3 == 0
    neighbors = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 5.0, mask)
    everything = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 5.0)
    expected = everything.where(mask[everything.indices])
    assert neighbors.indptr.tolist() == expected.indptr.tolist()
    for ours, theirs in zip(neighbors[1:], expected[1:], strict=True):
        assert np.sort(ours, axis=0).tolist() == np.sort(theirs, axis=0).tolist()


@pytest.mark.parametrize("name", SYSTEMS)
def test_images_hold_every_neighbor(name: str) -> None:
    atoms, r_cut = system(name), 6.0
    points, source = with_images(atoms.positions, atoms.cell.array, atoms.pbc, r_cut)
    n_atoms = len(atoms)
    assert source[:n_atoms].tolist() == list(range(n_atoms))
    distance = np.linalg.norm(points[None] - points[:n_atoms, None], axis=2)
    counts = (distance < r_cut).sum(axis=1) - 1
    expected = np.bincount([i for i, _, _ in brute_pairs(atoms, r_cut)], minlength=n_atoms)
    assert counts.tolist() == expected.tolist()


def test_cutoff_is_strict() -> None:
    line = [[0.0, 0, 0], [1.0, 0, 0]]
    assert neighbor_list(line, np.zeros((3, 3)), [False] * 3, 1.0).counts.tolist() == [0, 0]
    assert neighbor_list(line, np.zeros((3, 3)), [False] * 3, 1.0001).counts.tolist() == [1, 1]


def test_no_atoms() -> None:
    neighbors = neighbor_list(np.zeros((0, 3)), np.eye(3), [True] * 3, 2.0)
    assert neighbors.counts.tolist() == []


def test_where_keeps_rows() -> None:
    atoms = system("orthogonal")
    long = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 6.0)
    short = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 3.5)
    cut = long.where(long.distances < 3.5)
    assert cut.indptr.tolist() == short.indptr.tolist()


def test_wrap_reaches_no_upper_face() -> None:
    cell = np.diag([10.0, 10, 10])
    _, fractional = wrap(np.array([[-1e-17, 10.0, 20.0]]), cell, np.ones(3, bool))
    assert fractional.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("rows", [[], [0], [1], [2], [0, 1], [0, 2], [1, 2]])
def test_completed_cell_is_right_handed(rows: list[int]) -> None:
    full = np.array([[3.0, 0.5, 0], [-1, 4, 0.2], [0.3, 0.1, 5]])
    cell = np.zeros((3, 3))
    cell[rows] = full[rows]
    done = complete_cell(cell)
    assert np.linalg.det(done) > 0
    np.testing.assert_array_equal(done[rows], full[rows])


@pytest.mark.parametrize("r_cut", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_cutoff(r_cut: float) -> None:
    with pytest.raises(InputError, match="positive"):
        check_cutoff(r_cut, 10, np.eye(3), np.ones(3, bool), "soap")


@pytest.mark.parametrize("pbc", [[True] * 3, [True, True, False]])
def test_cutoff_beyond_memory(pbc: list[bool]) -> None:
    with pytest.raises(InputError, match="choose a smaller r_cut"):
        check_cutoff(100.0, 10**6, np.eye(3) * 310, np.array(pbc), "soap")
    check_cutoff(6.0, 10**6, np.eye(3) * 310, np.array(pbc), "soap")


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("k", [1, 5, 14])
def test_nearest_equal_brute_force(name: str, k: int) -> None:
    atoms = system(name)
    neighbors = k_nearest(atoms.positions, atoms.cell.array, atoms.pbc, k)
    reach = 101.0 if name == "lonely" else 13.0
    expected: list[list[tuple[float, int]]] = [[] for _ in atoms]
    for i, j, distance in brute_pairs(atoms, reach):
        expected[i].append((distance, j))
    wrapped, _ = wrap(atoms.positions, atoms.cell.array, atoms.pbc)
    for i, pairs in enumerate(expected):
        first = sorted(pairs)[:k]
        np.testing.assert_allclose(neighbors.distances[i, : len(first)], [d for d, _ in first])
    np.testing.assert_allclose(np.linalg.norm(neighbors.vectors, axis=2), neighbors.distances)
    ends = wrapped[:, None] + neighbors.vectors - wrapped[neighbors.indices]
    shifts = ends @ np.linalg.inv(complete_cell(atoms.cell.array))
    np.testing.assert_allclose(shifts, np.round(shifts), atol=1e-9)


def test_nearest_of_few_atoms() -> None:
    neighbors = k_nearest([[0, 0, 0], [1, 0, 0], [3, 0, 0]], np.zeros((3, 3)), [False] * 3, 4)
    assert neighbors.indices.tolist() == [[1, 2, -1, -1], [0, 2, -1, -1], [1, 0, -1, -1]]
    assert neighbors.distances[0].tolist() == [1, 3, np.inf, np.inf]
    assert np.isnan(neighbors.vectors[0, 2:]).all()


def test_nearest_of_the_environment_only() -> None:
    environment = np.array([True, False, True])
    line = [[0, 0, 0], [1, 0, 0], [3, 0, 0]]
    neighbors = k_nearest(line, np.zeros((3, 3)), [False] * 3, 1, environment)
    assert neighbors.indices[:, 0].tolist() == [2, 0, 0]
    none = k_nearest(line, np.zeros((3, 3)), [False] * 3, 1, np.zeros(3, bool))
    assert none.indices[:, 0].tolist() == [-1, -1, -1]


def test_nearest_of_atoms_in_one_place() -> None:
    neighbors = k_nearest(np.zeros((3, 3)), np.eye(3) * 9, [True] * 3, 2)
    assert [sorted(row) for row in neighbors.indices.tolist()] == [[1, 2], [0, 2], [0, 1]]
