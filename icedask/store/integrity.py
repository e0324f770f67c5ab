"""Checksums of metadata, complete shards, and the errors that name damaged files.

Chunks carry a CRC-32C of their own. A group records one of its attributes and one of the metadata
of each of its arrays, so that an array that is gone is missed; a complete one also the end of each
file, so that whole files which change places are found. Stores written before have none of these:
what they do not record is not checked.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from icedask.core.provenance import canonical
from icedask.errors import DamagedError

METADATA = "zarr.json"
CHECKSUMS = "checksums"
# Times differ from one computation to the next, and the others are compared with what they may be
# wherever they are used.
_UNSEALED = ("created", "history", "status", "format", "format_version")
STATES = ("running", "complete")
# Folders in a store.
_MEMBERS = ("trajectory", "descriptors", "models", "results", ".labels", ".ingest")
# Of one inner chunk in the index of a shard: offset and length. The index ends with its checksum.
_ENTRY_BYTES = 16
CRC_BYTES = 4
# Of a digest, and files of an array whose digests are recorded: 8 bytes each.
_DIGITS = 8
_MOST_DIGESTS = 10_000
_ABSENT = 2**64 - 1
# Shards of a run that are looked for when it is opened; those of larger ones when they are read.
MOST_LOOKED_FOR = 10_000


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes."""
    value: int = google_crc32c.value(data)
    return value


def crc32c_text(value: Any) -> str:
    """Return the CRC-32C of a value that JSON can hold, as 8 hexadecimal digits."""
    return f"{crc32c(canonical(value).encode()):08x}"


def remedy(file: Path) -> str:
    """Return how to repair a damaged file of a store."""
    # The innermost folder with such a member: a store may lie in another Zarr group.
    inside = (p for p in file.parents if file.relative_to(p).parts[0] in _MEMBERS)
    store = next(inside, file.parent)
    return (
        f"restore it from a copy, or let icedask verify {store} --repair set aside what is damaged"
    )


def damaged(file: Path, finding: str, what_to_do: str | None = None) -> DamagedError:
    """Return the error for a damaged file, with the remedy."""
    error = DamagedError(f"{file}: {finding}; {what_to_do or remedy(file)}")
    error.file, error.finding = str(file), finding
    return error


def is_refused(file: Path) -> bool:
    """Return whether a file is there, but this user may not read it: it need not be damaged."""
    try:
        with file.open("rb"):
            return False
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn the OSErrors of a file of a store into DamagedErrors, but for FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file)) from error
    except OSError as error:
        finding = f"cannot be read ({error.strerror})"
        is_closed = error.errno in (errno.EACCES, errno.EPERM)
        ask = "ask the owner of the file for permission to read it" if is_closed else None
        raise damaged(file, finding, ask) from error


def read_metadata(node: Path) -> dict[str, Any]:
    """Return the metadata of a group or an array as it is on disk.

    Raises FileNotFoundError if there is none, DamagedError if it is no metadata.
    """
    file = node / METADATA
    try:
        with reading(file):
            metadata = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise damaged(file, "expected the metadata of Zarr, found no valid JSON") from None
    if not isinstance(metadata, dict) or metadata.get("zarr_format") != 3:
        raise damaged(file, "expected the metadata of Zarr v3, found other content")
    return metadata


