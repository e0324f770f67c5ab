"""Inference of the score network on a CPU, without torch, and denoising of one frame by it.

Filters depend on distance alone: they are tabulated once, and a sum over pairs is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.kernels.elementary import sines_cosines
from icedask.kernels.neighbors import Neighbors, neighbor_list, with_images
from icedask.phases.score_kernels import (
    N_NODES,
    activate,
    add_messages,
    dots,
    follow,
    linear,
    nearby,
    project,
)

# Scaling of the messages, as in training.
_USUAL_NEIGHBORS = 18.0
# Skin of the neighbour list, angstrom: it is rebuilt when an atom has moved by half of it.
_SKIN = 1.0
# Atoms whose arrays stay in the processor's cache.
_CACHED = 1024
# Frames with more atoms are treated in parts, so that memory is bounded, about 3 kB for each atom.
MAX_ATOMS = 150_000


class Linear(NamedTuple):
    """Linear map: x @ weight + bias."""

    weight: FloatArray
    bias: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the image of rows."""
        out = np.empty((len(x), len(self.bias)))
        linear(x, self.weight, self.bias, out)
        return out


class Layer(NamedTuple):
    """Weights of one message and one update."""

    table: FloatArray
    send: tuple[Linear, Linear]
    first: Linear
    second: Linear
    update: tuple[Linear, Linear]


class Score(NamedTuple):
    """Weights of a network, with its cutoff, angstrom."""

    cutoff: float
    embedding: FloatArray
    layers: tuple[Layer, ...]
    gate: tuple[Linear, Linear]
    out: FloatArray

    @np.errstate(over="ignore", invalid="ignore")
    def __call__(self, neighbors: Neighbors) -> FloatArray:
        """Return the displacements (n_atoms, 3) from ideal places, angstrom.

        The neighbour list has at least the network's cutoff. Not finite where atoms are far too
        dense.
        """
        n_atoms, width = len(neighbors.indptr) - 1, len(self.embedding)
        pairs = nearby(neighbors.indptr, neighbors.indices, neighbors.vectors, self.cutoff)
        x = np.tile(self.embedding, (n_atoms, 1))
        v = np.zeros((n_atoms, 3 * width))
        sent = np.empty((n_atoms, 3 * width))
        moves = np.empty((n_atoms, 3))
        parts = [slice(start, start + _CACHED) for start in range(0, n_atoms, _CACHED)]
        for layer in self.layers:
            for rows in parts:
                sent[rows] = _perceptron(layer.send, x[rows])
            new = v.copy()
            add_messages(*pairs, layer.table, sent, v, x, new)
            v = new
            for rows in parts:
                x[rows], v[rows] = _updated(layer, x[rows], v[rows])
        for rows in parts:
            project(v[rows], _perceptron(self.gate, x[rows]), self.out, moves[rows])
        return moves


def _updated(layer: Layer, x: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    n_atoms, width = x.shape
    vectors = v.reshape(-1, width)
    u = layer.first(vectors).reshape(n_atoms, 3 * width)
    w = layer.second(vectors).reshape(n_atoms, 3 * width)
    length = np.sqrt(dots(w, w, width) + 1e-8)
    gates = _perceptron(layer.update, np.concatenate([x, length], axis=1))
    a, b, d = gates[:, :width], gates[:, width : 2 * width], gates[:, 2 * width :]
    x = x + a + b * dots(u, w, width)
    return x, v + u * np.tile(d, 3)


def _perceptron(maps: tuple[Linear, Linear], x: FloatArray) -> FloatArray:
    hidden = maps[0](x)
    activate(hidden)
    return maps[1](hidden)


def score_from(state: Mapping[str, npt.NDArray[np.floating]], cutoff: float) -> Score:
    """Return a network from weights by the names of `network.ScoreNetwork`."""
    arrays = {name: np.asarray(array, np.float64) for name, array in state.items()}

    def map_of(name: str) -> Linear:
        weight = np.ascontiguousarray(arrays[f"{name}.weight"].T)
        return Linear(weight, arrays.get(f"{name}.bias", np.zeros(weight.shape[1])))

    n_layers = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("updates"))
    layers = tuple(
        Layer(
            _table(map_of(f"messages.{n}.radial"), cutoff),
            (map_of(f"messages.{n}.node.0"), map_of(f"messages.{n}.node.2")),
            map_of(f"updates.{n}.first"),
            map_of(f"updates.{n}.second"),
            (map_of(f"updates.{n}.node.0"), map_of(f"updates.{n}.node.2")),
        )
        for n in range(n_layers)
    )
    gate = (map_of("gate.0"), map_of("gate.2"))
    return Score(cutoff, arrays["embedding"], layers, gate, arrays["out.weight"][0])


