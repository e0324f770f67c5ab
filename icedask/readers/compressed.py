"""Compressed source files, recognised by their first bytes, not by their names."""

from __future__ import annotations

import bz2
import errno
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from icedask.core.provenance import digest
from icedask.errors import InputError, StoreError

_HEAD_BYTES = 2**16
_READ_BYTES = 2**16
_MAGIC = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
# First bytes of files that are unpacked.
PACKED = tuple(_MAGIC)
_SUFFIXES = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd")
# Files to which no more can be written: no space, quota, size.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Bytes beyond ASCII, and a mark in their place: columns of text stay where they are.
_TO_ASCII = bytes(range(128)) + b"?" * 128


def _new_zst() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


# A decompressor for one stream of each compression.
_STREAMS: dict[str, Callable[[], Any]] = {
    "gz": lambda: zlib.decompressobj(wbits=31),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    "zst": _new_zst,
}


def _broken() -> tuple[type[Exception], ...]:
    """Return what the libraries raise for a damaged stream."""
    import zstandard

    return (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def _packed_as(start: bytes) -> str:
    """Return the compression that begins with some bytes, "" if none does."""
    if _is_skippable(start):
        return "zst"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")


def _is_skippable(start: bytes) -> bool:
    """Return whether a skippable frame of Zstandard begins, as parallel compressors write."""
    return 0x50 <= start[0] <= 0x5F and start[1:4] == b"\x2a\x4d\x18" if start[:1] else False


def pieces(path: str, packed: str) -> Iterator[bytes]:
    """Yield the content of a compressed file, whose streams are joined.

    Raises one of `_broken` if a stream is damaged or cut, or something else follows the last one.
    """
    stream: Any = None
    rest = b""
    with Path(path).open("rb") as file:
        while rest or (chunk := file.read(_READ_BYTES)):
            data, rest, chunk = rest or chunk, b"", b""
            if stream is None:
                data = data if len(data) >= 12 else data + file.read(_READ_BYTES)
                if packed in ("gz", "xz"):  # which may be padded
                    data = data.lstrip(b"\0")
                if _is_skippable(data):
                    skip = 8 + int.from_bytes(data[4:8], "little")
                    rest = data[skip:]
                    file.seek(max(0, skip - len(data)), 1)
                    continue
                if not data:
                    continue
                if _packed_as(data) != packed:
                    raise ValueError(f"after a stream there are other bytes, {data[:8]!r}")
                stream = _STREAMS[packed]()
            yield stream.decompress(data)
            if stream.eof:
                stream, rest = None, stream.unused_data
    if stream is not None:
        raise EOFError("the last stream has no end")


def compression(path: str) -> str:
    """Return how a file is compressed, "gz", "bz2", "xz" or "zst"; "" where it is not."""
    with Path(path).open("rb") as file:
        return _packed_as(file.read(8))


@dataclass(frozen=True)
class SourceFile:
    """A file to read, with its compression and its first bytes.

    Attributes
    ----------
    path
        The file as it was given: for messages.
    plain
        Where its bytes are: the file itself, or its unpacked copy.
    packed
        Compression of `plain`, "" where it is not compressed.
    head
        Its first 64 kB, unpacked.
    """

    path: str
    plain: str
    packed: str
    head: bytes

    @classmethod
    def of(cls, path: str) -> SourceFile:
        """Look at a file; raise InputError if it is compressed and nothing can be unpacked."""
        packed = compression(path)
        if not packed:
            with Path(path).open("rb") as file:
                return cls(path, path, "", file.read(_HEAD_BYTES))
        head = b""
        try:
            for piece in pieces(path, packed):
                head += piece
                if len(head) >= _HEAD_BYTES:
                    break
        except _broken() as error:
            if not head:
                raise InputError(
                    f"{path}: expected a {packed} file, found a damaged one ({error}); make it "
                    "again"
                ) from error
        head = head[:_HEAD_BYTES]
        return cls(path, path, packed, head)

    @property
    def name(self) -> str:
        """Name of the file without its folder and the suffix of its compression, in lower case."""
        name = Path(self.path).name.lower()
        suffix = next((end for end in _SUFFIXES if name.endswith(end)), "")
        return name.removesuffix(suffix)

    def unpacked(self, scratch: Path) -> SourceFile:
        """Return the file with an unpacked copy in the folder `scratch`.

        Raises InputError if the stream is damaged or cut.
        """
        if not self.packed:
            return self
        target = self._copied(scratch, "unpacked", pieces(self.path, self.packed))
        return replace(self, plain=target, packed="")

    def in_ascii(self, scratch: Path | None) -> SourceFile:
        """Return a text file in ASCII if it is not UTF-8, as with titles in Latin-1.

        Bytes beyond ASCII become "?".

        The copy is in the folder `scratch`; without one, or if all is UTF-8, it is the file itself.
        """
        try:
            self.head[:-4].decode("utf-8")
        except UnicodeDecodeError:
            if scratch is not None:
                source = Path(self.plain)
                copy = self._copied(scratch, "ascii", _ascii_pieces(source))
                return replace(self, plain=copy, head=self.head.translate(_TO_ASCII))
        return self

    def _copied(self, scratch: Path, purpose: str, content: Iterator[bytes]) -> str:
        """Write a copy of the content of the file, unless it exists, and return its path."""
        stat = Path(self.path).stat()
        target = scratch / (
            f"{digest(self.path, purpose, stat.st_size, stat.st_mtime_ns)}-{self.name}"
        )
        if target.exists():
            return str(target)
        partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as copy:
                for piece in content:
                    copy.write(piece)
        except _broken() as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise StoreError(
                    f"{scratch}: the disk of the store is full ({error.strerror}) while "
                    f"{self.path} is {purpose}; free space there, or choose a store on another disk"
                ) from error
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk is at fault, not the stream
            raise InputError(
                f"{self.path}: expected a whole {self.packed} file, found its stream damaged "
                f"or cut ({error}); make it again, or unpack what is left of it and ingest that"
            ) from error
        partial.replace(target)
        return str(target)


def _ascii_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece.translate(_TO_ASCII)
