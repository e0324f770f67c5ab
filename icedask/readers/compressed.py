"""Compressed source files, recognised by their first bytes, not by their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from icedask.core.provenance import digest
from icedask.errors import InputError

_HEAD_BYTES = 2**16
_COPY_BYTES = 2**22
_MAGIC = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
_SUFFIXES = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd")


def _open_zst(path: str) -> IO[bytes]:
    import zstandard

    # Files of several frames, as parallel compressors write them, are one stream.
    decompressor = zstandard.ZstdDecompressor()
    source = Path(path).open("rb")  # noqa: SIM115
    return decompressor.stream_reader(source, read_across_frames=True, closefd=True)


_OPENERS: dict[str, Callable[[str], Any]] = {
    "gz": gzip.GzipFile,
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zst": _open_zst,
}


def _broken() -> tuple[type[Exception], ...]:
    """Return what the libraries raise for a damaged stream."""
    import zstandard

    return (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def compression(path: str) -> str:
    """Return how a file is compressed, "gz", "bz2", "xz" or "zst"; "" where it is not."""
    with Path(path).open("rb") as file:
        start = file.read(8)
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")


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
        try:
            with _OPENERS[packed](path) as file:
                head = file.read(_HEAD_BYTES)
        except _broken() as error:
            head = _rescued_head(path, packed)
            if not head:
                raise InputError(
                    f"{path}: expected a {packed} file, found a damaged one ({error}); make it "
                    "again"
                ) from error
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
        target = scratch / f"{digest(self.path)}-{self.name}"
        if not target.exists():
            partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
            try:
                with _OPENERS[self.packed](self.path) as source, partial.open("wb") as copy:
                    shutil.copyfileobj(source, copy, _COPY_BYTES)
            except _broken() as error:
                partial.unlink(missing_ok=True)
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk is at fault, not the stream
                raise InputError(
                    f"{self.path}: expected a whole {self.packed} file, found its stream damaged "
                    f"or cut ({error}); make it again, or unpack what is left of it and ingest that"
                ) from error
            partial.replace(target)
        return replace(self, plain=str(target), packed="")


def _rescued_head(path: str, packed: str) -> bytes:
    """Return the first bytes that a damaged stream yields."""
    head = b""
    try:
        with _OPENERS[packed](path) as file:
            while len(head) < _HEAD_BYTES and (piece := file.read(512)):
                head += piece
    except _broken():
        pass
    return head
