"""Reductions of lazy arrays of any size: a summary of each block, merged in waves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import dask.array as da
import numpy as np
import numpy.typing as npt

from icedask.tasks.graphs import Key, LazyGraph, Wave, Waves, block_key, cut
from icedask.tasks.run import wave_results

T = TypeVar("T")
_FAN_IN = 8


def reduce_blocks(
    array: da.Array | Sequence[da.Array],
    kernel: Callable[..., T],
    merge: Callable[[Sequence[T]], T],
    description: str | None,
) -> T:
    """Compute a summary over the blocks of an array, or of several arrays of the same blocks.

    Arrays are (frame, atom) or (frame, atom, feature), of the same blocks along frame and atom; a
    block has all features. It is computed in the same task as its summary, so that only the blocks
    in flight are in memory.

    `kernel` makes a summary from a block of each array. If it holds arrays of more than a few kB,
    wrap it: `dask.delayed(kernel)` is sent once and not with each task. `merge` is associative and
    takes summaries in the order of the blocks, frame by frame: the same blocks give the same bits.
    `description` is the text of the progress bar, None for no bar.
    """
    (result,) = _reduced(array, kernel, merge, description, lambda index: 0)
    return result


def reduce_columns(
    array: da.Array,
    kernel: Callable[[npt.NDArray[Any]], T],
    merge: Callable[[Sequence[T]], T],
    description: str | None,
) -> list[T]:
    """Compute a summary for each column of blocks: the same atoms, all frames.

    As `reduce_blocks`, with summaries of successive frames as the arguments of `merge`.
    """
    return _reduced(array, kernel, merge, description, lambda index: index[1])


def _reduced(
    array: da.Array | Sequence[da.Array],
    kernel: Callable[..., T],
    merge: Callable[[Sequence[T]], T],
    description: str | None,
    group_of: Callable[[Sequence[int]], int],
) -> list[T]:
    """Return the merged summary of each group of blocks."""
    arrays = [array] if isinstance(array, da.Array) else array
    # The features of one array are not those of another.
    indices = [(0, 1, number)[: part.ndim] for number, part in enumerate(arrays, 2)]
    # Blockwise, so that the graph optimiser fuses it with the computation of the array.
    cells = da.blockwise(
        _summary_cell,
        (0, 1),
        *(part for pair in zip(arrays, indices, strict=True) for part in pair),
        kernel=kernel,
        concatenate=True,
        meta=np.empty((0, 0), object),
    )
    sent: list[list[int]] = []
    waves = _waves(cells, partial(_merge_cells, merge=merge), group_of, sent)
    merged: dict[int, T] = {}
    results = wave_results(waves, math.prod(cells.numblocks), description)
    # In the order of the waves, not of their ends: the same blocks give the same bits.
    for number, values in enumerate(results):
        for group, value in zip(sent[number], values, strict=True):
            new = value[0, 0]
            merged[group] = merge([merged[group], new]) if group in merged else new
    return [merged[group] for group in sorted(merged)]


def _waves(
    cells: da.Array,
    merge: Callable[..., npt.NDArray[np.object_]],
    group_of: Callable[[Sequence[int]], int],
    sent: list[list[int]],
) -> Iterator[Wave]:
    """Yield waves that reduce each group of blocks to one cell; list the groups in `sent`."""
    graph = LazyGraph([cells])
    waves = Waves(graph)
    blocks = np.array(list(np.ndindex(*cells.numblocks)))

    def keys(row: npt.NDArray[np.int64]) -> list[Key]:
        return [block_key(cells, row.tolist())]

    for rows in cut(blocks, keys, graph):
        groups: dict[int, list[Key]] = {}
        for row in rows:
            groups.setdefault(group_of(row.tolist()), []).extend(keys(row))
        sent.append(list(groups))
        yield waves.reduced(list(groups.values()), merge, _FAN_IN)


def _summary_cell(*blocks: npt.NDArray[Any], kernel: Callable[..., Any]) -> npt.NDArray[np.object_]:
    return _cell(kernel(*blocks))


def _merge_cells(
    *cells: npt.NDArray[np.object_], merge: Callable[[Sequence[Any]], Any]
) -> npt.NDArray[np.object_]:
    return _cell(merge([cell[0, 0] for cell in cells]))


def _cell(value: object) -> npt.NDArray[np.object_]:
    cell = np.empty((1, 1), object)
    cell[0, 0] = value
    return cell
