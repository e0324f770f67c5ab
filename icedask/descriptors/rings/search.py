"""Search for primitive rings in a periodic network, from one atom after the other.

A node is an image of an atom: the atom, and the cell it is in. All nodes of a ring of n bonds are
within n / 2 bonds of each other, and so are the paths that could be shortcuts: the search from an
atom sees the nodes around it alone, its patch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import IntArray
from icedask.descriptors.rings.network import Network, is_positive
from icedask.kernels.jit import jit

# Largest number of nodes in a patch. Copper has 2,057 within 8 bonds.
MAX_NODES = 4096
# Largest number of pairs of shortest paths from an atom, some 20 ms.
MAX_PAIRS = 1_000_000
# A power of two, and several times the number of nodes.
_SLOTS = 4 * MAX_NODES
_FAR = 127


class Patch(NamedTuple):
    """Nodes around a start, by growing distance from it, and the bonds between them.

    The node n is the atom atoms[n] in the cell shifts[n], depths[n] bonds away. It is bonded to
    links[n, : n_links[n]]; the nodes at the rim have only the links that a ring may need. In the
    hash table `keys`, `values` a node is at places[n].
    """

    atoms: IntArray
    shifts: IntArray
    depths: IntArray
    links: IntArray
    n_links: IntArray
    places: IntArray
    keys: IntArray
    values: IntArray


class Paths(NamedTuple):
    """Shortest paths from the start: rows first[n] to first[n + 1] lead to the node n.

    A row holds the nodes of a path at the depths 1, 2, ..., up to that of its end.
    """

    first: IntArray
    nodes: IntArray


class Distances(NamedTuple):
    """Distances between nodes of a patch, where they are needed; _FAR beyond the largest."""

    known: npt.NDArray[np.bool_]
    values: npt.NDArray[np.int8]
    queue: IntArray
    largest: int


@jit
def make_patch(most_bonds: int) -> Patch:
    """Return room for a patch."""
    return Patch(
        np.empty(MAX_NODES, np.int64),
        np.empty((MAX_NODES, 3), np.int64),
        np.empty(MAX_NODES, np.int64),
        np.empty((MAX_NODES, most_bonds), np.int64),
        np.empty(MAX_NODES, np.int64),
        np.empty(MAX_NODES, np.int64),
        np.empty(_SLOTS, np.int64),
        np.full(_SLOTS, -1, np.int64),
    )


@jit
def slot_of(key: int, patch: Patch) -> int:
    """Return the place of a key in the hash table, or the empty one where it belongs."""
    slot = (key * 0x9E3779B97F4A7C1 >> 20) & (_SLOTS - 1)
    while patch.values[slot] >= 0 and patch.keys[slot] != key:
        slot = (slot + 1) & (_SLOTS - 1)
    return slot


@jit
def key_of(atom: int, x: int, y: int, z: int, farthest: int) -> int:
    """Return a number of the image of an atom in a cell, at most `farthest` cells away."""
    span = 2 * farthest + 1
    return ((atom * span + x + farthest) * span + y + farthest) * span + z + farthest


@jit
def add_node(
    node: int, atom: int, x: int, y: int, z: int, depth: int, slot: int, key: int, patch: Patch
) -> None:
    """Put a node into the patch, without links."""
    patch.atoms[node], patch.depths[node] = atom, depth
    patch.shifts[node, 0], patch.shifts[node, 1], patch.shifts[node, 2] = x, y, z
    patch.n_links[node] = 0
    patch.places[node] = slot
    patch.keys[slot], patch.values[slot] = key, node


@jit
def fill_patch(start: int, network: Network, max_size: int, farthest: int, patch: Patch) -> int:
    """Find the nodes within max_size / 2 bonds of an atom; return how many, or -1 for too many."""
    depths, links, n_links = patch.depths, patch.links, patch.n_links
    rim = max_size // 2
    key = key_of(start, 0, 0, 0, farthest)
    add_node(0, start, 0, 0, 0, 0, slot_of(key, patch), key, patch)
    n_nodes, node = 1, 0
    while node < n_nodes:
        depth = depths[node]
        # Bonds along the rim are in the rings of odd size alone.
        if depth == rim and max_size % 2 == 0:
            break
        for bond in range(network.indptr[patch.atoms[node]], network.indptr[patch.atoms[node] + 1]):
            atom = network.partners[bond]
            x = patch.shifts[node, 0] + network.shifts[bond, 0]
            y = patch.shifts[node, 1] + network.shifts[bond, 1]
            z = patch.shifts[node, 2] + network.shifts[bond, 2]
            key = key_of(atom, x, y, z, farthest)
            slot = slot_of(key, patch)
            other = patch.values[slot]
            if other < 0 and depth < rim:
                if n_nodes == MAX_NODES:
                    return -1
                other = n_nodes
                add_node(other, atom, x, y, z, depth + 1, slot, key, patch)
                n_nodes += 1
            if other < 0 or (depth == rim and depths[other] < rim):
                continue
            links[node, n_links[node]] = other
            n_links[node] += 1
            if depth < rim and depths[other] == rim:
                links[other, n_links[other]] = node
                n_links[other] += 1
        node += 1
    return n_nodes


@jit
def empty_patch(n_nodes: int, patch: Patch) -> None:
    """Take the nodes out of the hash table."""
    for node in range(n_nodes):
        patch.values[patch.places[node]] = -1


@jit
def count_pairs(n_nodes: int, max_size: int, patch: Patch) -> float:
    """Return the number of pairs of shortest paths from the start that may close a ring."""
    depths = patch.depths
    numbers = np.zeros(n_nodes)
    numbers[0] = 1
    pairs = 0.0
    for node in range(1, n_nodes):
        for link in range(patch.n_links[node]):
            other = patch.links[node, link]
            if depths[other] == depths[node] - 1:
                numbers[node] += numbers[other]
        pairs += numbers[node] * (numbers[node] - 1) / 2
        for link in range(patch.n_links[node]):
            other = patch.links[node, link]
            # Nodes at one depth and bonded close rings of odd size.
            if depths[other] == depths[node] and other < node and 2 * depths[node] < max_size:
                pairs += numbers[node] * numbers[other]
    return pairs


@jit
def comes_later(node: int, row: int, ranks: IntArray, patch: Patch) -> bool:
    """Return whether a node comes after the start in the order of nodes.

    The order is that of the ranks, and of the cells for images of one atom: moving a ring by whole
    cells keeps the first of its nodes.
    """
    rank = ranks[patch.atoms[node]]
    later = is_positive(patch.shifts[node, 0], patch.shifts[node, 1], patch.shifts[node, 2])
    return rank > row or (rank == row and later)


@jit
def find_paths(n_nodes: int, row: int, ranks: IntArray, max_size: int, patch: Patch) -> Paths:
    """Return the shortest paths from the start through nodes that come later."""
    depths = patch.depths
    first = np.zeros(n_nodes + 1, np.int64)
    for node in range(1, n_nodes):
        first[node + 1] = first[node]
        if comes_later(node, row, ranks, patch):
            for link in range(patch.n_links[node]):
                other = patch.links[node, link]
                if other == 0:
                    first[node + 1] += 1
                elif depths[other] == depths[node] - 1:
                    first[node + 1] += first[other + 1] - first[other]
    nodes = np.empty((first[n_nodes], max_size // 2), np.int64)
    for node in range(1, n_nodes):
        path, last = first[node], depths[node] - 1
        if path == first[node + 1]:
            continue
        for link in range(patch.n_links[node]):
            other = patch.links[node, link]
            if other == 0:
                nodes[path, 0] = node
                path += 1
            elif depths[other] == last:
                for before in range(first[other], first[other + 1]):
                    for place in range(last):
                        nodes[path, place] = nodes[before, place]
                    nodes[path, last] = node
                    path += 1
    return Paths(first, nodes)


@jit
def make_distances(n_nodes: int, max_size: int) -> Distances:
    """Return room for the distances between the nodes of a patch."""
    return Distances(
        np.zeros(n_nodes, np.bool_),
        np.empty((n_nodes, n_nodes), np.int8),
        np.empty(n_nodes, np.int64),
        max_size // 2 - 1,
    )


@jit
def distance(node: int, other: int, patch: Patch, distances: Distances) -> int:
    """Return the number of bonds between two nodes, _FAR if it is larger than needed."""
    values, queue = distances.values, distances.queue
    if not distances.known[node]:
        distances.known[node] = True
        for near in range(values.shape[1]):
            values[node, near] = _FAR
        values[node, node] = 0
        queue[0] = node
        n_queued, place = 1, 0
        while place < n_queued:
            here = queue[place]
            place += 1
            if values[node, here] == distances.largest:
                break
            for link in range(patch.n_links[here]):
                near = patch.links[here, link]
                if values[node, near] == _FAR:
                    values[node, near] = values[node, here] + 1
                    queue[n_queued] = near
                    n_queued += 1
    return values[node, other]


@jit
def is_primitive(
    nodes: IntArray, path: int, back: int, depth: int, odd: int, patch: Patch, distances: Distances
) -> bool:
    """Return whether two shortest paths of `depth` bonds close a ring without a shortcut.

    The paths, rows of `nodes`, end in one node, or, if the ring is odd, in two that are bonded. A
    shortcut between any two nodes of a ring is one between two that are opposite: only those are
    looked at.
    """
    for place in range(depth - 1):
        if nodes[path, place] == nodes[back, place]:
            return False
    for place in range(depth - 1):
        here, there = nodes[path, place], nodes[back, depth - 2 - place]
        if distance(here, there, patch, distances) < depth:
            return False
    for place in range(odd * depth):
        here, there = nodes[path, place], nodes[back, depth - 1 - place]
        if distance(here, there, patch, distances) < depth:
            return False
    return True


@jit
def add_ring(
    nodes: IntArray,
    path: int,
    back: int,
    depth: int,
    odd: int,
    ranks: IntArray,
    patch: Patch,
    counts: IntArray,
) -> None:
    """Count a ring for each of its nodes that is an image of a centre."""
    column = 2 * depth + odd - 3
    counts[ranks[patch.atoms[0]], column] += 1
    for place in range(depth):
        rank = ranks[patch.atoms[nodes[path, place]]]
        if rank < len(counts):
            counts[rank, column] += 1
    # The end of both paths of an even ring is one node.
    for place in range(depth - 1 + odd):
        rank = ranks[patch.atoms[nodes[back, place]]]
        if rank < len(counts):
            counts[rank, column] += 1


@jit
def close_rings(
    n_nodes: int, paths: Paths, max_size: int, ranks: IntArray, patch: Patch, counts: IntArray
) -> None:
    """Count the rings of which the start is the first node."""
    first, nodes, depths = paths.first, paths.nodes, patch.depths
    distances = make_distances(n_nodes, max_size)
    for node in range(1, n_nodes):
        if first[node] == first[node + 1]:
            continue
        depth = depths[node]
        for link in range(-1, patch.n_links[node]):
            # Two paths to the node itself, or one to it and one to a node at the same depth.
            odd = int(link >= 0)
            other = patch.links[node, link] if odd else node
            if 2 * depth + odd > max_size or depths[other] != depth or other > node:
                continue
            for a in range(first[node], first[node + 1]):
                for b in range(first[other] if odd else a + 1, first[other + 1]):
                    if is_primitive(nodes, a, b, depth, odd, patch, distances):
                        add_ring(nodes, a, b, depth, odd, ranks, patch, counts)


@jit
def count_rings(
    network: Network, centers: IntArray, most_bonds: int, max_size: int
) -> tuple[IntArray, int, float]:
    """Return the number of primitive rings of 3 to max_size nodes through each centre.

    (n_centers, max_size - 2). With them come the centre whose search would take too long, -1 if
    there is none, and its number of pairs of paths, infinite where the patch is too large.
    """
    # Centres come first: each ring through one or more is found from one of them, once.
    ranks = np.full(len(network.indptr) - 1, len(centers), np.int64)
    for row in range(len(centers)):
        ranks[centers[row]] = row
    counts = np.zeros((len(centers), max_size - 2), np.int64)
    farthest = 1
    for bond in range(len(network.partners)):
        for axis in range(3):
            farthest = max(farthest, abs(network.shifts[bond, axis]))
    farthest *= max_size // 2 + 1
    patch = make_patch(most_bonds)
    for row in range(len(centers)):
        center = centers[row]
        if network.indptr[center + 1] - network.indptr[center] < 2:
            continue
        n_nodes = fill_patch(center, network, max_size, farthest, patch)
        if n_nodes < 0:
            return counts, center, np.inf
        pairs = count_pairs(n_nodes, max_size, patch)
        if pairs > MAX_PAIRS:
            return counts, center, pairs
        paths = find_paths(n_nodes, row, ranks, max_size, patch)
        close_rings(n_nodes, paths, max_size, ranks, patch, counts)
        empty_patch(n_nodes, patch)
    return counts, -1, 0.0
