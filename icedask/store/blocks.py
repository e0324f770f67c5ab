"""Writing a lazy Dataset block by block, each from the task that computed it, and resuming."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask._task_spec import Task, TaskRef
from numcodecs.bitround import BitRound

from icedask.core.types import IntArray
from icedask.core.variables import ATOM, FRAME
from icedask.errors import InputError, StoreError
from icedask.store.arrays import create_array, delete, remove_partial_files, write_region
from icedask.store.integrity import (
    METADATA,
    array_metadata,
    damaged,
    file_grid,
    group_attrs,
    inner_chunks,
    is_whole,
    outer_chunks,
    read_metadata,
    shard_path,
)
from icedask.store.lock import check_locks
from icedask.tasks.graphs import Key, LazyGraph, Wave, Waves, block_key, task_waves
from icedask.tasks.run import run_tasks

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)


@contextmanager
def disk_errors(store: Path) -> Iterator[None]:
    """Turn the OSError of a disk that is full or refuses into a StoreError with the remedy."""
    try:
        yield
    except OSError as error:
        named = error.filename2 or error.filename
        inside = named is None or Path(os.fsdecode(named)).is_relative_to(store)
        if error.errno in _REFUSED and inside:
            raise StoreError(
                f"{store}: cannot be written to ({error.strerror}: {named or store}); ask for "
                "permission to write, or write to another store"
            ) from error
        if error.errno not in _FULL:
            raise
        raise StoreError(
            f"{store}: the disk is full or over quota ({error.strerror}); what is written stays "
            "valid: free space and run the same command again, it continues where it stopped"
        ) from error


def uniform_blocks(ds: xr.Dataset, stored: Mapping[str, int] | None = None) -> xr.Dataset:
    """Give all lazy variables the same regular blocks along frame and atom, one along the rest.

    Blocks of arrays that exist on disk have the sizes `stored`, by dimension.
    """
    sizes: dict[str, int] = {}
    for array in ds.data_vars.values():
        for dim, chunks in zip(array.dims, array.chunks or (), strict=False):
            name = str(dim)
            if name in (FRAME, ATOM):
                sizes[name] = min(sizes.get(name, max(chunks)), max(chunks))
            else:
                sizes[name] = ds.sizes[name]
    sizes |= stored or {}
    with dask.config.set({"array.rechunk.method": "tasks"}):
        return ds.assign(
            {
                name: array.chunk({dim: sizes[str(dim)] for dim in array.dims})
                for name, array in lazy_variables(ds).items()
            }
        )


def stored_blocks(ds: xr.Dataset, group: Path) -> dict[str, int]:
    """Return the sizes of the blocks of the arrays on disk, by dimension.

    Raises StoreError if what is on disk has another shape than `ds`, or its metadata is damaged.
    """
    sizes: dict[str, int] = {}
    on_disk = array_metadata(group, group_attrs(group))
    for name, array in lazy_variables(ds).items():
        if name not in on_disk:
            raise damaged(group / name, "an array of an interrupted run is missing")
        shape = tuple(on_disk[name]["shape"])
        if shape != array.shape:
            raise StoreError(
                f"{group}: {name}: expected the shape {array.shape}, found {shape} from an "
                "interrupted run; remove the run and compute it again"
            )
        shards = outer_chunks(on_disk[name])
        sizes |= {str(dim): size for dim, size in zip(array.dims, shards, strict=True)}
    return sizes


def _write_blocks(
    group: str,
    names: Sequence[str],
    starts: Sequence[Sequence[int]],
    keepbits: int | None,
    *blocks: npt.NDArray[Any],
) -> None:
    """Write one block of every variable; runs on the worker that computed them."""
    for name, start, block in zip(names, starts, blocks, strict=True):
        values = np.asarray(block)
        if keepbits is not None and values.dtype.kind == "f":
            values = round_mantissa(values, keepbits)
        write_region(Path(group) / name, start, values)


def round_mantissa(values: npt.NDArray[Any], keepbits: int) -> npt.NDArray[Any]:
    """Round floating-point values to `keepbits` bits of mantissa."""
    codec, values = BitRound(keepbits), np.ascontiguousarray(values)
    rounded: npt.NDArray[Any] = codec.decode(codec.encode(values)).view(values.dtype)
    return rounded.reshape(values.shape)


def create_lazy_arrays(ds: xr.Dataset, group: Path, *, rounded: bool) -> None:
    """Create the empty sharded arrays of the lazy variables."""
    for name, array in lazy_variables(ds).items():
        block = tuple(max(chunks) for chunks in array.chunks or ())
        dims = [str(dim) for dim in array.dims]
        create_array(
            group, name, array.shape, array.dtype, dims, array.attrs, block=block, rounded=rounded
        )


@dataclass(frozen=True)
class Target:
    """A Dataset with uniform blocks, the group with its arrays, and the bits to keep."""

    ds: xr.Dataset
    group: Path
    keepbits: int | None

    @cached_property
    def arrays(self) -> dict[str, da.Array]:
        """Lazy arrays by variable."""
        arrays = {name: array.data for name, array in lazy_variables(self.ds).items()}
        if len({array.numblocks[:2] for array in arrays.values()}) > 1:
            raise InputError(
                "the variables of one Dataset must share the dimensions frame and atom"
            )
        return arrays

    @cached_property
    def edges(self) -> list[IntArray]:
        """First index of each block along frame and atom."""
        first = next(iter(self.arrays.values()))
        return [np.cumsum([0, *chunks[:-1]]) for chunks in first.chunks[:2]]

    def keys(self, index: Sequence[int]) -> list[Key]:
        """Return the keys of the blocks of all variables."""
        return [block_key(array, index) for array in self.arrays.values()]

    def task(self, index: Sequence[int]) -> Task:
        """Return the task that writes the blocks of all variables."""
        start = [int(edge[i]) for edge, i in zip(self.edges, index, strict=True)]
        starts = [(*start, *[0] * (array.ndim - len(start))) for array in self.arrays.values()]
        # Copies of a trajectory in other stores have runs of the same name.
        key = (f"write-{self.group.name}", str(self.group), *index)
        blocks = map(TaskRef, self.keys(index))
        names = list(self.arrays)
        return Task(key, _write_blocks, str(self.group), names, starts, self.keepbits, *blocks)

    @cached_property
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Metadata of the arrays on disk by variable."""
        return {name: read_metadata(self.group / name) for name in self.arrays}

    def is_written(self, index: Sequence[int]) -> bool:
        """Return whether the shards of a block are on disk as a whole; else delete their remains.

        A loss of power, or a disk that was full, may leave a shard that is empty or cut.
        """
        files = {
            name: shard_path(self.group / name, block_key(array, index)[1:])
            for name, array in self.arrays.items()
        }
        if all(is_whole(file, self.metadata[name]) for name, file in files.items()):
            return True
        for file in files.values():
            delete(file)
        return False


