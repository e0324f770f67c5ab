"""Zarr arrays and groups: codecs, creation, reading, writing, attributes."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from icedask.core.files import rename_synced, sync_file
from icedask.core.provenance import canonical, digest
from icedask.store.chunks import shard_layout
from icedask.store.integrity import (
    CHECKSUMS,
    METADATA,
    array_checksums,
    group_attrs,
    read_metadata,
    sealed,
    shard_path,
)
from icedask.store.known import SMALL_BYTES, Known
from icedask.store.stored import no_value

if TYPE_CHECKING:
    from zarr.codecs import BloscCodec

_TEXT_CODEC: dict[str, Any] = {
    "name": "zstd",
    "configuration": {"level": 0, "checksum": False},
}
# The last codec of each chunk.
_CHECKSUM: tuple[dict[str, Any], ...] = ({"name": "crc32c"},)
# Files that were written, by what they hold.
_METADATA: Known[bytes] = Known()
_CHUNKS: Known[bytes] = Known()
# For zarr's thread to end.
_END_SECONDS = 10.0


def end_zarr_threads() -> None:
    """Stop zarr's thread; at exit zarr waits 0.2 s for it, and fails where a machine is busy."""
    sync = sys.modules.get("zarr.core.sync")
    if sync is not None and sync.loop[0] is not None and sync.iothread[0] is not None:
        sync.loop[0].call_soon_threadsafe(sync.loop[0].stop)
        sync.iothread[0].join(_END_SECONDS)


# The last function to be registered is the first to be called: before that of zarr.
atexit.register(end_zarr_threads)


def _codec(itemsize: int, rounded: bool) -> BloscCodec:
    from zarr.codecs import BloscCodec

    # Measured on SOAP: lz4 with shuffle writes 800 MB/s at a ratio of 1.18. Rounded mantissas
    # repay the slower zstd: 1.88.
    if rounded:
        return BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=itemsize)
    return BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=itemsize)


def create_array(
    group: Path,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    dims: Sequence[str],
    attrs: Mapping[str, Any],
    *,
    block: tuple[int, ...] | None = None,
    rounded: bool = False,
) -> None:
    """Create an array of a Zarr group; sharded by `block` if that is given, else one chunk."""
    key = canonical([shape, dtype.str, list(dims), dict(attrs), block, rounded])
    known = _METADATA.get(key)
    if known is None:
        _create(group / name, shape, dtype, dims, attrs, block, rounded)
        _METADATA.keep(key, (group / name / METADATA).read_bytes())
        return
    delete(group / name)
    _write_file(group / name / METADATA, known)


def _create(
    array: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    dims: Sequence[str],
    attrs: Mapping[str, Any],
    block: tuple[int, ...] | None,
    rounded: bool,
) -> None:
    text = dtype.kind in "UTO"
    if block is None:
        shards, chunks = None, tuple(max(size, 1) for size in shape)
    else:
        n_atoms = shape[1] if len(shape) > 1 else 1
        shards, chunks = shard_layout(block, n_atoms, dtype.itemsize)
    zarr.create_array(
        str(array),
        shape=shape,
        dtype=str if text else dtype,
        chunks=chunks,
        shards=shards,
        compressors=[_TEXT_CODEC if text else _codec(dtype.itemsize, rounded), *_CHECKSUM],
        fill_value=no_value(dtype),
        dimension_names=tuple(dims),
        attributes=dict(attrs),
        # A shard that exists is a shard that is done, whatever its values.
        config={"write_empty_chunks": True},
        overwrite=True,
    )


def write_small(group: Path, name: str, array: xr.DataArray) -> None:
    """Write an array that fits in memory as a single chunk."""
    values = np.asarray(array.values)
    dims = [str(dim) for dim in array.dims]
    create_array(group, name, values.shape, values.dtype, dims, array.attrs)
    if not values.size:
        return
    file = shard_path(group / name, [0] * values.ndim)
    key = digest(values, values.dtype.str, dims, dict(array.attrs))
    known = _CHUNKS.get(key)
    if known is None:
        text = values.dtype.kind in "UTO"
        _opened_to_write(group / name)[...] = values.astype(object) if text else values
        if file.stat().st_size <= SMALL_BYTES:
            _CHUNKS.keep(key, file.read_bytes())
    else:
        _write_file(file, known)
    sync_file(file, group / name)


def _write_file(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _opened_to_write(array: Path) -> Any:
    # A part that exists is a part that is written, whatever its values.
    return zarr.open_array(str(array), mode="r+").with_config({"write_empty_chunks": True})


def write_region(path: Path, start: Sequence[int], values: npt.NDArray[Any]) -> None:
    """Write one block of an array; the writer of a whole shard needs no lock."""
    region = tuple(slice(s, s + n) for s, n in zip(start, values.shape, strict=True))
    array = _opened_to_write(path)
    array[region] = values
    outer = array.shards or array.chunks
    numbers = [
        range(s // size, (s + n - 1) // size + 1)
        for s, n, size in zip(start, values.shape, outer, strict=True)
    ]
    for number in product(*numbers):
        sync_file(shard_path(path, number), path)


def write_metadata(node: Path, metadata: Mapping[str, Any]) -> None:
    """Replace the metadata of a group in one step, with the checksum of its attributes.

    Those of a group of before stay without: small arrays of zeros have no file there.
    """
    attrs = metadata["attributes"]
    if attrs and (CHECKSUMS in attrs or not any(node.glob("*/c"))):
        metadata = {**metadata, "attributes": sealed(attrs)}
    partial = node / "zarr.json.partial"
    with partial.open("w") as file:
        json.dump(metadata, file, indent=2)
    rename_synced(partial, node / METADATA)


def create_group(group: Path, attrs: Mapping[str, Any]) -> None:
    """Create a group, and the folders that it lies in."""
    group.mkdir(parents=True, exist_ok=True)
    write_metadata(group, {"attributes": dict(attrs), "zarr_format": 3, "node_type": "group"})


def update_attrs(group: Path, attrs: Mapping[str, Any]) -> None:
    """Add attributes to a group."""
    metadata = read_metadata(group)
    write_metadata(group, {**metadata, "attributes": {**group_attrs(group, metadata), **attrs}})


def seal_arrays(group: Path) -> None:
    """Record the checksums of the metadata of all arrays of a group, none of which changes then."""
    metadata = read_metadata(group)
    attrs = sealed(metadata["attributes"], array_checksums(group))
    write_metadata(group, {**metadata, "attributes": attrs})


def delete(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def remove_partial_files(folder: Path) -> None:
    """Delete what writers killed in the middle of a write left behind."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".partial"):
                Path(parent, name).unlink(missing_ok=True)
