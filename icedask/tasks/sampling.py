"""Stratified samples of the rows of a (frame, atom, feature) array, seeded, for any chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask._task_spec import Task, TaskRef

from icedask.core.rows import Part, Rows
from icedask.core.types import FloatArray, IntArray
from icedask.tasks.graphs import Key, LazyGraph, block_key, task_waves
from icedask.tasks.run import run_tasks


class Sample(NamedTuple):
    """Rows of an array, with their frames and atoms."""

    rows: FloatArray
    frame: IntArray
    atom: IntArray


def draw(n_frames: int, n_atoms: int, size: int, *seed: int) -> IntArray:
    """Choose frame and atom of `size` rows, sorted, the same number in every frame.

    The choice in a frame depends on the seed and on the frame alone.
    """
    if size >= n_frames * n_atoms:
        return np.stack(np.divmod(np.arange(n_frames * n_atoms), n_atoms), axis=1)
    # Bresenham: counts that differ by at most one, evenly spread.
    edges = np.arange(n_frames + 1) * size // n_frames
    chosen = []
    for frame, count in enumerate(np.diff(edges)):
        atoms = np.random.default_rng([*seed, frame]).permutation(n_atoms)[:count]
        chosen.append(np.stack([np.full(count, frame), np.sort(atoms)], axis=1))
    return np.concatenate(chosen)


def draw_rows(rows: Rows, size: int, seed: int) -> IntArray:
    """Choose places of `size` rows, sorted: of each member a share by its rows and their weight.

    The same number in every frame of a member.
    """
    if not rows.is_pooled:
        return draw(*rows.features.shape[:2], size, seed)
    parts = rows.parts
    chosen = [
        part.start + draw(part.n_frames, part.n_atoms, count, seed, number) @ [part.n_atoms, 1]
        for number, (part, count) in enumerate(zip(parts, _shares(parts, size), strict=True))
    ]
    places = np.concatenate(chosen)
    return np.stack([np.zeros_like(places), places], axis=1)


def _shares(parts: Sequence[Part], size: int) -> list[int]:
    """Return how many rows each part gives; what one has not, the others give."""
    available = np.array([part.n_frames * part.n_atoms for part in parts])
    wanted = available * np.array([part.weight for part in parts])
    counts = np.zeros(len(parts), np.int64)
    if size >= available.sum():
        return available.tolist()
    while (left := size - int(counts.sum())) > 0:
        share = np.where(counts < available, wanted, 0.0)
        edges = np.round(np.cumsum(share) / share.sum() * left).astype(np.int64)
        counts = np.minimum(available, counts + np.diff(edges, prepend=0))
    return counts.tolist()


def stratified_sample(rows: Rows | da.Array, size: int, seed: int) -> Sample:
    """Compute a sample of rows, the same number in every frame; rows with NaN are dropped."""
    if isinstance(rows, Rows):
        features, chosen = rows.features, draw_rows(rows, size, seed)
    else:
        features, chosen = rows, draw(*rows.shape[:2], size, seed)
    return _without_nan(rows_at(features, chosen), chosen)


def _without_nan(rows: FloatArray, chosen: IntArray) -> Sample:
    finite = np.isfinite(rows).all(axis=1)
    return Sample(rows[finite], chosen[finite, 0], chosen[finite, 1])


def rows_at(features: da.Array, chosen: IntArray) -> FloatArray:
    """Compute the rows of (frame, atom, feature) at frames and atoms `chosen`, (n, 2)."""
    if not len(chosen):
        return np.empty((0, features.shape[2]))
    frame_edges = np.concatenate([[0], np.cumsum(features.chunks[0])])
    atom_edges = np.concatenate([[0], np.cumsum(features.chunks[1])])
    block = np.stack(
        [
            np.searchsorted(frame_edges, chosen[:, 0], side="right") - 1,
            np.searchsorted(atom_edges, chosen[:, 1], side="right") - 1,
        ],
        axis=1,
    )
    within = chosen - np.stack([frame_edges[block[:, 0]], atom_edges[block[:, 1]]], axis=1)
    # Blocks in order, and the rows in each of them.
    blocks, inverse = np.unique(block, axis=0, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(np.bincount(inverse, minlength=len(blocks)))
    places = np.split(order, ends[:-1])

    def key_of(index: IntArray) -> Key:
        return block_key(features, index.tolist())

    def task_of(index: IntArray, number: int) -> Task:
        rows = within[places[number]]
        return Task(("take", number), _take, TaskRef(key_of(index)), *rows.T)

    waves = task_waves(
        LazyGraph([features]), blocks, lambda index: [key_of(index)], task_of, values=True
    )
    rows = np.empty((len(chosen), features.shape[2]))
    for place, part in zip(places, run_tasks(waves, len(blocks), "sample"), strict=True):
        rows[place] = part
    return rows


def _take(
    block: npt.NDArray[np.floating], frame: IntArray, atom: IntArray
) -> npt.NDArray[np.floating]:
    return np.asarray(block)[frame, atom]
