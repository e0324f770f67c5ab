"""Primitive rings by their definition: all simple cycles, each tested for shortcuts."""

from __future__ import annotations

from itertools import combinations, product

import ase
import numpy as np
from scipy.spatial import cKDTree

Graph = list[set[int]]


def distances_from(graph: Graph, node: int, most: int) -> dict[int, int]:
    """Return the nodes within `most` bonds of a node, with their distances."""
    distances = {node: 0}
    shell = {node}
    for distance in range(1, most + 1):
        shell = {near for other in shell for near in graph[other]} - distances.keys()
        distances |= dict.fromkeys(shell, distance)
    return distances


def cycles_through(graph: Graph, start: int, max_size: int) -> list[tuple[int, ...]]:
    """Return all simple cycles of 3 to max_size nodes through a node, each in both directions."""
    away = distances_from(graph, start, max_size // 2)
    cycles = []
    paths = [(start,)]
    while paths:
        path = paths.pop()
        if len(path) >= 3 and start in graph[path[-1]]:
            cycles.append(path)
        if len(path) == max_size:
            continue
        # From the next node the way back must fit into the rest.
        rest = max_size - len(path)
        paths += [
            (*path, near)
            for near in graph[path[-1]]
            if near not in path and away.get(near, max_size) <= rest
        ]
    return cycles


def brute_rings(graph: Graph, nodes: np.ndarray, max_size: int) -> np.ndarray:
    """Return the number of primitive rings of 3 to max_size nodes through each of some nodes."""
    counts = np.zeros((len(nodes), max_size - 2), int)
    known: dict[int, dict[int, int]] = {}
    for row, start in enumerate(nodes):
        for cycle in cycles_through(graph, int(start), max_size):
            size = len(cycle)
            for node in cycle:
                if node not in known:
                    known[node] = distances_from(graph, node, max_size // 2)
            counts[row, size - 3] += all(
                known[cycle[a]].get(cycle[b], max_size) == min(b - a, size - b + a)
                for a, b in combinations(range(size), 2)
            )
    assert (counts % 2 == 0).all()
    return counts // 2


def explicit_graph(
    atoms: ase.Atoms, r_cut: float, reach: float, angle: float | None = None
) -> tuple[Graph, np.ndarray]:
    """Return the network of oxygens around the cell, image by image, and the nodes in the cell.

    Of each periodic image all atoms within `reach` of the box around the cell are there. Where an
    angle is given, hydrogens follow the oxygen that they are nearest to.
    """
    home = atoms[atoms.numbers == 8]
    cell = atoms.cell.array
    inverse = np.linalg.inv(atoms.cell.complete().array)
    # Images that reach the box, whatever the fractions of the atoms.
    margins = reach * np.linalg.norm(inverse, axis=0) + np.ptp(home.positions @ inverse, axis=0)
    reaches = [int(np.ceil(m)) if p else 0 for m, p in zip(margins, atoms.pbc, strict=True)]
    shifts = sorted(product(*[range(-n, n + 1) for n in reaches]), key=any)
    points = np.concatenate([home.positions + np.array(shift) @ cell for shift in shifts])
    low, high = home.positions.min(axis=0) - reach, home.positions.max(axis=0) + reach
    near = ((points >= low) & (points <= high)).all(axis=1)
    owner = np.tile(np.arange(len(home)), len(shifts))[near]
    points = points[near]
    graph: Graph = [set() for _ in points]
    pairs = cKDTree(points).query_pairs(r_cut, output_type="ndarray")
    if angle is not None:
        arms, lines = oh_directions(atoms, home), points[pairs[:, 1]] - points[pairs[:, 0]]
        there = smallest_angles(arms[owner[pairs[:, 0]]], lines)
        back = smallest_angles(arms[owner[pairs[:, 1]]], -lines)
        pairs = pairs[np.minimum(there, back) < angle]
    for a, b in pairs.tolist():
        graph[a].add(b)
        graph[b].add(a)
    return graph, np.arange(len(home))


def oh_directions(atoms: ase.Atoms, home: ase.Atoms) -> np.ndarray:
    """Return the directions from each oxygen to its two hydrogens, (n_oxygens, 2, 3)."""
    arms: list[list[np.ndarray]] = [[] for _ in home]
    images = np.array(list(product(*[(-1, 0, 1) if p else (0,) for p in atoms.pbc])))
    for place in atoms.positions[atoms.numbers == 1]:
        vectors = place + (images @ atoms.cell.array)[:, None] - home.positions[None]
        lengths = np.linalg.norm(vectors, axis=2)
        image, oxygen = np.unravel_index(np.argmin(lengths), lengths.shape)
        arms[oxygen].append(vectors[image, oxygen] / lengths[image, oxygen])
    return np.array(arms)


def smallest_angles(arms: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Return the smaller of the angles of each line with two directions, degrees."""
    cosines = np.einsum("pak,pk->pa", arms, lines) / np.linalg.norm(lines, axis=1)[:, None]
    return np.degrees(np.arccos(np.clip(cosines, -1, 1))).min(axis=1)