def check_weights(state: Mapping[str, npt.NDArray[Any]], width: int, layers: int) -> None:
    """Raise ValueError unless weights fit a network of this width and number of layers."""
    shapes = {name: array.shape for name, array in state.items()}
    expected = _shapes(width, layers, shapes["messages.0.radial.weight"][1])
    wrong = sorted(name for name in expected | shapes if expected.get(name) != shapes.get(name))
    if wrong:
        raise ValueError(
            f"weights {wrong[0]}: expected the shape {expected.get(wrong[0])}, found "
            f"{shapes.get(wrong[0])}"
        )
    for name, array in state.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"weights {name}: not finite numbers")


def _shapes(width: int, layers: int, n_radial: int) -> dict[str, tuple[int, ...]]:
    def map_of(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

    shapes = {"embedding": (width,), "out.weight": (1, width)}
    shapes |= map_of("gate.0", width, width) | map_of("gate.2", width, width)
    for n in range(layers):
        shapes |= map_of(f"messages.{n}.radial", 3 * width, n_radial)
        shapes |= map_of(f"messages.{n}.node.0", width, width)
        shapes |= map_of(f"messages.{n}.node.2", 3 * width, width)
        shapes |= {f"updates.{n}.{name}.weight": (width, width) for name in ("first", "second")}
        shapes |= map_of(f"updates.{n}.node.0", width, 2 * width)
        shapes |= map_of(f"updates.{n}.node.2", 3 * width, width)
    return shapes


def _table(radial: Linear, cutoff: float) -> FloatArray:
    """Return the filters of a layer at the nodes of the table."""
    r = np.arange(-1, N_NODES + 2)[:, None] * (cutoff / N_NODES)
    orders = np.arange(1, len(radial.weight) + 1) * (math.pi / cutoff)
    sines, _ = sines_cosines((orders * r).ravel())
    with np.errstate(invalid="ignore"):
        ratios = sines.reshape(len(r), -1) / r
    # sin(k r) / r, also at zero.
    basis = math.sqrt(2.0 / cutoff) * np.where(r == 0.0, orders, ratios)
    _, cosines = sines_cosines(math.pi / cutoff * r[:, 0])
    envelope = 0.5 * (cosines[:, None] + 1.0)
    return np.ascontiguousarray(radial(basis) * envelope / math.sqrt(_USUAL_NEIGHBORS))


class Denoised(NamedTuple):
    """Difference of the positions (n_atoms, 3) and residual (n_atoms,) of a frame, angstrom.

    The residual is the root mean square length of the last step of an atom and its neighbours.
    """

    shift: FloatArray
    residual: FloatArray


def denoise_frame(
    score: Score,
    positions: FloatArray,
    cell: FloatArray,
    pbc: npt.NDArray[np.bool_],
    steps: int,
    clip: float,
) -> Denoised:
    """Apply a network `steps` times, each step of an atom at most `clip` long, angstrom.

    Positions may be wrapped or not.
    """
    shift = np.zeros_like(positions)
    if len(positions) > MAX_ATOMS:
        return _denoise_in_parts(score, positions, shift, cell, pbc, steps, clip)
    built = shift.copy()
    neighbors = neighbor_list(positions, cell, pbc, score.cutoff + _SKIN)
    for _ in range(steps):
        move, squares = _clipped(score(neighbors), clip)
        shift += move
        if np.abs(shift - built).max(initial=0.0) > _SKIN / 2 / math.sqrt(3):
            neighbors = neighbor_list(positions + shift, cell, pbc, score.cutoff + _SKIN)
            built = shift.copy()
        else:
            follow(neighbors.indptr, neighbors.indices, neighbors.vectors, move)
    return Denoised(shift, np.sqrt(near_mean(neighbors, squares, score.cutoff)))


def _denoise_in_parts(
    score: Score,
    positions: FloatArray,
    shift: FloatArray,
    cell: FloatArray,
    pbc: npt.NDArray[np.bool_],
    steps: int,
    clip: float,
) -> Denoised:
    """Denoise a frame that does not fit into memory as a whole."""
    reach = len(score.layers) * score.cutoff
    for _ in range(steps):
        displacement = in_parts(
            positions + shift, cell, pbc, reach, score.cutoff, lambda pairs, _: score(pairs)
        )
        move, squares = _clipped(displacement, clip)
        shift += move

    def mean(pairs: Neighbors, source: IntArray) -> FloatArray:
        return near_mean(pairs, squares[source], score.cutoff)

    means = in_parts(positions + shift, cell, pbc, score.cutoff, score.cutoff, mean)
    return Denoised(shift, np.sqrt(means))


def _clipped(displacement: FloatArray, clip: float) -> tuple[FloatArray, FloatArray]:
    """Return the steps that undo displacements, at most `clip` long, and their squares.

    Where many atoms overlap, displacements may overflow: such atoms stay, and count as unsettled.
    """
    known = np.asarray(np.isfinite(displacement).all(axis=1))
    displacement = np.where(known[:, None], displacement, 0.0)
    largest = np.maximum(np.abs(displacement).max(axis=1), clip)
    scaled = displacement / largest[:, None]
    length = np.linalg.norm(scaled, axis=1)
    reach = np.minimum(largest, clip / np.maximum(length, 1e-300))
    squares = np.where(known, (length * reach) ** 2, clip**2)
    return -scaled * reach[:, None], squares


def in_parts(
    positions: FloatArray,
    cell: FloatArray,
    pbc: npt.NDArray[np.bool_],
    reach: float,
    cutoff: float,
    function: Callable[[Neighbors, IntArray], FloatArray],
) -> FloatArray:
    """Apply a function of a neighbour list to all atoms, at most MAX_ATOMS at a time.

    `reach` is the range of the function, `cutoff` that of the neighbour lists, angstrom. The
    function takes a neighbour list, and the atom that each of its rows is an image of; it returns a
    value, or a vector, for each row.
    """
    points, source = with_images(positions, cell, pbc, reach)
    values = None
    for own in _compact_parts(points[: len(positions)]):
        low, high = points[own].min(axis=0) - reach, points[own].max(axis=0) + reach
        near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
        pairs = neighbor_list(points[near], np.zeros((3, 3)), np.zeros(3, bool), cutoff)
        rows = function(pairs, source[near])[np.searchsorted(near, own)]
        if values is None:
            values = np.empty((len(positions), *rows.shape[1:]))
        values[own] = rows
    assert values is not None
    return values


def _compact_parts(points: FloatArray) -> Iterator[IntArray]:
    """Yield compact groups of at most MAX_ATOMS atoms, by repeated bisection."""
    todo = [np.arange(len(points))]
    while todo:
        part = todo.pop()
        if len(part) <= MAX_ATOMS:
            yield np.sort(part)
            continue
        places = points[part]
        axis = int(np.argmax(np.ptp(places, axis=0)))
        order = np.argsort(places[:, axis], kind="stable")
        todo += np.array_split(part[order], 2)


def near_mean(neighbors: Neighbors, values: FloatArray, cutoff: float) -> FloatArray:
    """Return the mean of a value among each atom and its neighbours."""
    starts, indices, *_ = nearby(neighbors.indptr, neighbors.indices, neighbors.vectors, cutoff)
    counts = np.diff(starts)
    rows = np.repeat(np.arange(len(values)), counts)
    total = np.bincount(rows, values[indices], len(values)) + values
    return np.asarray(total / (counts + 1))
