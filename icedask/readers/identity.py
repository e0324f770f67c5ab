"""Identity of source files: their content, wherever they lie and whenever they were touched."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dask import delayed

from icedask.core.provenance import digest
from icedask.tasks.graphs import delayed_waves
from icedask.tasks.run import run_tasks

_SAMPLE_BYTES = 2**20
_PIECE_BYTES = 2**26
_READ_BYTES = 2**22


def file_stamp(path: str) -> dict[str, Any]:
    """Return name, size, time of change and a digest of both ends of a file: read at once."""
    stat = Path(path).stat()
    with Path(path).open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
        file.seek(max(0, stat.st_size - _SAMPLE_BYTES))
        tail = file.read(_SAMPLE_BYTES)
    return {
        "name": Path(path).name,
        "bytes": stat.st_size,
        "modified": stat.st_mtime_ns,
        "sample": digest(head, tail),
    }


def _piece_checksum(path: str, start: int) -> int:
    """Return the CRC-32 of a piece of a file."""
    checksum = 0
    with Path(path).open("rb") as file:
        file.seek(start)
        for _ in range(_PIECE_BYTES // _READ_BYTES):
            checksum = zlib.crc32(file.read(_READ_BYTES), checksum)
    return checksum


def content_digests(paths: Sequence[str]) -> list[str]:
    """Return a digest of all bytes of each file, read in pieces by Dask tasks."""
    sizes = [Path(path).stat().st_size for path in paths]
    pieces = [
        (number, start)
        for number, size in enumerate(sizes)
        for start in range(0, max(size, 1), _PIECE_BYTES)
    ]
    if len(pieces) == len(paths) and sum(sizes) <= _PIECE_BYTES:
        checksums = [_piece_checksum(paths[number], start) for number, start in pieces]
    else:
        checksum = delayed(_piece_checksum, pure=False)
        tasks = (checksum(paths[number], start) for number, start in pieces)
        checksums = run_tasks(delayed_waves(tasks, values=True), len(pieces), "checksums")
    joined: list[list[int]] = [[] for _ in paths]
    for (number, _), value in zip(pieces, checksums, strict=True):
        joined[number].append(int(value))
    return [digest([size, *values]) for size, values in zip(sizes, joined, strict=True)]


def is_unchanged(recorded: Mapping[str, Any], path: str) -> bool:
    """Return whether a file has the recorded size, time of change and ends."""
    stamp = file_stamp(path)
    return all(recorded[name] == stamp[name] for name in ("bytes", "modified", "sample"))


def is_same_content(recorded: Mapping[str, Any], path: str) -> bool:
    """Return whether a file has the recorded content; one that was touched or moved is read."""
    if is_unchanged(recorded, path):
        return True
    stamp = file_stamp(path)
    ends = all(recorded[name] == stamp[name] for name in ("bytes", "sample"))
    return ends and recorded.get("content") == content_digests([path])[0]


def source_identity(
    paths: Sequence[str], recorded: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the recorded identities of files where all have the recorded content, else stamps."""
    if len(recorded) == len(paths) and all(map(is_same_content, recorded, paths)):
        return [dict(entry) for entry in recorded]
    return [file_stamp(path) for path in paths]


def with_contents(entries: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> list[dict]:
    """Return identities of files with digests of their contents."""
    contents = content_digests(paths)
    return [{**entry, "content": content} for entry, content in zip(entries, contents, strict=True)]