def sealed(
    attrs: Mapping[str, Any],
    arrays: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the attributes of a group with checksums of them, its arrays and its files."""
    before = attrs.get(CHECKSUMS) or {}
    arrays = before.get("arrays", {}) if arrays is None else arrays
    files = before.get("files", {}) if files is None else files
    covered = {name: attrs[name] for name in attrs if name not in (CHECKSUMS, *_UNSEALED)}
    # By name: those that a user adds later are not covered.
    checksums = {"attributes": sorted(covered), "arrays": dict(arrays), "files": dict(files)}
    value = crc32c_text([covered, checksums["arrays"], checksums["files"]])
    return {**attrs, CHECKSUMS: {**checksums, "crc32c": value}}


def group_attrs(node: Path, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the attributes of a group, compared with their checksum, past consolidated ones.

    `metadata` is that of the group, where it was read already.

    Raises FileNotFoundError if there is no metadata, DamagedError if it is damaged or was changed.
    """
    file = node / METADATA
    if metadata is None:
        metadata = read_metadata(node)
    attrs = metadata.get("attributes")
    if metadata.get("node_type") != "group" or not isinstance(attrs, dict):
        raise damaged(file, "expected the metadata of a Zarr group, found other content")
    if attrs.get("status", "complete") not in STATES:
        raise damaged(file, f"expected the status {' or '.join(STATES)}, found other text")
    if CHECKSUMS not in attrs:
        return attrs
    try:
        checksums = attrs[CHECKSUMS]
        own = {name: attrs[name] for name in checksums["attributes"]}
        parts = [own, *(checksums[name] for name in ("arrays", "files") if name in checksums)]
        is_same = crc32c_text(parts) == checksums["crc32c"]
    except (KeyError, TypeError):
        is_same = False
    if not is_same:
        raise damaged(
            file, "the attributes are not the ones that were written (their checksum differs)"
        )
    return attrs


def history_of(attrs: Mapping[str, Any]) -> list[Any]:
    """Return the history in the attributes of a group, which have no checksum of it."""
    history = attrs.get("history")
    return history if isinstance(history, list) else []


def array_checksums(group: Path) -> dict[str, str]:
    """Return the checksum of the metadata of each array of a group."""
    return {
        file.parent.name: crc32c_text(read_metadata(file.parent))
        for file in sorted(group.glob(f"*/{METADATA}"))
    }


def array_metadata(group: Path, attrs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the metadata of each array of a group, compared with the checksums in its attributes.

    Raises DamagedError if an array is missing, or its metadata is damaged or was changed.
    """
    checksums = (attrs.get(CHECKSUMS) or {}).get("arrays")
    if checksums is None:
        checksums = dict.fromkeys(file.parent.name for file in group.glob(f"*/{METADATA}"))
    arrays = {}
    for name, checksum in checksums.items():
        file = group / name / METADATA
        try:
            arrays[name] = read_metadata(group / name)
        except FileNotFoundError:
            raise damaged(file, "expected the metadata of an array, the file is missing") from None
        if checksum is not None and crc32c_text(arrays[name]) != checksum:
            raise damaged(file, "the metadata is not what was written (its checksum differs)")
    if CHECKSUMS not in attrs and arrays and all(map(has_checksums, arrays.values())):
        raise damaged(group / METADATA, "the checksums of the attributes are missing")
    return arrays


def inner_chunks(metadata: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the shape of the inner chunks of a sharded array, None if it has no shards."""
    codec = metadata["codecs"][0]
    if codec["name"] != "sharding_indexed":
        return None
    return tuple(codec["configuration"]["chunk_shape"])


def outer_chunks(metadata: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of the chunks that are files: shards, or chunks where there are none."""
    return tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])


def has_checksums(metadata: Mapping[str, Any]) -> bool:
    """Return whether the chunks of an array end with a checksum."""
    codecs = metadata["codecs"]
    if inner_chunks(metadata) is not None:
        codecs = codecs[0]["configuration"]["codecs"]
    return bool(codecs[-1]["name"] == "crc32c")


def file_grid(metadata: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the number of files of an array along each of its dimensions."""
    sizes = zip(metadata["shape"], outer_chunks(metadata), strict=True)
    return tuple(math.ceil(size / chunk) for size, chunk in sizes)


def shard_path(array: Path, index: Sequence[int]) -> Path:
    """Return the file of the shard, or the chunk, with the given index."""
    return array.joinpath("c", *map(str, index))


def chunk_files(array: Path, metadata: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the files that a complete array has."""
    for index in np.ndindex(*file_grid(metadata)):
        yield shard_path(array, index)


def check_present(file: Path) -> None:
    """Raise DamagedError if a file of a complete array is missing or empty."""
    try:
        with reading(file):
            status = file.stat()
    except FileNotFoundError:
        raise damaged(file, "part of an array is missing") from None
    if not stat.S_ISREG(status.st_mode):
        raise damaged(file, "expected a file with part of an array, found a folder or device")
    if status.st_size == 0:
        raise damaged(file, "part of an array is empty")


def _index_bytes(metadata: Mapping[str, Any]) -> int:
    """Return the length of the index of a shard, 0 for an array without shards."""
    inner = inner_chunks(metadata)
    if inner is None:
        return 0
    pairs = zip(outer_chunks(metadata), inner, strict=True)
    return math.prod(size // part for size, part in pairs) * _ENTRY_BYTES + CRC_BYTES


def file_digest(file: Path, metadata: Mapping[str, Any]) -> str:
    """Return the CRC-32C of the end of a file: a chunk's checksum, and the index of a shard.

    It differs from file to file where the values do, and takes one small read.
    """
    with reading(file), file.open("rb") as source:
        size = source.seek(0, os.SEEK_END)
        source.seek(max(size - _index_bytes(metadata) - CRC_BYTES, 0))
        return f"{crc32c(source.read()):08x}"


def digest_bytes(metadata: Mapping[str, Any]) -> int:
    """Return the length of the digests of the files of an array, 0 where they are not recorded."""
    number = math.prod(file_grid(metadata))
    return number * _DIGITS if has_checksums(metadata) and number <= _MOST_DIGESTS else 0


def file_digests(group: Path, arrays: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the digests of the files of complete arrays, joined in the order of the files."""
    digests = {}
    for name, metadata in arrays.items():
        if digest_bytes(metadata):
            parts = []
            for file in chunk_files(group / name, metadata):
                check_present(file)
                parts.append(file_digest(file, metadata))
            digests[name] = "".join(parts)
    return digests


def _recorded(array: Path) -> str:
    """Return the digests of the files of an array of a complete group, empty if not recorded.

    They are read where they are used: in the graph of a large array each task would carry all.
    """
    file = array.parent / METADATA
    try:
        with reading(file):
            status = file.stat()
    except FileNotFoundError:
        return ""
    return _digests(array.parent, status.st_mtime_ns, status.st_ino).get(array.name, "")


@lru_cache(maxsize=16)
def _digests(group: Path, modified: int, inode: int) -> dict[str, str]:
    """Return the digests of each array of a group whose metadata is of this time."""
    attrs = group_attrs(group)
    if attrs.get("status") != "complete":
        return {}
    files: dict[str, str] = (attrs.get(CHECKSUMS) or {}).get("files", {})
    return files


def check_place(file: Path, array: Path, metadata: Mapping[str, Any]) -> None:
    """Raise DamagedError if a file is another than the one that was written in its place."""
    digests = _recorded(array)
    if not digests:
        return
    grid, number = file_grid(metadata), [int(part) for part in file.relative_to(array).parts[1:]]
    place = _DIGITS * int(np.ravel_multi_index(number, grid)) if number else 0
    if file_digest(file, metadata) != digests[place : place + _DIGITS]:
        raise damaged(file, "part of an array is damaged, or belongs to another place")


def shard_index(file: Path, metadata: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return offset and length of each inner chunk of a shard.

    Raises DamagedError unless the index matches its checksum and lies behind all its chunks.
    """
    index_bytes = _index_bytes(metadata)
    with reading(file), file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        if size < index_bytes:
            raise damaged(file, f"part of an array is cut, to {size} bytes")
        opened.seek(size - index_bytes)
        tail = opened.read(index_bytes)
    if crc32c(tail[:-CRC_BYTES]) != int.from_bytes(tail[-CRC_BYTES:], "little"):
        raise damaged(file, "part of an array is cut or damaged (checksum of its index)")
    entries = np.frombuffer(tail[:-CRC_BYTES], "<u8").reshape(-1, 2).tolist()
    if any(offset == _ABSENT or offset + length > size for offset, length in entries):
        raise damaged(file, "part of an array is incomplete")
    return [(offset, length) for offset, length in entries]


def is_whole(file: Path, metadata: Mapping[str, Any]) -> bool:
    """Return whether a shard is there from its first byte to its last, by its index."""
    try:
        shard_index(file, metadata)
    except (DamagedError, FileNotFoundError):
        return False
    return file.is_file()


def check_chunk(file: Path, data: bytes, where: str = "") -> None:
    """Raise DamagedError unless the encoded bytes of a chunk match the checksum at their end."""
    if crc32c(data[:-CRC_BYTES]) != int.from_bytes(data[-CRC_BYTES:], "little"):
        raise damaged(file, f"part of an array is damaged{where} (its checksum differs)")
