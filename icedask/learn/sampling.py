"""Samples of the rows of a (frame, atom, feature) array: stratified, seeded, any chunking."""

from __future__ import annotations

from typing import NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask import delayed

from icedask.compute import run_tasks


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
    blocks = features.to_delayed()[:, :, 0]
    frame_edges = np.concatenate([[0], np.cumsum(features.chunks[0])])
    atom_edges = np.concatenate([[0], np.cumsum(features.chunks[1])])
    frame_block = np.searchsorted(frame_edges, chosen[:, 0], side="right") - 1
    atom_block = np.searchsorted(atom_edges, chosen[:, 1], side="right") - 1
    tasks, places = [], []
    for i, j in np.unique(np.stack([frame_block, atom_block], axis=1), axis=0):
        place = np.flatnonzero((frame_block == i) & (atom_block == j))
        frame = chosen[place, 0] - frame_edges[i]
        atom = chosen[place, 1] - atom_edges[j]
        tasks.append(delayed(_take)(blocks[i, j], frame, atom))
        places.append(place)
    rows = np.empty((len(chosen), features.shape[2]))
    for place, part in zip(places, run_tasks(tasks, "sample"), strict=True):
        rows[place] = part
    finite = np.isfinite(rows).all(axis=1)
    return Sample(rows[finite], chosen[finite, 0], chosen[finite, 1])
