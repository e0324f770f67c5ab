"""Writing a lazy Dataset block by block, each from the task that computed it, and resuming."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed
from dask.delayed import Delayed

from icedask.compute import run_tasks
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


def uniform_blocks(ds: xr.Dataset) -> xr.Dataset:
    """Give all lazy variables the same regular blocks along frame and atom, one along the rest."""
    lazy = [array for array in ds.data_vars.values() if array.chunks is not None]
    sizes: dict[str, int] = {}
    for array in lazy:
        for dim, chunks in zip(array.dims, array.chunks or (), strict=True):
            name = str(dim)
            if name in (FRAME, ATOM):
                sizes[name] = min(sizes.get(name, max(chunks)), max(chunks))
            else:
                sizes[name] = ds.sizes[name]
    with dask.config.set({"array.rechunk.method": "tasks"}):
        return ds.assign(
            {
                name: array.chunk({dim: sizes[str(dim)] for dim in array.dims})
                for name, array in ds.data_vars.items()
                if array.chunks is not None
            }
        )


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


def write_missing(
    ds: xr.Dataset, store: Path, group: Path, description: str, keepbits: int | None = None
) -> int:
    """Compute and write the blocks of the lazy variables that are not on disk yet.

    Parameters
    ----------
    ds
        With uniform blocks and its arrays created.
    store, group
        Paths of the store and of the group in it.
    description
        For the progress bar.
    keepbits
        Bits of mantissa to keep.

    Returns
    -------
    int
        Number of blocks written.
    """
    lazy = {str(name): array for name, array in ds.data_vars.items() if array.chunks is not None}
    if not lazy:
        return 0
    remove_partial_files(group)
    arrays = dask.optimize(*[array.data for array in lazy.values()])
    grids = [array.to_delayed(optimize_graph=False) for array in arrays]
    grid = grids[0].shape[:2]
    if any(other.shape[:2] != grid for other in grids):
        raise InputError("the variables of one Dataset must share the dimensions frame and atom")
    edges = [_starts(chunks) for chunks in arrays[0].chunks[:2]]
    write = delayed(_write_blocks, pure=False)
    tasks: list[Delayed] = []
    for index in product(*map(range, grid)):
        start = [edge[i] for edge, i in zip(edges, index, strict=True)]
        tails = [(0,) * (array.ndim - len(index)) for array in arrays]
        paths = [
            shard_path(group / name, (*index, *tail))
            for name, tail in zip(lazy, tails, strict=True)
        ]
        if all(path.exists() for path in paths):
            continue
        blocks = [g[(*index, *tail)] for g, tail in zip(grids, tails, strict=True)]
        starts = [(*start, *tail) for tail in tails]
        tasks.append(write(str(group), list(lazy), starts, keepbits, *blocks))
    with disk_errors(store):
        run_tasks(tasks, description)
    return len(tasks)


def _starts(chunks: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(chunks)[:-1].tolist()]


def check_shape(array: xr.DataArray, found: tuple[int, ...], store: Path) -> None:
    """Raise StoreError if what is on disk for a run has another shape."""
    if array.shape != found:
        raise StoreError(
            f"{store}: {array.name}: expected the shape {array.shape}, found {found}; remove the "
            "run and compute it again"
        )
