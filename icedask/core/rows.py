"""Rows of features for estimators: of one Dataset, or of all members of a collection.

The members of a collection have different numbers of frames and atoms. Their rows are laid out one
member after another along `atom`, in a single frame; each block has rows of one member, so that
what sums over blocks needs nothing else for a collection.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import (
    feature_blocks,
    feature_variable,
    rechunked,
)
from icedask.core.types import FloatArray, IntArray
from icedask.errors import InputError


class Part(NamedTuple):
    """Rows of one Dataset in the array of all rows: first row, frames, atoms, weight."""

    name: str
    start: int
    n_frames: int
    n_atoms: int
    weight: float


class Places(NamedTuple):
    """Number of the part, frame and atom of rows."""

    part: IntArray
    frame: IntArray
    atom: IntArray


class Rows(NamedTuple):
    """Features as a lazy array (frame, atom, feature) in one block along feature.

    Attributes
    ----------
    features
        Of a Dataset its own frames and atoms; of a collection (1, row, feature), with the rows of
        its members one after another, frame by frame.
    parts
        The Dataset, or the members, in the order of the rows.
    collection
        The collection; None for a Dataset.
    """

    features: da.Array
    parts: tuple[Part, ...]
    collection: Collection | None = None

    @property
    def is_pooled(self) -> bool:
        """Whether these are the rows of a collection."""
        return self.collection is not None

    @property
    def groups(self) -> IntArray | None:
        """The number of the group of each block, in the order of the blocks; None for a Dataset.

        Rows of one group are not independent, and stay together when some are held out. Computes
        the groups of a collection at the first use.
        """
        if self.collection is None:
            return None
        numbers = self.collection.groups
        return np.array([numbers[part.name] for part in self.parts])[self.part_of_block]

    @property
    def part_of_block(self) -> IntArray:
        """The number of the part of each block, in the order of the blocks."""
        if not self.is_pooled:
            return np.zeros(int(np.prod(self.features.numblocks[:2])), np.int64)
        starts = np.cumsum([0, *self.features.chunks[1][:-1]])
        return np.searchsorted([part.start for part in self.parts], starts, side="right") - 1

    @property
    def weights(self) -> FloatArray | None:
        """The weight of the rows of each part; None where all count the same."""
        weights = np.array([part.weight for part in self.parts])
        return None if np.all(weights == weights[0]) else weights

    def weight_blocks(self) -> da.Array | None:
        """Return the weight of each row as a lazy array (frame, atom); None where all are the same.

        It has the blocks of the features, with the same weight in all of a block.
        """
        weights = self.weights
        if weights is None:
            return None
        return self._filled_blocks(weights[self.part_of_block])

    def part_blocks(self) -> da.Array:
        """Return the number of the part of each row as a lazy array (frame, atom).

        It has the blocks of the features; for a collection.
        """
        return self._filled_blocks(self.part_of_block)

    def _filled_blocks(self, values: npt.NDArray[Any]) -> da.Array:
        sizes = self.features.chunks[1]
        # The value and the rows of each block: what a block is made from.
        table = np.stack([values.astype(np.float64), sizes])
        cells = da.from_array(table, chunks=(2, 1))
        filled: da.Array = da.map_blocks(_filled, cells, chunks=((1,), sizes), dtype=np.float64)
        return filled

    def weighted(self) -> list[da.Array]:
        """Return the features, and the weights of their rows where these differ."""
        weights = self.weight_blocks()
        return [self.features] if weights is None else [self.features, weights]

    def places(self, frame: IntArray, atom: IntArray) -> Places:
        """Return part, frame and atom of rows, from their places in the array of features."""
        if not self.is_pooled:
            return Places(np.zeros(len(atom), np.int64), frame, atom)
        starts = np.array([part.start for part in self.parts])
        number = np.searchsorted(starts, atom, side="right") - 1
        n_atoms = np.array([part.n_atoms for part in self.parts])[number]
        return Places(number, *np.divmod(atom - starts[number], n_atoms))

    def at(self, places: Places) -> IntArray:
        """Return the places of rows in the array of features, (n, 2): the inverse of `places`."""
        if not self.is_pooled:
            return np.stack([places.frame, places.atom], axis=1)
        starts = np.array([part.start for part in self.parts])[places.part]
        n_atoms = np.array([part.n_atoms for part in self.parts])[places.part]
        rows = starts + places.frame * n_atoms + places.atom
        return np.stack([np.zeros_like(rows), rows], axis=1)


def rows_of(x: xr.Dataset | xr.DataArray | Collection) -> Rows:
    """Return the rows of features of a Dataset, or of all members of a collection.

    Raises InputError if one has no features, or members have other features than the first.
    """
    if not isinstance(x, Collection):
        features = feature_blocks(x)
        n_frames, n_atoms = features.shape[:2]
        return Rows(features, (Part("", 0, n_frames, n_atoms, 1.0),))
    blocks = {name: feature_blocks(member) for name, member in x.items()}
    first = next(iter(blocks))
    dtype = np.result_type(*(array.dtype for array in blocks.values()))
    parts, start = [], 0
    for name, array in blocks.items():
        if array.shape[2] != blocks[first].shape[2]:
            raise InputError(
                f"{name}: expected {blocks[first].shape[2]} features as in {first}, found "
                f"{array.shape[2]}; describe all members by the same options (species, centers)"
            )
        n_frames, n_atoms = array.shape[:2]
        parts.append(Part(name, start, n_frames, n_atoms, x.weights[name]))
        start += n_frames * n_atoms
    pooled = da.concatenate([flat_rows(array, dtype) for array in blocks.values()], axis=1)
    return Rows(pooled, tuple(parts), x)


def _filled(cell: FloatArray) -> FloatArray:
    return np.full((1, int(cell[1, 0])), cell[0, 0])


def flat_rows(array: da.Array, dtype: npt.DTypeLike) -> da.Array:
    """Return (frame, atom, ...) as (1, row, ...), frame by frame."""
    if array.numblocks[1] > 1:
        # Frames of several blocks: each by itself, or rows would be in the order of the blocks.
        single = rechunked(array, {0: 1})
        flat: da.Array = single.reshape((1, -1, *array.shape[2:]), merge_chunks=False)
        return flat.astype(dtype, copy=False)
    n_atoms = array.shape[1]
    rest = tuple(range(2, array.ndim))
    return da.blockwise(
        _one_frame,
        (-1, 0, *rest),
        array,
        (0, 1, *rest),
        new_axes={-1: 1},
        adjust_chunks={0: lambda n: n * n_atoms},
        concatenate=True,
        target=dtype,
        meta=np.empty((0,) * array.ndim, dtype),
    )


def _one_frame(block: npt.NDArray[Any], target: npt.DTypeLike) -> npt.NDArray[Any]:
    return block.reshape(1, -1, *block.shape[2:]).astype(target, copy=False)


def feature_template(x: xr.Dataset | xr.DataArray | Collection) -> xr.DataArray:
    """Return the variable of features of a Dataset, or of the first member of a collection.

    For its dtype and its coordinates along feature, which are those of all members.
    """
    if isinstance(x, Collection):
        return feature_variable(next(iter(x.values())))
    return feature_variable(x)
