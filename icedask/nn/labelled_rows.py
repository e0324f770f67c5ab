"""Rows with classes: counts by block, held-out groups, epochs and samples stratified by class.

The last columns of a row are its class and its weight, so that they go through `row_stream` with
its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil
from typing import NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt

from icedask.core.types import FloatArray, IntArray
from icedask.nn.row_stream import Read, Rows, evenly_chosen
from icedask.tasks.moments import CACHED_ROWS, finite_rows
from icedask.tasks.reduce import reduce_blocks


class ClassSurvey(NamedTuple):
    """Of each block: rows of each class, their weight, mean and squared deviations of features."""

    counts: IntArray
    weight: FloatArray
    mean: FloatArray
    scatter: FloatArray

    def of_blocks(self, chosen: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of the features over some blocks together."""
        weight = self.weight[chosen]
        n = self.counts[chosen].sum(axis=1) * weight
        with np.errstate(over="ignore", invalid="ignore"):
            mean = n @ self.mean[chosen] / n.sum()
            between = n @ (self.mean[chosen] - mean) ** 2
            return mean, (weight @ self.scatter[chosen] + between) / n.sum()

    def class_totals(self, chosen: IntArray) -> FloatArray:
        """Return the weighted number of rows of each class in some blocks."""
        return self.weight[chosen] @ self.counts[chosen]


class Labelled(NamedTuple):
    """Rows of features, their classes, and their weights with the rows that they stand for."""

    rows: Rows
    classes: IntArray
    share: FloatArray


def labelled_rows(
    features: da.Array, classes: da.Array, weights: da.Array | None, numbers: Sequence[int]
) -> da.Array:
    """Return features with class and weight as the last columns, NaN where a row has no class.

    `numbers` are the new numbers of the classes, negative for those to leave out. Rows of a block
    have the same weight; 1 without `weights`.
    """
    if weights is None:
        weights = da.ones(features.shape[:2], chunks=features.chunks[:2], dtype=features.dtype)
    return da.blockwise(
        partial(_append_class, numbers=np.array([*numbers, -1])),
        "fak",
        features,
        "fal",
        classes,
        "fa",
        weights,
        "fa",
        new_axes={"k": features.shape[2] + 2},
        concatenate=True,
        meta=np.empty((0, 0, 0), features.dtype),
    )


def _append_class(
    block: npt.NDArray[np.floating],
    classes: npt.NDArray[np.integer],
    weights: npt.NDArray[np.floating],
    numbers: IntArray,
) -> npt.NDArray[np.floating]:
    # The last entry is that of rows without a class.
    column = numbers[np.maximum(classes, -1)].astype(block.dtype)
    column[column < 0] = np.nan
    columns = [column[:, :, None], weights[:, :, None].astype(block.dtype)]
    return np.concatenate([block, *columns], axis=2)


def survey_classes(labelled: da.Array, n_classes: int, description: str) -> ClassSurvey:
    """Compute counts of the classes and moments of the features of each block."""
    kernel = partial(_survey_block, n_classes=n_classes)
    return reduce_blocks(labelled, kernel, _joined, description)


def _survey_block(block: npt.NDArray[np.floating], n_classes: int) -> ClassSurvey:
    rows = finite_rows(block)
    counts = np.bincount(rows[:, -2].astype(int), minlength=n_classes)
    weight = float(rows[0, -1]) if len(rows) else 0.0
    mean = rows[:, :-2].mean(axis=0, dtype=float) if len(rows) else np.zeros(rows.shape[1] - 2)
    scatter = np.zeros_like(mean)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(rows), CACHED_ROWS):
            scatter += ((rows[start : start + CACHED_ROWS, :-2] - mean) ** 2).sum(axis=0)
    return ClassSurvey(counts[None], np.array([weight]), mean[None], scatter[None])


def _joined(parts: Sequence[ClassSurvey]) -> ClassSurvey:
    return ClassSurvey(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def held_out_groups(counts: IntArray, groups: IntArray, fraction: float, seed: int) -> IntArray:
    """Choose groups to hold out: a fraction for each class, evenly spaced by their numbers.

    `counts` are the rows of each class in each block, `groups` the group of each block. A group
    counts for the class that it has the largest part of. Each class keeps rows to train with, at
    least a group for which it counts.
    """
    numbers, place = np.unique(groups, return_inverse=True)
    table = np.zeros((len(numbers), counts.shape[1]), np.int64)
    np.add.at(table, place, counts)
    shares = table / np.maximum(table.sum(axis=0), 1)
    main = np.where(table.any(axis=1), shares.argmax(axis=1), -1)
    generator = np.random.default_rng(seed)
    held = np.zeros(len(numbers), bool)
    for number in range(counts.shape[1]):
        members = np.flatnonzero(main == number)
        held[members[evenly_chosen(len(members), fraction, generator)]] = True
    # A class that counts for no group may have lost all its rows.
    while len(lost := np.flatnonzero(table[~held].sum(axis=0) == 0)):
        held[table[:, lost[0]].argmax()] = False
    return numbers[held]


def epoch_blocks(blocks: IntArray, counts: IntArray, rows: int, seed: int, epoch: int) -> list[int]:
    """Choose the blocks of an epoch from an endless series of permutations.

    In each permutation the blocks of each class are spread evenly, so that any stretch of it has
    the classes in nearly the proportion of all blocks. `counts` are the rows of each class in each
    of `blocks`.
    """
    taken = min(len(blocks), max(1, ceil(rows / counts.sum(axis=1).mean())))
    places = np.arange(epoch * taken, (epoch + 1) * taken)
    main = (counts / counts.sum(axis=0)).argmax(axis=1)
    orders = {
        number: blocks[_interleaved(main, [seed, number])]
        for number in np.unique(places // len(blocks)).tolist()
    }
    return [int(orders[place // len(blocks)][place % len(blocks)]) for place in places.tolist()]


def _interleaved(kinds: IntArray, seed: Sequence[int]) -> IntArray:
    """Return a random order in which each kind is spread evenly."""
    generator = np.random.default_rng(seed)
    position = np.empty(len(kinds))
    for kind in np.unique(kinds):
        members = generator.permutation(np.flatnonzero(kinds == kind))
        position[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.argsort(position, kind="stable")


def class_sample(read: Read, blocks: IntArray, counts: IntArray, most: int) -> Labelled:
    """Return rows of some blocks, evenly spaced in each: at most about `most`, as many of a class.

    `counts` are the rows of each class in each block of all.
    """
    totals = counts[blocks].sum(axis=0)
    every = np.maximum(np.ceil(totals * counts.shape[1] / most), 1).astype(int)
    parts: list[Rows] = []
    for number in blocks.tolist():
        rows = read(number)
        classes = rows[:, -2].astype(int)
        taken = np.zeros(len(rows), bool)
        for kind in np.unique(classes):
            taken[np.flatnonzero(classes == kind)[:: every[kind]]] = True
        parts.append(rows[taken])
    rows = np.concatenate(parts)
    classes = rows[:, -2].astype(np.int64)
    share = totals / np.maximum(np.bincount(classes, minlength=len(totals)), 1)
    return Labelled(np.ascontiguousarray(rows[:, :-2]), classes, share[classes] * rows[:, -1])
