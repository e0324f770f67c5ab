"""Samples of the rows of a (frame, atom, feature) array: stratified, seeded, any chunking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask._task_spec import Task, TaskRef

from icedask.tasks.graphs import Key, LazyGraph, Wave, Waves, block_key, cut
from icedask.tasks.run import run_tasks


class Sample(NamedTuple):
    """Rows of an array and where they stand.

    Attributes
    ----------
    rows : (n, n_features) float64
    frame, atom : (n,) int64
        Positions along frame and atom.
    """

    rows: npt.NDArray[np.float64]
    frame: npt.NDArray[np.int64]
    atom: npt.NDArray[np.int64]


def draw(n_frames: int, n_atoms: int, size: int, seed: int) -> npt.NDArray[np.int64]:
    """Choose rows with every frame represented equally.

    The choice in a frame depends on the seed and on the frame alone.

    Returns
    -------
    (n, 2) array
        Frame and atom of each row, sorted.
    """
    if size >= n_frames * n_atoms:
        return np.stack(np.divmod(np.arange(n_frames * n_atoms), n_atoms), axis=1)
    # Bresenham: counts that differ by at most one, evenly spread.
    edges = np.arange(n_frames + 1) * size // n_frames
    chosen = []
    for frame, count in enumerate(np.diff(edges)):
        atoms = np.random.default_rng([seed, frame]).permutation(n_atoms)[:count]
        chosen.append(np.stack([np.full(count, frame), np.sort(atoms)], axis=1))
    return np.concatenate(chosen)


def _take(
    block: npt.NDArray[np.floating], frame: npt.NDArray[np.int64], atom: npt.NDArray[np.int64]
) -> npt.NDArray[np.floating]:
    return np.asarray(block)[frame, atom]


def stratified_sample(features: da.Array, size: int, seed: int) -> Sample:
    """Compute a sample of rows with every frame represented equally; rows with NaN are dropped.

    Parameters
    ----------
    features
        (frame, atom, feature), one block along feature.
    size
        Number of rows; all if there are fewer.
    seed
        Of the choice.
    """
    chosen = draw(features.shape[0], features.shape[1], size, seed)
    rows = rows_at(features, chosen)
    finite = np.isfinite(rows).all(axis=1)
    return Sample(rows[finite], chosen[finite, 0], chosen[finite, 1])


def rows_at(features: da.Array, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Compute some rows.

    Parameters
    ----------
    features
        (frame, atom, feature), one block along feature.
    chosen
        (n, 2): frame and atom of each row.

    Returns
    -------
    (n, n_features) array
    """
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
    # Blocks in order, and of each the rows that are in it.
    blocks, inverse = np.unique(block, axis=0, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(np.bincount(inverse, minlength=len(blocks)))
    places = np.split(order, ends[:-1])
    rows = np.empty((len(chosen), features.shape[2]))
    parts = run_tasks(_waves(features, blocks, [within[p] for p in places]), len(blocks), "sample")
    for place, part in zip(places, parts, strict=True):
        rows[place] = part
    return rows


def _waves(
    features: da.Array, blocks: npt.NDArray[np.int64], rows: Sequence[npt.NDArray[np.int64]]
) -> Iterator[Wave]:
    """Yield waves of the tasks that take the given rows of each block."""
    graph = LazyGraph([features])
    waves = Waves(graph)

    def keys(block: npt.NDArray[np.int64]) -> list[Key]:
        return [block_key(features, block.tolist())]

    number = 0
    for some in cut(blocks, keys, graph):
        needed = [key for block in some for key in keys(block)]
        tasks = []
        for key in needed:
            tasks.append(Task(("take", number), _take, TaskRef(key), *rows[number].T))
            number += 1
        yield waves.wave(needed, tasks, values=True)
