"""Writing a lazy Dataset block by block, each from the task that computed it, and resuming."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from dask import delayed
from dask.delayed import Delayed

from icedask.compute import optimize_together, run_tasks
from icedask.errors import InputError, StoreError
from icedask.io.arrays import create_array, remove_partial_files, shard_path, write_region
from icedask.variables import ATOM, FRAME

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors(store: Path) -> Iterator[None]:
    """Turn a full disk into a StoreError that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreError(
            f"{store}: the disk is full or over quota ({error.strerror}); what is written stays "
            "valid: free space and run the same command again, it continues where it stopped"
        ) from error


def uniform_blocks(ds: xr.Dataset, stored: Mapping[str, int] | None = None) -> xr.Dataset:
    """Give all lazy variables the same regular blocks along frame and atom, one along the rest.

    Parameters
    ----------
    ds
        With lazy variables.
    stored
        Sizes of the blocks by dimension, where arrays exist on disk already.
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
                for name, array in ds.data_vars.items()
                if array.chunks is not None
            }
        )


def stored_blocks(ds: xr.Dataset, group: Path) -> dict[str, int]:
    """Return the sizes of the blocks of the arrays on disk, by dimension.

    Raises
    ------
    StoreError
        If what is on disk has another shape than `ds`.
    """
    sizes: dict[str, int] = {}
    for name, array in ds.data_vars.items():
        if array.chunks is None:
            continue
        found = zarr.open_array(str(group / str(name)), mode="r")
        if found.shape != array.shape:
            raise StoreError(
                f"{group}: {name}: expected the shape {array.shape}, found {found.shape} from an "
                "interrupted run; remove the run and compute it again"
            )
        shards = found.shards or found.shape
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
    from numcodecs.bitround import BitRound

    values = np.ascontiguousarray(values)
    return (
        BitRound(keepbits)
        .decode(BitRound(keepbits).encode(values))
        .view(values.dtype)
        .reshape(values.shape)
    )


def create_lazy_arrays(ds: xr.Dataset, group: Path, *, rounded: bool) -> None:
    """Create the empty sharded arrays of the lazy variables."""
    for name, array in ds.data_vars.items():
        if array.chunks is not None:
            create_array(
                group,
                str(name),
                array.shape,
                array.dtype,
                [str(dim) for dim in array.dims],
                array.attrs,
                block=tuple(max(chunks) for chunks in array.chunks),
                rounded=rounded,
            )


class Target(NamedTuple):
    """A Dataset with uniform blocks, the group with its arrays, and the bits to keep."""

    ds: xr.Dataset
    group: Path
    keepbits: int | None


def lazy_variables(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the variables that are written block by block."""
    return {str(name): array for name, array in ds.data_vars.items() if array.chunks is not None}


def write_missing(targets: Sequence[Target], store: Path, description: str) -> None:
    """Compute and write the blocks that are not on disk yet, of all targets in one computation.

    Parameters
    ----------
    targets
        What to write. Work that they share is done once.
    store
        Path of the store.
    description
        For the progress bar.
    """
    lazy = [lazy_variables(target.ds) for target in targets]
    optimized = iter(optimize_together([a.data for v in lazy for a in v.values()]))
    tasks: list[Delayed] = []
    for target, variables in zip(targets, lazy, strict=True):
        remove_partial_files(target.group)
        arrays = {name: next(optimized) for name in variables}
        if arrays:
            tasks += _missing_tasks(arrays, target)
    with disk_errors(store):
        run_tasks(tasks, description)


def _missing_tasks(arrays: Mapping[str, da.Array], target: Target) -> Iterator[Delayed]:
    grids = [array.to_delayed(optimize_graph=False) for array in arrays.values()]
    first = next(iter(arrays.values()))
    grid = grids[0].shape[:2]
    if any(other.shape[:2] != grid for other in grids):
        raise InputError("the variables of one Dataset must share the dimensions frame and atom")
    edges = [_starts(chunks) for chunks in first.chunks[:2]]
    write = delayed(_write_blocks, pure=False)
    tails = [(0,) * (array.ndim - len(grid)) for array in arrays.values()]
    for index in product(*map(range, grid)):
        paths = [
            shard_path(target.group / name, (*index, *tail))
            for name, tail in zip(arrays, tails, strict=True)
        ]
        if all(path.exists() for path in paths):
            continue
        start = [edge[i] for edge, i in zip(edges, index, strict=True)]
        blocks = [g[(*index, *tail)] for g, tail in zip(grids, tails, strict=True)]
        starts = [(*start, *tail) for tail in tails]
        yield write(str(target.group), list(arrays), starts, target.keepbits, *blocks)


def block_task(target: Target, index: Sequence[int]) -> Delayed:
    """Return the task that computes and writes one block alone.

    Parameters
    ----------
    target
        Where the block belongs.
    index
        Of the block along the first two dimensions.
    """
    variables = lazy_variables(target.ds)
    tails = [(0,) * (array.ndim - len(index)) for array in variables.values()]
    arrays = [
        array.data.blocks[(*index, *tail)]
        for array, tail in zip(variables.values(), tails, strict=True)
    ]
    edges = [_starts(chunks) for chunks in next(iter(variables.values())).data.chunks]
    start = [edge[i] for edge, i in zip(edges, index, strict=False)]
    blocks = [array.to_delayed(optimize_graph=False).item() for array in optimize_together(arrays)]
    starts = [(*start, *tail) for tail in tails]
    write = delayed(_write_blocks, pure=False)
    return write(str(target.group), list(variables), starts, target.keepbits, *blocks)


def _starts(chunks: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(chunks)[:-1].tolist()]
