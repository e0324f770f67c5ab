"""Rings against exact lattices, and against all cycles of explicit networks."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk, graphene
from helpers.ring_oracle import brute_rings, explicit_graph
from helpers.systems import SYSTEMS, system

import icedask as ice
from icedask.descriptors.rings.network import Network
from icedask.descriptors.rings.search import count_rings
from icedask.errors import InputError
from icedask.simulate import structures


def counted(atoms: ase.Atoms, r_cut: float, **options: object) -> np.ndarray:
    return ice.rings(ice.from_ase(atoms), r_cut=r_cut, **options)["rings"].values[0]


def per_cell(atoms: ase.Atoms, r_cut: float, **options: object) -> dict[int, float]:
    """Number of rings in the cell, by size."""
    counts = counted(atoms, r_cut, **options).sum(axis=0)
    sizes = np.arange(3, 3 + len(counts))
    return {int(n): float(c) for n, c in zip(sizes, counts / sizes, strict=True) if c}


# Rings through each atom, by size. Simple cubic: three faces in each of four quadrants, and four
# hexagons around the diagonals of each of eight cubes, six of the eight corners on each.
LATTICES = {
    "diamond": (bulk("O", "diamond", a=6.37), 3.0, {6: 12}),
    "simple cubic": (bulk("Po", "sc", a=3.0), 3.1, {4: 12, 6: 24}),
    "fcc": (bulk("Cu"), 3.0, {3: 24, 4: 12}),
    "graphene": (graphene(vacuum=5.0), 1.6, {6: 3}),
    "square": (ase.Atoms("O", cell=[3, 3, 0], pbc=[1, 1, 0]), 3.1, {4: 4}),
    "triangular": (ase.Atoms("O", cell=[[3, 0, 0], [1.5, 1.5 * 3**0.5, 0], [0, 0, 0]],
                             pbc=[1, 1, 0]), 3.1, {3: 6}),
    "chain": (ase.Atoms("O", cell=[3, 0, 0], pbc=[1, 0, 0]), 3.1, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LATTICES)
@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_exact_lattices_in_cells_of_any_size(name: str, repeats: int) -> None:
    atoms, r_cut, expected = LATTICES[name]
    counts = counted(atoms * [repeats if p else 1 for p in atoms.pbc], r_cut, max_size=9)
    assert [{n + 3: c for n, c in enumerate(row) if c} for row in counts] == [expected] * len(
        counts
    )


@pytest.mark.parametrize("phase", ["Ih", "Ic"])
@pytest.mark.parametrize("options", [{}, {"bonds": "hydrogen", "centers": "element O"}])
def test_ice_has_rings_of_six_alone(phase: str, options: dict[str, str]) -> None:
    atoms = structures.ice(phase, (2, 1, 1), 0, "OHH" if options else "O")
    counts = counted(atoms, 3.5, max_size=10, **options)
    np.testing.assert_array_equal(counts, np.tile([0, 0, 0, 12, 0, 0, 0, 0], (len(counts), 1)))


@pytest.mark.parametrize(
    ("phase", "cages"),
    [("sI", {(12, 0): 2, (12, 2): 6}), ("sII", {(12, 0): 16, (12, 4): 8})],
)
def test_rings_of_clathrates_are_the_faces_of_their_cages(
    phase: str, cages: dict[tuple[int, int], int]
) -> None:
    # Each face is shared by two cages.
    pentagons = sum(number * faces for (faces, _), number in cages.items()) / 2
    hexagons = sum(number * faces for (_, faces), number in cages.items()) / 2
    atoms = structures.ice(phase, (1, 1, 1), 0, "O")
    assert per_cell(atoms, 3.2) == {5: pentagons, 6: hexagons}
    assert per_cell(atoms * (1, 2, 1), 3.2) == {5: 2 * pentagons, 6: 2 * hexagons}


def test_interpenetrating_networks_are_apart_by_hydrogen_bonds() -> None:
    # Ice VII: two networks of cubic ice, as close to each other as to themselves.
    atoms = structures.ice("VII", (1, 1, 1), 0, "OHH")
    options = {"bonds": "hydrogen", "centers": "element O"}
    counts = counted(atoms, 3.5, **options)
    np.testing.assert_array_equal(counts, np.tile([0, 0, 0, 12, 0, 0], (len(counts), 1)))
    assert not np.array_equal(counted(atoms, 3.5, centers="element O"), counts)


def test_rings_of_silica_by_silicon_and_by_all_atoms() -> None:
    # Beta-cristobalite: a diamond lattice of silicon with oxygen on its bonds.
    steps = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 7.13 / 8
    primitive = bulk("Si", "diamond", a=7.13)
    atoms = primitive + ase.Atoms("O4", primitive.positions[0] + steps)
    assert counted(atoms, 3.6, centers="element Si")[:, 3].tolist() == [12, 12]
    whole = counted(atoms, 2.0, species=["Si", "O"], max_size=12)
    assert whole[:, -1].tolist() == [12, 12, 6, 6, 6, 6]
    assert not whole[:, :-1].any()


@lru_cache
def liquid_water() -> ase.Atoms:
    """An equilibrated box of TIP4P-Ew water, 30 angstrom, with virtual sites; not to be changed."""
    app = pytest.importorskip("openmm.app")
    file = app.PDBFile(str(Path(app.__file__).parent / "data" / "tip4pew.pdb"))
    symbols = ["X" if a.element is None else a.element.symbol for a in file.topology.atoms()]
    return ase.Atoms(symbols, np.array(file.positions._value) * 10, cell=[30] * 3, pbc=True)


@pytest.mark.parametrize("angle", [None, 30.0])
def test_liquid_water_equals_brute_force(angle: float | None) -> None:
    atoms = liquid_water()
    options = {} if angle is None else {"bonds": "hydrogen", "angle": angle}
    counts = counted(atoms, 3.5, centers="element O", max_size=8, **options)
    rows = np.arange(0, len(counts), len(counts) // 24)
    graph, nodes = explicit_graph(atoms, 3.5, 14.2, angle)
    np.testing.assert_array_equal(counts[rows], brute_rings(graph, nodes[rows], 8))
    assert counts[rows, 1:].sum(axis=0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("angle", "max_size"), [(None, 9), (30.0, 10)])
def test_every_molecule_of_liquid_water(angle: float | None, max_size: int) -> None:
    atoms = liquid_water()
    options = {} if angle is None else {"bonds": "hydrogen", "angle": angle}
    counts = counted(atoms, 3.5, centers="element O", max_size=max_size, **options)
    graph, nodes = explicit_graph(atoms, 3.5, 3.5 * (max_size // 2) + 0.2, angle)
    np.testing.assert_array_equal(counts, brute_rings(graph, nodes, max_size))


@pytest.mark.parametrize("name", SYSTEMS)
def test_odd_systems_equal_brute_force(name: str) -> None:
    atoms = system(name)
    atoms.symbols[:] = "O"
    atoms.wrap()
    counts = counted(atoms, 3.3, max_size=6)
    graph, nodes = explicit_graph(atoms, 3.3, 10.0)
    rows = np.arange(0, len(nodes), max(1, len(nodes) // 8))
    np.testing.assert_array_equal(counts[rows], brute_rings(graph, nodes[rows], 6))


@pytest.mark.parametrize("seed", range(5))
def test_random_atoms_in_cells_smaller_than_their_bonds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(2.6, 4.5, 3)) + np.tril(rng.uniform(-1.5, 1.5, (3, 3)), -1)
    pbc = [True, True, seed % 2 == 0]
    atoms = ase.Atoms("O2", rng.random((2, 3)) @ cell, cell=cell, pbc=pbc)
    counts = counted(atoms, 3.8, max_size=6)
    graph, nodes = explicit_graph(atoms, 3.8, 11.5)
    assert counts.any()
    np.testing.assert_array_equal(counts, brute_rings(graph, nodes, 6))
    repeated = counted(atoms * [3 if p else 1 for p in pbc], 3.8, max_size=6)
    np.testing.assert_array_equal(repeated, np.tile(counts, (len(repeated) // 2, 1)))


@pytest.mark.parametrize("max_size", range(3, 11))
def test_random_networks_equal_brute_force(max_size: int) -> None:
    rng = np.random.default_rng(max_size)
    n_nodes, n_bonds = 30, 48
    graph: list[set[int]] = [set() for _ in range(n_nodes)]
    for a, b in rng.integers(0, n_nodes, (n_bonds, 2)):
        if a != b:
            graph[a].add(int(b))
            graph[b].add(int(a))
    partners = np.array([near for row in graph for near in row])
    network = Network(
        np.cumsum([0, *map(len, graph)]), partners, np.zeros((len(partners), 3), np.int32)
    )
    expected = brute_rings(graph, np.arange(n_nodes), max_size)
    assert expected[:, -1].any() or max_size > 7
    for centers in (np.arange(n_nodes), rng.permutation(n_nodes)[:9]):
        counts, dense, _ = count_rings(network, centers, max(map(len, graph)), max_size)
        assert dense == -1
        np.testing.assert_array_equal(counts, expected[centers])


def test_a_patch_of_too_many_atoms_ends_the_search() -> None:
    # A tree in which every node has twenty bonds: 7,220 nodes at the third depth, and no ring.
    parents = [-1, *[0] * 20, *np.repeat(np.arange(1, 401), 19).tolist()]
    graph: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents[1:], 1):
        graph[node].append(parent)
        graph[parent].append(node)
    partners = np.array([near for row in graph for near in row])
    shifts = np.zeros((len(partners), 3), np.int32)
    network = Network(np.cumsum([0, *map(len, graph)]), partners, shifts)
    counts, dense, pairs = count_rings(network, np.arange(3), 20, 5)
    assert (dense, pairs) == (-1, 0) and not counts.any()
    _, dense, pairs = count_rings(network, np.arange(3), 20, 6)
    assert (dense, pairs) == (0, np.inf)


def test_isolated_rings_have_their_size() -> None:
    for size in range(3, 17):
        turns = 2 * np.pi * np.arange(size) / size
        radius = 3 / (2 * np.sin(np.pi / size))
        atoms = ase.Atoms(f"O{size}", radius * np.c_[np.cos(turns), np.sin(turns), 0 * turns])
        counts = counted(atoms, 3.1, max_size=16)
        assert counts[:, size - 3].tolist() == [1] * size
        assert counts.sum() == size


def test_a_path_around_the_cell_is_no_ring() -> None:
    atoms = ase.Atoms("O6", [[3 * n, 0, 0] for n in range(6)], cell=[18, 20, 20], pbc=True)
    assert not counted(atoms, 3.1).any()
    atoms.set_cell([30, 20, 20])
    assert not counted(atoms, 3.1).any()


def test_atoms_outside_the_network_are_in_no_ring() -> None:
    atoms = structures.ice("Ih", (1, 1, 1), 0, "OHH")
    counts = counted(atoms, 3.2, species=["O"])
    oxygen = atoms.numbers == 8
    assert (counts[oxygen, 3] == 12).all()
    assert not counts[~oxygen].any()


def test_molecules_cut_by_the_cell_and_virtual_sites_change_nothing() -> None:
    atoms = structures.ice("Ih", (1, 1, 1), 0, "OHH")
    options = {"bonds": "hydrogen", "centers": "element O"}
    sites = ase.Atoms("X16", atoms.positions[atoms.numbers == 8] + 0.15)
    moved = atoms + sites
    moved.positions += np.random.default_rng(0).integers(-2, 3, moved.positions.shape) @ atoms.cell
    np.testing.assert_array_equal(counted(moved, 3.5, **options), counted(atoms, 3.5, **options))


def test_shares_lists_with_other_descriptors() -> None:
    trj = ice.from_ase(system("triclinic"))
    options = {"r_cut": 3.2}
    shared = ice.describe(trj, {"coordination": {"r_cut": 4.0}, "rings": options})
    np.testing.assert_array_equal(
        shared["rings"]["rings"], ice.rings(trj, **options)["rings"].values
    )


def test_are_features() -> None:
    trj = ice.from_ase(system("triclinic"))
    latent = ice.PCA(2).fit(ice.rings(trj, r_cut=3.4)).transform(ice.rings(trj, r_cut=3.4))
    assert latent["latent"].shape == (1, trj.sizes["atom"], 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_cut": 3.5}, 'expected the elements of the network, found H, O .* "element O"'),
        ({"r_cut": 6.0, "centers": "element O"}, r"gives \d+ bonds to atom \d+, expected at most"),
        ({"r_cut": 4.6, "centers": "element O", "max_size": 16},
         r"give \S+ pairs of paths within 8 bonds of atom 0, which has \d+ bonds, expected at most "
         r"1,000,000; choose a smaller max_size"),
        ({"r_cut": 3.5, "bonds": "hydrogen", "centers": "element H"}, "found H among its elements"),
        ({"r_cut": 3.5, "max_size": 2}, "max_size: expected at least 3"),
        ({"r_cut": 3.5, "bonds": "hydrogen", "species": ["O"], "angle": -1}, "above 0"),
    ],
)  # fmt: skip
def test_refusals(options: dict[str, object], message: str) -> None:
    trj = ice.from_ase(structures.ice("Ih", (2, 2, 2), 0, "OHH"))
    with pytest.raises(InputError, match=f"rings: .*{message}|{message}"):
        ice.rings(trj, **options).compute()


def test_hydrogen_bonds_need_hydrogens_of_the_network() -> None:
    options = {"r_cut": 3.5, "bonds": "hydrogen"}
    with pytest.raises(InputError, match="needs hydrogen atoms, found only O"):
        ice.rings(ice.from_ase(system("orthogonal")), **options)
    apart = ase.Atoms("O3H", [[0, 0, 0], [3, 0, 0], [0, 3, 0], [9, 9, 9]])
    rings = ice.rings(ice.from_ase(apart), centers="element O", **options)
    with pytest.raises(InputError, match=r"within 1\.3 angstrom .* found none among 1"):
        rings.compute()
