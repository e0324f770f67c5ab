"""Labels in any blocks, chains with known probabilities, and slow loops that count."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import xarray as xr


def dataset(label: Any, chunks: Any = None, **coords: Any) -> xr.Dataset:
    """Return labels, lazy if chunks are given."""
    variable = (("frame", "atom"), np.asarray(label, np.int32))
    ds = xr.Dataset({"label": variable}, {name: ("frame", value) for name, value in coords.items()})
    return ds if chunks is None else ds.chunk(dict(zip(("frame", "atom"), chunks, strict=True)))


def random_labels(rng: np.random.Generator, n_frames: int, n_atoms: int) -> np.ndarray:
    """Return runs of four states, with gaps of -1."""
    label = rng.integers(0, 4, (n_frames, n_atoms))
    for frame in range(1, n_frames):
        stays = rng.random(n_atoms) < 0.6
        label[frame, stays] = label[frame - 1, stays]
    label[rng.random(label.shape) < 0.08] = -1
    return label.astype(np.int32)


def random_chunks(rng: np.random.Generator, size: int) -> tuple[int, ...]:
    """Cut a length into pieces, many of one."""
    edges = np.flatnonzero(rng.random(size - 1) < rng.choice([0.05, 0.4, 1.0])) + 1
    return tuple(np.diff([0, *edges, size]).tolist())


def chain(probability: Any, n_frames: int, n_atoms: int, rng: np.random.Generator) -> np.ndarray:
    """Return a Markov chain per atom, begun in a random state."""
    edges = np.cumsum(probability, axis=1)
    label = np.empty((n_frames, n_atoms), np.int32)
    label[0] = rng.integers(0, len(edges), n_atoms)
    for frame in range(1, n_frames):
        drawn = rng.random(n_atoms)[:, None]
        label[frame] = np.minimum((drawn > edges[label[frame - 1]]).sum(axis=1), len(edges) - 1)
    return label


def counted_pairs(label: np.ndarray, lag: int, n_states: int) -> tuple[np.ndarray, int]:
    """Return the counts of pairs, and the number of those with a negative label."""
    flux, excluded = np.zeros((n_states, n_states), np.int64), 0
    for series in label.T.tolist():
        for before, after in zip(series, series[lag:], strict=False):
            if before < 0 or after < 0:
                excluded += 1
            else:
                flux[before, after] += 1
    return flux, excluded


def counted_visits(label: np.ndarray) -> tuple[Counter, Counter]:
    """Return complete and cut visits by (state, frames)."""
    complete: Counter = Counter()
    cut: Counter = Counter()
    for series in label.T.tolist():
        start = 0
        for stop in range(1, len(series) + 1):
            if stop < len(series) and series[stop] == series[start]:
                continue
            if series[start] >= 0:
                inside = start > 0 and stop < len(series)
                whole = inside and series[start - 1] >= 0 and series[stop] >= 0
                (complete if whole else cut)[series[start], stop - start] += 1
            start = stop
    return complete, cut
