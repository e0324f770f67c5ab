"""Lazy arrays of a store, which read written values or raise an error for damaged files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from icedask.core.provenance import digest
from icedask.store.integrity import (
    CHECKSUMS,
    MOST_LOOKED_FOR,
    array_metadata,
    check_chunk,
    check_place,
    check_present,
    chunk_files,
    damaged,
    file_grid,
    has_checksums,
    inner_chunks,
    outer_chunks,
    reading,
    shard_index,
    shard_path,
)
from icedask.store.known import SMALL_BYTES, Known


def no_value(dtype: npt.DTypeLike) -> Any:
    """Return the fill value of a dtype: NaN, an integer that no label or count has, else None."""
    try:
        kind = np.dtype(dtype)
    except TypeError:  # text
        return None
    if kind.kind == "c":
        return complex(np.nan, np.nan)
    if kind.kind == "f":
        return np.nan
    if kind.kind == "i":
        return int(np.iinfo(kind).min)
    if kind.kind == "u":
        return int(np.iinfo(kind).max)
    return None


def _no_value_entry(data_type: Any) -> dict[str, Any]:
    """Return the entry of metadata for `no_value`; none for text and bool, which have no such."""
    fill = no_value(data_type)
    if fill is None:
        return {}
    if isinstance(fill, complex):
        return {"fill_value": ["NaN", "NaN"]}
    return {"fill_value": "NaN" if fill is np.nan else fill}


def opened(array: Path, metadata: Mapping[str, Any]) -> Any:
    """Return the Zarr array of a folder by its metadata, for reading."""
    from zarr.storage import LocalStore, StorePath

    place = StorePath(LocalStore(array, read_only=True))
    return zarr.Array.from_dict(place, dict(metadata))


class StoredArray:
    """Array on disk whose blocks are read when they are asked for.

    Parameters
    ----------
    path
        Folder of the array.
    metadata
        Content of its zarr.json.
    complete
        Whether a part that is missing is an error; else it reads as `no_value`.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any], *, complete: bool) -> None:
        if not complete:
            metadata = {**metadata, **_no_value_entry(metadata["data_type"])}
        self.path, self.metadata, self.complete = path, metadata, complete
        self.array = opened(path, metadata)
        self.shape: tuple[int, ...] = self.array.shape
        self.dtype: np.dtype = self.array.dtype
        self.ndim: int = self.array.ndim

    def __getitem__(self, index: Any) -> Any:
        """Read a part; raise DamagedError if a file of it is missing or damaged."""
        if self.complete:
            for file in self._files(index):
                check_present(file)
                check_place(file, self.path, self.metadata)
        try:
            return self.array[index]
        except IndexError:
            raise
        except Exception as error:
            for file in self._files(index):
                check_file(file, self.path, self.metadata)
            raise damaged(
                self.path, f"expected to read part of an array, found: {error}"
            ) from error

    def _files(self, index: Any) -> Iterator[Path]:
        """Yield the files of a part."""
        index = index if isinstance(index, tuple) else (index,)
        if Ellipsis in index:
            place = index.index(Ellipsis)
            rest = (slice(None),) * (self.ndim - len(index) + 1)
            index = (*index[:place], *rest, *index[place + 1 :])
        outer = outer_chunks(self.metadata)
        numbers = []
        for axis, (size, chunk) in enumerate(zip(self.shape, outer, strict=True)):
            part = index[axis] if axis < len(index) else slice(None)
            chosen = np.atleast_1d(np.arange(size)[part])
            numbers.append(np.unique(chosen // chunk).tolist())
        for number in product(*numbers):
            yield shard_path(self.path, number)


def check_file(file: Path, array: Path, metadata: Mapping[str, Any]) -> int:
    """Raise DamagedError unless a file of a complete array is what was written; return its size.

    What has no checksums is decoded, which finds part of what can go wrong.
    """
    check_present(file)
    if not has_checksums(metadata):
        return _check_decoded(file, array, metadata)
    size = _check_chunks(file, metadata)
    check_place(file, array, metadata)
    return size


def _check_chunks(file: Path, metadata: Mapping[str, Any]) -> int:
    """Compare the chunks in a file with their checksums; return its size."""
    with reading(file), file.open("rb") as source:
        if inner_chunks(metadata) is None:
            data = source.read()
            check_chunk(file, data)
            return len(data)
        for offset, length in shard_index(file, metadata):
            source.seek(offset)
            check_chunk(file, source.read(length))
        return source.seek(0, 2)


def _check_decoded(file: Path, array: Path, metadata: Mapping[str, Any]) -> int:
    if inner_chunks(metadata) is not None:
        shard_index(file, metadata)
    number = [int(part) for part in file.relative_to(array).parts[1:]]
    region = tuple(
        slice(i * chunk, (i + 1) * chunk)
        for i, chunk in zip(number, outer_chunks(metadata), strict=True)
    )
    try:
        opened(array, metadata)[region]
    except Exception as error:
        raise damaged(file, f"part of an array cannot be decoded ({error})") from error
    return file.stat().st_size


def open_arrays(
    store: Path,
    group: Path,
    attrs: Mapping[str, Any],
    name_of: Callable[[str], str | None],
    *,
    complete: bool,
) -> xr.Dataset:
    """Open the arrays of a group as a Dataset, one Dask chunk for each shard; small ones loaded.

    Parameters
    ----------
    attrs
        Attributes of the group.
    name_of
        Function that returns the name of the lazy array of a variable in Dask's graphs, which tells
        what its values are; None where that is not known.
    complete
        Whether everything is written, so that a missing part is an error.

    Raises
    ------
    DamagedError
        If something of a complete group is missing, or of the metadata or the small arrays is
        damaged.
    """
    arrays = array_metadata(group, attrs)
    if complete:
        check_all_present(group, arrays, is_sealed=CHECKSUMS in attrs)
    variables: dict[str, Any] = {}
    for name, metadata in sorted(arrays.items()):
        dims = tuple(metadata.get("dimension_names") or ())
        values = _values(group / name, metadata, name_of(name), complete=complete)
        variables[name] = xr.Variable(dims, values, metadata.get("attributes", {}))
    own = {name: value for name, value in attrs.items() if name != CHECKSUMS}
    coordinates = own.pop("coordinate_names", [])
    ds = xr.Dataset(variables, attrs=own).set_coords(coordinates)
    ds.encoding["source"] = str(store)
    return ds


def read_array(path: Path, metadata: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return the values of a small array, texts of a fixed width; raise DamagedError if it is."""
    # Without checksums, chunks of zeros were not written.
    files = list(chunk_files(path, metadata)) if has_checksums(metadata) else []
    for file in files:
        check_present(file)
        check_place(file, path, metadata)
    key = _content_key(files, metadata)
    if key is not None and (known := _READ.get(key)) is not None:
        return known.copy()
    try:
        values = np.asarray(opened(path, metadata)[...])
    except Exception as error:
        for file in chunk_files(path, metadata):
            check_file(file, path, metadata)
        raise damaged(path, f"expected an array that can be read, found: {error}") from error
    # Numpy's variable-width strings do not convert to everything.
    values = values.astype(object).astype(str) if values.dtype.kind in "TO" else values
    # What was read meanwhile is what the key was made from.
    if key is not None and key == _content_key(files, metadata):
        _READ.keep(key, values.copy())
    return values


# Values that were decoded, by the bytes of their file.
_READ: Known[npt.NDArray[Any]] = Known()


def _content_key(files: Sequence[Path], metadata: Mapping[str, Any]) -> str | None:
    """Return the digest of a small array as it is on disk; None for a large or unprotected one."""
    if len(files) != 1:
        return None
    try:
        small = files[0].stat().st_size <= SMALL_BYTES
        return digest(dict(metadata), files[0].read_bytes()) if small else None
    except OSError:
        return None


def _values(
    path: Path, metadata: Mapping[str, Any], name: str | None, *, complete: bool
) -> da.Array | npt.NDArray[Any]:
    if inner_chunks(metadata) is None:
        return read_array(path, metadata)
    source = StoredArray(path, metadata, complete=complete)
    # Slices are read from the file; lists of atoms are taken from what was read.
    return da.from_array(source, outer_chunks(metadata), name=name, inline_array=True, fancy=False)


def check_all_present(
    group: Path, arrays: Mapping[str, Mapping[str, Any]], *, is_sealed: bool
) -> None:
    """Raise DamagedError if a file of complete arrays is missing or empty."""
    for name, metadata in arrays.items():
        sharded = inner_chunks(metadata) is not None
        # Without checksums, chunks of zeros were not written.
        if not sharded and not is_sealed:
            continue
        if np.prod(file_grid(metadata), dtype=float) <= MOST_LOOKED_FOR:
            for file in chunk_files(group / name, metadata):
                check_present(file)