def lazy_variables(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the variables that are written block by block."""
    return {str(name): array for name, array in ds.data_vars.items() if array.chunks is not None}


def write_missing(targets: Sequence[Target], store: Path, description: str) -> None:
    """Compute and write the blocks that are not on disk yet, of all targets in one computation."""
    for target in targets:
        remove_partial_files(target.group)
    lazy = [target for target in targets if target.arrays]
    missing = [_missing_blocks(number, target) for number, target in enumerate(lazy)]
    if not any(map(len, missing)):
        return
    # In the order of frames, whatever their target: what shares work is in one wave.
    blocks = np.concatenate(missing)
    blocks = blocks[np.argsort(blocks[:, 0], kind="stable")]
    graph = LazyGraph([array for target in lazy for array in target.arrays.values()])
    with disk_errors(store):
        run_tasks(_writing_waves(blocks, lazy, graph), len(blocks), description)


def _missing_blocks(number: int, target: Target) -> IntArray:
    """Return first frame, number of the target and index of each block that is not on disk."""
    grid = [len(edge) for edge in target.edges]
    missing = np.ones(grid, bool)
    for first in range(grid[0]):
        # A look at the folder saves one at each file, which takes long on a parallel file system.
        if all((target.group / name / "c" / str(first)).exists() for name in target.arrays):
            for rest in np.ndindex(*grid[1:]):
                missing[(first, *rest)] = not target.is_written((first, *rest))
    index = np.argwhere(missing)
    wide = np.zeros((len(index), 2), np.int64)
    wide[:, : index.shape[1]] = index
    starts = target.edges[0][index[:, 0]]
    return np.column_stack([starts, np.full(len(index), number), wide])


def _writing_waves(blocks: IntArray, targets: Sequence[Target], graph: LazyGraph) -> Iterator[Wave]:
    def place(row: IntArray) -> tuple[Target, list[int]]:
        target = targets[row[1]]
        return target, row[2 : 2 + len(target.edges)].tolist()

    def keys(row: IntArray) -> list[Key]:
        target, index = place(row)
        return target.keys(index)

    def task(row: IntArray, _: int) -> Task:
        check_locks()
        target, index = place(row)
        return target.task(index)

    return task_waves(graph, blocks, keys, task)


def block_waves(target: Target, chosen: Sequence[Sequence[int]]) -> list[Wave]:
    """Return for each of the chosen blocks, by index, the wave that computes and writes it."""
    waves = Waves(LazyGraph(list(target.arrays.values())))
    return [waves.wave(target.keys(index), [target.task(index)]) for index in chosen]


def shards_done(group: Path) -> tuple[int, int]:
    """Return how many shards of the arrays of a group are on disk, and how many there will be."""
    done = total = 0
    for path in sorted(group.glob(f"*/{METADATA}")):
        metadata = read_metadata(path.parent)
        if inner_chunks(metadata) is None:
            continue
        total += math.prod(file_grid(metadata))
        for _, _, names in os.walk(path.parent / "c"):
            done += sum(not name.endswith(".partial") for name in names)
    return done, total
